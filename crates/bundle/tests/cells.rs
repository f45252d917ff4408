//! Searching cells: exact searches against the definition, approximate ones against exact ones, with
//! filters of any selectivity, for both measures.

mod support;

use marquee_bundle::*;
use proptest::prelude::*;
use support::{Random, factors, input, open, write};

fn cells() -> IndexOptions {
    IndexOptions { mode: IndexMode::Always, ..IndexOptions::default() }
}

/// A bundle of one shard with these `rows × rank` values as `item_factors`, in cells.
fn bundle_of(values: Vec<f32>, rank: usize, users: usize) -> Bundle {
    with_rows(values, rank, users, RowFormat::F32)
}

fn with_rows(values: Vec<f32>, rank: usize, users: usize, rows: RowFormat) -> Bundle {
    with_index(values, rank, users, rows, cells())
}

fn with_index(
    values: Vec<f32>,
    rank: usize,
    users: usize,
    rows: RowFormat,
    index: IndexOptions,
) -> Bundle {
    let mut given = input(values.len() / rank, users, rank, 1);
    given.dense[0].data = values;
    given.dense[0].index = Some(index);
    given.dense[0].rows = rows;
    let dir = tempfile::tempdir().expect("temporary directory");
    write(given, &dir.path().join("b"));
    // The directory goes, the mapping stays.
    open(&dir.path().join("b")).expect("opened")
}

fn search(
    bundle: &Bundle,
    query: &[f32],
    measure: VectorMeasure,
    params: &SearchParams<'_>,
    scratch: &mut SearchScratch,
) -> Vec<Hit> {
    dense_top_k(&bundle.shards()[0], "item_factors", query, measure, params, scratch)
        .expect("found")
}

/// Every `one_in`th row, by a hash of its number.
fn one_in(rows: usize, one_in: u32) -> RowBitmap {
    let hash = |row: u32| row.wrapping_mul(2_654_435_761).rotate_left(13);
    RowBitmap::of(rows, (0..rows as u32).filter(|&row| hash(row) < u32::MAX / one_in))
}

/// Rows whose lengths vary by `spread` powers of e, some of them zeros and some of them equal.
fn uneven(rows: usize, rank: usize, spread: f64, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let mut values: Vec<f32> = Vec::new();
    for row in 0..rows {
        let scale = (spread * (random.uniform() - 0.5)).exp() as f32;
        match row % 11 {
            3 => values.extend(vec![0.0; rank]),
            7 if row > 20 => values.extend_from_within(rank * (row - 13)..rank * (row - 12)),
            _ => values.extend(random.vector(rank).iter().map(|value| value * scale)),
        }
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// What can be proven to be no result is all that is left out.
    #[test]
    fn exact_searches_miss_nothing(
        rows in 1usize..2_500, rank in 1usize..50, spread in 0f64..8.0, seed in 0u64..1000,
        count in 1usize..300, keep in 1u32..6, scale in -9f32..9.0,
        excluded in prop::collection::btree_set(0u32..2_500, 0..40),
    ) {
        let bundle = bundle_of(uneven(rows, rank, spread, seed), rank, 3);
        let coarse = with_rows(uneven(rows, rank, spread, seed), rank, 3, RowFormat::Int8);
        let cancel = CancelFlag::new();
        let mut scratch = SearchScratch::new();
        let bitmap = one_in(rows, keep);
        let exclude: Vec<u32> = excluded.into_iter().filter(|&row| row < rows as u32).collect();
        let mut random = Random(seed + 1);
        for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
            for allow in [Allow::All, Allow::Rows(&bitmap)] {
                let query: Vec<f32> =
                    random.vector(rank).iter().map(|value| value * scale.exp()).collect();
                let params = SearchParams {
                    allow, exclude_rows: &exclude, ..SearchParams::new(count, &cancel)
                };
                let scan = SearchParams { strategy: Some(DenseStrategy::Scan), ..params };
                let truth = search(&bundle, &query, measure, &scan, &mut scratch);
                let exact = SearchParams { strategy: Some(DenseStrategy::ExactCells), ..params };
                let found = search(&bundle, &query, measure, &exact, &mut scratch);
                prop_assert_eq!(&found, &truth, "{:?} {:?}", measure, allow);
                prop_assert_eq!(scratch.last_strategy(), Some(DenseStrategy::ExactCells));
                // Coarse rows say which exact ones to read, and change nothing.
                for params in [&scan, &exact] {
                    let found = search(&coarse, &query, measure, params, &mut scratch);
                    prop_assert_eq!(&found, &truth, "{:?} {:?}", measure, allow);
                }
                // Approximate ones may miss, but neither make up nor repeat nor run short.
                let effort = Effort { reach: 1.0, pool: 1.5 };
                let rough = SearchParams { strategy: Some(DenseStrategy::Cells(effort)), ..params };
                let found = search(&bundle, &query, measure, &rough, &mut scratch);
                prop_assert_eq!(found.len(), truth.len());
                for (found, best) in found.iter().zip(&truth) {
                    prop_assert!(found.score <= best.score);
                    prop_assert!(exclude.binary_search(&found.row).is_err());
                }
                let in_order = found.windows(2).all(|pair| {
                    (pair[1].score, pair[0].ordinal) < (pair[0].score, pair[1].ordinal)
                });
                prop_assert!(in_order);
            }
        }
    }
}

