//! Opening a bundle copies nothing to the heap, and searches reuse what they have.

mod support;

use marquee_bundle::*;
use std::sync::atomic::Ordering;
use support::heap::{Counting, TAKEN, heap};
use support::{factors, input, open, write};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// One test, for others on other threads would be counted too.
#[test]
fn data_stays_in_the_files() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = dir.path().join("b");
    let mut given = input(12_000, 500, 16, 1);
    given.dense[0].index =
        Some(IndexOptions { mode: IndexMode::Always, m: 8, ..IndexOptions::default() });
    write(given, &place);
    drop(open(&place).expect("opened"));

    let (bundle, peak, held) = heap(|| open(&place).expect("opened"));
    let mapped: u64 = bundle.shards().iter().map(BundleShard::bytes_mapped).sum();
    assert!(mapped > 2_000_000, "{mapped} bytes are mapped");
    assert!(peak < 64 << 10, "opening took {peak} bytes of heap at its most");
    assert!(held < 32 << 10, "an open bundle holds {held} bytes of heap");

    let shard = &bundle.shards()[0];
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    let bitmap = RowBitmap::of(12_000, (0..12_000).step_by(2));
    let queries = factors(50, 16, 5);
    let mut search_all = || {
        let mut searches = 0;
        for query in queries.chunks_exact(16) {
            for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
                for allow in [Allow::All, Allow::Rows(&bitmap)] {
                    for strategy in
                        [None, Some(DenseStrategy::Scan), Some(DenseStrategy::ExactCells)]
                    {
                        let params =
                            SearchParams { allow, strategy, ..SearchParams::new(100, &cancel) };
                        let hits = dense_top_k(
                            shard,
                            "item_factors",
                            query,
                            measure,
                            &params,
                            &mut scratch,
                        );
                        assert_eq!(hits.expect("found").len(), 100);
                        assert!(strategy.is_none() || scratch.last_strategy() == strategy);
                        searches += 1;
                    }
                }
            }
            let params = SearchParams::new(100, &cancel);
            let hits = sparse_row_sum(shard, "popularity", &[0], &[1.0], &params, &mut scratch);
            assert_eq!(hits.expect("found").len(), 100);
            searches += 1;
        }
        searches
    };
    let (_, peak, held) = heap(&mut search_all);
    assert!(peak < 400 << 10, "scratch took {peak} bytes");
    assert!(held < 400 << 10, "scratch holds {held} bytes");
    let before = TAKEN.load(Ordering::Relaxed);
    let (searches, peak, held) = heap(&mut search_all);
    let taken = TAKEN.load(Ordering::Relaxed) - before;
    assert_eq!(taken, searches, "a warm search takes memory for its results and nothing else");
    assert_eq!(held, 0, "warm scratch doesn't grow");
    assert!(peak < 16 << 10, "a warm search takes {peak} bytes, more than its results");
}
