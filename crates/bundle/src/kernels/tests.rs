//! Every implementation against the portable one, bit for bit, at odd lengths too.

use super::*;

/// A small generator of our own, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 4.0
    }

    fn vector(&mut self, length: usize) -> Vec<f32> {
        (0..length).map(|_| self.next()).collect()
    }
}

type Dot = fn(&[f32], &[f32]) -> f32;
type Axpy = fn(f32, &[f32], &mut [f32]);
type Rows = fn(&[f32], &[f32], &mut [f32]);
type Gather = fn(&[f32], &[f32], &[u32], &mut [f32]);

/// Every implementation that this machine can run.
#[allow(clippy::undocumented_unsafe_blocks)] // lints don't see the macro's comment
fn implementations() -> Vec<(&'static str, Dot, Axpy, Rows, Gather)> {
    let mut all: Vec<(&'static str, Dot, Axpy, Rows, Gather)> =
        vec![("dispatched", dot, axpy, dot_rows, dot_gather)];
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY of all: added only where the machine has the instructions; the tests keep the lengths.
        macro_rules! add {
            ($set:ident) => {
                all.push((
                    stringify!($set),
                    |a, b| unsafe { x86::$set::dot(a, b) },
                    |alpha, x, y| unsafe { x86::$set::axpy(alpha, x, y) },
                    |q, rows, out| unsafe { x86::$set::dot_rows(q, rows, out) },
                    |q, m, ids, out| unsafe { x86::$set::dot_gather(q, m, ids, out) },
                ))
            };
        }
        if matches!(instruction_set(), InstructionSet::Avx2 | InstructionSet::Avx512) {
            add!(avx2);
        }
        if instruction_set() == InstructionSet::Avx512 {
            add!(avx512);
        }
    }
    all
}

#[test]
fn every_set_gives_the_same_bits() {
    let mut random = Random(7);
    for length in 0..=1025 {
        let (a, b) = (random.vector(length), random.vector(length));
        let (expected, alpha) = (portable::dot(&a, &b), random.next());
        let mut sum = b.clone();
        portable::axpy(alpha, &a, &mut sum);
        for (name, dot, axpy, _, _) in implementations() {
            assert_eq!(dot(&a, &b).to_bits(), expected.to_bits(), "{name}, length {length}");
            let mut y = b.clone();
            axpy(alpha, &a, &mut y);
            assert_eq!(y, sum, "{name}, length {length}");
        }
        let exact = dot_f64(&a, &b);
        let bound = 1e-6 * (1.0 + length as f64);
        assert!((f64::from(expected) - exact).abs() < bound, "length {length}: {expected} {exact}");
    }
}

#[test]
fn rows_and_gathers_are_dots() {
    let mut random = Random(11);
    for rank in [1, 3, 8, 16, 31, 32, 33, 64, 100, 129] {
        let rows = 23;
        let (query, matrix) = (random.vector(rank), random.vector(rows * rank));
        let expected: Vec<f32> =
            matrix.chunks_exact(rank).map(|row| portable::dot(&query, row)).collect();
        let ids: Vec<u32> = (0..50).map(|i| (i * 7 % rows) as u32).collect();
        for (name, _, _, dot_rows, dot_gather) in implementations() {
            let mut out = vec![f32::NAN; rows];
            dot_rows(&query, &matrix, &mut out);
            assert_eq!(out, expected, "{name}, rank {rank}");
            let mut out = vec![f32::NAN; ids.len()];
            dot_gather(&query, &matrix, &ids, &mut out);
            let gathered: Vec<f32> = ids.iter().map(|&id| expected[id as usize]).collect();
            assert_eq!(out, gathered, "{name}, rank {rank}");
        }
    }
}

#[test]
fn extremes_are_not_hidden() {
    assert_eq!(dot(&[], &[]), 0.0);
    assert_eq!(dot(&[f32::MAX], &[2.0]), f32::INFINITY);
    assert!(dot(&[f32::NAN, 0.0], &[1.0, 1.0]).is_nan());
    let mut out = [1.0f32; 3];
    dot_rows(&[], &[], &mut out);
    assert_eq!(out, [0.0; 3]);
}

#[test]
#[should_panic(expected = "one length")]
fn unequal_lengths_are_a_bug() {
    dot(&[1.0], &[1.0, 2.0]);
}

#[test]
#[should_panic(expected = "row 2 of a matrix of 2 rows")]
fn rows_beyond_the_matrix_are_a_bug() {
    dot_gather(&[1.0, 2.0], &[0.0; 4], &[2], &mut [0.0]);
}
