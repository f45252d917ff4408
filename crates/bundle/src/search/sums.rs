//! The memory of row-sums.

/// The memory of sums: zeros between searches.
#[derive(Default)]
pub(crate) struct Sums {
    /// One sum a column, in double precision, so that the order of rows hardly matters.
    pub(super) sums: Vec<f64>,
    /// One bit a column: whether any row has an entry there.
    pub(super) touched: Vec<u64>,
}
