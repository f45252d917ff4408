//! Sizes and marks that kernels and the data they work on share.

/// Interleaved partial sums of an inner product: two AVX-512, four AVX2 or eight NEON registers,
/// enough to hide the latency of a fused multiply-add on all of them.
pub const LANES: usize = 32;

/// What a four-bit code can be.
pub(crate) const LEVELS: usize = 16;
/// In place of a row that isn't there, in a block of codes.
pub(crate) const NONE: u32 = u32::MAX;
