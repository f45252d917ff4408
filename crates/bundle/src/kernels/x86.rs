//! The kernels for x86-64: AVX2 with FMA, and AVX-512.

/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines of a row that are fetched ahead; the hardware follows a sequence by itself after them.
const PREFETCH_LINES: usize = 8;
/// How many rows ahead of the one in hand are fetched.
const PREFETCH_ROWS: usize = 4;

/// Prefetches the first cache lines of some memory.
#[inline(always)]
pub(super) fn prefetch(start: *const i8, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in 0..bytes.div_ceil(LINE).min(PREFETCH_LINES) {
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE)) };
    }
}

/// The functions that are the same for every register width: loops around the set's own `dot`.
macro_rules! loops {
    ($features:literal) => {
        /// # Safety
        /// The machine has the instructions and `rows` is `out.len() × query.len()` long.
        #[target_feature(enable = $features)]
        pub(in crate::kernels) unsafe fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
            for (row, out) in rows.chunks_exact(query.len()).zip(out) {
                // SAFETY: the machine has the instructions, and the chunk has the query's length.
                *out = unsafe { dot(query, row) };
            }
        }

        /// # Safety
        /// The machine has the instructions and every id is a row of the matrix.
        #[target_feature(enable = $features)]
        pub(in crate::kernels) unsafe fn dot_gather(
            query: &[f32],
            matrix: &[f32],
            ids: &[u32],
            out: &mut [f32],
        ) {
            let rank = query.len();
            let start = matrix.as_ptr();
            for &id in ids.iter().take(super::PREFETCH_ROWS) {
                super::prefetch(start.wrapping_add(id as usize * rank).cast(), 4 * rank);
            }
            for (at, (&id, out)) in ids.iter().zip(out).enumerate() {
                if let Some(&ahead) = ids.get(at + super::PREFETCH_ROWS) {
                    super::prefetch(start.wrapping_add(ahead as usize * rank).cast(), 4 * rank);
                }
                let row = &matrix[id as usize * rank..][..rank];
                // SAFETY: the machine has the instructions, and the row has the query's length.
                *out = unsafe { dot(query, row) };
            }
        }
    };
}

pub(super) mod avx2 {
    use std::arch::x86_64::*;

    /// Eight set words, then eight clear ones: a window of it masks the first n lanes.
    static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    /// # Safety
    /// The machine has AVX2 and FMA, and the lengths are equal.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(in crate::kernels) unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
        let (x, y, length) = (a.as_ptr(), b.as_ptr(), a.len());
        let mut sums = [_mm256_setzero_ps(); 4];
        let whole = length - length % crate::kernels::constants::LANES;
        let mut at = 0;
        while at < whole {
            for (part, sum) in sums.iter_mut().enumerate() {
                // SAFETY: at + 32 ≤ length, so all four loads of eight are within both slices.
                let (x, y) = unsafe {
                    (_mm256_loadu_ps(x.add(at + 8 * part)), _mm256_loadu_ps(y.add(at + 8 * part)))
                };
                *sum = _mm256_fmadd_ps(x, y, *sum);
            }
            at += crate::kernels::constants::LANES;
        }
        if at < length {
            for (part, sum) in sums.iter_mut().enumerate() {
                let from = (at + 8 * part).min(length);
                let lanes = (length - from).min(8);
                // SAFETY: the mask's window lies within its 16 words; masked-off lanes are not
                // read, and the `lanes` others lie within both slices.
                let (x, y) = unsafe {
                    let mask = _mm256_loadu_si256(MASK.as_ptr().add(8 - lanes).cast());
                    (_mm256_maskload_ps(x.add(from), mask), _mm256_maskload_ps(y.add(from), mask))
                };
                *sum = _mm256_fmadd_ps(x, y, *sum);
            }
        }
        let [a, b, c, d] = sums;
        fold(_mm256_add_ps(_mm256_add_ps(a, c), _mm256_add_ps(b, d)))
    }

    /// The sum of eight lanes, folded in halves.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn fold(eight: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
        _mm_cvtss_f32(one)
    }

    /// # Safety
    /// The machine has AVX2 and FMA, and the lengths are equal.
    #[target_feature(enable = "avx2,fma")]
    pub(in crate::kernels) unsafe fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
        let factor = _mm256_set1_ps(alpha);
        let (blocks, tail) = y.as_chunks_mut::<8>();
        let (blocks_x, tail_x) = x.as_chunks::<8>();
        for (y, x) in blocks.iter_mut().zip(blocks_x) {
            // SAFETY: both are exactly eight values.
            unsafe {
                let sum = _mm256_fmadd_ps(
                    factor,
                    _mm256_loadu_ps(x.as_ptr()),
                    _mm256_loadu_ps(y.as_ptr()),
                );
                _mm256_storeu_ps(y.as_mut_ptr(), sum);
            }
        }
        for (y, &x) in tail.iter_mut().zip(tail_x) {
            *y = alpha.mul_add(x, *y);
        }
    }

    loops!("avx2,fma");
}

