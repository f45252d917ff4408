//! Control: the raft group that holds the plan, and the services by which it is changed and followed.
//!
//! A control node is a voter of a group of one, three or five. Together they replicate core's state machine
//! ([`marquee_core::command::State`]): nodes, placement, published versions, ensembles, surfaces, rollouts.
//! [`Control::start`] runs one from a [`ControlConfig`]; [`Control::control_service`] and
//! [`Control::raft_service`] are what it serves.
//!
//! From the bottom up: [`consensus`] replicates any [`machine::Machine`] durably; `plan_machine` makes core's
//! state one, and `audit_file` keeps who changed what; `leader` does what only the leader does, as `duties` decides, and `outbound`
//! what it does with other systems; `submit` finds the leader; [`service`] answers
//! callers.
//!
//! [`backup`] is everything that control keeps, in a file, and the way back.
//!
//! Invariants: no caller is told that a change is done before a majority has it on disk; a request id has one
//! outcome; everything that is decided about the plan is decided by core's pure functions. Deliberately
//! missing: finding out who calls (that is done before a call arrives here), and anything that a recommendation
//! waits for.

#![forbid(unsafe_code)]

mod audit_file;
pub mod backup;
pub mod bundles;
mod clock;
mod config;
pub mod consensus;
mod control;
mod duties;
mod leader;
pub mod machine;
mod outbound;
mod plan_machine;
mod roll_call;
mod roster;
pub mod service;
mod submit;
#[cfg(test)]
mod test_machine;
mod windows;

/// What the simulation of a whole cluster drives: the same decisions as in a [`Control`], without its threads and sockets.
#[doc(hidden)]
pub mod parts {
    pub use crate::duties::{LeaderDuties, judgement};
    pub use crate::plan_machine::{PlanMachine, Shown};
    pub use crate::roster::ReportNews;
    pub use crate::windows::Measured;
}

pub use config::{ControlConfig, ControlConfigError, DEFAULT_MIN_INDEX_RECALL};
pub use consensus::event::VoterStatus;
pub use control::{Control, ControlError};
pub use outbound::{
    AllowedUrls, NotificationFormat, NotificationTarget, OutboundConfig, OutboundConfigError,
    Secret, UrlError,
};
pub use roster::NODE_SILENCE_MS;
pub use service::ControlApi;
