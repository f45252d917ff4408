//! A bundle's directory, and a whole bundle with all of its shards open.
//!
//! ```text
//! manifest.json     what the bundle is, with the checksum of every file below
//! manifest.blake3   the checksum of manifest.json: 64 hexadecimal digits and a line feed
//! model.sig         its signature, if it was signed (see [`signature`](crate::manifest::signature));
//!                   manifest.sig where that was by an Ed25519 key
//! shard-0000/       the files of shard 0: users.ids, items.ids, items.labels, terms.ids if there are
//!                   terms, and for each matrix NAME.dense, NAME.graph or NAME.sparse
//! …
//! ```

use crate::error::BundleError;
use crate::format::LoadOptions;
use crate::manifest::signature::TrustedKeys;
use crate::manifest::{Manifest, ManifestDigest, read_manifest};
use crate::shard::BundleShard;
use std::path::Path;

/// A whole bundle, all shards open: for evaluation and tests. Nodes open the shards they serve.
#[derive(Debug)]
pub struct Bundle {
    manifest: Manifest,
    digest: ManifestDigest,
    shards: Vec<BundleShard>,
}

impl Bundle {
    /// Opens and verifies every file of the bundle at `dir`.
    pub fn open(
        dir: &Path,
        trusted: &TrustedKeys,
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let (manifest, digest) = read_manifest(dir, trusted)?;
        let shards = (0..manifest.shards)
            .map(|shard| BundleShard::open(dir, &manifest, shard, options))
            .collect::<Result<_, _>>()?;
        Ok(Self { manifest, digest, shards })
    }

    /// The manifest of the bundle.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest of the manifest, which names the bundle's content.
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }

    /// Its shards, in order.
    pub fn shards(&self) -> &[BundleShard] {
        &self.shards
    }
}
