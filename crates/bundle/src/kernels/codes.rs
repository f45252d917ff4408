//! Sums of table look-ups by four-bit codes: the inner products of a query with 32 rows at a time.

use super::constants::NONE;
use super::detect::{InstructionSet, instruction_set};

/// Rows of a block of codes.
pub const BLOCK_PLACES: usize = 32;
/// Bytes of the codes, or of the tables, of one pair of columns.
const PAIR_BYTES: usize = 32;

/// `sums[i] ← Σ tables[column][code of row i in that column]` over all columns, for the 32 rows of one
/// block; bit i of what is returned says whether `sums[i] > limit`.
///
/// Codes lie as [`cells`](crate::matrix::cells) draws them. `tables` are 16 bytes a column, and of the same
/// length as the codes. No sum may exceed `i16::MAX`, which is the caller's to see to: beyond it sums
/// are wrong, but nothing else is.
///
/// # Panics
/// If the lengths differ or aren't whole pairs of columns.
#[inline]
pub fn code_sums(codes: &[u8], tables: &[u8], limit: i16, sums: &mut [u16; BLOCK_PLACES]) -> u32 {
    assert_eq!(codes.len(), tables.len(), "one table for each column");
    assert!(codes.len().is_multiple_of(PAIR_BYTES), "columns come in pairs");
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set was detected, and the lengths were checked.
        InstructionSet::Avx512 => unsafe { avx512::code_sums(codes, tables, limit, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::Avx2 => unsafe { avx2::code_sums(codes, tables, limit, sums) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        InstructionSet::Neon => unsafe { neon::code_sums(codes, tables, limit, sums) },
        _ => portable(codes, tables, limit, sums),
    }
}

/// What makes scores of the sums of a block.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Only sums above it matter.
    pub limit: i16,
    /// The score of a sum of 0.
    pub offset: f32,
    /// What a sum of 1 adds to it.
    pub factor: f32,
}

/// Puts the rows of a block whose [`code_sums`] are above the limit, other than [`NONE`], to the front of
/// `kept`, their scores beside them, and returns how many there are. What is behind them is undefined.
///
/// # Panics
/// Where [`code_sums`] panics.
#[inline]
pub fn best_of_block(
    (codes, tables): (&[u8], &[u8]),
    rows: &[u32; BLOCK_PLACES],
    scale: Scale,
    (scores, kept): (&mut [f32; BLOCK_PLACES], &mut [u32; BLOCK_PLACES]),
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if instruction_set() == InstructionSet::Avx512 {
        assert_eq!(codes.len(), tables.len(), "one table for each column");
        assert!(codes.len().is_multiple_of(PAIR_BYTES), "columns come in pairs");
        // SAFETY: the set was detected, and the lengths were checked.
        return unsafe { avx512::best_of_block((codes, tables), rows, scale, (scores, kept)) };
    }
    portable_best((codes, tables), rows, scale, (scores, kept))
}

/// [`best_of_block`] by [`code_sums`].
pub(super) fn portable_best(
    (codes, tables): (&[u8], &[u8]),
    rows: &[u32; BLOCK_PLACES],
    scale: Scale,
    (scores, kept): (&mut [f32; BLOCK_PLACES], &mut [u32; BLOCK_PLACES]),
) -> usize {
    let mut sums = [0; BLOCK_PLACES];
    let mut above = code_sums(codes, tables, scale.limit, &mut sums);
    let mut count = 0;
    while above != 0 {
        let place = above.trailing_zeros() as usize;
        above &= above - 1;
        scores[count] = scale.offset + scale.factor * f32::from(sums[place]);
        kept[count] = rows[place];
        count += usize::from(rows[place] != NONE);
    }
    count
}

/// The definition, in plain Rust.
pub(super) fn portable(
    codes: &[u8],
    tables: &[u8],
    limit: i16,
    sums: &mut [u16; BLOCK_PLACES],
) -> u32 {
    *sums = [0; BLOCK_PLACES];
    let (columns, _) = codes.as_chunks::<16>();
    let (tables, _) = tables.as_chunks::<16>();
    for (column, table) in columns.iter().zip(tables) {
        for (place, &code) in column.iter().enumerate() {
            let (low, high) = (usize::from(code & 15), usize::from(code >> 4));
            sums[place] = sums[place].wrapping_add(table[low].into());
            sums[place + 16] = sums[place + 16].wrapping_add(table[high].into());
        }
    }
    let above = |(place, &sum): (usize, &u16)| u32::from(sum as i16 > limit) << place;
    sums.iter().enumerate().map(above).sum()
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use super::{BLOCK_PLACES, PAIR_BYTES};
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX2, and the lengths are equal and whole pairs.
    #[target_feature(enable = "avx2")]
    pub(in crate::kernels) unsafe fn code_sums(
        codes: &[u8],
        tables: &[u8],
        limit: i16,
        sums: &mut [u16; BLOCK_PLACES],
    ) -> u32 {
        let half = _mm256_set1_epi8(15);
        // Bytes are added in words of two: an even row, and 256 times an odd one, beside the odd one
        // alone, which is taken off at the end. Even columns are in the lower half, odd ones above.
        let mut low = [_mm256_setzero_si256(); 2];
        let mut high = [_mm256_setzero_si256(); 2];
        for (codes, tables) in codes.chunks_exact(PAIR_BYTES).zip(tables.chunks_exact(PAIR_BYTES)) {
            // SAFETY: both are 32 bytes.
            let (codes, tables) = unsafe {
                (
                    _mm256_loadu_si256(codes.as_ptr().cast()),
                    _mm256_loadu_si256(tables.as_ptr().cast()),
                )
            };
            let lower = _mm256_and_si256(codes, half);
            let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), half);
            for (code, [both, odd]) in [(lower, &mut low), (upper, &mut high)] {
                let found = _mm256_shuffle_epi8(tables, code);
                *both = _mm256_add_epi16(*both, found);
                *odd = _mm256_add_epi16(*odd, _mm256_srli_epi16::<8>(found));
            }
        }
        finish(low, high, limit, sums)
    }

    /// Takes the words of the lower and of the upper sixteen rows apart, and compares.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn finish(
        low: [__m256i; 2],
        high: [__m256i; 2],
        limit: i16,
        sums: &mut [u16; BLOCK_PLACES],
    ) -> u32 {
        let limits = _mm256_set1_epi16(limit);
        let mut above = [_mm256_setzero_si256(); 2];
        for (at, words) in [low, high].into_iter().enumerate() {
            let rows = rows(words);
            // SAFETY: sixteen sums from 16 · at on are within the 32.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().add(16 * at).cast(), rows) };
            above[at] = _mm256_cmpgt_epi16(rows, limits);
        }
        let bytes = _mm256_packs_epi16(above[0], above[1]);
        _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(bytes)) as u32
    }

    /// The sums of sixteen rows, in order, of the words of even rows (with 256 times the odd ones) and of
    /// odd ones.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn rows([both, odd]: [__m256i; 2]) -> __m256i {
        let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
        let (even, odd) = (halves(even), halves(odd));
        _mm256_set_m128i(_mm_unpackhi_epi16(even, odd), _mm_unpacklo_epi16(even, odd))
    }

    /// The sum of the two halves: even and odd columns.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn halves(words: __m256i) -> __m128i {
        _mm_add_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use super::{BLOCK_PLACES, NONE, PAIR_BYTES, Scale, avx2};
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX-512F, AVX-512BW and AVX2, and the lengths are equal and whole pairs.
    #[target_feature(enable = "avx512f,avx512bw,avx2")]
    pub(in crate::kernels) unsafe fn code_sums(
        codes: &[u8],
        tables: &[u8],
        limit: i16,
        sums: &mut [u16; BLOCK_PLACES],
    ) -> u32 {
        // SAFETY: as of this function.
        let all = unsafe { summed(codes, tables) };
        // SAFETY: 32 sums of 16 bits.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), all) };
        _mm512_cmpgt_epi16_mask(all, _mm512_set1_epi16(limit))
    }

    /// # Safety
    /// As of [`code_sums`].
    #[target_feature(enable = "avx512f,avx512bw,avx2,popcnt")]
    pub(in crate::kernels) unsafe fn best_of_block(
        (codes, tables): (&[u8], &[u8]),
        rows: &[u32; BLOCK_PLACES],
        scale: Scale,
        (scores, kept): (&mut [f32; BLOCK_PLACES], &mut [u32; BLOCK_PLACES]),
    ) -> usize {
        // SAFETY: as of this function.
        let sums = unsafe { summed(codes, tables) };
        let above = _mm512_cmpgt_epi16_mask(sums, _mm512_set1_epi16(scale.limit));
        if above == 0 {
            return 0;
        }
        let (offset, factor) = (_mm512_set1_ps(scale.offset), _mm512_set1_ps(scale.factor));
        let none = _mm512_set1_epi32(NONE as i32);
        let (low, high) = (_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
        let mut count = 0;
        for (at, sums) in [low, high].into_iter().enumerate() {
            let sums = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(sums));
            // Not fused, as nowhere.
            let scored = _mm512_add_ps(offset, _mm512_mul_ps(factor, sums));
            // SAFETY: sixteen rows from 16 · at on are within the 32.
            let rows = unsafe { _mm512_loadu_si512(rows.as_ptr().add(16 * at).cast()) };
            let there = _mm512_mask_cmpneq_epi32_mask((above >> (16 * at)) as u16, rows, none);
            // SAFETY: at most 16 · at were kept before, so that sixteen more are within the 32.
            unsafe {
                _mm512_storeu_ps(
                    scores.as_mut_ptr().add(count),
                    _mm512_maskz_compress_ps(there, scored),
                );
                _mm512_storeu_si512(
                    kept.as_mut_ptr().add(count).cast(),
                    _mm512_maskz_compress_epi32(there, rows),
                );
            }
            count += there.count_ones() as usize;
        }
        count
    }

    /// The sums of the 32 rows, in order.
    ///
    /// # Safety
    /// As of [`code_sums`].
    #[target_feature(enable = "avx512f,avx512bw,avx2")]
    #[inline]
    unsafe fn summed(codes: &[u8], tables: &[u8]) -> __m512i {
        let half = _mm512_set1_epi8(15);
        // As with AVX2, two pairs of columns at a time.
        let mut low = [_mm512_setzero_si512(); 2];
        let mut high = [_mm512_setzero_si512(); 2];
        let mut add = |codes: __m512i, tables: __m512i| {
            let lower = _mm512_and_si512(codes, half);
            let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), half);
            for (code, [both, odd]) in [(lower, &mut low), (upper, &mut high)] {
                let found = _mm512_shuffle_epi8(tables, code);
                *both = _mm512_add_epi16(*both, found);
                *odd = _mm512_add_epi16(*odd, _mm512_srli_epi16::<8>(found));
            }
        };
        let (whole_codes, codes) = codes.as_chunks::<{ 2 * PAIR_BYTES }>();
        let (whole_tables, tables) = tables.as_chunks::<{ 2 * PAIR_BYTES }>();
        for (codes, tables) in whole_codes.iter().zip(whole_tables) {
            // SAFETY: both are 64 bytes.
            unsafe {
                add(
                    _mm512_loadu_si512(codes.as_ptr().cast()),
                    _mm512_loadu_si512(tables.as_ptr().cast()),
                );
            }
        }
        if !codes.is_empty() {
            // SAFETY: 32 bytes are left of both; zeros look up zeros.
            unsafe {
                add(
                    _mm512_zextsi256_si512(_mm256_loadu_si256(codes.as_ptr().cast())),
                    _mm512_zextsi256_si512(_mm256_loadu_si256(tables.as_ptr().cast())),
                );
            }
        }
        let [low, high] = [low, high].map(|[both, odd]| avx2::rows([halves(both), halves(odd)]));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }

    /// The sum of the two halves: the first pair's and the second's.
    #[target_feature(enable = "avx512f,avx2")]
    #[inline]
    fn halves(words: __m512i) -> __m256i {
        _mm256_add_epi16(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64::<1>(words))
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod neon {
    use super::BLOCK_PLACES;
    use std::arch::aarch64::*;

    /// # Safety
    /// The machine has NEON, and the lengths are equal and whole pairs.
    #[target_feature(enable = "neon")]
    pub(in crate::kernels) unsafe fn code_sums(
        codes: &[u8],
        tables: &[u8],
        limit: i16,
        sums: &mut [u16; BLOCK_PLACES],
    ) -> u32 {
        let half = vdupq_n_u8(15);
        // Eight rows each.
        let mut words = [vdupq_n_u16(0); 4];
        let (columns, _) = codes.as_chunks::<16>();
        let (tables, _) = tables.as_chunks::<16>();
        for (column, table) in columns.iter().zip(tables) {
            // SAFETY: both are 16 bytes.
            let (codes, table) = unsafe { (vld1q_u8(column.as_ptr()), vld1q_u8(table.as_ptr())) };
            let lower = vqtbl1q_u8(table, vandq_u8(codes, half));
            let upper = vqtbl1q_u8(table, vshrq_n_u8::<4>(codes));
            words[0] = vaddw_u8(words[0], vget_low_u8(lower));
            words[1] = vaddw_high_u8(words[1], lower);
            words[2] = vaddw_u8(words[2], vget_low_u8(upper));
            words[3] = vaddw_high_u8(words[3], upper);
        }
        let (limits, places) = (vdupq_n_s16(limit), [1u8, 2, 4, 8, 16, 32, 64, 128]);
        // SAFETY: eight bytes.
        let places = unsafe { vld1_u8(places.as_ptr()) };
        let mut mask = 0;
        for (at, words) in words.into_iter().enumerate() {
            // SAFETY: eight sums from 8 · at on are within the 32.
            unsafe { vst1q_u16(sums.as_mut_ptr().add(8 * at), words) };
            let above = vmovn_u16(vcgtq_s16(vreinterpretq_s16_u16(words), limits));
            mask |= u32::from(vaddv_u8(vand_u8(above, places))) << (8 * at);
        }
        mask
    }
}