pub(super) mod avx512 {
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX-512F, AVX2 and FMA, and the lengths are equal.
    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline]
    pub(in crate::kernels) unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
        let (x, y, length) = (a.as_ptr(), b.as_ptr(), a.len());
        let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        let whole = length - length % crate::kernels::constants::LANES;
        let mut at = 0;
        while at < whole {
            // SAFETY: at + 32 ≤ length, so both loads of sixteen are within both slices.
            unsafe {
                let (x, y) = (x.add(at), y.add(at));
                low = _mm512_fmadd_ps(_mm512_loadu_ps(x), _mm512_loadu_ps(y), low);
                high =
                    _mm512_fmadd_ps(_mm512_loadu_ps(x.add(16)), _mm512_loadu_ps(y.add(16)), high);
            }
            at += crate::kernels::constants::LANES;
        }
        if at < length {
            let left = length - at;
            let mask = |lanes: usize| ((1u32 << lanes.min(16)) - 1) as __mmask16;
            let (first, second) = (mask(left), mask(left.saturating_sub(16)));
            // SAFETY: masked-off lanes are not read, and the others lie within both slices; the
            // second address is only formed, by wrapping_add, where it may lie beyond the end.
            unsafe {
                let (x, y) = (x.add(at), y.add(at));
                low = _mm512_fmadd_ps(
                    _mm512_maskz_loadu_ps(first, x),
                    _mm512_maskz_loadu_ps(first, y),
                    low,
                );
                high = _mm512_fmadd_ps(
                    _mm512_maskz_loadu_ps(second, x.wrapping_add(16)),
                    _mm512_maskz_loadu_ps(second, y.wrapping_add(16)),
                    high,
                );
            }
        }
        let sixteen = _mm512_add_ps(low, high);
        let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sixteen)));
        super::avx2::fold(_mm256_add_ps(_mm512_castps512_ps256(sixteen), upper))
    }

    /// # Safety
    /// The machine has AVX-512F, AVX2 and FMA, and the lengths are equal.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(in crate::kernels) unsafe fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
        let factor = _mm512_set1_ps(alpha);
        let (blocks, tail) = y.as_chunks_mut::<16>();
        let (blocks_x, tail_x) = x.as_chunks::<16>();
        for (y, x) in blocks.iter_mut().zip(blocks_x) {
            // SAFETY: both are exactly sixteen values.
            unsafe {
                let sum = _mm512_fmadd_ps(
                    factor,
                    _mm512_loadu_ps(x.as_ptr()),
                    _mm512_loadu_ps(y.as_ptr()),
                );
                _mm512_storeu_ps(y.as_mut_ptr(), sum);
            }
        }
        for (y, &x) in tail.iter_mut().zip(tail_x) {
            *y = alpha.mul_add(x, *y);
        }
    }

    loops!("avx512f,avx2,fma");
}
