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
type KernelOverRows = fn(&[f32], &[f32], &mut [f32]);
type Gather = fn(&[f32], &[f32], &[u32], &mut [f32]);

/// Every implementation that this machine can run.
#[allow(clippy::undocumented_unsafe_blocks)] // lints don't see the macro's comment
fn implementations() -> Vec<(&'static str, Dot, Axpy, KernelOverRows, Gather)> {
    let mut all: Vec<(&'static str, Dot, Axpy, KernelOverRows, Gather)> =
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
    #[cfg(target_arch = "aarch64")]
    // SAFETY: every such machine has NEON; the tests keep the lengths.
    all.push((
        "neon",
        |a, b| unsafe { neon::dot(a, b) },
        |alpha, x, y| unsafe { neon::axpy(alpha, x, y) },
        |q, rows, out| unsafe { neon::dot_rows(q, rows, out) },
        |q, m, ids, out| unsafe { neon::dot_gather(q, m, ids, out) },
    ));
    all
}

type CodeSums = fn(&[u8], &[u8], i16, &mut [u16; BLOCK_PLACES]) -> u32;
type Int8 = fn(&[i16], &[i8]) -> i32;

/// The same of the kernels of whole numbers.
#[allow(clippy::undocumented_unsafe_blocks)] // lints don't see the macro's comment
fn whole_number_implementations() -> Vec<(&'static str, CodeSums, Int8)> {
    let mut all: Vec<(&'static str, CodeSums, Int8)> =
        vec![("dispatched", code_sums, dot_int8), ("portable", codes::portable, int8::portable)];
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY of all: added only where the machine has the instructions; the tests keep the lengths.
        macro_rules! add {
            ($set:ident) => {
                all.push((
                    stringify!($set),
                    |codes, tables, limit, sums| unsafe {
                        codes::$set::code_sums(codes, tables, limit, sums)
                    },
                    |query, row| unsafe { int8::$set::dot_int8(query, row) },
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
    #[cfg(target_arch = "aarch64")]
    // SAFETY: every such machine has NEON; the tests keep the lengths.
    all.push((
        "neon",
        |codes, tables, limit, sums| unsafe { codes::neon::code_sums(codes, tables, limit, sums) },
        |query, row| unsafe { int8::neon::dot_int8(query, row) },
    ));
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
fn code_sums_are_sums_of_look_ups() {
    let mut random = Random(13);
    let mut bytes = |length: usize, below: f32| -> Vec<u8> {
        (0..length).map(|_| ((random.next() + 2.0) / 4.0 * below) as u8).collect()
    };
    for rank in (1usize..=130).chain([255, 256, 1_023, 1_024, 1_025]) {
        let length = rank.div_ceil(2) * 32;
        // As large as tables may be at this rank.
        let largest = (i16::MAX as usize / (2 * rank.div_ceil(2))).min(255) as f32;
        let (codes, tables) = (bytes(length, 256.0), bytes(length, largest + 1.0));
        let mut expected = [0; BLOCK_PLACES];
        for (place, sum) in expected.iter_mut().enumerate() {
            for column in 0..2 * rank.div_ceil(2) {
                let byte = codes[16 * column + place % 16];
                let code = if place < 16 { byte & 15 } else { byte >> 4 };
                *sum += u16::from(tables[16 * column + usize::from(code)]);
            }
        }
        for limit in [-1, 0, expected[7] as i16 - 1, expected[7] as i16, i16::MAX] {
            let above = (0..BLOCK_PLACES).filter(|&place| expected[place] as i16 > limit);
            let mask: u32 = above.map(|place| 1 << place).sum();
            for (name, code_sums, _) in whole_number_implementations() {
                let mut sums = [u16::MAX; BLOCK_PLACES];
                let found = code_sums(&codes, &tables, limit, &mut sums);
                assert_eq!((found, sums), (mask, expected), "{name}, rank {rank}");
            }
        }
    }
}

#[test]
fn the_best_of_a_block_are_those_above_the_limit() {
    let mut random = Random(19);
    for rank in [1usize, 7, 64, 65, 128] {
        let mut bytes = |length: usize, below: f32| -> Vec<u8> {
            (0..length).map(|_| ((random.next() + 2.0) / 4.0 * below) as u8).collect()
        };
        let length = rank.div_ceil(2) * 32;
        let (codes, tables) = (bytes(length, 256.0), bytes(length, 200.0));
        let rows: [u32; BLOCK_PLACES] =
            std::array::from_fn(|place| if place % 5 == 3 { NONE } else { 1_000 - place as u32 });
        let mut sums = [0; BLOCK_PLACES];
        codes::portable(&codes, &tables, 0, &mut sums);
        for limit in [-1, sums[4] as i16 - 1, sums[4] as i16, i16::MAX] {
            let scale = Scale { limit, offset: -0.7, factor: 0.013 };
            let expected: Vec<(u32, f32)> = (0..BLOCK_PLACES)
                .filter(|&place| sums[place] as i16 > limit && rows[place] != NONE)
                .map(|place| (rows[place], scale.offset + scale.factor * f32::from(sums[place])))
                .collect();
            for (name, best_of_block) in implementations_of_best() {
                let (mut scores, mut kept) = ([f32::NAN; BLOCK_PLACES], [0; BLOCK_PLACES]);
                let into = (&mut scores, &mut kept);
                let count = best_of_block((&codes, &tables), &rows, scale, into);
                let found: Vec<(u32, f32)> = kept.into_iter().zip(scores).take(count).collect();
                assert_eq!(found, expected, "{name}, rank {rank}, limit {limit}");
            }
        }
    }
}

type BestOfBlock = fn(
    (&[u8], &[u8]),
    &[u32; BLOCK_PLACES],
    Scale,
    (&mut [f32; BLOCK_PLACES], &mut [u32; BLOCK_PLACES]),
) -> usize;

fn implementations_of_best() -> Vec<(&'static str, BestOfBlock)> {
    vec![("dispatched", best_of_block), ("portable", codes::portable_best)]
}

#[test]
fn scores_that_are_too_low_are_left_out() {
    let mut random = Random(23);
    for length in (0..70).chain([1_000]) {
        let mut scores: Vec<f32> = (0..length).map(|_| random.next()).collect();
        if length > 40 {
            scores[40] = f32::NAN;
        }
        let one_of_them = scores.get(5).copied().unwrap_or(0.25);
        for bar in [f32::NEG_INFINITY, -0.5, one_of_them, 1.9, f32::INFINITY, f32::NAN] {
            let expected: Vec<(u32, u32)> = (0u32..)
                .zip(&scores)
                .filter(|(_, score)| **score >= bar)
                .map(|(row, score)| (row, score.to_bits()))
                .collect();
            assert_eq!(count_at_least(&scores, bar), expected.len(), "length {length}");
            for keep in [keep_at_least, select::portable] {
                let (mut some, mut rows) = (scores.clone(), (0..length as u32).collect::<Vec<_>>());
                let kept = keep(&mut some, &mut rows, bar);
                let found: Vec<(u32, u32)> = rows
                    .into_iter()
                    .zip(some)
                    .map(|(row, s)| (row, s.to_bits()))
                    .take(kept)
                    .collect();
                assert_eq!(found, expected, "length {length}, bar {bar}");
            }
        }
        let finite = || scores.iter().copied().filter(|score| score.is_finite());
        let range =
            (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(least_and_greatest(&scores), range, "length {length}");
    }
}

#[test]
fn lanes_are_dots() {
    let mut random = Random(29);
    for rank in [1, 2, 3, 16, 31, 64, 101] {
        let query = random.vector(rank);
        let vectors: Vec<Vec<f32>> = (0..2 * DOT_LANES).map(|_| random.vector(rank)).collect();
        let mut groups = Vec::new();
        for vectors in vectors.chunks(DOT_LANES) {
            for column in 0..rank {
                groups.extend(vectors.iter().map(|vector| vector[column]));
            }
        }
        let mut found = vec![f32::NAN; 2 * DOT_LANES];
        dot_lanes(&query, &groups, &mut found);
        for (vector, found) in vectors.iter().zip(&found) {
            let sum_of = |from: usize| {
                let columns = query.iter().zip(vector).skip(from).step_by(2);
                columns.fold(0f32, |sum, (&q, &v)| q.mul_add(v, sum))
            };
            assert_eq!(*found, sum_of(0) + sum_of(1), "rank {rank}");
            let exact = dot_f64(&query, vector);
            assert!((f64::from(*found) - exact).abs() < 1e-5 * rank as f64, "rank {rank}");
        }
    }
}

#[test]
fn tables_are_products_in_steps() {
    let mut random = Random(31);
    for rank in [1, 5, 64] {
        let query = random.vector(rank);
        let levels: Vec<[f32; 16]> = (0..rank)
            .map(|_| {
                let mut levels: [f32; 16] = std::array::from_fn(|_| random.next());
                levels.sort_by(f32::total_cmp);
                levels
            })
            .collect();
        let products =
            |column: usize| levels[column].map(|level| f64::from(query[column]) * f64::from(level));
        let lowest: Vec<f32> = (0..rank)
            .map(|column| products(column).into_iter().fold(f64::INFINITY, f64::min) as f32)
            .collect();
        let mut tables = vec![[0; 16]; rank];
        whole_products(&query, &levels, &lowest, 20.0, 50.0, &mut tables);
        for (column, table) in tables.iter().enumerate() {
            for (entry, product) in table.iter().zip(products(column)) {
                let steps = ((product - f64::from(lowest[column])) * 20.0).min(50.0);
                assert!((f64::from(*entry) - steps).abs() < 0.5001, "{entry} for {steps}");
            }
        }
    }
}

#[test]
fn products_in_whole_numbers_are_equal() {
    let mut random = Random(17);
    for rank in 0..=1025 {
        let largest = f32::from(largest_query_value(rank));
        let query: Vec<i16> = (0..rank).map(|_| (random.next() / 2.0 * largest) as i16).collect();
        let rows: Vec<i8> = (0..3 * rank).map(|_| (random.next() / 2.0 * 127.0) as i8).collect();
        let expected: Vec<i32> = [2, 0, 1]
            .map(|row: usize| int8::portable(&query, &rows[row * rank..][..rank]))
            .to_vec();
        for (name, _, dot_int8) in whole_number_implementations() {
            assert_eq!(dot_int8(&query, &rows[2 * rank..]), expected[0], "{name}, rank {rank}");
        }
        let mut found = [0; 3];
        dot_gather_int8(&query, &rows, &[2, 0, 1], &mut found);
        assert_eq!(found.to_vec(), expected, "rank {rank}");
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
