//! A bundle's directory: its manifest, read and believed, and its shards.
//!
//! ```text
//! manifest.json     what the bundle is, with the checksum of every file below
//! manifest.blake3   the checksum of manifest.json: 64 hexadecimal digits and a line feed
//! manifest.sig      its signature, if it was signed (see the module `sign`)
//! shard-0000/       the files of shard 0: users.ids, items.ids, items.labels, terms.ids if there are
//!                   terms, and for each matrix NAME.dense, NAME.graph or NAME.sparse
//! …
//! ```

use crate::error::BundleError;
#[cfg(feature = "memory")]
use crate::format::memory;
use crate::format::{Kind, LoadOptions, open_file};
use crate::input::Entity;
use crate::input::RowFormat;
use crate::manifest::{
    Counts, FORMAT_VERSION, Manifest, ManifestDigest, MatrixLayout, shard_directory,
};
use crate::shard::{BundleShard, file_path};
use crate::sign::{self, TrustedKeys};
use marquee_core::bounds::{MAX_ORDINALS, MAX_RANK, MAX_SHARDS};
use marquee_core::id::check_name;
use marquee_core::model::recipe::check_recipe;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The file with the manifest's checksum.
pub const CHECKSUM_FILE: &str = "manifest.blake3";
/// The file with the manifest's signature, in a signed bundle.
pub const SIGNATURE_FILE: &str = "manifest.sig";
/// Bytes of a manifest: 1,024 shards of a dozen files take about two million.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;
/// Values in a manifest, which take some 32 bytes each as it is written. Fewer bytes a value would be
/// no manifest of ours, and parsing takes up to 300 bytes of heap for each.
const MAX_MANIFEST_VALUES: usize = 1 << 19;
/// Bytes of the two small files beside it.
const MAX_SIDECAR_BYTES: u64 = 4_096;
/// Matrices of one bundle.
pub(crate) const MAX_MATRICES: usize = 64;

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

    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What names its content.
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }

    /// Its shards, in order.
    pub fn shards(&self) -> &[BundleShard] {
        &self.shards
    }
}

/// Reads the manifest of the bundle at `dir`, after checking its checksum, its signature if it has
/// one, and its sense. The other files are checked when shards are opened.
///
/// # Errors
/// Names the file; in particular when the bundle was written by a newer program, and when `trusted`
/// has keys and none of them signed the bundle.
pub fn read_manifest(
    dir: &Path,
    trusted: &TrustedKeys,
) -> Result<(Manifest, ManifestDigest), BundleError> {
    read_signed_by(dir, |digest| check_signature(dir, digest, trusted))
}

