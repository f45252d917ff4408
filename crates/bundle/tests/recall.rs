//! Recall, whatever is asked: for every count, whatever is excluded, with filters of any selectivity, in cells and in
//! graphs, of one shard and of several, for users and for items like an item.
//!
//! `cargo run --release -p marquee-bundle --example recall` prints more of it over more rows.

mod support;

use marquee_bundle::*;
use support::recall::{Catalogue, Found, Wanted, bundle_of, catalogue, filters, measure};

/// Results wanted: what efforts are tuned at, and between.
const COUNTS: [usize; 9] = [1, 10, 11, 40, 99, 100, 101, 500, 1_000];
/// How many of the best rows are excluded.
const EXCLUDED: [usize; 4] = [0, 10, 100, 1_000];
const SHARES: [f64; 3] = [0.5, 0.1, 0.01];
/// Users that an index is tuned and audited with; those that ask are others.
const TUNING: usize = 400;
const ASKING: usize = 30;

/// What is promised of the mean over the queries of one kind, less what chance may take off that of 30.
fn promised(count: usize) -> f64 {
    let chance = if count < 10 { 0.067 } else { 0.01 };
    1.0 - (0.001 * count as f64).clamp(0.01, 0.05) - chance
}

/// Users like those that tuned the index, who were not among them.
fn made(rows: usize, rank: usize) -> (Catalogue, Vec<f32>) {
    let mut made = catalogue(rows, TUNING + ASKING, rank, 7);
    let asking = made.users.split_off(TUNING * rank);
    (made, asking)
}

fn always(kind: IndexKind) -> IndexOptions {
    IndexOptions { mode: IndexMode::Always, kind, ..IndexOptions::default() }
}

/// Every kind of search that there are rows enough for in a bundle.
fn kinds(counts: &[usize], shares: &[Option<usize>], rows: usize) -> Vec<Wanted> {
    let mut kinds = Vec::new();
    for &filter in shares {
        let allowed = filter.map_or(1.0, |filter| SHARES[filter]) * rows as f64;
        for &count in counts {
            for excluded in EXCLUDED {
                if (count + excluded) as f64 <= allowed {
                    kinds.push(Wanted { count, excluded, filter, ..Wanted::default() });
                }
            }
        }
    }
    kinds
}

/// Everything that falls short, in words.
fn short_of(kinds: &[Wanted], found: &[Found]) -> Vec<String> {
    let mut short = Vec::new();
    for (kind, found) in kinds.iter().zip(found) {
        let Wanted { count, excluded, filter, .. } = *kind;
        let share = filter.map_or(1.0, |filter| SHARES[filter]);
        let (mean, worst) = (found.mean(), found.worst_percent());
        // The worst of 30 queries is about the worst percent.
        let lowest = if count < 10 { 0.0 } else { 0.6 };
        if mean < promised(count) || worst < lowest {
            short.push(format!(
                "{count} without the best {excluded}, {share} allowed: {mean}, worst {worst}"
            ));
        }
    }
    short
}

/// Searches of all kinds, in cells, which for a part of them must be approximate: else this would test nothing.
#[test]
fn recall_in_cells_holds_whatever_is_asked() {
    let (rows, rank) = (40_000, 48);
    let (made, asking) = made(rows, rank);
    let bundle = bundle_of(&made, 1, always(IndexKind::Cells), RowFormat::F32);
    let filters = filters(&bundle, &SHARES);
    let kinds = kinds(&COUNTS, &[None, Some(0), Some(1), Some(2)], rows);
    let items = &made.items[..ASKING * rank];
    for (of, queries, least) in
        [(VectorMeasure::InnerProduct, &asking[..], 20), (VectorMeasure::Cosine, items, 20)]
    {
        let found = measure(&bundle, queries, of, &filters, &kinds);
        let short = short_of(&kinds, &found);
        assert!(short.is_empty(), "{of:?}:\n{}", short.join("\n"));
        let approximate = found.iter().filter(|found| found.approximate > ASKING / 2).count();
        assert!(approximate >= least, "{of:?}: {approximate} of {} kinds", kinds.len());
    }
}

/// The same over several shards, whose rows are kept in one byte.
#[test]
fn recall_of_several_shards_holds() {
    let (rows, rank) = (60_000, 48);
    let (made, asking) = made(rows, rank);
    let bundle = bundle_of(&made, 3, always(IndexKind::Cells), RowFormat::Int8);
    let filters = filters(&bundle, &SHARES);
    let kinds = kinds(&[10, 11, 100, 500], &[None, Some(0), Some(1)], rows);
    let of = VectorMeasure::InnerProduct;
    let found = measure(&bundle, &asking, of, &filters, &kinds);
    let short = short_of(&kinds, &found);
    assert!(short.is_empty(), "{}", short.join("\n"));
    assert!(found.iter().any(|found| found.approximate > ASKING / 2));
}

