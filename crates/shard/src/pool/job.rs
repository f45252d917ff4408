//! One admitted request: its units, who has taken which, and what they came to.

use super::Work;
use super::queue::Permit;
use crate::error::RequestError;
use marquee_bundle::{CancelFlag, SearchScratch};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What threads know of a job.
pub(super) trait Ticket: Send + Sync {
    /// Does units until the time is over or none is left.
    fn turn(&self, quantum: Duration, scratch: &mut SearchScratch) -> Turn;
    /// Gives the job up.
    fn cancel(&self);
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Units are left.
    More,
    /// Nothing is left to begin.
    Over,
}

type Outcome<W> = Result<Vec<<W as Work>::Output>, RequestError>;

pub(super) struct Job<W: Work> {
    work: W,
    units: usize,
    deadline: Instant,
    cancel: CancelFlag,
    /// The next unit to begin.
    next: AtomicUsize,
    progress: Mutex<Progress<W>>,
}

struct Progress<W: Work> {
    outputs: Vec<Option<W::Output>>,
    missing: usize,
    /// Taken by whoever ends the job.
    reply: Option<oneshot::Sender<Outcome<W>>>,
    /// Given back just before the reply, or with the last ticket of a job that nobody waits for.
    permit: Option<Permit>,
}

impl<W: Work> Job<W> {
    pub(super) fn new(
        work: W,
        deadline: Instant,
        permit: Permit,
    ) -> (Arc<Self>, oneshot::Receiver<Outcome<W>>) {
        let units = work.units();
        let (reply, outcome) = oneshot::channel();
        let outputs = (0..units).map(|_| None).collect();
        let progress =
            Progress { outputs, missing: units, reply: Some(reply), permit: Some(permit) };
        let job = Self {
            work,
            units,
            deadline,
            cancel: CancelFlag::new(),
            next: AtomicUsize::new(0),
            progress: Mutex::new(progress),
        };
        (Arc::new(job), outcome)
    }

    fn finish(&self, unit: usize, result: Result<W::Output, RequestError>) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match result {
            Ok(output) => {
                progress.outputs[unit] = Some(output);
                progress.missing -= 1;
                if progress.missing > 0 {
                    return;
                }
                Ok(progress.outputs.drain(..).flatten().collect())
            }
            Err(error) => {
                self.cancel.cancel();
                Err(error)
            }
        };
        progress.permit = None;
        if let Some(reply) = progress.reply.take() {
            // Nobody may be waiting any more.
            let _ = reply.send(outcome);
        }
    }
}

/// Runs one unit; a panic is an error of its request, and the scratch it left is not used again.
pub(super) fn guarded<W: Work>(
    work: &W,
    unit: usize,
    cancel: &CancelFlag,
    scratch: &mut SearchScratch,
) -> Result<W::Output, RequestError> {
    catch_unwind(AssertUnwindSafe(|| work.run(unit, cancel, scratch))).unwrap_or_else(|_| {
        *scratch = SearchScratch::new();
        tracing::error!(unit, "a search panicked");
        Err(RequestError::Internal)
    })
}

impl<W: Work> Ticket for Job<W> {
    fn turn(&self, quantum: Duration, scratch: &mut SearchScratch) -> Turn {
        let began = Instant::now();
        let mut now = began;
        loop {
            if self.cancel.is_cancelled() {
                return Turn::Over;
            }
            let unit = self.next.fetch_add(1, Ordering::Relaxed);
            if unit >= self.units {
                return Turn::Over;
            }
            if now >= self.deadline {
                self.finish(unit, Err(RequestError::DeadlineExceeded));
                return Turn::Over;
            }
            let result = guarded(&self.work, unit, &self.cancel, scratch);
            self.finish(unit, result);
            if unit + 1 == self.units {
                return Turn::Over;
            }
            now = Instant::now();
            if now - began >= quantum {
                return Turn::More;
            }
        }
    }

    fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// Gives the job up when dropped; harmless once it is over.
pub(super) struct Cancelling(Arc<dyn Ticket>);

impl Cancelling {
    pub(super) fn new<W: Work>(job: &Arc<Job<W>>) -> Self {
        Self(Arc::clone(job) as Arc<dyn Ticket>)
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