/// Reads the manifest, believing it once `check_signature` does.
pub(crate) fn read_signed_by(
    dir: &Path,
    check_signature: impl FnOnce(&ManifestDigest) -> Result<(), BundleError>,
) -> Result<(Manifest, ManifestDigest), BundleError> {
    let path = dir.join(MANIFEST_FILE);
    let wrong = |reason: String| BundleError::Format { path: path.clone(), reason };
    let bytes = read_file(&path, MAX_MANIFEST_BYTES)?;
    let digest = ManifestDigest::of(&bytes);
    if read_file(&dir.join(CHECKSUM_FILE), MAX_SIDECAR_BYTES)? != format!("{digest}\n").as_bytes() {
        return Err(BundleError::Checksum { path, source_of_truth: CHECKSUM_FILE });
    }
    check_signature(&digest)?;
    // Each value but the first of a list or an object follows a comma; strings may count too often.
    let values = bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values > MAX_MANIFEST_VALUES {
        return Err(wrong(format!("it has more than {MAX_MANIFEST_VALUES} values")));
    }

    // The version first: what else a newer manifest holds can't be known here.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let json = |error: serde_json::Error| wrong(error.to_string());
    let Version { format_version } = serde_json::from_slice(&bytes).map_err(json)?;
    if format_version > FORMAT_VERSION {
        return Err(BundleError::NewerFormat {
            path,
            found: format_version,
            supported: FORMAT_VERSION,
        });
    }
    if format_version != FORMAT_VERSION {
        return Err(wrong(format!("format version {format_version} was never released")));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(json)?;
    check(&manifest).map_err(wrong)?;
    Ok((manifest, digest))
}

fn check_signature(
    dir: &Path,
    digest: &ManifestDigest,
    trusted: &TrustedKeys,
) -> Result<(), BundleError> {
    let signature_path = dir.join(SIGNATURE_FILE);
    match read_file(&signature_path, MAX_SIDECAR_BYTES) {
        Ok(signature) => sign::verify(&signature_path, &signature, digest, trusted)?,
        Err(BundleError::Missing { .. }) if trusted.is_empty() => {}
        Err(BundleError::Missing { path }) => {
            let reason = "the bundle is not signed, and only bundles signed by a trusted key are accepted here: \
                          sign it, or remove the trusted keys from the configuration";
            return Err(BundleError::Signature { path, reason: reason.into() });
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Checks that a manifest makes sense: bounds, names, and exactly the files that its matrices need.
fn check(manifest: &Manifest) -> Result<(), String> {
    check_name("model", &manifest.model).map_err(|error| error.to_string())?;
    if !(1..=MAX_SHARDS).contains(&manifest.shards) {
        return Err(format!("shards is {}: 1 to {MAX_SHARDS} are allowed", manifest.shards));
    }
    let Counts { users, items, terms, interactions: _ } = manifest.counts;
    let counts = [("users", users), ("items", items), ("terms", terms)];
    for (name, count) in counts {
        if count > MAX_ORDINALS as u64 {
            return Err(format!("counts.{name} is {count}: at most {MAX_ORDINALS} are allowed"));
        }
    }
    if manifest.matrices.len() > MAX_MATRICES {
        return Err(format!(
            "{} matrices: at most {MAX_MATRICES} are allowed",
            manifest.matrices.len()
        ));
    }
    let mut names = BTreeSet::new();
    for matrix in &manifest.matrices {
        check_name("matrix", &matrix.name).map_err(|error| error.to_string())?;
        if !names.insert(matrix.name.as_str()) {
            return Err(format!("matrix {:?} is named twice", matrix.name));
        }
        if let MatrixLayout::Dense { rank, index, .. } = &matrix.layout {
            if !(1..=MAX_RANK as u32).contains(rank) {
                return Err(format!(
                    "matrix {:?} has rank {rank}: 1 to {MAX_RANK} are allowed",
                    matrix.name
                ));
            }
            if index.as_ref().is_some_and(|index| index.shards.len() != manifest.shards as usize) {
                return Err(format!(
                    "the index of matrix {:?} has another number of shards",
                    matrix.name
                ));
            }
        }
    }
    let find = |name: &str| manifest.matrix(name).map(|matrix| matrix.layout.shape());
    check_recipe(&manifest.recipe, find).map_err(|error| error.to_string())?;
    let mut expected = BTreeSet::new();
    for shard in 0..manifest.shards {
        expected.extend(expected_files(manifest, shard));
        if expected.len() > manifest.files.len() {
            break; // some are missing: no need to name those of a thousand shards
        }
    }
    let complete = expected.len() <= manifest.files.len();
    for file in &manifest.files {
        if !expected.remove(&file.path) && complete {
            return Err(format!(
                "file {:?} belongs to none of its matrices, or is named twice",
                file.path
            ));
        }
    }
    match expected.first() {
        None => Ok(()),
        Some(missing) => Err(format!("it doesn't name {missing}, which the bundle needs")),
    }
}

/// The files that one shard must have.
fn expected_files(manifest: &Manifest, shard: u32) -> Vec<String> {
    let mut files = vec![
        file_path(shard, Entity::User.plural(), Kind::Ids),
        file_path(shard, Entity::Item.plural(), Kind::Ids),
        file_path(shard, Entity::Item.plural(), Kind::Labels),
    ];
    if manifest.counts.terms > 0 {
        files.push(file_path(shard, Entity::Term.plural(), Kind::Ids));
    }
    for matrix in &manifest.matrices {
        match &matrix.layout {
            MatrixLayout::Dense { index, rows, .. } => {
                files.push(file_path(shard, &matrix.name, Kind::Dense));
                if *rows == RowFormat::Int8 {
                    files.push(file_path(shard, &matrix.name, Kind::Coarse));
                }
                let built = index.as_ref().and_then(|index| index.shards.get(shard as usize));
                if built.is_some_and(|built| built.graph.is_some()) {
                    files.push(file_path(shard, &matrix.name, Kind::Graph));
                }
                if built.is_some_and(|built| built.cells.is_some()) {
                    files.push(file_path(shard, &matrix.name, Kind::Cells));
                }
            }
            MatrixLayout::SparseByRow { .. } | MatrixLayout::SparseByColumn { .. } => {
                files.push(file_path(shard, &matrix.name, Kind::Sparse));
            }
        }
    }
    files
}

/// Refuses a bundle with files, at the top or in this shard's directory, that the manifest doesn't
/// name. Other shards' directories may be missing: a node fetches those it serves.
pub(crate) fn check_no_strangers(
    dir: &Path,
    manifest: &Manifest,
    shard: u32,
) -> Result<(), BundleError> {
    #[cfg(feature = "memory")]
    if memory::is_mounted(dir) {
        return Ok(());
    }
    let top = [MANIFEST_FILE, CHECKSUM_FILE, SIGNATURE_FILE];
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let fine = name.to_str().is_some_and(|name| {
            let number = name.strip_prefix("shard-").and_then(|number| number.parse().ok());
            let shard = |shard| shard < manifest.shards && name == shard_directory(shard);
            top.contains(&name) || number.is_some_and(shard)
        });
        if !fine {
            return Err(BundleError::Unexpected { path: entry.path() });
        }
    }
    let own = shard_directory(shard);
    let entries = match fs_err::read_dir(dir.join(&own)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BundleError::Missing { path: dir.join(own) });
        }
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.file_name().to_str().map(|name| format!("{own}/{name}"));
        if !path.is_some_and(|path| manifest.files.iter().any(|file| file.path == path)) {
            return Err(BundleError::Unexpected { path: entry.path() });
        }
    }
    Ok(())
}

/// The bytes of a small file, at most `max`.
pub(crate) fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, BundleError> {
    #[cfg(feature = "memory")]
    if let Some(found) = memory::find(path) {
        return found.map(|file| file.to_vec());
    }
    let file = open_file(path)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let reason = format!("it has more than {max} bytes");
        return Err(BundleError::Format { path: path.into(), reason });
    }
    Ok(bytes)
}