/// Of a large pool, coarse rows have hardly more rows read than are in the answer.
#[test]
fn coarse_rows_spare_exact_ones() {
    let (rows, rank, count) = (6_000, 32, 50);
    let values = || factors(rows, rank, 3);
    let cancel = CancelFlag::new();
    let effort = Effort { reach: 3.0, pool: 8.0 };
    let params = SearchParams {
        strategy: Some(DenseStrategy::Cells(effort)),
        ..SearchParams::new(count, &cancel)
    };
    let mut scratch = SearchScratch::new();
    let query = Random(4).vector(rank);
    for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
        let [(all, exact), (few, coarse)] = [RowFormat::F32, RowFormat::Int8].map(|format| {
            let bundle = with_rows(values(), rank, 1, format);
            let found = search(&bundle, &query, measure, &params, &mut scratch);
            (scratch.last_work().scored, found)
        });
        assert_eq!(coarse, exact, "{measure:?}");
        assert!(all >= 8 * count as u64, "{measure:?}: {all}");
        assert!((count as u64..4 * count as u64).contains(&few), "{measure:?}: {few}");
    }
}

/// The share of the best that is found, with the strategy that is chosen and with the chosen effort.
fn recall(
    bundle: &Bundle,
    queries: &[f32],
    measure: VectorMeasure,
    count: usize,
    allow: Allow<'_>,
    strategy: Option<DenseStrategy>,
) -> f64 {
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    let rank = bundle.shards()[0].dense("item_factors").expect("there").rank();
    let (mut found, mut wanted) = (0, 0);
    for query in queries.chunks_exact(rank) {
        let params = SearchParams { allow, ..SearchParams::new(count, &cancel) };
        let truth = SearchParams { strategy: Some(DenseStrategy::Scan), ..params };
        let truth = search(bundle, query, measure, &truth, &mut scratch);
        let params = SearchParams { strategy, ..params };
        let hits = search(bundle, query, measure, &params, &mut scratch);
        assert_eq!(hits.len(), truth.len(), "an answer came back short");
        wanted += truth.len();
        found += truth.iter().filter(|hit| hits.contains(hit)).count();
    }
    found as f64 / wanted as f64
}

