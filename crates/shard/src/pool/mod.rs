//! The threads that answer: a bounded number of them, a bounded queue, and nothing done in vain.
//!
//! A request is a [`Work`] of independent units (the queries of a batch, say, or a few that share what
//! they read). [`Pool::run`] admits it if the queue has room for its size, and hands out a ticket for
//! it to as many threads as it can keep busy. A thread that holds a ticket does one unit after another;
//! after [`QUANTUM`] it puts the ticket back at the end of the queue when others wait. So a batch is
//! spread over all threads, while a single query behind a large batch waits for one quantum, or one
//! unit that takes longer, and not for the batch.
//!
//! Dropping the future, or its deadline, raises the work's cancel flag: what runs stops within
//! microseconds, and what waits is never begun. A unit that panics costs its own request alone.
//!
//! Handing work to a thread and taking its outcome back costs more than brief work itself: two
//! wake-ups, of the thread and of whoever waits. So what is expected to take no longer than
//! [`BRIEF`], by how long the same sort of work took lately (`pace`), is done where it was asked for.
//!
//! What is deliberately missing: priorities, and threads that spin while they wait: a wake-up costs
//! less than the core that spinning would take from the other work of a node.

mod job;
mod pace;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use pace::Pace;

use crate::error::RequestError;
use job::{Cancelling, Job, guarded};
use marquee_bundle::{CancelFlag, SearchScratch};
use marquee_core::bounds::MAX_ENSEMBLE_MEMBERS;
use queue::Queue;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread stays with one request while others wait: a few searches. Long against the
/// cost of changing, short against any deadline.
pub(crate) const QUANTUM: Duration = Duration::from_millis(1);

/// Work expected to take no longer is done on the thread that asks. It is about what the rest of a
/// request takes there, and what tokio advises as the most between two awaits: other requests of that
/// thread are held up by it, and it cannot be cancelled.
pub(crate) const BRIEF: Duration = Duration::from_micros(100);
/// Units of brief work: one for each member of the largest ensemble. Batches are for all threads.
pub(crate) const MAX_BRIEF_UNITS: usize = MAX_ENSEMBLE_MEMBERS;

/// A request cut into units that any thread may do, in any order.
pub(crate) trait Work: Send + Sync + 'static {
    /// What a unit comes to.
    type Output: Send + 'static;

    /// How many units there are.
    fn units(&self) -> usize;

    /// How much room it takes in the queue: as many as its units, unless each of them is several things.
    fn size(&self) -> usize {
        self.units()
    }

    /// How long all units together are expected to take, one after another; none if that is not
    /// known. Not asked of work of a larger size than [`MAX_BRIEF_UNITS`].
    fn expected(&self) -> Option<Duration>;

    /// Does one unit, and gives up when the flag is raised.
    fn run(
        &self,
        unit: usize,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
    ) -> Result<Self::Output, RequestError>;
}

/// See the module.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    size: usize,
    /// Of those who did brief work themselves, for the next ones: no more than did so at once.
    scratches: Mutex<Vec<SearchScratch>>,
}

impl Pool {
    /// Starts so many threads, with room for so many units.
    pub(crate) fn start(size: usize, max_units: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let queue = Arc::new(Queue::new(max_units));
        let pool = Self { queue: Arc::clone(&queue), size, scratches: Mutex::default() };
        let threads = (0..size).map(|number| {
            let queue = Arc::clone(&queue);
            let name = format!("shard-search-{number}");
            std::thread::Builder::new().name(name).spawn(move || serve(&queue))
        });
        // Where one can't be had, `pool` is dropped, which ends those that were started.
        let threads = threads.collect::<io::Result<_>>()?;
        Ok((pool, threads))
    }

    /// Does all units of the work, in any order, and returns what they came to, in order; or the
    /// error of the first that failed.
    pub(crate) async fn run<W: Work>(
        &self,
        work: W,
        deadline: Instant,
    ) -> Result<Vec<W::Output>, RequestError> {
        let units = work.units();
        if units == 0 {
            return Ok(Vec::new());
        }
        let size = work.size();
        let permit = self.queue.admit(size)?;
        if size <= MAX_BRIEF_UNITS && work.expected().is_some_and(|time| time <= BRIEF) {
            return self.run_here(&work, deadline);
        }
        let (job, outcome) = Job::new(work, deadline, permit);
        let cancelling = Cancelling::new(&job);
        self.queue.push(job, units.min(self.size))?;
        let outcome = tokio::time::timeout_at(deadline.into(), outcome).await;
        let outcome = match outcome {
            Err(_) => Err(RequestError::DeadlineExceeded),
            // The job went away without a word: its queue was closed.
            Ok(Err(_)) => Err(RequestError::ShuttingDown),
            Ok(Ok(outcome)) => outcome,
        };
        drop(cancelling);
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
        // Nobody can raise it: the caller is busy with the work itself, which is brief.
        let cancel = CancelFlag::new();
        let outputs = (0..work.units()).map(|unit| guarded(work, unit, &cancel, &mut scratch));
        let outputs = outputs.collect();
        self.scratches().push(scratch);
        outputs
    }

    fn scratches(&self) -> MutexGuard<'_, Vec<SearchScratch>> {
        // A panic elsewhere leaves a vector whole.
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The life of a thread.
fn serve(queue: &Queue) {
    let mut scratch = SearchScratch::new();
    while let Some(mut ticket) = queue.pop() {
        while let job::Turn::More = ticket.turn(QUANTUM, &mut scratch) {
            ticket = queue.rotate(ticket);
        }
    }
}
