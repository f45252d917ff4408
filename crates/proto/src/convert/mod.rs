//! Checked conversions between wire types and core: one file for each subject.
//!
//! - What callers send: [`caller`] (requests), [`filter`], [`events`]. The result is a plain type whose every
//!   bound holds; a refusal is a [`CallerError`](caller_error::CallerError) that names the field.
//! - What operators and nodes send and read: [`plan`] and its parts ([`node`], [`published`], [`privacy`], [`ensemble`],
//!   [`rollout`], [`experiment`]), telemetry ([`window`], [`gate`], [`external`], [`evidence`], [`record`],
//!   [`traffic`]), and who changed what ([`audit`]).
//! - What shards say: [`search`].
//! - What control nodes replicate: [`command`], [`outcome`], [`state`].
//!
//! To the wire (`x_to_pb`) never fails. From the wire (`x_from_pb`), a message that lacks what core requires, or
//! that says what no release of this protocol means, is refused by a [`ConvertError`] with the path of the field.
//! Both directions name every field of both sides, so a new field does not compile until it is converted.
//!
//! Bounds on sizes and names of operators' requests are not checked here: the replicated state machine
//! checks them, and a retry finds the same outcome again.

pub mod audit;
pub mod caller;
pub mod caller_error;
pub mod command;
mod comparison;
pub mod ensemble;
mod error;
pub mod events;
pub mod evidence;
pub mod experiment;
pub mod external;
pub mod filter;
pub mod gate;
mod gate_evidence;
pub mod measured_sums;
pub mod node;
mod notification;
pub mod outcome;
pub mod plan;
pub mod privacy;
pub mod published;
mod recipe;
pub mod record;
pub mod rollout;
mod search;
mod secret;
mod segment;
pub mod state;
pub mod traffic;
pub mod trouble;
pub mod version;
pub mod window;

pub use error::ConvertError;
