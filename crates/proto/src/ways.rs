//! What the ways of searching are called wherever people read of them.

use crate::shard::v1::SearchWay;

impl SearchWay {
    /// Its name in explanations and metrics; none for the unspecified one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Unspecified => None,
            Self::Scan => Some("scan"),
            Self::Cells => Some("cells"),
            Self::ExactCells => Some("exact_cells"),
            Self::Graph => Some("graph"),
            Self::RowSum => Some("row_sum"),
        }
    }
}
