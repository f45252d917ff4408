//! What is wrong with a cluster, since when, and what to do about it.
//!
//! A [`Trouble`] is what a node finds wrong with itself, or with what it needs: its disk, its logs, its certificates, the
//! nodes that it calls. A [`TroubleTracker`] notes since when each lasts. Nodes report theirs to control, which keeps the
//! last report of each beside the plan, not in it: a report that is lost is made up for by the next.
//!
//! [`ClusterFacts`] is all that an operator's command can gather of voters, nodes and replicas, and [`diagnose`](fn@diagnose)
//! makes of it the list that `marquee ctl status` prints: what is wrong, how bad that is, and the next step. Tables and JSON
//! come from that one list.
//!
//! Deliberately missing: clocks and sockets. How long something lasts, and how old a report is, are arguments.

mod certificate;
mod diagnosis;
mod disk;
mod facts;
mod kind;
#[cfg(test)]
mod tests;
mod tracker;

pub use certificate::expires_soon;
pub use diagnosis::{Diagnosis, MAX_LAG_ENTRIES, MAX_REPORT_AGE_MS, Severity, diagnose};
pub use disk::{DiskSpace, LOW_DISK_BYTES, SLOW_WRITE_MS};
pub use facts::{
    ClusterFacts, FailedReplica, NodeFacts, NodeReport, ReceivedReport, VoterAnswer, VoterFacts,
};
pub use kind::{LastingTrouble, LogName, MAX_REASON_BYTES, MAX_TROUBLES, Trouble, bounded_reason};
pub use tracker::TroubleTracker;
