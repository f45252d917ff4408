//! What the loader's threads are asked for, and what comes of it.

use super::load::{LoadError, LoadedShard};
use crate::lifecycle::BundleSource;
use crate::replica_key::ReplicaKey;
use marquee_bundle::Manifest;
use marquee_core::id::ModelVersion;
use std::sync::Arc;

/// What a loading thread is asked for.
#[derive(Debug)]
pub(crate) enum LoadJob {
    /// Read and check a manifest.
    Inspect {
        /// The version whose manifest it is.
        version: ModelVersion,
        /// Where its bundle is.
        source: BundleSource,
    },
    /// Verify, map and warm a shard.
    Load {
        /// The shard and its version.
        key: ReplicaKey,
        /// Where its bundle is.
        source: BundleSource,
        /// The manifest that was inspected.
        manifest: Arc<Manifest>,
    },
    /// Remove the private copies that nothing uses.
    RemoveUnused,
}

/// What came of a job or of an unloading.
#[derive(Debug)]
pub(crate) enum LoadOutcome {
    /// A manifest was read, or not.
    Inspected { version: ModelVersion, digest: String, result: Result<Arc<Manifest>, LoadError> },
    /// A shard is ready to answer, or not.
    Loaded { key: ReplicaKey, result: Result<Box<LoadedShard>, LoadError> },
    /// A shard's memory was given back.
    Freed { key: ReplicaKey },
}
