//! The loader's threads: they read, verify, map, warm and free bundles, and nothing else does.
//!
//! A loading thread takes one [`LoadJob`] at a time; one more thread frees what was unloaded. None of them
//! is tokio's or the search pool's, and on Linux they have a low priority and load while processors are
//! idle (`background`), so a node that loads goes on answering as before: a checksum over gigabytes yields to
//! every query.
//!
//! What happened comes back as an [`LoadOutcome`]. What is deliberately missing: any decision about what to
//! load, and retries (the lifecycle's), and stores other than directories of this machine.

mod background;
mod copies;
mod job;
mod load;
mod unload;
mod warm;

pub(crate) use copies::{Held, PrivateCopies};
pub(crate) use job::{LoadJob, LoadOutcome};
pub(crate) use load::{LoadedShard, Origin};

use crate::replica_key::ReplicaKey;
pub(crate) use background::lower_priority;
use background::run_in_background;
use load::{LoadError, inspect, load};
use marquee_bundle::{BundleShard, Manifest};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use unload::free_unloaded;

/// Outcomes that wait for the driver, which takes them as they come.
const MAX_WAITING_OUTCOMES: usize = 64;
/// How long a load may wait for idle time.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// A load may wait as long again for this many bytes: an idle processor takes a tenth of that time.
const IDLE_WAIT_BYTES: u64 = 128 << 20;

/// The loading threads and the one that frees. Dropping it ends the threads once they are done with
/// what they have begun.
pub(crate) struct Loader {
    jobs: Sender<LoadJob>,
    unloaded: Sender<(ReplicaKey, Arc<BundleShard>, Option<Held>)>,
}

impl Loader {
    /// Starts the threads. The lifecycle starts no more jobs than there are threads and unloads
    /// each replica once, which bounds the two queues.
    pub(crate) fn start(
        size: usize,
        origin: Origin,
    ) -> io::Result<(Self, tokio::sync::mpsc::Receiver<LoadOutcome>, Vec<JoinHandle<()>>)> {
        let (jobs, submitted) = mpsc::channel();
        let (unloaded, to_free) = mpsc::channel();
        let (outcomes, driver) = tokio::sync::mpsc::channel(MAX_WAITING_OUTCOMES);
        let waiting = Arc::new(Mutex::new(submitted));
        let mut threads = Vec::new();
        for number in 0..size {
            let thread = std::thread::Builder::new().name(format!("shard-load-{number}"));
            let (its_jobs, its_origin) = (Arc::clone(&waiting), origin.clone());
            let its_outcomes = outcomes.clone();
            threads.push(thread.spawn(move || run_jobs(&its_jobs, &its_origin, &its_outcomes))?);
        }
        let freeing = std::thread::Builder::new().name("shard-free".into());
        threads.push(freeing.spawn(move || free_unloaded(&to_free, &outcomes))?);
        Ok((Self { jobs, unloaded }, driver, threads))
    }

    /// Hands a job to the next free thread.
    pub(crate) fn submit(&self, job: LoadJob) {
        // The threads outlive the loader: they end when it is dropped.
        let _ = self.jobs.send(job);
    }

    /// Frees a shard as soon as no request uses it any more, and removes its private copy then.
    pub(crate) fn unload(&self, key: ReplicaKey, shard: Arc<BundleShard>, held: Option<Held>) {
        // As above.
        let _ = self.unloaded.send((key, shard, held));
    }
}

/// Does one job after another: the life of a loading thread.
fn run_jobs(
    waiting: &Mutex<Receiver<LoadJob>>,
    origin: &Origin,
    outcomes: &tokio::sync::mpsc::Sender<LoadOutcome>,
) {
    lower_priority();
    loop {
        let received = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // No more jobs come: the loader was dropped.
        let Ok(job) = received else { return };
        let outcome = match job {
            LoadJob::Inspect { version, source } => {
                let result = guarded(|| inspect(&source, origin)).map(Arc::new);
                LoadOutcome::Inspected { version, digest: source.digest, result }
            }
            LoadJob::Load { key, source, manifest } => {
                let (longest, shard) = (idle_wait(&manifest, key.shard), key.shard);
                let its_origin = origin.clone();
                let result = run_in_background(longest, move || {
                    guarded(|| load(&source, &its_origin, &manifest, shard).map(Box::new))
                });
                LoadOutcome::Loaded { key, result }
            }
            LoadJob::RemoveUnused => {
                if let Some(copies) = &origin.copies {
                    copies.remove_unused();
                }
                continue;
            }
        };
        if outcomes.blocking_send(outcome).is_err() {
            return;
        }
    }
}

/// A panic while loading is a failure of that bundle, not of the node.
fn guarded<T>(load: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(load)).unwrap_or(Err(LoadError::Panicked))
}

/// How long a shard may wait for idle time.
fn idle_wait(manifest: &Manifest, shard: u32) -> Duration {
    let bytes: u64 = manifest.shard_files(shard).map(|file| file.bytes).sum();
    let times = u32::try_from(bytes / IDLE_WAIT_BYTES).unwrap_or(u32::MAX);
    IDLE_WAIT.saturating_mul(times.saturating_add(1))
}
