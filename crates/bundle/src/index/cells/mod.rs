//! Building cells and measuring them: what [`crate::matrix::cells`] draws.
//!
//! Rows are grouped by direction with spherical k-means, trained on a sample; each column's code
//! levels are trained on what the groups' means leave over; and then the cheapest effort that
//! reaches the recall asked for is looked for. All of it gives the same bytes for any number of
//! threads: sums over rows are made in one order.
//!
//! What is deliberately missing: rotating the columns (factors are trained with no preferred axes) and
//! codes that look at several columns together (they'd need fewer bits, but more of the rows to be
//! re-scored, which costs more than it saves).

mod audit;
mod build;

use super::queries::Queries;
use crate::manifest::CellsInfo;
use crate::matrix::cells::CellsParts;
use crate::matrix::dense::DenseView;
use crate::matrix::tuning::Tuning;
use crate::options::IndexOptions;

/// Cells that can be written.
pub(crate) struct BuiltCells {
    pub(crate) parts: CellsParts,
    pub(crate) tuning: Tuning,
    pub(crate) info: CellsInfo,
}

/// Builds and measures cells over these rows; none if some rows are too long or too short for them.
pub(super) fn build(
    dense: DenseView<'_>,
    options: &IndexOptions,
    queries: &Queries,
    on_rows: &(dyn Fn(u64) + Sync),
) -> Option<BuiltCells> {
    let Some(parts) = build::build_cells(dense.values, dense.rank, options.seed, on_rows) else {
        tracing::warn!(rows = dense.rows(), "rows are too unlike in length for cells: no index");
        return None;
    };
    let audit::Audited { tuning, info } =
        audit::audit(&parts, dense, queries, options.target_recall);
    Some(BuiltCells { parts, tuning, info })
}
