//! Inner products and scaled sums of `f32` vectors, dispatched to the instruction set of the machine.

use super::detect::{InstructionSet, instruction_set};
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;

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
