//! The vector arithmetic that everything hot is made of: inner products and scaled sums of `f32`, and
//! sums of table look-ups ([`code_sums`], [`best_of_block`]).
//!
//! Every function picks the widest instructions of the machine at run time (AVX-512, AVX2 with FMA,
//! NEON) and falls back to portable code. **All of them give the same bits**: an inner product is
//! summed in [`LANES`] interleaved partial sums with fused multiply-add, which are then folded in
//! halves, and every implementation keeps to that order. So replicas on unlike machines give equal
//! scores, merges stay deterministic, and a test on one machine speaks for all.
//!
//! On x86-64 the tests run the forms for ARM with qemu-user and a cross compiler:
//!
//! ```sh
//! rustup target add aarch64-unknown-linux-gnu
//! export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
//! export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
//! cargo test -p marquee-bundle --lib --target aarch64-unknown-linux-gnu kernels
//! ```
//!
//! What is deliberately missing: matrix products and decompositions (a linear-algebra library's
//! business) and anything that allocates.

mod codes;
mod constants;
pub(crate) mod detect;
mod int8;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
mod portable;
mod prefetch;
mod select;
#[cfg(test)]
mod tests;
mod vectors;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use codes::{BLOCK_PLACES, Scale, best_of_block, code_sums};
pub use constants::LANES;
pub(crate) use constants::{LEVELS, NONE};
pub use detect::{InstructionSet, instruction_set};
pub use int8::{dot_gather_int8, dot_int8, largest_query_value};
pub use plain::DOT_LANES;
pub(crate) use plain::{
    compiled_for_each_set, count_at_least, dot_lanes, least_and_greatest, whole_products,
};
pub(crate) use prefetch::prefetch;
pub use select::keep_at_least;
pub use vectors::{axpy, dot, dot_f64, dot_gather, dot_rows, scale, squared_norm};
