//! Building what makes searches fast: cells, or a graph; each is measured against the exact scan with
//! the queries that it will meet.
//!
//! Start with [`cells`], which is what a bundle gets unless told otherwise; [`graph`] is the other strategy.

pub(crate) mod cells;
pub(crate) mod graph;
mod queries;

pub(crate) use cells::BuiltCells;
pub(crate) use graph::{BuiltGraph, MAX_GRAPH_ROWS};
pub(crate) use queries::{Queries, sample_queries};

use crate::dense::DenseView;
use crate::input::{IndexKind, IndexMode, IndexOptions};

/// Rows of a shard from which on [`IndexMode::Auto`] builds an index. Below it an exact scan takes
/// some microseconds, and nothing could save much of that.
pub const AUTO_INDEX_MIN_ROWS: usize = 2_000;

/// An index that is to be kept.
pub(crate) enum Built {
    /// Cells.
    Cells(Box<BuiltCells>),
    /// A graph.
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

/// Builds and measures an index over these rows (at least one); none where it would be of no use.
/// `on_rows` is told of rows that were put in, all in all as many as there are.
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

/// The numbers below `count` in an order that only the seed decides (Fisher and Yates, splitmix64).
fn shuffled(count: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut order: Vec<u32> = (0..count as u32).collect();
    for at in (1..count).rev() {
        order.swap(at, (next() % (at as u64 + 1)) as usize);
    }
    order
}
