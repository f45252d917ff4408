//! How thorough a search in cells is.

use serde::{Deserialize, Serialize};

/// How thorough a search is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// Standard deviations above the expected score that a row of a cell is given credit for: blocks
    /// that couldn't reach the results even so are left out.
    pub reach: f32,
    /// Rows that are re-scored, in multiples of the results wanted.
    pub pool: f32,
}
