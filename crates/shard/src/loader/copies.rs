//! The node's private copies of the shards that it serves: kept within a budget, found again after a restart.
//!
//! ```text
//! DIRECTORY/DIGEST/manifest.json …   the manifest of a bundle, its checksum and its signature
//! DIRECTORY/DIGEST/shard-0000/…      a shard that this node serves or has served
//! DIRECTORY/partial-N/               a copy that is being made; it is renamed when it is whole
//! ```
//!
//! A copy is known by the digest of its bundle's manifest, so two versions of one bundle share it. It is used
//! for as long as a [`Held`] of it lives, and removed when the replica is unloaded. Ending the process removes
//! nothing: the next start verifies and uses what is there, although the published bundle may be gone. What
//! the plan does not want any more is removed when room is needed, and once after a start.

use marquee_bundle::{
    BundleError, CopiedBytes, Manifest, TrustedKeys, copy_manifest, copy_shard,
    create_private_directory, read_manifest, shard_directory,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the directories of copies that are being made begin.
const PARTIAL: &str = "partial-";
/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// Why there is no private copy of a shard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// It cannot be read where it was published, or not written.
    #[error("no private copy of the bundle at {uri} can be made: {error}")]
    Copy {
        /// Where it was published.
        uri: String,
        /// What is wrong.
        error: BundleError,
    },
    /// It does not fit.
    #[error(
        "its private copy needs {bytes} bytes, but of the budget of {budget} bytes {used} are in use: raise \
         bundles.copy_budget_mib, add nodes or retire a version"
    )]
    Budget {
        /// What it needs.
        bytes: u64,
        /// What the copies in use have.
        used: u64,
        /// What they may have.
        budget: u64,
    },
}

/// A shard of a bundle: the digest of the bundle's manifest, and the shard's number.
type CopyKey = (String, u32);

#[derive(Debug, Default)]
struct Copy {
    bytes: u64,
    uses: usize,
}

/// All private copies of a node.
#[derive(Debug)]
pub(crate) struct PrivateCopies {
    directory: PathBuf,
    budget_bytes: u64,
    copies: Mutex<BTreeMap<CopyKey, Copy>>,
    next_partial: AtomicU64,
}

