//! The last report of each node that this control node has got. They are not part of the plan: a new report replaces the
//! one before, and a restart begins without any.

use marquee_core::bounds::{MAX_NODES, VOTER_COUNTS};
use marquee_core::trouble::NodeReport;
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::trouble::node_report_to_pb;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Reports that are kept: one of each node that a cluster may have, and of each voter.
const MAX_REPORTS: usize = MAX_NODES + VOTER_COUNTS[VOTER_COUNTS.len() - 1];
/// How long a report is shown, with its age: long enough to see what a node said before it fell silent.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The last report of each node. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Reports(Arc<Mutex<KeptReports>>);

#[derive(Default)]
struct KeptReports {
    of_nodes: BTreeMap<String, (Instant, NodeReport)>,
    /// The id of the node of this process.
    own_id: String,
}

impl Reports {
    fn kept(&self) -> MutexGuard<'_, KeptReports> {
        // Every change is one insert or remove, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the report of the node of this process.
    pub(crate) fn keep_own(&self, report: NodeReport, now: Instant) {
        self.kept().own_id.clone_from(&report.node_id);
        self.keep(report, now);
    }

    /// The id of the node of this process; empty before it has reported itself.
    pub(crate) fn own_id(&self) -> String {
        self.kept().own_id.clone()
    }

    /// Keeps a report in the place of the node's one before. Beyond the bound those of other nodes are not kept.
    pub(crate) fn keep(&self, report: NodeReport, now: Instant) {
        let of_nodes = &mut self.kept().of_nodes;
        of_nodes.retain(|_, (at, _)| now.saturating_duration_since(*at) < KEPT_FOR);
        if of_nodes.len() < MAX_REPORTS || of_nodes.contains_key(&report.node_id) {
            of_nodes.insert(report.node_id.clone(), (now, report));
        }
    }

    /// All reports, by node, with their ages.
    pub(crate) fn list(&self, now: Instant) -> Vec<pb::NodeReport> {
        let kept = self.kept();
        let shown = kept.of_nodes.values().map(|(at, report)| {
            let age = now.saturating_duration_since(*at).as_millis();
            node_report_to_pb(report, u64::try_from(age).unwrap_or(u64::MAX))
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node_id: String, plan_epoch: u64) -> NodeReport {
        NodeReport { node_id, plan_epoch, ..NodeReport::default() }
    }

    #[test]
    fn the_last_report_of_each_node_is_kept_for_a_while_and_not_too_many() {
        let (reports, start) = (Reports::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        reports.keep(report("a".into(), 1), start);
        reports.keep_own(report("a".into(), 2), after(1));
        reports.keep(report("b".into(), 3), after(2));
        let listed = reports.list(after(5));
        let of = |n: usize| (listed[n].node_id.as_str(), listed[n].plan_epoch, listed[n].age_ms);
        assert_eq!(reports.own_id(), "a");
        assert_eq!((listed.len(), of(0), of(1)), (2, ("a", 2, 4_000), ("b", 3, 3_000)));
        for n in 0..2 * MAX_REPORTS {
            reports.keep(report(format!("n{n}"), 1), after(3));
        }
        assert_eq!(reports.list(after(3)).len(), MAX_REPORTS);
        reports.keep(report("b".into(), 4), after(3));
        assert!(reports.list(after(3)).iter().any(|it| it.plan_epoch == 4), "known nodes go on");
        reports.keep(report("c".into(), 5), after(700));
        assert_eq!(reports.list(after(700)).len(), 1);
    }
}
