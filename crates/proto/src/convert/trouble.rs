//! What nodes report of themselves ↔ `marquee.control.v1`.
//!
//! Reading never fails: a report that has more than its bounds is cut, and what this release has no name for is left out,
//! so that a newer node is not taken for dead because of what it adds.

use crate::generated::control::v1 as pb;
use marquee_core::bounds::MAX_NAME_BYTES;
use marquee_core::trouble::{
    DiskSpace, LastingTrouble, LogName, MAX_TROUBLES, NodeReport, Trouble, bounded_reason,
};
use pb::trouble::Kind;

/// The wire form of a report that is so many milliseconds old.
pub fn node_report_to_pb(report: &NodeReport, age_ms: u64) -> pb::NodeReport {
    let NodeReport { node_id, plan_epoch, disk, troubles } = report;
    pb::NodeReport {
        node_id: node_id.clone(),
        plan_epoch: *plan_epoch,
        disk: disk.map(disk_to_pb),
        troubles: troubles.iter().map(trouble_to_pb).collect(),
        age_ms,
    }
}

/// Reads a report, cut to its bounds, and its age in milliseconds.
pub fn node_report_from_pb(report: pb::NodeReport) -> (NodeReport, u64) {
    let pb::NodeReport { mut node_id, plan_epoch, disk, troubles, age_ms } = report;
    if node_id.len() > MAX_NAME_BYTES {
        node_id = bounded_reason(&node_id);
    }
    let troubles = troubles.into_iter().filter_map(trouble_from_pb).take(MAX_TROUBLES).collect();
    (NodeReport { node_id, plan_epoch, disk: disk.map(disk_from_pb), troubles }, age_ms)
}

fn disk_to_pb(disk: DiskSpace) -> pb::DiskSpace {
    let DiskSpace { free_bytes, total_bytes } = disk;
    pb::DiskSpace { free_bytes, total_bytes }
}

fn disk_from_pb(disk: pb::DiskSpace) -> DiskSpace {
    let pb::DiskSpace { free_bytes, total_bytes } = disk;
    DiskSpace { free_bytes, total_bytes }
}

fn log_to_pb(log: LogName) -> i32 {
    match log {
        LogName::Events => pb::LogName::Events as i32,
        LogName::Quarantine => pb::LogName::Quarantine as i32,
        LogName::Exposures => pb::LogName::Exposures as i32,
    }
}

fn log_from_pb(log: i32) -> Option<LogName> {
    match pb::LogName::try_from(log).ok()? {
        pb::LogName::Unspecified => None,
        pb::LogName::Events => Some(LogName::Events),
        pb::LogName::Quarantine => Some(LogName::Quarantine),
        pb::LogName::Exposures => Some(LogName::Exposures),
    }
}

fn trouble_to_pb(lasting: &LastingTrouble) -> pb::Trouble {
    let LastingTrouble { trouble, for_ms } = lasting;
    let kind = match trouble {
        Trouble::DiskLow { free_bytes, total_bytes } => {
            Kind::DiskLow(pb::DiskSpace { free_bytes: *free_bytes, total_bytes: *total_bytes })
        }
        Trouble::DiskFailed { reason } => Kind::DiskFailed(bounded_reason(reason)),
        Trouble::DiskSlow { write_ms } => Kind::DiskSlowMs(*write_ms),
        Trouble::FileGone { path } => Kind::FileGone(bounded_reason(path)),
        Trouble::LogFailed { log, reason } => {
            Kind::LogFailed(pb::FailedLog { log: log_to_pb(*log), reason: bounded_reason(reason) })
        }
        Trouble::LogLost { log, records } => {
            Kind::LogLost(pb::LostRecords { log: log_to_pb(*log), records: *records })
        }
        Trouble::AuditFailed { reason } => Kind::AuditFailed(bounded_reason(reason)),
        Trouble::VoterFailed { reason } => Kind::VoterFailed(bounded_reason(reason)),
        Trouble::PlanUnwritten { reason } => Kind::PlanUnwritten(bounded_reason(reason)),
        Trouble::PlanBehind { epoch, newest } => {
            Kind::PlanBehind(pb::PlanBehind { epoch: *epoch, newest: *newest })
        }
        Trouble::ControlSilent { reason } => Kind::ControlSilent(bounded_reason(reason)),
        Trouble::CertificateExpires { seconds_left } => {
            Kind::CertificateExpiresSeconds(*seconds_left)
        }
        Trouble::CertificateFailed { reason } => Kind::CertificateFailed(bounded_reason(reason)),
        Trouble::Refusing { calls } => Kind::RefusedCalls(*calls),
        Trouble::NodeAvoided { node_id } => Kind::NodeAvoided(bounded_reason(node_id)),
        Trouble::NodeLeftOut { node_id } => Kind::NodeLeftOut(bounded_reason(node_id)),
    };
    pb::Trouble { for_ms: *for_ms, kind: Some(kind) }
}

