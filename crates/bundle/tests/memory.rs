//! Opening a bundle copies nothing to the heap, and searches reuse what they have.

mod support;

use marquee_bundle::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use support::{factors, input, open, write};

/// The system's allocator, counting.
struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static TAKEN: AtomicI64 = AtomicI64::new(0);

fn count(bytes: i64) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most heap in use above the start, and what is still in use, while `work` runs.
fn heap<T>(work: impl FnOnce() -> T) -> (T, i64, i64) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (result, PEAK.load(Ordering::Relaxed) - before, HELD.load(Ordering::Relaxed) - before)
}

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
            for metric in [Metric::InnerProduct, Metric::Cosine] {
                for allow in [Allow::All, Allow::Rows(&bitmap)] {
                    for way in [None, Some(Way::Scan), Some(Way::ExactCells)] {
                        let params = SearchParams { allow, way, ..SearchParams::new(100, &cancel) };
                        let hits = dense_top_k(
                            shard,
                            "item_factors",
                            query,
                            metric,
                            &params,
                            &mut scratch,
                        );
                        assert_eq!(hits.expect("found").len(), 100);
                        assert!(way.is_none() || scratch.last_way() == way);
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
