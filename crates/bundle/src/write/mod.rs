//! Writing a bundle: check the input, cut it into shards and write them, let go of the input, build and
//! measure the indexes over what is on disk, and only when all is there give the directory its name.
//!
//! Memory is that of the input at first. Dense rows are written before all else and let go of one
//! matrix after another; in the end it is that of one mapped matrix for each shard that is built at
//! the same time, and of its index.
//!
//! The same input gives the same bytes: nothing depends on time, on threads or on the order in which
//! a hash table lists its keys. Shards are built side by side; within a shard rows are inserted into
//! a graph one after another, for the order of insertion makes the graph.

mod check;
mod derived;
pub(crate) mod durable;
mod layout;
mod shard;

use crate::error::BundleError;
use crate::format::{FORMAT_VERSION, FileInfo};
use crate::input::{BundleInput, SparseShape, WriteProgress};
use crate::manifest::names::{CHECKSUM_FILE, MANIFEST_FILE};
use crate::manifest::{
    Counts, IndexInfo, Manifest, ManifestDigest, MatrixInfo, MatrixLayout, Recall, ShardIndexInfo,
    shard_directory,
};
use crate::options::{IndexKind, IndexMode};
use derived::Derived;
use durable::{Staging, sync_directory, write_file};
use layout::Layouts;
use marquee_core::model::recipe::{Entity, HISTORY_MATRIX, POPULARITY_MATRIX, RowSpace};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Rows put in between two reports of progress: a few tens of milliseconds for a graph.
const ROWS_A_REPORT: u64 = 256;

/// Writes a new bundle at `out`, which must not exist or be an empty directory, and returns its
/// manifest. `progress` is called now and then, from several threads.
///
/// # Errors
/// Names what in the input is refused, or the file that could not be written. Whatever happens, `out`
/// holds the whole bundle or is as it was.
pub fn write_bundle(
    input: BundleInput,
    out: &Path,
    progress: &(dyn Fn(WriteProgress) + Sync),
) -> Result<Manifest, BundleError> {
    check::check(&input)?;
    let staging = Staging::new(out)?;
    let manifest = write_into(input, staging.path(), progress)?;
    staging.finish()?;
    Ok(manifest)
}

