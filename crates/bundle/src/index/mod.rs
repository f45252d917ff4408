//! Building the graphs: hnsw_rs inserts, we freeze what it made into flat arrays, measure it against
//! the exact scan, and keep it only if it is good enough.
//!
//! The graph is over inner products, with the distance `bound − ⟨a, b⟩`: the augmentation to
//! Euclidean distance that is often used for this makes poor graphs of factors whose lengths differ
//! much. Vectors are scaled by the longest one first, so that any finite input stays in range.
//!
//! What is deliberately missing: inserting in parallel (its graphs differ from run to run), the
//! library's own search (slower by far than walking flat arrays) and its dump files.

mod audit;
mod build;
mod repair;

pub(crate) use audit::{Queries, sample_queries};

use crate::graph::{DefaultWidth, GraphParts};
use crate::input::{IndexMode, IndexOptions};
use crate::manifest::GraphInfo;

/// Rows of a shard from which on [`IndexMode::Auto`] builds a graph. At this size, 64 columns and
/// 100 results, the exact scan takes about 80 µs of processor time and a walk 40 µs; that is worth
/// neither the building (0.25 ms a row) nor a result that isn't exact. The scan's time grows with
/// the rows, the walk's hardly does.
pub const AUTO_INDEX_MIN_ROWS: usize = 10_000;
/// Rows of one shard that a graph can hold: a walk keeps one bit of each number for itself.
pub(crate) const MAX_GRAPH_ROWS: usize = i32::MAX as usize;

/// A graph that is to be kept.
pub(crate) struct Built {
    pub(crate) parts: GraphParts,
    pub(crate) width: DefaultWidth,
    pub(crate) info: GraphInfo,
}

/// Whether a shard of so many rows is to have a graph.
pub(crate) fn wanted(options: &IndexOptions, rows: usize) -> bool {
    let enough = match options.mode {
        IndexMode::Never => false,
        IndexMode::Always => rows > 0,
        IndexMode::Auto => rows >= options.min_rows.max(1),
    };
    enough && rows <= MAX_GRAPH_ROWS
}

/// Builds and measures a graph over these rows; none if it misses the recall asked for and the
/// options leave it to us.
pub(crate) fn build(
    values: &[f32],
    rank: usize,
    options: &IndexOptions,
    queries: &Queries,
    on_insert: &(dyn Fn() + Sync),
) -> Option<Built> {
    let mut parts = build::build_graph(values, rank, options, on_insert);
    let linked = repair::link_unreachable(&mut parts, values, rank);
    let (width, info) = audit::audit(&parts, linked, values, rank, queries, options.target_recall);
    let recall = &info.recall;
    let good = width.at_10 > 0 && width.at_100 > 0;
    if !good {
        tracing::warn!(
            rows = values.len() / rank,
            recall_at_10 = recall.at_10,
            recall_at_100 = recall.at_100,
            target = options.target_recall,
            "a graph misses its target recall even at its widest"
        );
    }
    (good || options.mode == IndexMode::Always).then_some(Built { parts, width, info })
}
