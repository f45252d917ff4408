//! The two inner loops of a row's solve, over rows of one length that is a multiple of [`LANES`].
//!
//! They work on four rows at a time: a chunk of the shared vector is loaded once for four
//! multiply-adds, and the four sums hide one another's latency. `pulp` picks the machine's
//! instructions once for a whole block of rows to solve, so that nothing is dispatched in here.

use pulp::Simd;

/// Vectors are padded with zeros to a multiple of this: the widest register of f32 that there is.
pub(super) const LANES: usize = 16;

/// The padded length of vectors of this rank.
pub(super) fn padded(rank: usize) -> usize {
    rank.next_multiple_of(LANES)
}

/// Rows that a kernel handles together.
const BLOCK: usize = 4;

/// The inner product of two vectors.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, _) = S::as_simd_f32s(a);
    let (b, _) = S::as_simd_f32s(b);
    let mut sums = [simd.splat_f32s(0.0); 2];
    for (n, (&a, &b)) in a.iter().zip(b).enumerate() {
        sums[n & 1] = simd.mul_add_e_f32s(a, b, sums[n & 1]);
    }
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))
}

/// `y += scale · x`
#[inline(always)]
pub(super) fn add_scaled<S: Simd>(simd: S, scale: f32, x: &[f32], y: &mut [f32]) {
    let scale = simd.splat_f32s(scale);
    let (x, _) = S::as_simd_f32s(x);
    let (y, _) = S::as_mut_simd_f32s(y);
    for (&x, y) in x.iter().zip(y) {
        *y = simd.mul_add_e_f32s(scale, x, *y);
    }
}

/// `y = x + scale · y`
#[inline(always)]
pub(super) fn scale_and_add<S: Simd>(simd: S, scale: f32, x: &[f32], y: &mut [f32]) {
    let scale = simd.splat_f32s(scale);
    let (x, _) = S::as_simd_f32s(x);
    let (y, _) = S::as_mut_simd_f32s(y);
    for (&x, y) in x.iter().zip(y) {
        *y = simd.mul_add_e_f32s(scale, *y, x);
    }
}

/// `out += Σ_r scale(r) · row_r`, rows × length in `rows`.
#[inline(always)]
pub(super) fn add_rows<S: Simd>(
    simd: S,
    rows: &[f32],
    out: &mut [f32],
    scale: impl Fn(usize) -> f32,
) {
    let length = out.len();
    let mut blocks = rows.chunks_exact(BLOCK * length);
    let mut row = 0;
    for block in &mut blocks {
        let scales = [scale(row), scale(row + 1), scale(row + 2), scale(row + 3)];
        add_block(simd, block, scales, out);
        row += BLOCK;
    }
    for rest in blocks.remainder().chunks_exact(length) {
        add_scaled(simd, scale(row), rest, out);
        row += 1;
    }
}

/// `out += Σ_r scale(r, ⟨row_r, x⟩) · row_r`: the product of `x` with a weighted Gram matrix that is
/// never formed (Takács, Pilászy and Tikk 2011, section 3), rows × length in `rows`.
#[inline(always)]
pub(super) fn add_gram_product<S: Simd>(
    simd: S,
    rows: &[f32],
    x: &[f32],
    out: &mut [f32],
    scale: impl Fn(usize, f32) -> f32,
) {
    let length = out.len();
    let mut blocks = rows.chunks_exact(BLOCK * length);
    let mut row = 0;
    for block in &mut blocks {
        let dots = dot_block(simd, block, x);
        let scales = [
            scale(row, dots[0]),
            scale(row + 1, dots[1]),
            scale(row + 2, dots[2]),
            scale(row + 3, dots[3]),
        ];
        add_block(simd, block, scales, out);
        row += BLOCK;
    }
    for rest in blocks.remainder().chunks_exact(length) {
        add_scaled(simd, scale(row, dot(simd, rest, x)), rest, out);
        row += 1;
    }
}

/// The inner products of four rows with `x`.
#[inline(always)]
fn dot_block<S: Simd>(simd: S, block: &[f32], x: &[f32]) -> [f32; BLOCK] {
    let (x, _) = S::as_simd_f32s(x);
    let [a, b, c, d] = split::<S>(block, x.len());
    let mut sums = [simd.splat_f32s(0.0); BLOCK];
    for n in 0..x.len() {
        sums[0] = simd.mul_add_e_f32s(a[n], x[n], sums[0]);
        sums[1] = simd.mul_add_e_f32s(b[n], x[n], sums[1]);
        sums[2] = simd.mul_add_e_f32s(c[n], x[n], sums[2]);
        sums[3] = simd.mul_add_e_f32s(d[n], x[n], sums[3]);
    }
    sums.map(|sum| simd.reduce_sum_f32s(sum))
}

/// `out += Σ scales_r · row_r` of four rows.
#[inline(always)]
fn add_block<S: Simd>(simd: S, block: &[f32], scales: [f32; BLOCK], out: &mut [f32]) {
    let (out, _) = S::as_mut_simd_f32s(out);
    let [a, b, c, d] = split::<S>(block, out.len());
    let scales = scales.map(|scale| simd.splat_f32s(scale));
    for n in 0..out.len() {
        let left =
            simd.mul_add_e_f32s(scales[1], b[n], simd.mul_add_e_f32s(scales[0], a[n], out[n]));
        out[n] = simd.mul_add_e_f32s(scales[3], d[n], simd.mul_add_e_f32s(scales[2], c[n], left));
    }
}

/// Four rows of a block as registers, each exactly `length` long, so that loops need no bounds checks.
#[inline(always)]
fn split<S: Simd>(block: &[f32], length: usize) -> [&[S::f32s]; BLOCK] {
    let (block, _) = S::as_simd_f32s(block);
    let (a, rest) = block.split_at(length);
    let (b, rest) = rest.split_at(length);
    let (c, rest) = rest.split_at(length);
    [a, b, c, &rest[..length]]
}