/// Recall as asked for at building, and 0.99 with filters that leave a half to a thousandth of the
/// rows, for queries of users and for items like an item.
#[test]
fn recall_is_what_was_asked_for_whatever_the_filter() {
    let (rows, rank, users) = (30_000, 24, 300);
    let values = factors(rows, rank, 3);
    let bundle = bundle_of(values.clone(), rank, users);
    let matrix = bundle.shards()[0].dense("item_factors").expect("there");
    let queries = [factors(60, rank, 99), values[..60 * rank].to_vec()];
    for (measure, queries) in
        [VectorMeasure::InnerProduct, VectorMeasure::Cosine].into_iter().zip(&queries)
    {
        let effort = matrix.cells().expect("built").effort_at_100(measure).expect("reached");
        for count in [10, 100] {
            let all = Allow::All;
            let chosen = recall(&bundle, queries, measure, count, all, None);
            assert!(chosen >= 0.94, "{measure:?}@{count}: {chosen}");
        }
        let rough =
            recall(&bundle, queries, measure, 100, Allow::All, Some(DenseStrategy::Cells(effort)));
        assert!((0.94..1.0).contains(&rough), "{measure:?}: {rough} of an approximate search");
        for share in [2, 10, 100, 1_000] {
            let bitmap = one_in(rows, share);
            for count in [10, 100] {
                let allow = Allow::Rows(&bitmap);
                let filtered = recall(&bundle, queries, measure, count, allow, None);
                assert!(filtered >= 0.99, "{measure:?}@{count} of one in {share}: {filtered}");
            }
        }
    }
}

/// What is measured when an index is built reaches what was asked for, and some more, since other
/// queries will come; of the best 10 it misses a tenth of what it may miss of the best 100.
#[test]
fn recall_is_measured_and_enough() {
    let (rows, rank) = (30_000, 24);
    for target_recall in [0.9, 0.95, 0.98] {
        let index = IndexOptions { target_recall, ..cells() };
        let bundle = with_index(factors(rows, rank, 3), rank, 300, RowFormat::F32, index);
        let MatrixLayout::Dense { index: Some(info), .. } =
            &bundle.manifest().matrix("item_factors").expect("there").layout
        else {
            panic!("an index was asked for");
        };
        let audited = info.recall.expect("measured");
        let misses = 0.8 * (1.0 - target_recall);
        assert!(audited.at_100 >= 1.0 - misses, "{audited:?} for {target_recall}");
        assert!(audited.at_10 >= 1.0 - 0.1 * misses, "{audited:?} for {target_recall}");
    }
}

/// The planner follows the costs: few results are found exactly where that is cheap, more of them
/// nearly, and those among few allowed rows, or of very many, by a scan.
#[test]
fn the_way_depends_on_what_is_wanted() {
    let (rows, rank) = (30_000, 24);
    let bundle = bundle_of(factors(rows, rank, 3), rank, 300);
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    let query = factors(1, rank, 99);
    let (few, half) = (one_in(rows, 2_000), one_in(rows, 2));
    let mut strategy = |count: usize, allow: Allow<'_>, exact: bool| {
        let params = SearchParams { allow, exact, ..SearchParams::new(count, &cancel) };
        search(&bundle, &query, VectorMeasure::InnerProduct, &params, &mut scratch);
        scratch.last_strategy().expect("searched").name()
    };
    assert_eq!(strategy(10, Allow::All, false), "exact_cells");
    assert_eq!(strategy(1_000, Allow::All, false), "cells");
    assert_eq!(strategy(1_000, Allow::All, true), "exact_cells");
    assert_eq!(strategy(10, Allow::Rows(&few), false), "scan");
    // Keeping that many rows costs a scan more than cells; of half the rows cells would have to
    // find twice as many.
    assert_eq!(strategy(10_000, Allow::All, false), "cells");
    assert_eq!(strategy(10_000, Allow::Rows(&half), false), "scan");
}

/// Queries and rows that leave the range in which codes work are scanned.
#[test]
fn what_cells_cannot_hold_is_scanned() {
    let (rank, cancel) = (4, CancelFlag::new());
    let mut scratch = SearchScratch::new();
    let plain = bundle_of(factors(2_000, rank, 1), rank, 3);
    for scale in [0.0, 1e-30, 1e20] {
        let query = [scale; 4];
        let params = SearchParams {
            strategy: Some(DenseStrategy::ExactCells),
            ..SearchParams::new(10, &cancel)
        };
        let hits = search(&plain, &query, VectorMeasure::InnerProduct, &params, &mut scratch);
        assert_eq!(
            (hits.len(), scratch.last_strategy()),
            (10, Some(DenseStrategy::Scan)),
            "{scale}"
        );
    }
    let mut values = factors(2_000, rank, 1);
    values[17] = 1e20;
    let wild = bundle_of(values, rank, 3);
    assert!(wild.shards()[0].dense("item_factors").expect("there").cells().is_none());
}
