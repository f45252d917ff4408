//! The best `count` of many scored rows, in bounded memory.

use super::hits::Hit;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A score as an integer of the same order; negative zero counts as zero.
#[inline]
pub(crate) fn ordered(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The score of [`ordered`].
#[inline]
pub(crate) fn score_of(ordered: u32) -> f32 {
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

/// Score and then falling ordinal in one number, and the row: the best are the least.
type TopEntry = Reverse<(u64, u32)>;

#[inline]
fn entry(row: u32, ordinal: u32, score: f32) -> TopEntry {
    Reverse((u64::from(ordered(score)) << 32 | u64::from(!ordinal), row))
}

/// The key that entries are sorted by: score and ordinal, and not the row.
fn hit_of(Reverse((key, row)): TopEntry) -> Hit {
    Hit { ordinal: !(key as u32), row, score: score_of((key >> 32) as u32) }
}

fn rank(&Reverse((key, _)): &TopEntry) -> Reverse<u64> {
    Reverse(key)
}

/// A bounded heap with the worst of the kept results on top.
#[derive(Default)]
pub(crate) struct Top {
    heap: BinaryHeap<TopEntry>,
    count: usize,
    threshold: f32,
}

impl Top {
    /// Forgets everything, to keep the best `count` results, at least one.
    pub(crate) fn reset(&mut self, count: usize) {
        self.heap.clear();
        self.count = count;
        self.threshold = f32::NEG_INFINITY;
    }

    /// A row that scores less than this can't be among the results.
    #[inline]
    pub(crate) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Whether `count` results are there.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.heap.len() >= self.count
    }

    /// How many results are there.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// How many results are still missing.
    pub(crate) fn missing(&self) -> usize {
        self.count.saturating_sub(self.heap.len())
    }

    /// Offers a row with a finite score.
    #[inline]
    pub(crate) fn offer(&mut self, row: u32, ordinal: u32, score: f32) {
        let entry = entry(row, ordinal, score);
        if self.heap.len() < self.count {
            self.heap.push(entry);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && entry < *worst
        {
            *worst = entry;
        } else {
            return;
        }
        self.set_threshold();
    }

    /// Offers rows with finite scores. More at once than are there cost less together than one by
    /// one, while it isn't full.
    pub(crate) fn offer_all(&mut self, rows: &[u32], ordinals: &[u32], scores: &[f32]) {
        let one_by_one = self.is_full() || rows.len() < self.heap.len();
        let rows = rows.iter().zip(scores);
        if one_by_one {
            for (&row, &score) in rows {
                if score >= self.threshold {
                    self.offer(row, ordinals[row as usize], score);
                }
            }
            return;
        }
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.extend(rows.map(|(&row, &score)| entry(row, ordinals[row as usize], score)));
        if entries.len() > self.count {
            entries.select_nth_unstable_by_key(self.count, rank);
            entries.truncate(self.count);
        }
        self.heap = BinaryHeap::from(entries);
        self.set_threshold();
    }

    /// The results, best first; none are left.
    pub(crate) fn take(&mut self) -> Vec<Hit> {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.sort_unstable_by_key(rank);
        let hits = entries.drain(..).map(hit_of).collect();
        self.heap = BinaryHeap::from(entries);
        hits
    }

    fn set_threshold(&mut self) {
        if self.heap.len() >= self.count
            && let Some(Reverse((key, _))) = self.heap.peek()
        {
            self.threshold = score_of((key >> 32) as u32);
        }
    }
}

/// Sorts by score descending, then ordinal ascending.
pub(crate) fn sort_hits(hits: &mut [Hit]) {
    hits.sort_unstable_by_key(|hit| {
        Reverse(u64::from(ordered(hit.score)) << 32 | u64::from(!hit.ordinal))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_keep_the_order_of_scores() {
        let scores = [f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX];
        for pair in scores.windows(2) {
            assert!(ordered(pair[0]) < ordered(pair[1]), "{pair:?}");
            assert_eq!(score_of(ordered(pair[0])), pair[0]);
        }
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    proptest! {
        #[test]
        fn the_heap_is_a_sort_cut_off(
            scores in prop::collection::vec(-5i8..5, 0..60),
            count in 1usize..20,
            together in 1usize..30,
        ) {
            let mut all: Vec<Hit> = scores.iter().enumerate()
                .map(|(at, &score)| Hit { ordinal: at as u32 ^ 5, row: at as u32, score: score.into() })
                .collect();
            let mut top = Top::default();
            top.reset(count);
            for hit in &all {
                top.offer(hit.row, hit.ordinal, hit.score);
            }
            let mut top_of_many = Top::default();
            top_of_many.reset(count);
            let ordinals: Vec<u32> = all.iter().map(|hit| hit.ordinal).collect();
            for some in all.chunks(together) {
                let rows: Vec<u32> = some.iter().map(|hit| hit.row).collect();
                let scores: Vec<f32> = some.iter().map(|hit| hit.score).collect();
                top_of_many.offer_all(&rows, &ordinals, &scores);
            }
            prop_assert_eq!(top_of_many.threshold(), top.threshold());
            prop_assert_eq!(top_of_many.is_full(), top.is_full());
            all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
            all.truncate(count);
            if all.len() == count {
                prop_assert_eq!(top.threshold(), all[count - 1].score);
            }
            prop_assert_eq!(&top.take(), &all);
            prop_assert_eq!(&top_of_many.take(), &all);
        }
    }
}
