//! Building indexes: cells, or a graph. Each is measured against the exact scan with queries like those that
//! it will serve.
//!
//! Start with [`cells`], which is what a bundle gets unless told otherwise; [`graph`] is the other kind.

pub(crate) mod cells;
pub(crate) mod graph;
mod queries;
pub(crate) mod recall;
mod shuffle;

pub(crate) use cells::BuiltCells;
pub(crate) use graph::BuiltGraph;
pub(crate) use queries::{Queries, sample_queries};

use crate::matrix::dense::DenseView;
use crate::matrix::graph::MAX_GRAPH_ROWS;
use crate::options::{IndexKind, IndexMode, IndexOptions};

/// An index that is to be kept.
pub(crate) enum Built {
    /// Cells, with what was measured of them.
    Cells(Box<BuiltCells>),
    /// A graph, with what was measured of it.
    Graph(Box<BuiltGraph>),
}

/// Whether a shard of so many rows is to have an index.
pub(crate) fn wanted(options: &IndexOptions, rows: usize) -> bool {
    let enough = match options.mode {
        IndexMode::Never => false,
        IndexMode::Always => rows > 0,
        IndexMode::Auto => rows >= options.min_rows.max(1),
    };
    enough && rows <= MAX_GRAPH_ROWS
}

/// Builds and measures an index over these rows (at least one); none where it would be useless.
/// `on_rows` is called with numbers of rows that were put in; their sum is the number of rows.
pub(crate) fn build(
    dense: DenseView<'_>,
    options: &IndexOptions,
    queries: &Queries,
    on_rows: &(dyn Fn(u64) + Sync),
) -> Option<Built> {
    match options.kind {
        IndexKind::Cells => cells::build(dense, options, queries, on_rows)
            .map(|built| Built::Cells(Box::new(built))),
        IndexKind::Hnsw => graph::build(dense, options, queries, on_rows)
            .map(|built| Built::Graph(Box::new(built))),
    }
}
