//! Reading a manifest, and checking that it makes sense.

use super::contents::{Counts, Manifest, ManifestDigest, MatrixLayout};
use super::names::{CHECKSUM_FILE, MANIFEST_FILE, MODEL_SIGNATURE_FILE, SIGNATURE_FILE, file_path};
use super::signature::openssf::MAX_MODEL_SIGNATURE_BYTES;
use super::signature::{SignedTerms, TrustedKeys, Verdict, ed25519, openssf};
use super::small_file::read_small_file;
use crate::error::{BundleError, ManifestDefect};
use crate::format::{FORMAT_VERSION, FileKind};
use crate::options::RowFormat;
use marquee_core::bounds::{MAX_ORDINALS, MAX_RANK, MAX_SHARDS};
use marquee_core::id::check_name;
use marquee_core::model::recipe::{Entity, check_recipe};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Bytes of a manifest: 1,024 shards of a dozen files take about two million.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;
/// Values in a manifest, which take some 32 bytes each as it is written. Fewer bytes a value would be
/// no manifest of ours, and parsing takes up to 300 bytes of heap for each.
const MAX_MANIFEST_VALUES: usize = 1 << 19;
/// Bytes of the two small files beside it, its checksum and an Ed25519 signature.
const MAX_SIDECAR_BYTES: u64 = 4_096;
/// Matrices of one bundle.
pub(crate) const MAX_MATRICES: usize = 64;

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
    read_signed_by(dir, |bytes, digest| check_signature(dir, bytes, digest, trusted).map(drop))
}

/// The same, with what the signature says; nothing where there are no trusted keys.
///
/// # Errors
/// As for [`read_manifest`].
pub fn read_signed_manifest(
    dir: &Path,
    trusted: &TrustedKeys,
) -> Result<(Manifest, ManifestDigest, SignedTerms), BundleError> {
    let mut terms = SignedTerms::default();
    let (manifest, digest) = read_signed_by(dir, |bytes, digest| {
        terms = check_signature(dir, bytes, digest, trusted)?;
        Ok(())
    })?;
    Ok((manifest, digest, terms))
}

