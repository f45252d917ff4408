//! How a node without the control role keeps in touch with those that have it.
//!
//! Two tasks: [`follow_plan`] holds a stream of plans open to one control node and moves to the next
//! when it breaks; [`report_node`] tells whichever answers what state the node's replicas are in.
//! Between them lies [`PlanCache`], the last plan on disk, with which a router serves though every
//! control node is dead, even after a restart.
//!
//! Deliberately missing: opinions. A follower never edits a plan; it only refuses to go back.

mod backoff;
mod plan_cache;
mod plan_follower;
mod reporter;

pub use backoff::{Backoff, FIRST_WAIT, LONGEST_WAIT};
pub use plan_cache::PlanCache;
pub use plan_follower::{FollowerConfig, follow_plan};
pub use reporter::{NodeIdentity, REPORT_EVERY, ReportSink, report_node, to_control_nodes};
