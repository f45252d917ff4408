//! What a loading thread does: check a manifest, open a shard, warm it.

use super::copies::{CopyError, Held, PrivateCopies};
use super::warm::{WarmError, warm};
use crate::lifecycle::BundleSource;
use marquee_bundle::{
    BundleError, BundleRoots, BundleShard, LoadOptions, Manifest, ManifestDigest, TrustedKeys,
    UriDefect, read_manifest,
};
use std::path::PathBuf;
use std::sync::Arc;

/// From where bundles are loaded, and how.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The keys that bundles must be signed by.
    pub(crate) trusted: TrustedKeys,
    /// The directories below which published bundles may be.
    pub(crate) roots: BundleRoots,
    /// The node's private copies; none: bundles are served where they were published.
    pub(crate) copies: Option<Arc<PrivateCopies>>,
}

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
    Copy(#[from] CopyError),
    #[error(transparent)]
    Warm(#[from] WarmError),
    #[error("loading it failed unexpectedly; the node's log says more")]
    Panicked,
}

/// A shard that can answer, and the use of the private copy that it is mapped from, if it is.
#[derive(Debug)]
pub(crate) struct LoadedShard {
    pub(crate) shard: BundleShard,
    pub(crate) held: Option<Held>,
}

/// The directory of a published bundle.
fn directory(source: &BundleSource, origin: &Origin) -> Result<PathBuf, LoadError> {
    let resolved = origin.roots.resolve(&source.uri);
    resolved.map_err(|defect| LoadError::Uri { uri: source.uri.clone(), defect })
}

/// Reads the manifest and checks that it is the one that was published. A private copy is as good, and may be all
/// that is left.
pub(super) fn inspect(source: &BundleSource, origin: &Origin) -> Result<Manifest, LoadError> {
    let copied = origin.copies.as_ref();
    if let Some(manifest) = copied.and_then(|it| it.manifest(&source.digest, &origin.trusted)) {
        return Ok(manifest);
    }
    let (manifest, found) = read_manifest(&directory(source, origin)?, &origin.trusted)?;
    if found.to_string() != source.digest {
        let (uri, expected) = (source.uri.clone(), source.digest.clone());
        return Err(LoadError::NotPublished { uri, found, expected });
    }
    Ok(manifest)
}

/// Copies a shard, verifies every byte of the copy against the manifest, maps it, and lets it answer real queries.
pub(super) fn load(
    source: &BundleSource,
    origin: &Origin,
    manifest: &Manifest,
    shard: u32,
) -> Result<LoadedShard, LoadError> {
    let published = directory(source, origin)?;
    let options = LoadOptions { verify: true, populate: true };
    let Some(copies) = &origin.copies else {
        let opened = BundleShard::open(&published, manifest, shard, &options)?;
        warm(&opened, manifest)?;
        return Ok(LoadedShard { shard: opened, held: None });
    };
    let mut is_second = false;
    loop {
        let held = copies.hold(&published, &source.digest, manifest, shard)?;
        let opened = BundleShard::open(&held.directory(), manifest, shard, &options);
        let is_new = held.is_new();
        match opened.map_err(LoadError::from).and_then(|it| Ok((warm(&it, manifest)?, it))) {
            Ok(((), opened)) => return Ok(LoadedShard { shard: opened, held: Some(held) }),
            Err(error) => {
                held.remove();
                if is_new || is_second {
                    return Err(error);
                }
                is_second = true;
                // What an earlier start has left is damaged: the published bundle may be whole.
                tracing::warn!(%error, "a private copy is damaged and made anew");
            }
        }
    }
}