/// Reads the manifest, and accepts it once `check_signature` does, which is given its bytes and their digest.
pub(crate) fn read_signed_by(
    dir: &Path,
    check_signature: impl FnOnce(&[u8], &ManifestDigest) -> Result<(), BundleError>,
) -> Result<(Manifest, ManifestDigest), BundleError> {
    let path = dir.join(MANIFEST_FILE);
    let wrong = |defect: ManifestDefect| BundleError::Manifest { path: path.clone(), defect };
    let bytes = read_small_file(&path, MAX_MANIFEST_BYTES)?;
    let digest = ManifestDigest::of(&bytes);
    if read_small_file(&dir.join(CHECKSUM_FILE), MAX_SIDECAR_BYTES)?
        != format!("{digest}\n").as_bytes()
    {
        return Err(BundleError::Checksum { path, source_of_truth: CHECKSUM_FILE });
    }
    check_signature(&bytes, &digest)?;
    // Each value but the first of a list or an object follows a comma; strings may count too often.
    let values = bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values > MAX_MANIFEST_VALUES {
        return Err(wrong(ManifestDefect::TooManyValues { max: MAX_MANIFEST_VALUES }));
    }

    // The version first: what else a newer manifest holds can't be known here.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let json = |error: serde_json::Error| wrong(ManifestDefect::Json(error.to_string()));
    let Version { format_version } = serde_json::from_slice(&bytes).map_err(json)?;
    if format_version > FORMAT_VERSION {
        return Err(BundleError::NewerFormat {
            path,
            found: format_version,
            supported: FORMAT_VERSION,
        });
    }
    if format_version != FORMAT_VERSION {
        return Err(wrong(ManifestDefect::NeverReleased(format_version)));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(json)?;
    check(&manifest).map_err(wrong)?;
    Ok((manifest, digest))
}

/// Checks the signatures of a bundle: each must be right, and where keys are trusted, one must be of such a key. Returns
/// its terms; those of the OpenSSF form if both are.
fn check_signature(
    dir: &Path,
    manifest: &[u8],
    digest: &ManifestDigest,
    trusted: &TrustedKeys,
) -> Result<SignedTerms, BundleError> {
    let model_signature = dir.join(MODEL_SIGNATURE_FILE);
    let signature = dir.join(SIGNATURE_FILE);
    let mut verdicts = Vec::new();
    if let Some(bytes) = read_if_there(&model_signature, MAX_MODEL_SIGNATURE_BYTES)? {
        let verdict = openssf::verify(&model_signature, &bytes, manifest, trusted)?;
        verdicts.push((model_signature, verdict));
    }
    if let Some(bytes) = read_if_there(&signature, MAX_SIDECAR_BYTES)? {
        let verdict = ed25519::verify(&signature, &bytes, digest, trusted)?;
        verdicts.push((signature.clone(), verdict));
    }
    if trusted.is_empty() {
        return Ok(SignedTerms::default());
    }
    let mut refused = BundleError::Signature {
        path: signature,
        reason:
            "the bundle is not signed, and only bundles signed by a trusted key are accepted here: \
                 sign it, or remove the trusted keys from the configuration"
                .into(),
    };
    for (path, verdict) in verdicts {
        match verdict {
            Verdict::Trusted(terms) => return Ok(terms),
            Verdict::Other(key) => {
                let reason = format!(
                    "it is signed by {key}, which is not trusted here: sign it with a trusted key, or add this one"
                );
                refused = BundleError::Signature { path, reason };
            }
        }
    }
    Err(refused)
}

/// The bytes of a small file; None where there is none.
fn read_if_there(path: &Path, max: u64) -> Result<Option<Vec<u8>>, BundleError> {
    match read_small_file(path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(BundleError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Checks that a manifest makes sense: bounds, names, and exactly the files that its matrices need.
fn check(manifest: &Manifest) -> Result<(), ManifestDefect> {
    check_name("model", &manifest.model)?;
    let Counts { users, items, terms, interactions: _ } = manifest.counts;
    check_bounds("shards", manifest.shards.into(), 1, MAX_SHARDS.into())?;
    for (field, count) in
        [("counts.users", users), ("counts.items", items), ("counts.terms", terms)]
    {
        check_bounds(field, count, 0, MAX_ORDINALS as u64)?;
    }
    check_bounds("the number of matrices", manifest.matrices.len() as u64, 0, MAX_MATRICES as u64)?;
    let mut names = BTreeSet::new();
    for matrix in &manifest.matrices {
        check_name("matrix", &matrix.name)?;
        if !names.insert(matrix.name.as_str()) {
            return Err(ManifestDefect::MatrixTwice(matrix.name.clone()));
        }
        if let MatrixLayout::Dense { rank, index, .. } = &matrix.layout {
            let field = format!("the rank of matrix {:?}", matrix.name);
            check_bounds(&field, (*rank).into(), 1, MAX_RANK as u64)?;
            if index.as_ref().is_some_and(|index| index.shards.len() != manifest.shards as usize) {
                return Err(ManifestDefect::IndexShards(matrix.name.clone()));
            }
        }
    }
    check_recipe(&manifest.recipe, |name| manifest.matrix(name).map(|it| it.layout.shape()))
        .map_err(|error| ManifestDefect::Recipe(error.to_string()))?;
    check_files(manifest)
}

fn check_bounds(field: &str, found: u64, least: u64, most: u64) -> Result<(), ManifestDefect> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(ManifestDefect::OutOfBounds { field: field.into(), found, least, most })
}

/// Checks that a manifest names exactly the files that its matrices need.
fn check_files(manifest: &Manifest) -> Result<(), ManifestDefect> {
    let mut expected = BTreeSet::new();
    for shard in 0..manifest.shards {
        expected.extend(expected_files(manifest, shard));
        if expected.len() > manifest.files.len() {
            break; // some are missing: no need to name those of a thousand shards
        }
    }
    let is_complete = expected.len() <= manifest.files.len();
    for file in &manifest.files {
        if !expected.remove(&file.path) && is_complete {
            return Err(ManifestDefect::NeedlessFile(file.path.clone()));
        }
    }
    match expected.pop_first() {
        None => Ok(()),
        Some(missing) => Err(ManifestDefect::UnnamedFile(missing)),
    }
}

/// The files that one shard must have.
fn expected_files(manifest: &Manifest, shard: u32) -> Vec<String> {
    let mut files = vec![
        file_path(shard, Entity::User.plural(), FileKind::Ids),
        file_path(shard, Entity::Item.plural(), FileKind::Ids),
        file_path(shard, Entity::Item.plural(), FileKind::Labels),
    ];
    if manifest.counts.terms > 0 {
        files.push(file_path(shard, Entity::Term.plural(), FileKind::Ids));
    }
    for matrix in &manifest.matrices {
        match &matrix.layout {
            MatrixLayout::Dense { index, rows, .. } => {
                files.push(file_path(shard, &matrix.name, FileKind::Dense));
                if *rows == RowFormat::Int8 {
                    files.push(file_path(shard, &matrix.name, FileKind::Coarse));
                }
                let built = index.as_ref().and_then(|index| index.shards.get(shard as usize));
                if built.is_some_and(|built| built.graph.is_some()) {
                    files.push(file_path(shard, &matrix.name, FileKind::Graph));
                }
                if built.is_some_and(|built| built.cells.is_some()) {
                    files.push(file_path(shard, &matrix.name, FileKind::Cells));
                }
            }
            MatrixLayout::SparseByRow { .. } | MatrixLayout::SparseByColumn { .. } => {
                files.push(file_path(shard, &matrix.name, FileKind::Sparse));
            }
        }
    }
    files
}