/// Walks over a graph, which filters of few rows leave to the scan.
#[test]
fn recall_of_walks_holds_whatever_is_asked() {
    let (rows, rank) = (12_000, 24);
    let (made, asking) = made(rows, rank);
    let index = IndexOptions { ef_construction: 40, ..always(IndexKind::Hnsw) };
    let bundle = bundle_of(&made, 1, index, RowFormat::F32);
    let filters = filters(&bundle, &SHARES);
    let kinds = kinds(&COUNTS, &[None, Some(0), Some(1)], rows);
    let found = measure(&bundle, &asking, VectorMeasure::InnerProduct, &filters, &kinds);
    let short = short_of(&kinds, &found);
    assert!(short.is_empty(), "{}", short.join("\n"));
    let approximate = found.iter().filter(|found| found.approximate > ASKING / 2).count();
    assert!(approximate >= 10, "{approximate} of {} kinds", kinds.len());
}

/// A filter that leaves the rows of some directions only: its results lie at any depth, far deeper than its
/// share says, so what is looked at is how deep they turn out to lie.
#[test]
fn a_filter_that_leaves_what_a_query_does_not_point_at_keeps_its_recall() {
    let (rows, rank) = (40_000, 48);
    let (made, asking) = made(rows, rank);
    let bundle = bundle_of(&made, 1, always(IndexKind::Cells), RowFormat::F32);
    let matrix = bundle.shards()[0].dense("item_factors").expect("there");
    let (mut approximate, mut recalls) = (0, Found::default());
    for query in asking.chunks_exact(rank) {
        // The better half of all rows is left out, but for every hundredth.
        let scores: Vec<f32> =
            (0..rows as u32).map(|row| kernels::dot(query, matrix.row(row))).collect();
        let mut sorted = scores.clone();
        sorted.sort_by(f32::total_cmp);
        let middle = sorted[rows * 97 / 100];
        let allows = |row: &u32| scores[*row as usize] < middle || row.is_multiple_of(100);
        let filter = [vec![RowBitmap::of(rows, (0..rows as u32).filter(allows))]];
        let kinds = [10, 100].map(|count| Wanted { count, filter: Some(0), ..Wanted::default() });
        let of = VectorMeasure::InnerProduct;
        for found in measure(&bundle, query, of, &filter, &kinds) {
            approximate += found.approximate;
            recalls.recalls.extend(found.recalls);
        }
    }
    assert!(recalls.mean() >= 0.985, "{}, worst {}", recalls.mean(), recalls.worst_percent());
    assert!(approximate > 0, "all were exact: this tests nothing");
}

/// What is written of an index says what was found of searches that it was not tuned with.
#[test]
fn the_audit_is_written_and_keeps_what_is_promised() {
    let (made, _) = made(6_000, 24);
    for kind in [IndexKind::Cells, IndexKind::Hnsw] {
        let index = IndexOptions { ef_construction: 40, ..always(kind) };
        let bundle = bundle_of(&made, 1, index, RowFormat::F32);
        let MatrixLayout::Dense { index: Some(info), .. } =
            &bundle.manifest().matrix("item_factors").expect("there").layout
        else {
            panic!("an index was asked for");
        };
        let shard = &info.shards[0];
        let audits = match (&shard.cells, &shard.graph) {
            (Some(cells), None) => vec![&cells.audited, &cells.audited_by_cosine],
            (None, Some(graph)) => vec![&graph.audited],
            _ => panic!("one index was asked for"),
        };
        for audit in audits {
            assert!(audit.iter().any(|line| line.count == 11 && line.excluded == 0));
            // A graph without a width for it leaves it to the scan, and says nothing.
            let behind = audit.iter().any(|line| line.count == 10 && line.excluded == 100);
            assert!(behind || kind == IndexKind::Hnsw);
            for line in audit {
                let promised = 1.0 - (0.001 * f64::from(line.count)).clamp(0.01, 0.05);
                // An audit lets chance have two standard errors.
                let results = line.queries as f64 * f64::from(line.count);
                let chance = 2.0 * (promised * (1.0 - promised) / results).sqrt();
                assert!(
                    line.recall >= promised - chance && line.worst_percent <= line.recall,
                    "{line:?}"
                );
                assert!(line.queries >= 50, "{line:?}");
            }
        }
    }
}
