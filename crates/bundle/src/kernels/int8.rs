//! Inner products of a query in 16 bits with rows in 8 bits: whole numbers, the same everywhere.

use super::detect::{InstructionSet, instruction_set};
use super::prefetch::prefetch;

/// The greatest number a query may hold so that no inner product over `rank` columns leaves `i32`.
pub fn largest_query_value(rank: usize) -> i16 {
    let largest = i32::MAX as usize / (i8::MAX as usize * rank.max(1));
    largest.min(i16::MAX as usize) as i16
}

/// `out[i] ← ⟨query, row ids[i]⟩` of a row-major matrix of `query.len()` columns, prefetching ahead.
/// With values beyond [`largest_query_value`], or a row value of -128, sums may wrap around.
///
/// # Panics
/// If the lengths of `ids` and `out` differ, or an id is no row of the matrix.
#[inline]
pub fn dot_gather_int8(query: &[i16], matrix: &[i8], ids: &[u32], out: &mut [i32]) {
    assert_eq!(ids.len(), out.len(), "one product for each id");
    let rank = query.len();
    for (at, (&id, out)) in ids.iter().zip(out).enumerate() {
        if let Some(&ahead) = ids.get(at + PREFETCH_ROWS)
            && let Some(row) = matrix.get(ahead as usize * rank..)
        {
            prefetch(&row[..rank.min(row.len())]);
        }
        *out = dot_int8(query, &matrix[id as usize * rank..][..rank]);
    }
}

/// How many rows ahead of the one in hand are fetched.
const PREFETCH_ROWS: usize = 4;

/// The inner product of a query with one row.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn dot_int8(query: &[i16], row: &[i8]) -> i32 {
    assert_eq!(query.len(), row.len(), "an inner product needs vectors of one length");
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set was detected, and the lengths are equal.
        InstructionSet::Avx512 => unsafe { avx512::dot_int8(query, row) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::Avx2 => unsafe { avx2::dot_int8(query, row) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        InstructionSet::Neon => unsafe { neon::dot_int8(query, row) },
        _ => portable(query, row),
    }
}

/// The definition, in plain Rust.
pub(super) fn portable(query: &[i16], row: &[i8]) -> i32 {
    let products = query.iter().zip(row).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.fold(0, i32::wrapping_add)
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    /// Columns that are multiplied at a time.
    const STEP: usize = 16;

    /// # Safety
    /// The machine has AVX2, and the lengths are equal.
    #[target_feature(enable = "avx2")]
    pub(in crate::kernels) unsafe fn dot_int8(query: &[i16], row: &[i8]) -> i32 {
        let (queries, query_tail) = query.as_chunks::<STEP>();
        let (rows, row_tail) = row.as_chunks::<STEP>();
        let mut sums = [_mm256_setzero_si256(); 2];
        for (at, (query, row)) in queries.iter().zip(rows).enumerate() {
            // SAFETY: 16 numbers of 16 bits, and 16 of 8 bits.
            let (query, row) = unsafe {
                (_mm256_loadu_si256(query.as_ptr().cast()), _mm_loadu_si128(row.as_ptr().cast()))
            };
            let products = _mm256_madd_epi16(query, _mm256_cvtepi8_epi16(row));
            sums[at % 2] = _mm256_add_epi32(sums[at % 2], products);
        }
        let eight = _mm256_add_epi32(sums[0], sums[1]);
        let four =
            _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b_11_10_11_10>(four));
        let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b_01_01_01_01>(two));
        _mm_cvtsi128_si32(one).wrapping_add(super::portable(query_tail, row_tail))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    /// Columns that are multiplied at a time.
    const STEP: usize = 32;

    /// # Safety
    /// The machine has AVX-512F, AVX-512BW and AVX2, and the lengths are equal.
    #[target_feature(enable = "avx512f,avx512bw,avx2")]
    pub(in crate::kernels) unsafe fn dot_int8(query: &[i16], row: &[i8]) -> i32 {
        let (queries, query_tail) = query.as_chunks::<STEP>();
        let (rows, row_tail) = row.as_chunks::<STEP>();
        let mut sums = [_mm512_setzero_si512(); 2];
        for (at, (query, row)) in queries.iter().zip(rows).enumerate() {
            // SAFETY: 32 numbers of 16 bits, and 32 of 8 bits.
            let (query, row) = unsafe {
                (_mm512_loadu_si512(query.as_ptr().cast()), _mm256_loadu_si256(row.as_ptr().cast()))
            };
            let products = _mm512_madd_epi16(query, _mm512_cvtepi8_epi16(row));
            sums[at % 2] = _mm512_add_epi32(sums[at % 2], products);
        }
        let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
        if query_tail.is_empty() {
            return sum;
        }
        // SAFETY: the machine has AVX2, and the tails have one length.
        sum.wrapping_add(unsafe { super::avx2::dot_int8(query_tail, row_tail) })
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod neon {
    use std::arch::aarch64::*;

    /// Columns that are multiplied at a time.
    const STEP: usize = 16;

    /// # Safety
    /// The machine has NEON, and the lengths are equal.
    #[target_feature(enable = "neon")]
    pub(in crate::kernels) unsafe fn dot_int8(query: &[i16], row: &[i8]) -> i32 {
        let (queries, query_tail) = query.as_chunks::<STEP>();
        let (rows, row_tail) = row.as_chunks::<STEP>();
        let mut sums = [vdupq_n_s32(0); 4];
        for (query, row) in queries.iter().zip(rows) {
            // SAFETY: 16 numbers of 16 bits in two halves, and 16 of 8 bits.
            let (first, second, row) = unsafe {
                (
                    vld1q_s16(query.as_ptr()),
                    vld1q_s16(query.as_ptr().add(8)),
                    vld1q_s8(row.as_ptr()),
                )
            };
            let (left, right) = (vmovl_s8(vget_low_s8(row)), vmovl_high_s8(row));
            sums[0] = vmlal_s16(sums[0], vget_low_s16(first), vget_low_s16(left));
            sums[1] = vmlal_high_s16(sums[1], first, left);
            sums[2] = vmlal_s16(sums[2], vget_low_s16(second), vget_low_s16(right));
            sums[3] = vmlal_high_s16(sums[3], second, right);
        }
        let [a, b, c, d] = sums;
        let sum = vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)));
        sum.wrapping_add(super::portable(query_tail, row_tail))
    }
}
