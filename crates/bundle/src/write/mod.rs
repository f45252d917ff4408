//! Writing a bundle: check the input, cut it into shards, build and measure the indexes, write
//! the files, and only when all is on disk give the directory its name.
//!
//! The same input gives the same bytes: nothing depends on time, on threads or on the order in which
//! a hash table lists its keys. Shards are built side by side; within a shard rows are inserted into
//! a graph one after another, for the order of insertion makes the graph.

mod check;
pub(crate) mod durable;
mod layout;
mod shard;

use crate::bundle::{CHECKSUM_FILE, MANIFEST_FILE};
use crate::error::BundleError;
use crate::index::{self, Queries};
use crate::input::{
    BundleInput, Entity, IndexKind, IndexMode, RowSpace, SparseShape, WriteProgress,
};
use crate::manifest::{
    Counts, FORMAT_VERSION, IndexInfo, Manifest, ManifestDigest, MatrixInfo, MatrixLayout, Recall,
    ShardIndexInfo, shard_directory,
};
use durable::{Staging, sync_directory, write_file};
use layout::Layout;
use marquee_core::recipe::{HISTORY_MATRIX, POPULARITY_MATRIX};
use rayon::prelude::*;
use shard::ShardOutput;
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
    let manifest = write_into(&input, staging.path(), progress)?;
    staging.finish()?;
    Ok(manifest)
}

/// What every shard is cut from.
struct Job<'a> {
    input: &'a BundleInput,
    users: Layout,
    items: Layout,
    terms: Layout,
    /// For each dense matrix, what its indexes are measured with.
    queries: Vec<Option<Queries>>,
}

impl Job<'_> {
    fn layout(&self, entity: Entity) -> &Layout {
        match entity {
            Entity::User => &self.users,
            Entity::Item => &self.items,
            Entity::Term => &self.terms,
        }
    }
}

fn write_into(
    input: &BundleInput,
    dir: &Path,
    progress: &(dyn Fn(WriteProgress) + Sync),
) -> Result<Manifest, BundleError> {
    let lead = |entity| input.dense.iter().find(|matrix| matrix.entity == entity);
    let users: Vec<&str> = input.users.iter().map(String::as_str).collect();
    let items: Vec<&str> = input.items.iter().map(|item| item.id.as_str()).collect();
    let terms: Vec<&str> = input.terms.iter().map(String::as_str).collect();
    let job = Job {
        input,
        users: Layout::new(&users, input.shards, lead(Entity::User)),
        items: Layout::new(&items, input.shards, lead(Entity::Item)),
        terms: Layout::new(&terms, input.shards, lead(Entity::Term)),
        queries: input.dense.iter().map(|matrix| index::sample_queries(input, matrix)).collect(),
    };

    let total = rows_to_insert(&job);
    let (inserted, written) = (AtomicU64::new(0), AtomicU32::new(0));
    let on_rows = |rows: u64| {
        let before = inserted.fetch_add(rows, Ordering::Relaxed);
        let done = before + rows;
        if before / ROWS_A_REPORT != done / ROWS_A_REPORT || done == total {
            progress(WriteProgress::Indexing { done, total });
        }
    };
    let outputs = (0..input.shards)
        .into_par_iter()
        .map(|shard| {
            let output = shard::write_shard(&job, shard, dir, &on_rows)?;
            let done = written.fetch_add(1, Ordering::Relaxed) + 1;
            progress(WriteProgress::Writing { done, total: input.shards });
            Ok(output)
        })
        .collect::<Result<Vec<ShardOutput>, BundleError>>()?;

    let manifest = manifest_of(input, outputs);
    let mut text = serde_json::to_string_pretty(&manifest).map_err(std::io::Error::from)?;
    text.push('\n');
    write_file(&dir.join(MANIFEST_FILE), text.as_bytes())?;
    let digest = ManifestDigest::of(text.as_bytes());
    write_file(&dir.join(CHECKSUM_FILE), format!("{digest}\n").as_bytes())?;
    for shard in 0..input.shards {
        sync_directory(&dir.join(shard_directory(shard)))?;
    }
    Ok(manifest)
}

/// How many rows all indexes together will take in.
fn rows_to_insert(job: &Job<'_>) -> u64 {
    let indexed =
        job.input.dense.iter().filter_map(|matrix| Some((matrix, matrix.index.as_ref()?)));
    indexed
        .flat_map(|(matrix, options)| {
            let rows = job.layout(matrix.entity).shards.iter().map(Vec::len);
            rows.filter(|&rows| index::wanted(options, rows)).map(|rows| rows as u64)
        })
        .sum()
}

fn manifest_of(input: &BundleInput, outputs: Vec<ShardOutput>) -> Manifest {
    let mut matrices = Vec::new();
    for (at, matrix) in input.dense.iter().enumerate() {
        let options = matrix.index.as_ref().filter(|options| options.mode != IndexMode::Never);
        let index = options.map(|options| {
            let shards: Vec<ShardIndexInfo> =
                outputs.iter().map(|output| output.indexes[at].clone()).collect();
            let graph = options.kind == IndexKind::Hnsw;
            IndexInfo {
                kind: options.kind,
                m: graph.then_some(options.m as u32),
                ef_construction: graph.then_some(options.ef_construction as u32),
                recall: mean_recall(&shards),
                shards,
            }
        });
        let (entity, rank, rows) = (matrix.entity, matrix.rank as u32, matrix.rows);
        let layout = MatrixLayout::Dense { entity, rank, rows, index };
        matrices.push(MatrixInfo { name: matrix.name.clone(), layout });
    }
    let interactions = input.history.as_ref().map_or(0, |history| history.columns.len() as u64);
    let layout = MatrixLayout::SparseByRow { columns: Entity::Item, entries: interactions };
    matrices.push(MatrixInfo { name: HISTORY_MATRIX.into(), layout });
    let layout = MatrixLayout::SparseByColumn {
        rows: RowSpace::Single,
        columns: Entity::Item,
        entries: input.items.len() as u64,
    };
    matrices.push(MatrixInfo { name: POPULARITY_MATRIX.into(), layout });
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
    let mut files: Vec<_> = outputs.into_iter().flat_map(|output| output.files).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
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
        parameters: input.parameters.clone(),
        files,
    }
}

/// The mean over the shards that have an index, weighted by their rows.
fn mean_recall(shards: &[ShardIndexInfo]) -> Option<Recall> {
    let measured = || shards.iter().filter_map(|shard| Some((shard.rows as f64, shard.recall()?)));
    let rows: f64 = measured().map(|(rows, _)| rows).sum();
    // To six digits, which are more than is known and come back from text as they were.
    let mean = |of: fn(&Recall) -> f64| {
        let sum: f64 = measured().map(|(weight, recall)| weight * of(&recall)).sum();
        (sum / rows * 1e6).round() / 1e6
    };
    (rows > 0.0).then(|| Recall {
        at_10: mean(|recall| recall.at_10),
        at_100: mean(|recall| recall.at_100),
        queries: measured().map(|(_, recall)| recall.queries).max().unwrap_or(0),
    })
}
