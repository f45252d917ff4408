//! A job as the queue and its threads know it.

use marquee_bundle::SearchScratch;
use std::time::Duration;

/// A job that a thread can work on, whatever its work is.
pub(super) trait Ticket: Send + Sync {
    /// Does units until the time is over or none is left.
    fn turn(&self, quantum: Duration, scratch: &mut SearchScratch) -> Turn;
    /// Refuses the job because it waited for too long, unless a unit of it was begun.
    fn refuse(&self);
    /// Stops the job: what runs gives up, and nothing more is begun.
    fn cancel(&self);
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There are units left to begin.
    More,
    /// There is nothing left to begin.
    Over,
}
