//! Building a graph with hnsw_rs, and freezing what it made: what [`crate::matrix::graph`] draws.
//!
//! The graph is over inner products, with the distance `bound − ⟨a, b⟩`: the augmentation to
//! Euclidean distance that is often used for this makes poor graphs of factors whose lengths differ
//! much. Vectors are scaled by the longest one first, so that any finite input stays in range. A
//! finished graph is measured against the exact scan, and kept only if it is good enough.
//!
//! What is deliberately missing: inserting in parallel (its graphs differ from run to run), the
//! library's own search (slower by far than walking flat arrays) and its dump files.

mod audit;
mod build;
mod repair;

use super::queries::Queries;
use crate::manifest::GraphInfo;
use crate::matrix::dense::DenseView;
use crate::matrix::graph::GraphParts;
use crate::matrix::tuning::Widths;
use crate::options::{IndexMode, IndexOptions};

/// A graph that is to be kept.
pub(crate) struct BuiltGraph {
    pub(crate) parts: GraphParts,
    pub(crate) widths: Widths,
    pub(crate) info: GraphInfo,
}

/// Builds and measures a graph over these rows; none if it misses the recall asked for and the
/// options leave it to us.
pub(super) fn build(
    dense: DenseView<'_>,
    options: &IndexOptions,
    queries: &Queries,
    on_rows: &(dyn Fn(u64) + Sync),
) -> Option<BuiltGraph> {
    let mut parts = build::build_graph(dense.values, dense.rank, options, on_rows);
    let linked = repair::link_unreachable(&mut parts, dense);
    let (widths, info) = audit::audit(&parts, linked, dense, queries, options.target_recall);
    let recall = &info.recall;
    let good = info.ef_at_10 > 0 && info.ef_at_100 > 0;
    if !good {
        tracing::warn!(
            rows = dense.rows(),
            recall_at_10 = recall.at_10,
            recall_at_100 = recall.at_100,
            target = options.target_recall,
            "a graph misses its target recall even at its widest"
        );
    }
    (good || options.mode == IndexMode::Always).then_some(BuiltGraph { parts, widths, info })
}
