//! The kernels for 64-bit ARM.

use super::constants::LANES;
use std::arch::aarch64::*;

/// Registers that hold one block of [`LANES`] values.
const PARTS: usize = LANES / 4;

/// # Safety
/// The machine has NEON, and the lengths are equal.
#[target_feature(enable = "neon")]
#[inline]
pub(super) unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [vdupq_n_f32(0.0); PARTS];
    let (blocks_a, tail_a) = a.as_chunks::<LANES>();
    let (blocks_b, tail_b) = b.as_chunks::<LANES>();
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        accumulate(&mut sums, x, y);
    }
    if !tail_a.is_empty() {
        let (mut x, mut y) = ([0f32; LANES], [0f32; LANES]);
        x[..tail_a.len()].copy_from_slice(tail_a);
        y[..tail_b.len()].copy_from_slice(tail_b);
        accumulate(&mut sums, &x, &y);
    }
    let mut width = PARTS / 2;
    while width > 0 {
        for part in 0..width {
            sums[part] = vaddq_f32(sums[part], sums[part + width]);
        }
        width /= 2;
    }
    let two = vadd_f32(vget_low_f32(sums[0]), vget_high_f32(sums[0]));
    vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
}

#[target_feature(enable = "neon")]
#[inline]
fn accumulate(sums: &mut [float32x4_t; PARTS], x: &[f32; LANES], y: &[f32; LANES]) {
    for (part, sum) in sums.iter_mut().enumerate() {
        // SAFETY: part < PARTS, so the four values lie within the block.
        let (x, y) =
            unsafe { (vld1q_f32(x.as_ptr().add(4 * part)), vld1q_f32(y.as_ptr().add(4 * part))) };
        *sum = vfmaq_f32(*sum, x, y);
    }
}

/// # Safety
/// The machine has NEON, and the lengths are equal.
#[target_feature(enable = "neon")]
pub(super) unsafe fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    // Fused multiply-add is part of the base instruction set: the plain loop vectorises.
    super::portable::axpy(alpha, x, y);
}

/// # Safety
/// The machine has NEON, and `rows` is `out.len() × query.len()` long.
#[target_feature(enable = "neon")]
pub(super) unsafe fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        // SAFETY: the machine has NEON, and the chunk has the query's length.
        *out = unsafe { dot(query, row) };
    }
}

/// # Safety
/// The machine has NEON, and every id is a row of the matrix.
#[target_feature(enable = "neon")]
pub(super) unsafe fn dot_gather(query: &[f32], matrix: &[f32], ids: &[u32], out: &mut [f32]) {
    let rank = query.len();
    for (&id, out) in ids.iter().zip(out) {
        let row = &matrix[id as usize * rank..][..rank];
        // SAFETY: the machine has NEON, and the row has the query's length.
        *out = unsafe { dot(query, row) };
    }
}
