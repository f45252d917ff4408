//! The memory that searches reuse.

use super::beam::Beam;
use super::cells::{CellSearch, CellsWork};
use super::rescore::Rescorer;
use super::scan::Lane;
use super::strategy::DenseStrategy;
use super::sums::Sums;
use super::top::Top;

/// The memory that searches reuse. One for each thread; any shard.
#[derive(Default)]
pub struct SearchScratch {
    pub(super) top: Top,
    pub(super) beam: Beam,
    /// One for each query of a scan.
    pub(super) lanes: Vec<Lane>,
    pub(super) cells: CellSearch,
    pub(super) rescorer: Rescorer,
    pub(super) sums: Sums,
    pub(super) strategy: Option<DenseStrategy>,
}

impl SearchScratch {
    /// Empty scratch; the first searches let it grow.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the last [`dense_top_k`](super::dense::dense_top_k) was answered; none before the first, and where nothing was searched.
    pub fn last_strategy(&self) -> Option<DenseStrategy> {
        self.strategy
    }

    /// How many rows the last walk over a graph scored; none before the first.
    pub fn last_walked(&self) -> usize {
        self.beam.walked()
    }

    /// What the last search in cells did; nothing before the first.
    pub fn last_work(&self) -> CellsWork {
        self.cells.work()
    }
}
