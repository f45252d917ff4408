//! What a node takes on when more is asked of it than it can do, as pure decisions.
//!
//! A node that begins everything answers nothing in time: each request waits behind all others until its caller is
//! gone. What tells an overload from a busy moment is a *standing* queue: how long work waits before it is begun,
//! though the node is at work all the time.
//!
//! - [`ConcurrencyLimit`] says how many requests of an address may be under way. It follows the queueing delay of the
//!   node itself and not how long answers take, which slow shards lengthen too.
//! - [`ControlledDelay`] says of work that already waits in a queue whether to begin it.
//! - [`Priority`] says what is refused first, and [`retry_after`] when to come again.
//!
//! Deliberately missing: clocks and counters of what is under way. Times are arguments, since whatever moment the
//! caller counts from.

mod concurrency_limit;
mod controlled_delay;
mod priority;
mod retry;
#[cfg(test)]
mod tests;

pub use concurrency_limit::{ConcurrencyLimit, LimitSettings, TARGET_DELAY, WINDOW};
pub use controlled_delay::{ControlledDelay, STANDING_DELAY};
pub use priority::Priority;
pub use retry::{LONGEST_RETRY, SHORTEST_RETRY, retry_after};
