//! The strategies by which a dense matrix is searched.

use crate::effort::Effort;

/// How a dense matrix is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DenseStrategy {
    /// Every row that could be among the results is scored: exact.
    Scan,
    /// The blocks of cells with the greatest upper bounds are visited, and the best of their rows re-scored.
    Cells(Effort),
    /// The same, and then every block whose rows could be among the results: exact.
    ExactCells,
    /// The graph is walked; by inner product only.
    Graph {
        /// How many rows the walk keeps.
        width: usize,
        /// Whether it follows the extra links too.
        thorough: bool,
    },
}

impl DenseStrategy {
    /// Its name in measurements.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Cells(_) => "cells",
            Self::ExactCells => "exact_cells",
            Self::Graph { .. } => "graph",
        }
    }
}
