//! The loader's threads: they read, verify, map, warm and free bundles, and nothing else does.
//!
//! A loading thread takes one [`Job`] at a time; a last thread frees what was unloaded. None of them
//! is tokio's or the search pool's, and on Linux they are nice and load in the time that nobody else
//! wants (`aside`), so a node that loads goes on answering as before: a checksum over gigabytes yields to
//! every query.
//!
//! What happened comes back as an [`Outcome`]. What is deliberately missing: any decision about what to
//! load, and retries (the lifecycle's), and stores other than directories of this machine.

mod aside;
mod fetch;
mod free;
mod load;
mod warm;

pub(crate) use fetch::FetchError;
pub(crate) use load::LoadError;

use crate::lifecycle::{BundleSource, ReplicaKey};
use aside::{aside, be_nice};
use load::{inspect, load};
use marquee_bundle::{BundleShard, Manifest, TrustedKeys};
use marquee_core::id::ModelVersion;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Outcomes that wait for the driver, which takes them as they come.
const MAX_WAITING_OUTCOMES: usize = 64;
/// How long a load may wait for idle time.
const PATIENCE: Duration = Duration::from_secs(1);
/// It may wait as long again for as many bytes: a processor that has nothing else to do takes a tenth of that.
const PATIENT_BYTES: u64 = 128 << 20;

/// What a loading thread is asked for.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read and check a manifest.
    Inspect {
        /// Of this version.
        version: ModelVersion,
        /// From here.
        source: BundleSource,
    },
    /// Verify, map and warm a shard.
    Load {
        /// Which.
        key: ReplicaKey,
        /// From here.
        source: BundleSource,
        /// As inspected.
        manifest: Arc<Manifest>,
    },
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A manifest was read, or not.
    Inspected { version: ModelVersion, digest: String, outcome: Result<Arc<Manifest>, LoadError> },
    /// A shard is ready to answer, or not.
    Loaded { key: ReplicaKey, outcome: Result<Arc<BundleShard>, LoadError> },
    /// A shard's memory was given back.
    Freed { key: ReplicaKey },
}

/// See the module. Dropping it ends the threads once they are done with what they have begun.
pub(crate) struct Loader {
    jobs: Sender<Job>,
    unloaded: Sender<(ReplicaKey, Arc<BundleShard>)>,
}

impl Loader {
    /// Starts the threads. The lifecycle starts no more jobs than there are threads and unloads
    /// each replica once, which bounds the two queues.
    pub(crate) fn start(
        size: usize,
        trusted: TrustedKeys,
    ) -> io::Result<(Self, tokio::sync::mpsc::Receiver<Outcome>, Vec<JoinHandle<()>>)> {
        let (jobs, waiting) = mpsc::channel();
        let (unloaded, to_free) = mpsc::channel();
        let (outcomes, driver) = tokio::sync::mpsc::channel(MAX_WAITING_OUTCOMES);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::new();
        for number in 0..size {
            let (waiting, trusted, outcomes) =
                (Arc::clone(&waiting), trusted.clone(), outcomes.clone());
            let thread = std::thread::Builder::new().name(format!("shard-load-{number}"));
            threads.push(thread.spawn(move || serve(&waiting, &trusted, &outcomes))?);
        }
        let thread = std::thread::Builder::new().name("shard-free".into());
        threads.push(thread.spawn(move || free::serve(&to_free, &outcomes))?);
        Ok((Self { jobs, unloaded }, driver, threads))
    }

    /// Hands a job to the next free thread.
    pub(crate) fn submit(&self, job: Job) {
        // The threads outlive the loader: they end when it is dropped.
        let _ = self.jobs.send(job);
    }

    /// Frees a shard as soon as no request uses it any more.
    pub(crate) fn free(&self, key: ReplicaKey, shard: Arc<BundleShard>) {
        // As above.
        let _ = self.unloaded.send((key, shard));
    }
}

fn serve(
    waiting: &Mutex<Receiver<Job>>,
    trusted: &TrustedKeys,
    outcomes: &tokio::sync::mpsc::Sender<Outcome>,
) {
    be_nice();
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // No more jobs come: the loader was dropped.
        let Ok(job) = job else { return };
        let outcome = match job {
            Job::Inspect { version, source } => {
                let outcome = guarded(|| inspect(&source, trusted)).map(Arc::new);
                Outcome::Inspected { version, digest: source.digest, outcome }
            }
            Job::Load { key, source, manifest } => {
                let (patience, shard) = (patience(&manifest, key.shard), key.shard);
                let load = move || guarded(|| load(&source, &manifest, shard)).map(Arc::new);
                Outcome::Loaded { key, outcome: aside(patience, load) }
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
fn patience(manifest: &Manifest, shard: u32) -> Duration {
    let bytes: u64 = manifest.shard_files(shard).map(|file| file.bytes).sum();
    let times = u32::try_from(bytes / PATIENT_BYTES).unwrap_or(u32::MAX);
    PATIENCE.saturating_mul(times.saturating_add(1))
}
