//! The kernels in plain Rust: the definition that the others must match bit for bit.

use super::constants::LANES;

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (blocks_a, tail_a) = a.as_chunks::<LANES>();
    let (blocks_b, tail_b) = b.as_chunks::<LANES>();
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        accumulate(&mut sums, x, y);
    }
    if !tail_a.is_empty() {
        // The tail counts as padded with zeros, as masked loads see it.
        let (mut x, mut y) = ([0f32; LANES], [0f32; LANES]);
        x[..tail_a.len()].copy_from_slice(tail_a);
        y[..tail_b.len()].copy_from_slice(tail_b);
        accumulate(&mut sums, &x, &y);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline]
fn accumulate(sums: &mut [f32; LANES], x: &[f32; LANES], y: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] = x[lane].mul_add(y[lane], sums[lane]);
    }
}

pub(super) fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = alpha.mul_add(x, *y);
    }
}

pub(super) fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = dot(query, row);
    }
}

pub(super) fn dot_gather(query: &[f32], matrix: &[f32], ids: &[u32], out: &mut [f32]) {
    let rank = query.len();
    for (&id, out) in ids.iter().zip(out) {
        let start = id as usize * rank;
        *out = dot(query, &matrix[start..start + rank]);
    }
}
