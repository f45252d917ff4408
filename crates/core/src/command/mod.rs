//! The replicated state machine: commands in, a new plan out.
//!
//! [`State::apply`] takes a [`Command`] and gives a [`CommandOutcome`]. Every control node calls it with the
//! same commands in the same order. It reads no clock and no randomness: the proposer put the time into the
//! command. A command that was applied before (by request id) has the outcome it had then and no second
//! effect.
//!
//! [`action`] says what can be done; [`deletion`], [`experiments`], [`models`], [`nodes`], [`notifications`], [`rollouts`], [`surfaces`]
//! and [`users`] each do it for their subject; [`consequences`] then does what follows from any change, and [`describe`] says in
//! words what was done, for the log of changes. [`due`](fn@due) says what
//! the leader should propose next, [`error`] why a command is refused.

mod action;
mod consequences;
mod deletion;
mod describe;
mod due;
mod error;
mod experiments;
mod models;
mod nodes;
mod notifications;
mod reply;
mod rollouts;
mod state;
mod surfaces;
mod users;

pub use action::{Action, Command, ReplicaReport};
pub use due::{due, waiting_for};
pub use error::{CommandError, Refusal, RefusalKind};
pub use experiments::missing_arms;
pub use reply::{CommandOutcome, Reply};
pub use state::State;
