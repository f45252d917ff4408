//! Selecting scores that are high enough, and the rows that belong to them.

use super::detect::{InstructionSet, instruction_set};

/// Moves the scores that are at least `bar` to the front, in order, and their rows with them;
/// returns how many they are. What is behind them is undefined.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn keep_at_least(scores: &mut [f32], rows: &mut [u32], bar: f32) -> usize {
    assert_eq!(scores.len(), rows.len(), "a row for each score");
    #[cfg(target_arch = "x86_64")]
    if instruction_set() == InstructionSet::Avx512 {
        // SAFETY: the set was detected, and the lengths are equal.
        return unsafe { avx512::keep_at_least(scores, rows, bar) };
    }
    portable(scores, rows, bar)
}

/// The definition, in plain Rust.
pub(super) fn portable(scores: &mut [f32], rows: &mut [u32], bar: f32) -> usize {
    let mut kept = 0;
    for at in 0..scores.len() {
        let (score, row) = (scores[at], rows[at]);
        scores[kept] = score;
        rows[kept] = row;
        kept += usize::from(score >= bar);
    }
    kept
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    /// Scores of one register.
    const LANES: usize = 16;

    /// # Safety
    /// The machine has AVX-512F, and the lengths are equal.
    #[target_feature(enable = "avx512f,popcnt")]
    pub(in crate::kernels) unsafe fn keep_at_least(
        scores: &mut [f32],
        rows: &mut [u32],
        bar: f32,
    ) -> usize {
        let bars = _mm512_set1_ps(bar);
        let (from_scores, from_rows) = (scores.as_mut_ptr(), rows.as_mut_ptr());
        let mut kept = 0;
        for at in (0..scores.len()).step_by(LANES) {
            let here = (scores.len() - at).min(LANES);
            let there = ((1u32 << here) - 1) as __mmask16;
            // SAFETY: `here` numbers from `at` on are within both slices, and others are not read.
            // As no more were kept than read, `count` numbers from `kept` on are so, too, and were
            // all read.
            unsafe {
                let some = _mm512_maskz_loadu_ps(there, from_scores.add(at));
                let their = _mm512_maskz_loadu_epi32(there, from_rows.add(at).cast());
                let good = _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(there, some, bars);
                let count = good.count_ones() as usize;
                let first = ((1u32 << count) - 1) as __mmask16;
                let some = _mm512_maskz_compress_ps(good, some);
                let their = _mm512_maskz_compress_epi32(good, their);
                _mm512_mask_storeu_ps(from_scores.add(kept), first, some);
                _mm512_mask_storeu_epi32(from_rows.add(kept).cast(), first, their);
                kept += count;
            }
        }
        kept
    }
}
