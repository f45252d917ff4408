//! How a node without the control role follows the plan and reports to control nodes.
//!
//! Three tasks: [`follow_plan`] keeps streams of plans open to two control nodes and moves to others when
//! they break; [`report_node`] reports the state of the node's replicas to any control node that answers; and
//! [`report_telemetry`] streams what its router measures of rollouts. [`PlanCache`] is the last plan on disk,
//! with which a router serves while every control node is down, even after a restart.
//!
//! Deliberately missing: decisions. A follower never changes a plan; it only refuses an older one.

mod plan_cache;
#[doc(hidden)]
pub mod plan_floor;
mod plan_follower;
mod reporter;
mod telemetry;

pub use plan_cache::PlanCache;
pub use plan_follower::{FollowerConfig, follow_plan};
pub use reporter::{NodeIdentity, REPORT_EVERY, ReportSink, report_node, to_control_nodes};
pub use telemetry::{TelemetrySink, report_telemetry, telemetry_to_control_nodes};
