//! The threads that answer: a bounded number of them, a bounded queue, and nothing done in vain.
//!
//! A request is a [`Work`] of independent units (the queries of a batch, say, or a few that share what
//! they read). [`Pool::run`] admits it if the queue has room for its size, and hands out a ticket for
//! it to as many threads as it can keep busy. A thread that holds a ticket does one unit after another;
//! after [`QUANTUM`] it puts the ticket back at the end of the queue when others wait. So a batch is
//! spread over all threads, while a single query behind a large batch waits for one quantum, or one
//! unit that takes longer, and not for the batch.
//!
//! Where even the shortest wait is too long, what waited longest is refused at the moment it would begin: in a queue that
//! stands, everything would come too late. Small work for callers goes before batches and what nobody waits for.
//!
//! Dropping the future, or its deadline, raises the work's cancel flag: what runs stops within
//! microseconds, and what waits is never begun. A unit that panics costs its own request alone.
//!
//! Handing work to a thread and taking its outcome back costs more than brief work itself: two
//! wake-ups, of the thread and of the caller. So what is expected to take no longer than
//! [`BRIEF`], by how long the same kind of work took lately ([`AverageTime`]), is done where it was
//! asked for.
//!
//! What is deliberately missing: threads that spin while they wait: a wake-up costs
//! less than the core that spinning would take from the other work of a node.

mod average_time;
mod job;
mod line;
mod queue;
#[cfg(test)]
mod tests;
mod ticket;
mod work;

pub(crate) use average_time::AverageTime;
pub(crate) use work::Work;

use crate::error::RequestError;
use job::{CancelOnDrop, Job, run_guarded};
use line::Next;
use marquee_bundle::{CancelFlag, SearchScratch};
use marquee_core::bounds::MAX_ENSEMBLE_MEMBERS;
use marquee_core::overload::Priority;
use queue::Queue;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use ticket::Turn;

/// How long a thread stays with one request while others wait: a few searches. Long against the
/// cost of changing, short against any deadline.
pub(crate) const QUANTUM: Duration = Duration::from_millis(1);

/// Work expected to take no longer is done on the thread that asks. It is about what the rest of a
/// request takes there, and what tokio advises as the most between two awaits: other requests of that
/// thread are held up by it, and it cannot be cancelled.
pub(crate) const BRIEF: Duration = Duration::from_micros(100);
/// Units of brief work: one for each member of the largest ensemble. Batches are for all threads.
pub(crate) const MAX_BRIEF_UNITS: usize = MAX_ENSEMBLE_MEMBERS;

/// Until when work is wanted, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkTerms {
    /// Nothing of it is begun after this.
    pub(crate) deadline: Instant,
    /// What its outputs are worth.
    pub(crate) priority: Priority,
}

/// The threads that search, and their queue.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    size: usize,
    /// Scratches of threads that did brief work themselves, kept for the next ones: no more than did so at
    /// once.
    scratches: Mutex<Vec<SearchScratch>>,
}

impl Pool {
    /// Starts so many threads, with room for so many units.
    pub(crate) fn start(size: usize, max_units: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let queue = Arc::new(Queue::new(max_units));
        let pool = Self { queue: Arc::clone(&queue), size, scratches: Mutex::default() };
        let mut threads = Vec::with_capacity(size);
        for number in 0..size {
            let thread = std::thread::Builder::new().name(format!("shard-search-{number}"));
            let its_queue = Arc::clone(&queue);
            // Where one can't be had, `pool` is dropped, which ends those that were started.
            threads.push(thread.spawn(move || run_thread(&its_queue))?);
        }
        Ok((pool, threads))
    }

    /// Does all units of the work, in any order, and returns their outputs, in order; or the error of the
    /// first that failed.
    pub(crate) async fn run<W: Work>(
        &self,
        work: W,
        WorkTerms { deadline, priority }: WorkTerms,
    ) -> Result<Vec<W::Output>, RequestError> {
        let units = work.units();
        if units == 0 {
            return Ok(Vec::new());
        }
        let size = work.size();
        let permit = self.queue.admit(size)?;
        if priority == Priority::Mirrored && self.queue.stands() {
            return Err(RequestError::QueueStands);
        }
        let is_small = size <= MAX_BRIEF_UNITS;
        if is_small && work.expected().is_some_and(|time| time <= BRIEF) {
            return self.run_here(&work, deadline);
        }
        let (job, reply) = Job::new(work, deadline, permit);
        let cancel_on_drop = CancelOnDrop::new(&job);
        self.queue.push(job, units.min(self.size), priority, is_small)?;
        let outcome = match tokio::time::timeout_at(deadline.into(), reply).await {
            Err(_) => Err(RequestError::DeadlineExceeded),
            // The job was dropped without a reply: its queue was closed.
            Ok(Err(_)) => Err(RequestError::ShuttingDown),
            Ok(Ok(outcome)) => outcome,
        };
        drop(cancel_on_drop);
        outcome
    }

    /// Does all units on this thread. The permit is the caller's.
    fn run_here<W: Work>(
        &self,
        work: &W,
        deadline: Instant,
    ) -> Result<Vec<W::Output>, RequestError> {
        if self.queue.is_closed() {
            return Err(RequestError::ShuttingDown);
        }
        if Instant::now() >= deadline {
            return Err(RequestError::DeadlineExceeded);
        }
        let mut scratch = self.scratches().pop().unwrap_or_default();
        // Nothing can raise it: the caller is busy with the work itself, which is brief.
        let cancel = CancelFlag::new();
        let outputs = (0..work.units())
            .map(|unit| run_guarded(work, unit, &cancel, &mut scratch))
            .collect::<Result<_, _>>();
        self.scratches().push(scratch);
        outputs
    }

    fn scratches(&self) -> MutexGuard<'_, Vec<SearchScratch>> {
        // A panic elsewhere leaves a vector whole.
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many units are admitted and not done yet.
    pub(crate) fn admitted(&self) -> usize {
        self.queue.admitted()
    }

    /// Takes no more work; what was admitted is still done, and then the threads end.
    pub(crate) fn close(&self) {
        self.queue.close();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Does what the queue has, until it is closed and empty: the life of a thread.
fn run_thread(queue: &Queue) {
    let mut scratch = SearchScratch::new();
    let mut next = queue.pop();
    while let Some(step) = next {
        next = match step {
            Next::Refuse(ticket) => {
                ticket.refuse();
                drop(ticket);
                queue.pop()
            }
            Next::Work(ticket) => match ticket.turn(QUANTUM, &mut scratch) {
                Turn::More => queue.rotate(ticket),
                Turn::Over => {
                    // Before the wait for the next one: a ticket holds the shard that it searches in memory.
                    drop(ticket);
                    queue.pop()
                }
            },
        };
    }
}
