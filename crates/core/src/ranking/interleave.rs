//! Interleaving: one list of two, made so that clicks on it say which of the two is better.
//!
//! Both lists are read from the top, and their next items meet. If they are the same item, it is *shared*: it is
//! listed once, and clicks on it say nothing. If they differ, a *pair* is listed, one after the other in the order that a
//! coin gives, and a click on one of the two is credited to the list that it is of. So
//!
//! - a user who looks at places only, and not at items, credits both lists alike, whatever the lists are: in a pair
//!   either comes first with the same chance (the requirement of Radlinski and Craswell, "Optimized interleaving for online
//!   retrieval evaluation", WSDM 2013);
//! - lists that are the same credit nobody;
//! - a pair is compared within one answer to one user: how much users click, and when, does not matter.
//!
//! [`Interleaving`] has the two ways to read: team-draft interleaving, where what is listed already is skipped
//! (Radlinski, Kurup, Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008), and balanced interleaving,
//! where both lists are read place by place (Joachims, "Optimizing search engines using clickthrough data", KDD 2002).
//! In the first paper an item that both would list next is credited to the one whose turn it is, which is noise;
//! in the second a click counts for every list that has the item high enough, which can favour a list whatever users
//! like. With pairs, neither happens.
//!
//! Deliberately missing: randomness (the coin is an argument), and to credit nobody for every item that is anywhere in
//! both lists. Then nothing would be known of lists with the same items in another order, and a list that puts a bad
//! item first would win: only its clicks count, and they are those of the first place.

use std::collections::HashSet;
use std::hash::Hash;

/// The side of a rollout that an item is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// What is live.
    Baseline,
    /// What may become live.
    Candidate,
}

/// How two lists are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interleaving {
    /// The next item of a list is the first one that is not listed yet. A coin for each pair.
    #[default]
    TeamDraft,
    /// The next item of a list is the one at the next place. One that is listed already is left out, and the other one is
    /// then listed without credit. One coin for all pairs. Every beginning of the result is made of the first items of both
    /// lists, of one list at most one more.
    Balanced,
}

/// One place of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterleavedItem {
    /// The list that the item is taken from; for a shared one, the baseline's.
    pub side: Side,
    /// Its place in that list, from 0.
    pub place: usize,
    /// The list that clicks on it are credited to; none: nobody.
    pub credited: Option<Side>,
}

/// Up to `count` items of the baseline's list and the candidate's, each list best first. `coin`: whether the
/// candidate's item comes first, to be true with a chance of one half.
///
/// In every beginning of the result, as many items are credited to one list as to the other, or one more. Items credited to
/// a list are in its order.
pub fn interleave<T: Eq + Hash>(
    lists: [&[T]; 2],
    count: usize,
    how: Interleaving,
    coin: impl FnMut() -> bool,
) -> Vec<InterleavedItem> {
    let draft = Draft { lists, count, listed: HashSet::new(), items: Vec::new() };
    match how {
        Interleaving::TeamDraft => draft.by_teams(coin),
        Interleaving::Balanced => draft.balanced(coin),
    }
}

/// A result in the making.
struct Draft<'a, T> {
    lists: [&'a [T]; 2],
    count: usize,
    listed: HashSet<&'a T>,
    items: Vec<InterleavedItem>,
}