/// None for a kind that this release does not know.
fn trouble_from_pb(lasting: pb::Trouble) -> Option<LastingTrouble> {
    let pb::Trouble { for_ms, kind } = lasting;
    let text = |text: String| bounded_reason(&text);
    let trouble = match kind? {
        Kind::DiskLow(pb::DiskSpace { free_bytes, total_bytes }) => {
            Trouble::DiskLow { free_bytes, total_bytes }
        }
        Kind::DiskFailed(reason) => Trouble::DiskFailed { reason: text(reason) },
        Kind::DiskSlowMs(write_ms) => Trouble::DiskSlow { write_ms },
        Kind::FileGone(path) => Trouble::FileGone { path: text(path) },
        Kind::LogFailed(pb::FailedLog { log, reason }) => {
            Trouble::LogFailed { log: log_from_pb(log)?, reason: text(reason) }
        }
        Kind::LogLost(pb::LostRecords { log, records }) => {
            Trouble::LogLost { log: log_from_pb(log)?, records }
        }
        Kind::AuditFailed(reason) => Trouble::AuditFailed { reason: text(reason) },
        Kind::VoterFailed(reason) => Trouble::VoterFailed { reason: text(reason) },
        Kind::PlanUnwritten(reason) => Trouble::PlanUnwritten { reason: text(reason) },
        Kind::PlanBehind(pb::PlanBehind { epoch, newest }) => Trouble::PlanBehind { epoch, newest },
        Kind::ControlSilent(reason) => Trouble::ControlSilent { reason: text(reason) },
        Kind::CertificateExpiresSeconds(seconds_left) => {
            Trouble::CertificateExpires { seconds_left }
        }
        Kind::CertificateFailed(reason) => Trouble::CertificateFailed { reason: text(reason) },
        Kind::RefusedCalls(calls) => Trouble::Refusing { calls },
        Kind::NodeAvoided(node_id) => Trouble::NodeAvoided { node_id: text(node_id) },
        Kind::NodeLeftOut(node_id) => Trouble::NodeLeftOut { node_id: text(node_id) },
    };
    Some(LastingTrouble { trouble, for_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn one_of_each() -> Vec<Trouble> {
        let reason = || "full".to_owned();
        vec![
            Trouble::DiskLow { free_bytes: 1, total_bytes: 2 },
            Trouble::DiskFailed { reason: reason() },
            Trouble::DiskSlow { write_ms: 3 },
            Trouble::FileGone { path: "p".into() },
            Trouble::LogFailed { log: LogName::Events, reason: reason() },
            Trouble::LogFailed { log: LogName::Quarantine, reason: reason() },
            Trouble::LogFailed { log: LogName::Exposures, reason: reason() },
            Trouble::LogLost { log: LogName::Events, records: 4 },
            Trouble::AuditFailed { reason: reason() },
            Trouble::VoterFailed { reason: reason() },
            Trouble::PlanUnwritten { reason: reason() },
            Trouble::PlanBehind { epoch: 5, newest: 6 },
            Trouble::ControlSilent { reason: reason() },
            Trouble::CertificateExpires { seconds_left: 7 },
            Trouble::CertificateFailed { reason: reason() },
            Trouble::Refusing { calls: 8 },
            Trouble::NodeAvoided { node_id: "n".into() },
            Trouble::NodeLeftOut { node_id: "m".into() },
        ]
    }

    #[test]
    fn reports_come_back_as_they_were() {
        let lasting = |trouble| LastingTrouble { trouble, for_ms: 9 };
        let report = NodeReport {
            node_id: "router-1".into(),
            plan_epoch: 17,
            disk: Some(DiskSpace { free_bytes: 10, total_bytes: 20 }),
            troubles: one_of_each().into_iter().map(lasting).collect(),
        };
        let wire = node_report_to_pb(&report, 400);
        assert_eq!(node_report_from_pb(wire), (report, 400));
    }

    #[test]
    fn a_hostile_report_is_cut_to_its_bounds_and_unknown_troubles_are_left_out() {
        let huge = || pb::Trouble { for_ms: 1, kind: Some(Kind::DiskFailed("x".repeat(1 << 20))) };
        let failed = pb::FailedLog { log: 99, reason: String::new() };
        let unknown = [
            pb::Trouble { for_ms: 1, kind: None },
            pb::Trouble { for_ms: 1, kind: Some(Kind::LogFailed(failed)) },
        ];
        let troubles = unknown.into_iter().chain((0..1_000).map(|_| huge())).collect();
        let node_id = "n".repeat(1 << 20);
        let wire = pb::NodeReport { node_id, troubles, ..pb::NodeReport::default() };
        let (report, _) = node_report_from_pb(wire);
        assert_eq!(report.troubles.len(), MAX_TROUBLES);
        assert!(node_report_to_pb(&report, 0).encoded_len() < 32 << 10);
    }
}
