//! Search strategies on the wire and in core.

use crate::generated::shard::v1 as wire;
use marquee_core::ranking::strategy::SearchStrategy;

impl From<SearchStrategy> for wire::SearchStrategy {
    fn from(strategy: SearchStrategy) -> Self {
        match strategy {
            SearchStrategy::Scan => Self::Scan,
            SearchStrategy::Cells => Self::Cells,
            SearchStrategy::ExactCells => Self::ExactCells,
            SearchStrategy::Graph => Self::Graph,
            SearchStrategy::RowSum => Self::RowSum,
        }
    }
}

impl wire::SearchStrategy {
    /// The strategy that this number stands for; none for the unspecified one.
    pub fn known(self) -> Option<SearchStrategy> {
        match self {
            Self::Unspecified => None,
            Self::Scan => Some(SearchStrategy::Scan),
            Self::Cells => Some(SearchStrategy::Cells),
            Self::ExactCells => Some(SearchStrategy::ExactCells),
            Self::Graph => Some(SearchStrategy::Graph),
            Self::RowSum => Some(SearchStrategy::RowSum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_comes_back_from_the_wire() {
        for strategy in SearchStrategy::ALL {
            assert_eq!(wire::SearchStrategy::from(strategy).known(), Some(strategy));
        }
        assert_eq!(wire::SearchStrategy::Unspecified.known(), None);
    }
}