fn write_into(
    input: BundleInput,
    dir: &Path,
    progress: &(dyn Fn(WriteProgress) + Sync),
) -> Result<Manifest, BundleError> {
    let mut manifest = manifest_of(&input);
    let (mut files, derived) = write_input(input, dir, progress)?;
    let built = write_derived(&derived, dir, &files, progress)?;

    for (matrix, of_shards) in manifest.matrices.iter_mut().zip(built) {
        let (made, shards): (Vec<_>, Vec<ShardIndexInfo>) = of_shards.into_iter().unzip();
        files.extend(made.into_iter().flatten());
        if let MatrixLayout::Dense { index: Some(index), .. } = &mut matrix.layout {
            index.recall = mean_recall(&shards);
            index.shards = shards;
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    manifest.files = files;
    let mut text = serde_json::to_string_pretty(&manifest).map_err(std::io::Error::from)?;
    text.push('\n');
    write_file(&dir.join(MANIFEST_FILE), text.as_bytes())?;
    let digest = ManifestDigest::of(text.as_bytes());
    write_file(&dir.join(CHECKSUM_FILE), format!("{digest}\n").as_bytes())?;
    for shard in 0..manifest.shards {
        sync_directory(&dir.join(shard_directory(shard)))?;
    }
    Ok(manifest)
}

/// Writes the files that hold the input itself, and returns what else is to be made of the dense rows.
fn write_input(
    mut input: BundleInput,
    dir: &Path,
    progress: &(dyn Fn(WriteProgress) + Sync),
) -> Result<(Vec<FileInfo>, Vec<Derived>), BundleError> {
    let layouts = Layouts::of(&input);
    let mut derived = Vec::with_capacity(input.dense.len());
    for matrix in &input.dense {
        let rows = layouts.get(matrix.entity).shards.iter().map(Vec::len).collect();
        derived.push(Derived::new(&input, matrix, rows));
    }
    for shard in 0..input.shards {
        fs_err::create_dir(dir.join(shard_directory(shard)))?;
    }
    let mut files = Vec::new();
    for matrix in std::mem::take(&mut input.dense) {
        let rows = (0..input.shards)
            .into_par_iter()
            .map(|shard| shard::write_rows(&matrix, &layouts, shard, dir));
        files.extend(rows.collect::<Result<Vec<FileInfo>, BundleError>>()?);
    }
    let written = AtomicU32::new(0);
    let others = (0..input.shards).into_par_iter().map(|shard| {
        let of_shard = shard::write_others(&input, &layouts, shard, dir)?;
        let done = written.fetch_add(1, Ordering::Relaxed) + 1;
        progress(WriteProgress::Writing { done, total: input.shards });
        Ok(of_shard)
    });
    for of_shard in others.collect::<Result<Vec<Vec<FileInfo>>, BundleError>>()? {
        files.extend(of_shard);
    }
    Ok((files, derived))
}

/// The files that were made of one shard's rows of a dense matrix, and what was measured of its index.
type DerivedFiles = (Vec<FileInfo>, ShardIndexInfo);

/// Makes coarse rows and indexes of the dense rows on disk, for each matrix and shard.
fn write_derived(
    derived: &[Derived],
    dir: &Path,
    files: &[FileInfo],
    progress: &(dyn Fn(WriteProgress) + Sync),
) -> Result<Vec<Vec<DerivedFiles>>, BundleError> {
    let total = derived.iter().map(Derived::rows_to_insert).sum();
    let inserted = AtomicU64::new(0);
    let on_rows = |rows: u64| {
        let before = inserted.fetch_add(rows, Ordering::Relaxed);
        let done = before + rows;
        if before / ROWS_A_REPORT != done / ROWS_A_REPORT || done == total {
            progress(WriteProgress::Indexing { done, total });
        }
    };
    let by_path: HashMap<&str, &FileInfo> =
        files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut made = Vec::with_capacity(derived.len());
    for matrix in derived {
        let of_shards = (0..matrix.shards()).into_par_iter().map(|shard| {
            let dense = by_path[matrix.dense_path(shard).as_str()];
            matrix.write(shard, (dir, dense), &on_rows)
        });
        made.push(of_shards.collect::<Result<Vec<DerivedFiles>, BundleError>>()?);
    }
    Ok(made)
}

/// The manifest, as far as it is known before anything is written.
fn manifest_of(input: &BundleInput) -> Manifest {
    let mut matrices = Vec::new();
    for matrix in &input.dense {
        let wanted = matrix.index.as_ref().filter(|options| options.mode != IndexMode::Never);
        let index = wanted.map(|options| {
            let graph = options.kind == IndexKind::Hnsw;
            IndexInfo {
                kind: options.kind,
                m: graph.then_some(options.m as u32),
                ef_construction: graph.then_some(options.ef_construction as u32),
                recall: None,
                shards: Vec::new(),
            }
        });
        let (entity, rank, rows) = (matrix.entity, matrix.rank as u32, matrix.rows);
        let layout = MatrixLayout::Dense { entity, rank, rows, index };
        matrices.push(MatrixInfo { name: matrix.name.clone(), layout });
    }
    let interactions = input.history.as_ref().map_or(0, |history| history.columns.len() as u64);
    matrices.push(MatrixInfo {
        name: HISTORY_MATRIX.into(),
        layout: MatrixLayout::SparseByRow { columns: Entity::Item, entries: interactions },
    });
    matrices.push(MatrixInfo {
        name: POPULARITY_MATRIX.into(),
        layout: MatrixLayout::SparseByColumn {
            rows: RowSpace::Single,
            columns: Entity::Item,
            entries: input.items.len() as u64,
        },
    });
    for matrix in &input.sparse {
        let entries = matrix.matrix.columns.len() as u64;
        let layout = match matrix.shape {
            SparseShape::ByUser => MatrixLayout::SparseByRow { columns: Entity::Item, entries },
            SparseShape::TermsByUser => {
                MatrixLayout::SparseByRow { columns: Entity::Term, entries }
            }
            SparseShape::Sums { rows, columns } => {
                MatrixLayout::SparseByColumn { rows, columns, entries }
            }
        };
        matrices.push(MatrixInfo { name: matrix.name.clone(), layout });
    }
    Manifest {
        format_version: FORMAT_VERSION,
        model: input.model.clone(),
        kind: input.kind.clone(),
        recipe: input.recipe.clone(),
        created_at_ms: input.created_at_ms,
        shards: input.shards,
        counts: Counts {
            users: input.users.len() as u64,
            items: input.items.len() as u64,
            interactions,
            terms: input.terms.len() as u64,
        },
        matrices,
        quality: input.quality.clone(),
        forgotten: input.forgotten.clone(),
        parameters: input.parameters.clone(),
        files: Vec::new(),
    }
}

/// The mean over the shards that have an index, weighted by their rows.
fn mean_recall(shards: &[ShardIndexInfo]) -> Option<Recall> {
    let measured: Vec<(f64, Recall)> =
        shards.iter().filter_map(|shard| Some((shard.rows as f64, shard.recall()?))).collect();
    let rows: f64 = measured.iter().map(|(rows, _)| rows).sum();
    if rows <= 0.0 {
        return None;
    }
    let at_10: f64 = measured.iter().map(|(weight, recall)| weight * recall.at_10).sum();
    let at_100: f64 = measured.iter().map(|(weight, recall)| weight * recall.at_100).sum();
    Some(Recall {
        at_10: to_six_digits(at_10 / rows),
        at_100: to_six_digits(at_100 / rows),
        queries: measured.iter().map(|(_, recall)| recall.queries).max().unwrap_or(0),
    })
}

/// Rounds to six digits, which are more than is known and come back from text as they were.
fn to_six_digits(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}
