//! The best `count` of many scored rows, in bounded memory.

use super::Hit;
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

/// A bounded heap with the worst of the kept results on top.
#[derive(Default)]
pub(crate) struct Top {
    /// Score and then falling ordinal in one number, and the row.
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    count: usize,
    threshold: f32,
}

impl Top {
    /// Forgets everything and asks for `count` results, at least one.
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

    /// Whether as many results are there as were asked for.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.heap.len() >= self.count
    }

    /// Offers a row with a finite score.
    #[inline]
    pub(crate) fn offer(&mut self, row: u32, ordinal: u32, score: f32) {
        let entry = Reverse((u64::from(ordered(score)) << 32 | u64::from(!ordinal), row));
        if self.heap.len() < self.count {
            self.heap.push(entry);
            if self.heap.len() < self.count {
                return;
            }
        } else if let Some(mut worst) = self.heap.peek_mut()
            && entry < *worst
        {
            *worst = entry;
        } else {
            return;
        }
        if let Some(Reverse((key, _))) = self.heap.peek() {
            self.threshold = score_of((key >> 32) as u32);
        }
    }

    /// The results, best first; none are left.
    pub(crate) fn take(&mut self) -> Vec<Hit> {
        let mut hits: Vec<Hit> = self
            .heap
            .drain()
            .map(|Reverse((key, row))| Hit {
                ordinal: !(key as u32),
                row,
                score: score_of((key >> 32) as u32),
            })
            .collect();
        sort_hits(&mut hits);
        hits
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
        fn the_heap_is_a_sort_cut_off(scores in prop::collection::vec(-5i8..5, 0..60), count in 1usize..20) {
            let mut all: Vec<Hit> = scores.iter().enumerate()
                .map(|(at, &score)| Hit { ordinal: at as u32 ^ 5, row: at as u32, score: score.into() })
                .collect();
            let mut top = Top::default();
            top.reset(count);
            for hit in &all {
                top.offer(hit.row, hit.ordinal, hit.score);
            }
            all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
            all.truncate(count);
            if all.len() == count {
                prop_assert_eq!(top.threshold(), all[count - 1].score);
            }
            prop_assert_eq!(top.take(), all);
        }
    }
}
