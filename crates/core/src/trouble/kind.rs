//! The kinds of trouble that a node can report.

use std::fmt;

/// Bytes of a reason as reported: a line of a terminal or two.
pub const MAX_REASON_BYTES: usize = 300;
/// Troubles of one report: a router that avoids every node of a small cluster, and what else there is. More are left out.
pub const MAX_TROUBLES: usize = 64;

/// Which log of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogName {
    /// Events that were accepted.
    Events,
    /// Events in quarantine.
    Quarantine,
    /// Exposures of answers.
    Exposures,
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "the log of events",
            Self::Quarantine => "the log of events in quarantine",
            Self::Exposures => "the log of exposures",
        })
    }
}

/// One thing that is wrong, as the node that reports it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The disk of the data directory has little room left.
    DiskLow {
        /// Bytes that can still be written.
        free_bytes: u64,
        /// Bytes of the disk.
        total_bytes: u64,
    },
    /// Nothing can be written in the data directory: it is full, read-only, gone, or broken.
    DiskFailed {
        /// What the system says.
        reason: String,
    },
    /// A small synced write in the data directory takes long, or has not come back yet.
    DiskSlow {
        /// How long it took, or takes until now, in milliseconds.
        write_ms: u64,
    },
    /// A file that the process writes is not at its path any more: what is written is lost with the process.
    FileGone {
        /// The path of the file.
        path: String,
    },
    /// A log cannot be written: what is sent for it is refused, or dropped if nobody waits for it.
    LogFailed {
        /// The log that it is about.
        log: LogName,
        /// The reason, as the system or the part says it.
        reason: String,
    },
    /// A log went on without records that it had: its files were removed.
    LogLost {
        /// The log that it is about.
        log: LogName,
        /// How many records are gone, exported ones among them.
        records: u64,
    },
    /// The log of changes cannot be written on this voter.
    AuditFailed {
        /// The reason, as the system or the part says it.
        reason: String,
    },
    /// The control role has failed, and is opened again from its disk.
    VoterFailed {
        /// The reason, as the system or the part says it.
        reason: String,
    },
    /// The last plan cannot be written: a restart without control would find an older one, or none.
    PlanUnwritten {
        /// The reason, as the system or the part says it.
        reason: String,
    },
    /// The node's plan is older than the newest that it heard of.
    PlanBehind {
        /// The epoch of its plan.
        epoch: u64,
        /// The newest epoch that it heard of.
        newest: u64,
    },
    /// No control node takes its reports.
    ControlSilent {
        /// Why the last attempt failed.
        reason: String,
    },
    /// Its certificate expires soon, and was not replaced.
    CertificateExpires {
        /// Seconds until then.
        seconds_left: u64,
    },
    /// Its certificate is not valid, or new files of certificates, keys or tokens cannot be used.
    CertificateFailed {
        /// The reason, as the system or the part says it.
        reason: String,
    },
    /// It refuses calls, since it is asked for more than it can do.
    Refusing {
        /// Calls that it refused in the last seconds.
        calls: u64,
    },
    /// A router does not ask a shard node, which did not answer.
    NodeAvoided {
        /// The shard node.
        node_id: String,
    },
    /// A router leaves a shard node out for a while, which is slower than others.
    NodeLeftOut {
        /// The shard node.
        node_id: String,
    },
}

impl Trouble {
    /// The name of every kind, as metrics have it.
    pub const NAMES: [&'static str; 16] = [
        "disk_low",
        "disk_failed",
        "disk_slow",
        "file_gone",
        "log_failed",
        "log_lost",
        "audit_failed",
        "voter_failed",
        "plan_unwritten",
        "plan_behind",
        "control_silent",
        "certificate_expires",
        "certificate_failed",
        "refusing",
        "node_avoided",
        "node_left_out",
    ];

    /// The name of its kind, one of [`NAMES`](Self::NAMES).
    pub fn name(&self) -> &'static str {
        match self {
            Self::DiskLow { .. } => "disk_low",
            Self::DiskFailed { .. } => "disk_failed",
            Self::DiskSlow { .. } => "disk_slow",
            Self::FileGone { .. } => "file_gone",
            Self::LogFailed { .. } => "log_failed",
            Self::LogLost { .. } => "log_lost",
            Self::AuditFailed { .. } => "audit_failed",
            Self::VoterFailed { .. } => "voter_failed",
            Self::PlanUnwritten { .. } => "plan_unwritten",
            Self::PlanBehind { .. } => "plan_behind",
            Self::ControlSilent { .. } => "control_silent",
            Self::CertificateExpires { .. } => "certificate_expires",
            Self::CertificateFailed { .. } => "certificate_failed",
            Self::Refusing { .. } => "refusing",
            Self::NodeAvoided { .. } => "node_avoided",
            Self::NodeLeftOut { .. } => "node_left_out",
        }
    }

    /// What stays the same while this trouble lasts, though its numbers and reasons change: its kind and subject.
    pub(super) fn key(&self) -> (u8, &str) {
        match self {
            Self::DiskLow { .. } => (1, ""),
            Self::DiskFailed { .. } => (2, ""),
            Self::DiskSlow { .. } => (3, ""),
            Self::FileGone { path } => (4, path),
            Self::LogFailed { log, .. } => (10 + *log as u8, ""),
            Self::LogLost { log, .. } => (20 + *log as u8, ""),
            Self::AuditFailed { .. } => (30, ""),
            Self::VoterFailed { .. } => (31, ""),
            Self::PlanUnwritten { .. } => (32, ""),
            Self::PlanBehind { .. } => (33, ""),
            Self::ControlSilent { .. } => (34, ""),
            Self::CertificateExpires { .. } => (40, ""),
            Self::CertificateFailed { .. } => (41, ""),
            Self::Refusing { .. } => (50, ""),
            Self::NodeAvoided { node_id } => (60, node_id),
            Self::NodeLeftOut { node_id } => (61, node_id),
        }
    }
}

/// A trouble, and how long it has lasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastingTrouble {
    /// What is wrong, without how long.
    pub trouble: Trouble,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

/// A reason cut to its bound, at a character.
pub fn bounded_reason(reason: &str) -> String {
    let mut end = MAX_REASON_BYTES.min(reason.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}
