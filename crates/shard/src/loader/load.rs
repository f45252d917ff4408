//! What a loading thread does: check a manifest, open a shard, warm it.

use super::warm::{WarmError, warm};
use crate::lifecycle::BundleSource;
use marquee_bundle::{
    BundleError, BundleShard, LoadOptions, Manifest, ManifestDigest, TrustedKeys, UriDefect,
    directory_of, read_manifest,
};
use std::path::PathBuf;

/// Why a bundle can't be served. Reported as the replica's reason.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(
        "the bundle's uri {uri:?} {defect}: publish an absolute path, or file:// and an absolute path, that all \
         shard nodes can read"
    )]
    Uri { uri: String, defect: UriDefect },
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(
        "the bundle at {uri} is not the one that was published: its manifest's digest is {found}, published \
         was {expected}; put the published one back, or publish this one as a new version"
    )]
    NotPublished { uri: String, found: ManifestDigest, expected: String },
    #[error(transparent)]
    Warm(#[from] WarmError),
    #[error("loading it failed unexpectedly; the node's log says more")]
    Panicked,
}

/// The directory of a bundle.
fn directory(source: &BundleSource) -> Result<PathBuf, LoadError> {
    directory_of(&source.uri).map_err(|defect| LoadError::Uri { uri: source.uri.clone(), defect })
}

/// Reads the manifest and checks that it is the one that was published.
pub(super) fn inspect(source: &BundleSource, trusted: &TrustedKeys) -> Result<Manifest, LoadError> {
    let (manifest, found) = read_manifest(&directory(source)?, trusted)?;
    if found.to_string() != source.digest {
        let (uri, expected) = (source.uri.clone(), source.digest.clone());
        return Err(LoadError::NotPublished { uri, found, expected });
    }
    Ok(manifest)
}

/// Verifies every byte of a shard against the manifest, maps it, and lets it answer real queries.
pub(super) fn load(
    source: &BundleSource,
    manifest: &Manifest,
    shard: u32,
) -> Result<BundleShard, LoadError> {
    let options = LoadOptions { verify: true, populate: true };
    let opened = BundleShard::open(&directory(source)?, manifest, shard, &options)?;
    warm(&opened, manifest)?;
    Ok(opened)
}
