//! The kernels alone: `cargo bench -p marquee-bundle`.
//!
//! Rows that fit the first-level cache show what the instructions cost, rows of a whole catalogue
//! what memory costs; `--example machine` prints what the machine could do at best. Throughput counts
//! the bytes of the rows.

use divan::Bencher;
use divan::counter::BytesCount;
use marquee_bundle::kernels::{
    BLOCK_PLACES, code_sums, dot, dot_gather, dot_gather_int8, dot_rows,
};
use std::hint::black_box;

/// Two whole numbers of registers on every machine, and one that leaves a rest.
const RANKS: [usize; 3] = [64, 128, 100];
/// Rows of a block of the scan.
const BLOCK: usize = 128;
/// Rows of a catalogue, far beyond every cache: 50 to 100 MB.
const CATALOGUE: usize = 200_000;
/// Rows that a walk scores at once: the links of one row.
const LINKS: usize = 32;
/// Numbers in a cache line.
const LINE: usize = 16;

fn main() {
    divan::main();
}

/// Some more numbers than asked for, so that there are as many from the start of a cache line on.
fn room(count: usize) -> Vec<f32> {
    numbers(count + LINE)
}

/// The numbers from the start of a cache line on: so they lie in a bundle.
fn aligned(room: &[f32]) -> &[f32] {
    let start = room.as_ptr().align_offset(LINE * size_of::<f32>());
    &room[start..][..room.len() - LINE]
}

/// Numbers in -1..1 that look random and are the same at every run.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[divan::bench(args = RANKS)]
fn one_dot(bencher: Bencher, rank: usize) {
    let (a, b) = (room(rank), room(rank));
    let (a, b) = (aligned(&a), aligned(&b));
    let bencher = bencher.counter(BytesCount::of_many::<f32>(rank));
    bencher.bench_local(|| dot(black_box(a), black_box(b)));
}

/// A block over and over: in the first or second cache.
#[divan::bench(args = RANKS)]
fn rows_near(bencher: Bencher, rank: usize) {
    let (query, rows) = (numbers(rank), room(BLOCK * rank));
    let rows = aligned(&rows);
    let mut out = vec![0.0; BLOCK];
    let bencher = bencher.counter(BytesCount::of_many::<f32>(BLOCK * rank));
    bencher.bench_local(|| dot_rows(black_box(&query), black_box(rows), &mut out));
}

/// One block after the other of a catalogue, as the scan reads it.
#[divan::bench(args = RANKS)]
fn rows_far(bencher: Bencher, rank: usize) {
    let (query, rows) = (numbers(rank), room(CATALOGUE * rank));
    let rows = aligned(&rows);
    let mut out = vec![0.0; BLOCK];
    let mut blocks = rows.chunks_exact(BLOCK * rank).cycle();
    let bencher = bencher.counter(BytesCount::of_many::<f32>(BLOCK * rank));
    bencher.bench_local(|| {
        let block = blocks.next().expect("endless");
        dot_rows(black_box(&query), block, &mut out);
    });
}

/// The rows that a walk scores, near: what gathering costs without misses.
#[divan::bench(args = RANKS)]
fn gather_near(bencher: Bencher, rank: usize) {
    gather(bencher, rank, BLOCK);
}

/// The same anywhere in a catalogue, hardly ever the same rows twice.
#[divan::bench(args = RANKS)]
fn gather_far(bencher: Bencher, rank: usize) {
    gather(bencher, rank, CATALOGUE);
}

fn gather(bencher: Bencher, rank: usize, count: usize) {
    let (query, rows) = (numbers(rank), room(count * rank));
    let rows = aligned(&rows);
    let row_of = |number: &f32| ((number + 1.0) / 2.0 * count as f32) as u32 % count as u32;
    let ids: Vec<u32> = numbers(LINKS * 10_000).iter().map(row_of).collect();
    let mut links = ids.chunks_exact(LINKS).cycle();
    let mut out = vec![0.0; LINKS];
    let bencher = bencher.counter(BytesCount::of_many::<f32>(LINKS * rank));
    bencher.bench_local(|| {
        let links = links.next().expect("endless");
        dot_gather(black_box(&query), rows, links, &mut out);
    });
}

/// Four-bit codes of a block of rows, and 16 bytes of table a column.
fn codes_and_tables(rank: usize, blocks: usize) -> (Vec<u8>, Vec<u8>) {
    let bytes = |count: usize, below: f32| -> Vec<u8> {
        numbers(count).iter().map(|number| ((number + 1.0) / 2.0 * below) as u8).collect()
    };
    let block = rank.div_ceil(2) * 32;
    (bytes(blocks * block, 256.0), bytes(block, 255.0))
}

/// Sums of codes of one block after the other of so many.
fn sum_codes(bencher: Bencher, rank: usize, blocks: usize) {
    let (codes, tables) = codes_and_tables(rank, blocks);
    let mut sums = [0; BLOCK_PLACES];
    let mut blocks = codes.chunks_exact(tables.len()).cycle();
    let bencher = bencher.counter(BytesCount::of_many::<u8>(tables.len()));
    bencher.bench_local(|| {
        let block = blocks.next().expect("endless");
        code_sums(black_box(block), black_box(&tables), i16::MAX, &mut sums)
    });
}

/// Four blocks over and over: in the first cache.
#[divan::bench(args = RANKS)]
fn codes_near(bencher: Bencher, rank: usize) {
    sum_codes(bencher, rank, 4);
}

/// All of a catalogue: what a search in cells reads a part of.
#[divan::bench(args = RANKS)]
fn codes_far(bencher: Bencher, rank: usize) {
    sum_codes(bencher, rank, CATALOGUE / BLOCK_PLACES);
}

/// Rows of bytes of a catalogue, here and there.
#[divan::bench(args = RANKS)]
fn bytes_gathered(bencher: Bencher, rank: usize) {
    let query: Vec<i16> = numbers(rank).iter().map(|number| (number * 1_000.0) as i16).collect();
    let matrix: Vec<i8> =
        numbers(CATALOGUE * rank).iter().map(|number| (number * 127.0) as i8).collect();
    let mut start = 0u32;
    let mut out = [0; LINKS];
    let bencher = bencher.counter(BytesCount::of_many::<i8>(LINKS * rank));
    bencher.bench_local(|| {
        start = start.wrapping_mul(747_796_405).wrapping_add(1);
        let ids: [u32; LINKS] = std::array::from_fn(|n| {
            (start.wrapping_add(n as u32 * 2_654_435_769) >> 4) % CATALOGUE as u32
        });
        dot_gather_int8(black_box(&query), black_box(&matrix), &ids, &mut out);
    });
}
