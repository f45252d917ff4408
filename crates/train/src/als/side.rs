//! The factors of users, or of items, as ALS works on them.

/// Factors of one side, rows × stride, padded with zeros.
pub(super) struct Side {
    /// The factors, row-major, rows × stride; what is beyond the rank is 0.
    pub(super) data: Vec<f32>,
    /// Numbers of a row: the rank, rounded up to what kernels handle together.
    pub(super) stride: usize,
}
