//! How a node without the control role keeps in touch with those that have it.
//!
//! Three tasks: [`follow_plan`] holds a stream of plans open to one control node and moves to the next
//! when it breaks; [`report_node`] tells whichever answers what state the node's replicas are in; and
//! [`report_telemetry`] streams what its router measures of rollouts.
//! Between them lies [`PlanCache`], the last plan on disk, with which a router serves though every
//! control node is dead, even after a restart.
//!
//! Deliberately missing: opinions. A follower never edits a plan; it only refuses to go back.

mod plan_cache;
mod plan_follower;
mod reporter;
mod telemetry;

pub use plan_cache::PlanCache;
pub use plan_follower::{FollowerConfig, follow_plan};
pub use reporter::{NodeIdentity, REPORT_EVERY, ReportSink, report_node, to_control_nodes};
pub use telemetry::{TelemetrySink, report_telemetry, telemetry_to_control_nodes};