impl<T: Eq + Hash> Draft<'_, T> {
    fn by_teams(mut self, mut coin: impl FnMut() -> bool) -> Vec<InterleavedItem> {
        let [mut ours, mut theirs] = [0, 0];
        while self.items.len() < self.count {
            ours = self.next_unlisted(Side::Baseline, ours);
            theirs = self.next_unlisted(Side::Candidate, theirs);
            match (self.at(Side::Baseline, ours), self.at(Side::Candidate, theirs)) {
                (None, None) => break,
                (Some(mine), Some(other)) if mine != other => self.list_pair(ours, theirs, coin()),
                (Some(_), _) => self.list(Side::Baseline, ours, None),
                (None, Some(_)) => self.list(Side::Candidate, theirs, None),
            }
        }
        self.items
    }

    fn balanced(mut self, mut coin: impl FnMut() -> bool) -> Vec<InterleavedItem> {
        let [ours, theirs] = self.lists;
        let is_candidate_first = coin();
        for place in 0..ours.len().max(theirs.len()) {
            if self.items.len() >= self.count {
                break;
            }
            let is_new = |item: Option<&T>| item.is_some_and(|item| !self.listed.contains(item));
            let (mine, other) = (ours.get(place), theirs.get(place));
            match (is_new(mine), is_new(other)) {
                (true, true) if mine != other => self.list_pair(place, place, is_candidate_first),
                (true, _) => self.list(Side::Baseline, place, None),
                (false, true) => self.list(Side::Candidate, place, None),
                (false, false) => {}
            }
        }
        self.items
    }

    fn at(&self, side: Side, place: usize) -> Option<&T> {
        self.lists[side as usize].get(place)
    }

    fn next_unlisted(&self, side: Side, from: usize) -> usize {
        let list = self.lists[side as usize];
        (from..list.len()).find(|&n| !self.listed.contains(&list[n])).unwrap_or(list.len())
    }

    fn list_pair(&mut self, ours: usize, theirs: usize, is_candidate_first: bool) {
        let mut pair = [(Side::Baseline, ours), (Side::Candidate, theirs)];
        if is_candidate_first {
            pair.reverse();
        }
        for (side, place) in pair {
            self.list(side, place, Some(side));
        }
    }

    /// Lists an item, if there is room.
    fn list(&mut self, side: Side, place: usize, credited: Option<Side>) {
        if self.items.len() < self.count {
            self.listed.insert(&self.lists[side as usize][place]);
            self.items.push(InterleavedItem { side, place, credited });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Interleaving; 2] = [Interleaving::TeamDraft, Interleaving::Balanced];

    fn items(lists: [&[u32]; 2], result: &[InterleavedItem]) -> Vec<u32> {
        result.iter().map(|it| lists[it.side as usize][it.place]).collect()
    }

    /// What is listed, with a `+` behind items of the candidate and a `-` behind those of the baseline that are credited.
    fn shown(lists: [&[u32]; 2], count: usize, how: Interleaving, coins: &[bool]) -> String {
        let mut coins = coins.iter().copied();
        let result = interleave(lists, count, how, || coins.next().expect("enough coins"));
        let shown = items(lists, &result).into_iter().zip(&result).map(|(item, it)| {
            let credit = match it.credited {
                None => "",
                Some(Side::Baseline) => "-",
                Some(Side::Candidate) => "+",
            };
            format!("{item}{credit}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn by_hand() {
        let lists: [&[u32]; 2] = [&[1, 2, 3, 4], &[1, 3, 2, 5]];
        let by_teams = |coins: &[bool]| shown(lists, 4, Interleaving::TeamDraft, coins);
        assert_eq!(by_teams(&[false, false]), "1 2- 3+ 4-");
        assert_eq!(by_teams(&[true, true]), "1 3+ 2- 5+");
        let balanced = |coin| shown(lists, 5, Interleaving::Balanced, &[coin]);
        assert_eq!(balanced(false), "1 2- 3+ 4- 5+");
        assert_eq!(balanced(true), "1 3+ 2- 5+ 4-");
    }

    /// An item that one list puts first meets what it displaces, and what both have afterwards is shared.
    #[test]
    fn one_item_more_is_one_pair() {
        let lists: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[9, 1, 2, 3, 4]];
        assert_eq!(shown(lists, 5, Interleaving::TeamDraft, &[false]), "1- 9+ 2 3 4");
        assert_eq!(shown(lists, 5, Interleaving::Balanced, &[true]), "9+ 1- 2 3 4");
    }

    #[test]
    fn what_only_one_list_still_has_credits_nobody() {
        let lists: [&[u32]; 2] = [&[1, 2, 3], &[4]];
        assert_eq!(shown(lists, 9, Interleaving::TeamDraft, &[true]), "4+ 1- 2 3");
        assert_eq!(shown(lists, 9, Interleaving::Balanced, &[false]), "1- 4+ 2 3");
        assert_eq!(shown([&[], &[]], 9, Interleaving::TeamDraft, &[]), "");
    }

    /// Where one list's item has been listed, the other one's meets nothing: it would be compared with a worse place.
    #[test]
    fn balanced_lists_compare_the_same_places() {
        let lists: [&[u32]; 2] = [&[1, 2, 3, 4], &[1, 3, 5, 7]];
        assert_eq!(shown(lists, 6, Interleaving::Balanced, &[false]), "1 2- 3+ 5 4- 7+");
    }

    fn two_lists() -> impl Strategy<Value = [Vec<u32>; 2]> {
        let list = || {
            Just((0u32..30).collect::<Vec<_>>()).prop_shuffle().prop_flat_map(|items| {
                (0..=items.len()).prop_map(move |length| items[..length].to_vec())
            })
        };
        [list(), list()]
    }

    proptest! {
        #[test]
        fn every_beginning_is_fair(
            [ours, theirs] in two_lists(), count in 0usize..40, coins in prop::collection::vec(any::<bool>(), 40),
        ) {
            let lists: [&[u32]; 2] = [&ours, &theirs];
            for how in BOTH {
                let mut coin = coins.iter().copied();
                let result = interleave(lists, count, how, || coin.next().expect("enough"));
                let listed = items(lists, &result);
                let different: HashSet<u32> = listed.iter().copied().collect();
                prop_assert_eq!(different.len(), listed.len(), "no item twice");
                let all: HashSet<u32> = ours.iter().chain(&theirs).copied().collect();
                prop_assert_eq!(listed.len(), all.len().min(count), "all that there is room for");
                let mut ahead = 0i32;
                let mut last = [None, None];
                for it in &result {
                    match it.credited {
                        None => {}
                        Some(Side::Baseline) => ahead -= 1,
                        Some(Side::Candidate) => ahead += 1,
                    }
                    prop_assert!((-1..=1).contains(&ahead), "{:?}", result);
                    prop_assert!(it.credited.is_none_or(|side| side == it.side));
                    let last = &mut last[it.side as usize];
                    prop_assert!(last.is_none_or(|last| last < it.place), "{:?}", result);
                    *last = Some(it.place);
                }
            }
        }

        /// Users who look at places only credit both alike: with every coin turned round, the lists change places.
        #[test]
        fn places_favour_nobody(
            [ours, theirs] in two_lists(), count in 0usize..40, coins in prop::collection::vec(any::<bool>(), 40),
        ) {
            let lists: [&[u32]; 2] = [&ours, &theirs];
            for how in BOTH {
                let places = |turned: bool, of: Side| -> Vec<usize> {
                    let mut coin = coins.iter().map(|coin| coin ^ turned);
                    let result = interleave(lists, count, how, || coin.next().expect("enough"));
                    (0..result.len()).filter(|&n| result[n].credited == Some(of)).collect()
                };
                prop_assert_eq!(places(false, Side::Candidate), places(true, Side::Baseline));
                prop_assert_eq!(places(true, Side::Candidate), places(false, Side::Baseline));
            }
        }

        #[test]
        fn the_same_lists_credit_nobody([list, _] in two_lists(), count in 0usize..40, coin in any::<bool>()) {
            for how in BOTH {
                let result = interleave([&list[..], &list[..]], count, how, || coin);
                prop_assert!(result.iter().all(|it| it.credited.is_none()));
                prop_assert_eq!(items([&list, &list], &result), &list[..list.len().min(count)]);
            }
        }

        /// Every beginning of a balanced list is what both lists begin with, to the same place or one further.
        #[test]
        fn balanced_lists_are_balanced(
            [ours, theirs] in two_lists(), count in 0usize..40, coin in any::<bool>(),
        ) {
            let lists: [&[u32]; 2] = [&ours, &theirs];
            let listed = items(lists, &interleave(lists, count, Interleaving::Balanced, || coin));
            for end in 0..=listed.len() {
                let beginning: HashSet<&u32> = listed[..end].iter().collect();
                let begins_with = |mine: usize, other: usize| {
                    let mine = &ours[..mine.min(ours.len())];
                    let other = &theirs[..other.min(theirs.len())];
                    mine.iter().chain(other).collect::<HashSet<_>>() == beginning
                };
                let is_balanced =
                    (0..=30).any(|n| begins_with(n, n) || begins_with(n + 1, n) || begins_with(n, n + 1));
                prop_assert!(is_balanced, "{:?}", &listed[..end]);
            }
        }
    }
}
