//! What a filter comes to, as plain bits and as a roaring bitmap: `cargo bench -p marquee-bundle
//! --bench filters`.
//!
//! A filter is made once for an operation, intersected with others, and asked for some ten thousand rows in
//! no order by each of its queries. The rows that match come in the order of an index of tags: ascending.

use divan::Bencher;
use divan::counter::ItemsCount;
use marquee_bundle::RowBitmap;
use roaring::RoaringBitmap;
use std::hint::black_box;

/// Rows of a shard.
const ROWS: u32 = 200_000;
/// Of so many rows one matches: 50 %, 10 %, 1 %, 0.1 %.
const ONE_IN: [u32; 4] = [2, 10, 100, 1_000];
/// Rows that a search asks for.
const ASKED: usize = 10_000;

fn main() {
    for one_in in ONE_IN {
        let roaring: RoaringBitmap = matching(one_in, 1).into_iter().collect();
        let plain = ROWS.div_ceil(8);
        println!("1 in {one_in}: {plain} bytes plain, {} roaring", roaring.serialized_size());
    }
    divan::main();
}

/// Rows that match a filter, ascending, which look random and are the same at every run.
fn matching(one_in: u32, filter: u32) -> Vec<u32> {
    let mut state = filter;
    let matches = |_: &u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16).is_multiple_of(one_in)
    };
    (0..ROWS).filter(matches).collect()
}

fn asked() -> Vec<u32> {
    (0..ASKED as u32).map(|n| n.wrapping_mul(2_654_435_761) % ROWS).collect()
}

#[divan::bench(args = ONE_IN)]
fn make_plain(bencher: Bencher<'_, '_>, one_in: u32) {
    let rows = matching(one_in, 1);
    bencher.bench_local(|| RowBitmap::of(ROWS as usize, black_box(&rows).iter().copied()));
}

#[divan::bench(args = ONE_IN)]
fn make_roaring(bencher: Bencher<'_, '_>, one_in: u32) {
    let rows = matching(one_in, 1);
    bencher.bench_local(|| RoaringBitmap::from_sorted_iter(black_box(&rows).iter().copied()));
}

#[divan::bench(args = ONE_IN)]
fn intersect_plain(bencher: Bencher<'_, '_>, one_in: u32) {
    let [a, b] = [1, 2].map(|filter| RowBitmap::of(ROWS as usize, matching(one_in, filter)));
    bencher.with_inputs(|| a.clone()).bench_local_refs(|a| a.intersect(black_box(&b)));
}

#[divan::bench(args = ONE_IN)]
fn intersect_roaring(bencher: Bencher<'_, '_>, one_in: u32) {
    let [a, b] =
        [1, 2].map(|filter| matching(one_in, filter).into_iter().collect::<RoaringBitmap>());
    bencher.with_inputs(|| a.clone()).bench_local_refs(|a| *a &= black_box(&b));
}

#[divan::bench(args = ONE_IN)]
fn ask_plain(bencher: Bencher<'_, '_>, one_in: u32) {
    let (set, asked) = (RowBitmap::of(ROWS as usize, matching(one_in, 1)), asked());
    let count = || asked.iter().filter(|&&row| black_box(&set).contains(row)).count();
    bencher.counter(ItemsCount::new(ASKED)).bench_local(count);
}

#[divan::bench(args = ONE_IN)]
fn ask_roaring(bencher: Bencher<'_, '_>, one_in: u32) {
    let set: RoaringBitmap = matching(one_in, 1).into_iter().collect();
    let asked = asked();
    let count = || asked.iter().filter(|&&row| black_box(&set).contains(row)).count();
    bencher.counter(ItemsCount::new(ASKED)).bench_local(count);
}
