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
mod int8;
mod keep;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use codes::{BLOCK_PLACES, Scale, best_of_block, code_sums};
pub use int8::{dot_gather_int8, dot_int8, largest_query_value};
pub use keep::keep_at_least;
pub use plain::DOT_LANES;
pub(crate) use plain::{
    compiled_for_each_set, count_at_least, dot_lanes, least_and_greatest, whole_products,
};
use std::sync::atomic::{AtomicU8, Ordering};

/// Interleaved partial sums of an inner product: two AVX-512, four AVX2 or eight NEON registers,
/// enough to hide the latency of a fused multiply-add on all of them.
pub const LANES: usize = 32;

/// The instruction sets that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InstructionSet {
    /// Plain Rust. Slow on a machine without fused multiply-add, correct everywhere.
    Portable = 1,
    /// 256-bit registers with fused multiply-add, of x86-64 since 2013.
    Avx2 = 2,
    /// 512-bit registers of x86-64, with words and bytes in them (AVX-512F and BW): every processor that has
    /// such registers but the first, Knights Landing.
    Avx512 = 3,
    /// 128-bit registers, of every 64-bit ARM.
    Neon = 4,
}

/// Set to `portable` or `avx2`, keeps this process from using wider instructions than these: for measuring
/// them side by side, and for machines whose clock suffers from wide registers.
const NO_WIDER_THAN: &str = "MARQUEE_INSTRUCTIONS";

/// The instruction set that this process uses, detected once.
pub fn instruction_set() -> InstructionSet {
    static DETECTED: AtomicU8 = AtomicU8::new(0);
    match DETECTED.load(Ordering::Relaxed) {
        1 => InstructionSet::Portable,
        2 => InstructionSet::Avx2,
        3 => InstructionSet::Avx512,
        4 => InstructionSet::Neon,
        _ => {
            let detected = detect();
            DETECTED.store(detected as u8, Ordering::Relaxed);
            detected
        }
    }
}

fn detect() -> InstructionSet {
    let no_wider_than = std::env::var(NO_WIDER_THAN).unwrap_or_default();
    if no_wider_than == "portable" {
        return InstructionSet::Portable;
    }
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        if avx2 && avx512 && no_wider_than != "avx2" {
            return InstructionSet::Avx512;
        }
        if avx2 {
            return InstructionSet::Avx2;
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        return InstructionSet::Neon;
    }
    InstructionSet::Portable
}

/// Calls `$function` of the module for the machine's instruction set.
macro_rules! dispatch {
    ($function:ident ( $($argument:expr),* )) => {
        match instruction_set() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set was detected on this very machine, and the lengths were checked.
            InstructionSet::Avx512 => unsafe { x86::avx512::$function($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            InstructionSet::Avx2 => unsafe { x86::avx2::$function($($argument),*) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            InstructionSet::Neon => unsafe { neon::$function($($argument),*) },
            _ => portable::$function($($argument),*),
        }
    };
}

/// The inner product ⟨a, b⟩. Of empty slices it is 0.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "an inner product needs vectors of one length");
    dispatch!(dot(a, b))
}

/// The squared length ⟨a, a⟩.
#[inline]
pub fn squared_norm(a: &[f32]) -> f32 {
    dot(a, a)
}

/// `y ← y + alpha · x`, each element by one fused multiply-add.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "a scaled sum needs vectors of one length");
    dispatch!(axpy(alpha, x, y))
}

/// `y ← alpha · y`.
#[inline]
pub fn scale(alpha: f32, y: &mut [f32]) {
    // One multiplication an element: the compiler vectorises this well, and every width is exact.
    for value in y {
        *value *= alpha;
    }
}

/// `out[i] ← ⟨query, row i⟩` for the contiguous rows `out.len() × query.len()`.
///
/// # Panics
/// If `rows` isn't exactly that long.
#[inline]
pub fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), query.len() * out.len(), "rows must be out.len() × query.len() values");
    if query.is_empty() {
        out.fill(0.0);
        return;
    }
    dispatch!(dot_rows(query, rows, out))
}

/// `out[i] ← ⟨query, row ids[i]⟩` of a row-major matrix of `query.len()` columns, prefetching ahead.
///
/// # Panics
/// If the lengths of `ids` and `out` differ, or an id is no row of the matrix.
#[inline]
pub fn dot_gather(query: &[f32], matrix: &[f32], ids: &[u32], out: &mut [f32]) {
    assert_eq!(ids.len(), out.len(), "one score for each id");
    if query.is_empty() {
        out.fill(0.0);
        return;
    }
    let rows = matrix.len() / query.len();
    for &id in ids {
        assert!((id as usize) < rows, "row {id} of a matrix of {rows} rows");
    }
    dispatch!(dot_gather(query, matrix, ids, out))
}

/// ⟨a, b⟩ in double precision, for the few cases that leave the range of `f32`.
pub fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// Asks for the memory of a slice, so that it is near when it is read soon after. A hint only.
#[inline]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(slice.as_ptr().cast(), size_of_val(slice));
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

#[cfg(test)]
mod tests;
