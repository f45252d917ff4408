//! Writing needs the input, and little more: no second copy of the rows, dense rows go before the
//! rest is written, and all of the input before indexes are built.

mod support;

use marquee_bundle::*;
use std::sync::atomic::{AtomicI64, Ordering};
use support::heap::{Counting, heap, held};
use support::input;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// One test, for others on other threads would be counted too.
#[test]
fn a_bundle_is_written_in_less_memory_than_a_second_copy_of_its_rows() {
    let (rows, rank) = (20_000, 64);
    let values = (rows * rank * size_of::<f32>()) as i64;
    let dir = tempfile::tempdir().expect("temporary directory");
    let cases = [
        ("indexed", RowFormat::F32, IndexMode::Always),
        ("coarse", RowFormat::Int8, IndexMode::Never),
    ];
    for (name, format, mode) in cases {
        let mut given = input(rows, 100, rank, 1);
        given.dense[0].index = Some(IndexOptions { mode, ..IndexOptions::default() });
        given.dense[0].rows = format;
        let place = dir.path().join(name);
        let before = held();
        let [writing, indexing] = [i64::MIN; 2].map(AtomicI64::new);
        let watch = |step| {
            let most = match step {
                WriteProgress::Writing { .. } => &writing,
                WriteProgress::Indexing { .. } => &indexing,
            };
            most.fetch_max(held() - before, Ordering::Relaxed);
        };
        let (_, peak, _) = heap(|| write_bundle(given, &place, &watch).expect("written"));
        assert!(peak < values, "{name}: {peak} bytes beside {values} of rows");
        // The input counts as before, so less is held once it is gone.
        let [writing, indexing] = [writing, indexing].map(AtomicI64::into_inner);
        assert!(
            (i64::MIN + 1..-values / 2).contains(&writing),
            "{name}: {writing} bytes more than the input when all of a shard is written"
        );
        assert!(
            indexing < 0,
            "{name}: {indexing} bytes more than the input while rows are indexed"
        );
        assert_eq!(indexing > i64::MIN, mode == IndexMode::Always, "{name}: progress is told");
    }
}