impl PrivateCopies {
    /// The copies in a directory, which is made if it is not there; nothing else may write to it. A budget of 0 is
    /// unlimited.
    pub(crate) fn open(directory: &Path, budget_bytes: u64) -> std::io::Result<Arc<Self>> {
        create_private_directory(directory)?;
        let directory = directory.canonicalize()?;
        let mut copies = BTreeMap::new();
        for entry in fs_err::read_dir(&directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(PARTIAL) {
                // Left by an end in the middle of copying.
                fs_err::remove_dir_all(entry.path())?;
            } else if is_digest(&name) && entry.file_type()?.is_dir() {
                for (shard, bytes) in shards_in(&entry.path())? {
                    copies.insert((name.clone(), shard), Copy { bytes, uses: 0 });
                }
            }
        }
        let copies = Mutex::new(copies);
        Ok(Arc::new(Self { directory, budget_bytes, copies, next_partial: AtomicU64::new(0) }))
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<CopyKey, Copy>> {
        // Counts of what is on the disk: at worst a panic elsewhere leaves a copy that is removed later.
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manifest of this digest, if a copy of it is here and whole.
    pub(crate) fn manifest(&self, digest: &str, trusted: &TrustedKeys) -> Option<Manifest> {
        if !is_digest(digest) {
            return None;
        }
        let (manifest, found) = read_manifest(&self.directory.join(digest), trusted).ok()?;
        (found.to_string() == digest).then_some(manifest)
    }

    /// A copy of a shard of the bundle at `published`, made unless it is here already. It is not verified yet.
    pub(crate) fn hold(
        self: &Arc<Self>,
        published: &Path,
        digest: &str,
        manifest: &Manifest,
        shard: u32,
    ) -> Result<Held, CopyError> {
        let key = (digest.to_owned(), shard);
        let bytes: u64 = manifest.shard_files(shard).map(|file| file.bytes).sum();
        let is_new = self.reserve(&key, bytes)?;
        // From here on a failure gives back what was reserved.
        let held = Held { copies: Arc::clone(self), key, is_new };
        let directory = held.directory();
        if is_new || !directory.join(shard_directory(shard)).is_dir() {
            self.make(published, manifest, shard, &directory)
                .map_err(|error| CopyError::Copy { uri: published.display().to_string(), error })?;
        }
        Ok(held)
    }

    /// Counts a use of a copy, and says whether the copy must be made first.
    fn reserve(&self, key: &CopyKey, bytes: u64) -> Result<bool, CopyError> {
        let mut copies = self.copies();
        if let Some(copy) = copies.get_mut(key) {
            copy.uses += 1;
            return Ok(false);
        }
        let budget = self.budget_bytes;
        let used =
            |copies: &BTreeMap<CopyKey, Copy>| copies.values().map(|it| it.bytes).sum::<u64>();
        while budget > 0 && used(&copies).saturating_add(bytes) > budget {
            let unused = copies.iter().find(|(_, copy)| copy.uses == 0).map(|(key, _)| key.clone());
            let Some(unused) = unused else {
                return Err(CopyError::Budget { bytes, used: used(&copies), budget });
            };
            copies.remove(&unused);
            self.delete(&unused, &copies);
        }
        copies.insert(key.clone(), Copy { bytes, uses: 1 });
        Ok(true)
    }

    fn make(
        &self,
        published: &Path,
        manifest: &Manifest,
        shard: u32,
        directory: &Path,
    ) -> Result<(), BundleError> {
        let number = self.next_partial.fetch_add(1, Ordering::Relaxed);
        let partial = self.directory.join(format!("{PARTIAL}{number}"));
        let made = (|| -> Result<CopiedBytes, BundleError> {
            create_private_directory(&partial)?;
            copy_manifest(published, &partial)?;
            let within = partial.join(shard_directory(shard));
            let copied = copy_shard(published, manifest, shard, &within)?;
            create_private_directory(directory)?;
            for entry in fs_err::read_dir(&partial)? {
                let entry = entry?;
                let target = directory.join(entry.file_name());
                // Another attempt may have been faster with the shard; a manifest is replaced by itself.
                match fs_err::rename(entry.path(), &target) {
                    Err(error) if !target.is_dir() => return Err(error.into()),
                    _ => {}
                }
            }
            Ok(copied)
        })();
        let _ = std::fs::remove_dir_all(&partial);
        let copied = made?;
        tracing::info!(
            shard,
            shared_bytes = copied.shared,
            written_bytes = copied.written,
            published = %published.display(),
            "made a private copy of a shard"
        );
        Ok(())
    }

    /// Removes all copies that nothing uses.
    pub(crate) fn remove_unused(&self) {
        let mut copies = self.copies();
        let unused: Vec<CopyKey> =
            copies.iter().filter(|(_, copy)| copy.uses == 0).map(|(key, _)| key.clone()).collect();
        for key in unused {
            copies.remove(&key);
            self.delete(&key, &copies);
        }
    }

    /// Deletes a copy's files, and its bundle's directory if no other shard is in it. A mapping of a deleted file
    /// stays as it is.
    fn delete(&self, key: &CopyKey, rest: &BTreeMap<CopyKey, Copy>) {
        let (digest, shard) = key;
        let bundle = self.directory.join(digest);
        let doomed = match rest.keys().any(|(other, _)| other == digest) {
            true => bundle.join(shard_directory(*shard)),
            false => bundle,
        };
        match std::fs::remove_dir_all(&doomed) {
            Ok(()) => tracing::info!(copy = %doomed.display(), "removed a private copy"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(copy = %doomed.display(), %error, "cannot remove a private copy");
            }
        }
    }
}

fn is_digest(name: &str) -> bool {
    name.len() == DIGEST_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The shards in the directory of a bundle's copy, with their bytes.
fn shards_in(bundle: &Path) -> std::io::Result<Vec<(u32, u64)>> {
    let mut shards = Vec::new();
    for entry in fs_err::read_dir(bundle)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let number = name.strip_prefix("shard-").and_then(|number| number.parse().ok());
        let Some(shard) = number.filter(|shard| name == shard_directory(*shard)) else { continue };
        let files = fs_err::read_dir(entry.path())?;
        let bytes = files.map(|file| Ok(file?.metadata()?.len())).sum::<std::io::Result<u64>>()?;
        shards.push((shard, bytes));
    }
    Ok(shards)
}

/// A use of a private copy. Dropping it leaves the copy where it is.
#[derive(Debug)]
pub(crate) struct Held {
    copies: Arc<PrivateCopies>,
    key: CopyKey,
    is_new: bool,
}

impl Held {
    /// The directory of the bundle's copy.
    pub(crate) fn directory(&self) -> PathBuf {
        self.copies.directory.join(&self.key.0)
    }

    /// Whether the copy was made just now, and not found.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Gives the copy up, and removes it if nothing else uses it.
    pub(crate) fn remove(self) {
        let mut copies = self.copies.copies();
        if copies.get(&self.key).is_some_and(|copy| copy.uses == 1) {
            copies.remove(&self.key);
            self.copies.delete(&self.key, &copies);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(copy) = self.copies.copies().get_mut(&self.key) {
            copy.uses = copy.uses.saturating_sub(1);
        }
    }
}
