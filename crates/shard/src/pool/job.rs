//! One admitted request: which of its units were begun, and their outputs.

use super::queue::Permit;
use super::ticket::{Ticket, Turn};
use super::work::Work;
use crate::error::RequestError;
use marquee_bundle::{CancelFlag, SearchScratch};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The outputs of all units, in order, or the error of the first that failed.
type JobOutcome<W> = Result<Vec<<W as Work>::Output>, RequestError>;

/// A request that was admitted and waits for a thread or runs.
pub(super) struct Job<W: Work> {
    work: W,
    units: usize,
    deadline: Instant,
    cancel: CancelFlag,
    /// The next unit to begin.
    next: AtomicUsize,
    progress: Mutex<JobProgress<W>>,
}

/// What came of a job's units so far.
struct JobProgress<W: Work> {
    outputs: Vec<Option<W::Output>>,
    missing: usize,
    /// Taken by the thread that ends the job.
    reply: Option<oneshot::Sender<JobOutcome<W>>>,
    /// Given back just before the reply, or with the last ticket of a job whose caller is gone.
    permit: Option<Permit>,
}

impl<W: Work> Job<W> {
    pub(super) fn new(
        work: W,
        deadline: Instant,
        permit: Permit,
    ) -> (Arc<Self>, oneshot::Receiver<JobOutcome<W>>) {
        let units = work.units();
        let (reply, answer) = oneshot::channel();
        let outputs = (0..units).map(|_| None).collect();
        let progress =
            JobProgress { outputs, missing: units, reply: Some(reply), permit: Some(permit) };
        let job = Self {
            work,
            units,
            deadline,
            cancel: CancelFlag::new(),
            next: AtomicUsize::new(0),
            progress: Mutex::new(progress),
        };
        (Arc::new(job), answer)
    }

    /// Keeps the result of a unit, and replies if it is the last or an error.
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
            // The caller may be gone.
            let _ = reply.send(outcome);
        }
    }
}

/// Runs one unit; a panic is an error of its request, and the scratch it left is not used again.
pub(super) fn run_guarded<W: Work>(
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
            let result = run_guarded(&self.work, unit, &self.cancel, scratch);
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

    fn refuse(&self) {
        let nothing_begun =
            self.next.compare_exchange(0, self.units, Ordering::Relaxed, Ordering::Relaxed);
        if nothing_begun.is_ok() {
            self.finish(0, Err(RequestError::QueueStands));
        }
    }

    fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// Cancels the job when dropped; harmless once it is over.
pub(super) struct CancelOnDrop(Arc<dyn Ticket>);

impl CancelOnDrop {
    pub(super) fn new<W: Work>(job: &Arc<Job<W>>) -> Self {
        Self(Arc::clone(job) as Arc<dyn Ticket>)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
