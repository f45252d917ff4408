//! How a shard searches a matrix, as explanations and usage counts name it.

/// How one shard's matrix was searched for one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SearchStrategy {
    /// Every row that could be among the results was scored: exact.
    Scan,
    /// The most promising cells: approximate, with a recall that was measured when they were built.
    Cells,
    /// As many cells as it took to miss nothing: exact.
    ExactCells,
    /// A walk over a graph: approximate.
    Graph,
    /// Rows of a sparse matrix were summed: exact.
    RowSum,
}

impl SearchStrategy {
    /// Every strategy, in the order of their numbers on the wire.
    pub const ALL: [Self; 5] =
        [Self::Scan, Self::Cells, Self::ExactCells, Self::Graph, Self::RowSum];

    /// Its name in explanations and metrics, such as `exact_cells`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Cells => "cells",
            Self::ExactCells => "exact_cells",
            Self::Graph => "graph",
            Self::RowSum => "row_sum",
        }
    }
}
