//! Deterministic top-k merge of sorted lists.
//!
//! Every shard answers with its own best items, best first: score descending, then ordinal ascending.
//! Ordinals number a bundle's items in the canonical order of their ids, so this order is total, and
//! the merged list is the one that a single shard with all items would have given.
//!
//! The merge picks positions and moves nothing: what belongs to an item (its id, its title) stays in
//! the lists and is taken from there for the winners only.
//!
//! Lists may overlap when a hedged call made two replicas search the same shard. Replicas hold the
//! same bytes, so the copies of an item are equal, and [`Overlap::Possible`] keeps the first.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};

/// One list: two columns of equal length, best first.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// The scores, descending, never NaN.
    pub scores: &'a [f32],
    /// The items' ordinals, ascending where scores are equal.
    pub ordinals: &'a [u32],
}

/// Whether the same item can be in more than one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It cannot: the lists are of different shards.
    None,
    /// It can; it is picked once.
    Possible,
}

/// Where a picked item is: `lists[list]`, at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The list's index.
    pub list: usize,
    /// The place in the list.
    pub position: usize,
}

/// The order of results: better scores first, then smaller ordinals.
pub fn best_first(a: (f32, u32), b: (f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

impl Ranked<'_> {
    /// Whether this is what a list must be: equally long columns, scores never rising, no NaN. To be
    /// checked of every list that comes over a network.
    pub fn is_sound(&self) -> bool {
        self.scores.len() == self.ordinals.len()
            && self.scores.iter().all(|score| !score.is_nan())
            && self.scores.windows(2).all(|pair| pair[0] >= pair[1])
    }

    fn at(&self, position: usize) -> Option<(f32, u32)> {
        Some((*self.scores.get(position)?, *self.ordinals.get(position)?))
    }
}

/// The best `count` of all lists, best first.
pub fn merge_top_k(lists: &[Ranked<'_>], count: usize, overlap: Overlap) -> Vec<Pick> {
    let available: usize = lists.iter().map(|list| list.ordinals.len()).sum();
    let mut picks = Vec::with_capacity(count.min(available));
    let mut picked = HashSet::new();
    let head = |list: usize, position: usize| {
        lists[list].at(position).map(|hit| Reverse(Head { hit, list, position }))
    };
    let mut heads: BinaryHeap<_> = (0..lists.len()).filter_map(|list| head(list, 0)).collect();
    while picks.len() < count {
        let Some(Reverse(Head { hit, list, position })) = heads.pop() else { break };
        heads.extend(head(list, position + 1));
        if overlap == Overlap::None || picked.insert(hit.1) {
            picks.push(Pick { list, position });
        }
    }
    picks
}

/// The next item of one list.
struct Head {
    hit: (f32, u32),
    list: usize,
    position: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        best_first(self.hit, other.hit).then(self.list.cmp(&other.list))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type List = Vec<(f32, u32)>;

    fn sorted(mut list: List) -> List {
        list.sort_by(|a, b| best_first(*a, *b));
        list
    }

    fn merge(lists: &[List], count: usize, overlap: Overlap) -> List {
        let columns: Vec<(Vec<f32>, Vec<u32>)> =
            lists.iter().map(|list| list.iter().copied().unzip()).collect();
        let ranked: Vec<Ranked<'_>> =
            columns.iter().map(|(scores, ordinals)| Ranked { scores, ordinals }).collect();
        assert!(ranked.iter().all(Ranked::is_sound));
        let picks = merge_top_k(&ranked, count, overlap);
        picks.into_iter().map(|pick| lists[pick.list][pick.position]).collect()
    }

    /// Few distinct scores, so that ties are common.
    fn items() -> impl Strategy<Value = List> {
        prop::collection::btree_map(0u32..200, -5i8..5, 0..120)
            .prop_map(|items| items.into_iter().map(|(o, s)| (f32::from(s) / 2.0, o)).collect())
    }

    proptest! {
        #[test]
        fn equals_the_sorted_union_truncated(
            items in items(), parts in 1usize..6, count in 0usize..150,
        ) {
            let part = |n| sorted(items.iter().copied().filter(|i| i.1 as usize % parts == n).collect());
            let lists: Vec<List> = (0..parts).map(part).collect();
            let mut expected = sorted(items.clone());
            expected.truncate(count);
            prop_assert_eq!(&merge(&lists, count, Overlap::None), &expected);
            prop_assert_eq!(&merge(&lists, count, Overlap::Possible), &expected);
            let mut backwards = lists;
            backwards.reverse();
            prop_assert_eq!(merge(&backwards, count, Overlap::None), expected);
        }

        #[test]
        fn what_two_lists_share_is_picked_once(
            items in items(), cut in 0usize..120, again in 0usize..120, count in 0usize..150,
        ) {
            let (cut, again) = (cut.min(items.len()), again.min(items.len()));
            let lists = [sorted(items[..cut].into()), sorted(items[again.min(cut)..].into())];
            let mut expected = sorted(items.clone());
            expected.truncate(count);
            prop_assert_eq!(merge(&lists, count, Overlap::Possible), expected);
        }
    }

    #[test]
    fn unsound_lists_are_recognised() {
        let sound = |scores: &[f32], ordinals: &[u32]| Ranked { scores, ordinals }.is_sound();
        assert!(sound(&[], &[]) && sound(&[2.0, 2.0, -1.0], &[4, 7, 1]));
        assert!(!sound(&[1.0], &[]));
        assert!(!sound(&[1.0, 2.0], &[1, 2]));
        assert!(!sound(&[f32::NAN], &[1]));
    }
}
