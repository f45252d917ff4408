//! The chain of applied entries: a hash by which voters find that one of them has applied something else.
//!
//! Each entry's hash covers its index, term, kind, content and the hash before it. Raft compares index and term only, so
//! a disk that changed an entry, or a voter that took part in a decision twice, would go unnoticed. The chain begins at
//! the first entry with members, which all voters have in common.
//!
//! Voters send the newest point of their chain with every message. The leader compares; a voter that is told that it
//! differs looks at its own chain, and stops only if that is so.

use marquee_proto::raft::v1 as pb;
use raft::eraftpb::Entry;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// Points that are remembered to be compared: more than two voters that hear each other are apart.
const MAX_POINTS: usize = 4_096;

/// Bytes of a hash of the chain.
pub const CHAIN_HASH_BYTES: usize = 32;
/// A hash of the chain.
pub type ChainHash = [u8; CHAIN_HASH_BYTES];

/// A hash of all entries up to an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainPoint {
    /// The index of the last of them.
    pub(crate) index: u64,
    /// The hash of all entries up to it.
    pub(crate) hash: ChainHash,
}

impl ChainPoint {
    /// Reads a point; none if it is malformed.
    pub(crate) fn from_wire(point: &pb::ChainPoint) -> Option<Self> {
        let hash = <ChainHash>::try_from(point.hash.as_ref()).ok()?;
        Some(Self { index: point.index, hash })
    }

    /// The point in its wire form.
    pub(crate) fn to_wire(self) -> pb::ChainPoint {
        pb::ChainPoint { index: self.index, hash: bytes::Bytes::copy_from_slice(&self.hash) }
    }
}

/// The newest points of one voter's chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    points: VecDeque<ChainPoint>,
}

impl Chain {
    /// A chain that goes on from a point; none: it has not begun.
    pub(crate) fn from_point(point: Option<ChainPoint>) -> Self {
        Self { points: point.into_iter().collect() }
    }

    /// The newest point; none: the chain has not begun.
    pub(crate) fn newest(&self) -> Option<ChainPoint> {
        self.points.back().copied()
    }

    /// The point at an index, if it is remembered.
    pub(crate) fn at(&self, index: u64) -> Option<ChainPoint> {
        let first = self.points.front()?.index;
        let place = usize::try_from(index.checked_sub(first)?).ok()?;
        self.points.get(place).copied()
    }

    /// Adds an applied entry. The chain begins with the first one that `begins` it.
    pub(crate) fn add(&mut self, entry: &Entry, begins: bool) {
        let before = match self.newest() {
            Some(point) => point.hash,
            None if begins => ChainHash::default(),
            None => return,
        };
        let mut hasher = Sha256::new();
        hasher.update(b"marquee control chain 1");
        hasher.update(before);
        for number in [
            entry.index,
            entry.term,
            entry.get_entry_type() as u64,
            entry.data.len() as u64,
            entry.context.len() as u64,
        ] {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(&entry.data);
        hasher.update(&entry.context);
        self.points.push_back(ChainPoint { index: entry.index, hash: hasher.finalize().into() });
        if self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
    }
}

/// What a leader finds by comparing chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// The voters that differ from the group, each with the index at which they were compared.
    pub(crate) diverged: BTreeMap<u64, u64>,
}

/// Compares what members have reported with the leader's own chain. `voters` are those that have a vote, the leader `me`
/// among them. If a majority agrees on something else than the leader has, it is the leader who has diverged.
pub(crate) fn compare(
    ours: &Chain,
    me: u64,
    voters: &[u64],
    reports: &BTreeMap<u64, ChainPoint>,
) -> Comparison {
    let mut differing = BTreeMap::new();
    for (id, report) in reports {
        if ours.at(report.index).is_some_and(|point| point != *report) {
            differing.insert(*id, *report);
        }
    }
    let quorum = voters.len() / 2 + 1;
    let agree_on = |point: &ChainPoint| {
        differing.iter().filter(|(id, report)| voters.contains(id) && *report == point).count()
    };
    if let Some(point) = differing.values().find(|point| agree_on(point) >= quorum) {
        return Comparison { diverged: BTreeMap::from([(me, point.index)]) };
    }
    let diverged = differing.iter().map(|(id, report)| (*id, report.index)).collect();
    Comparison { diverged }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, data: &'static str) -> Entry {
        Entry { index, term: 2, data: data.into(), ..Entry::default() }
    }

    fn chain(entries: &[(u64, &'static str)]) -> Chain {
        let mut chain = Chain::default();
        for (index, data) in entries {
            chain.add(&entry(*index, data), *index == 3);
        }
        chain
    }

    #[test]
    fn a_chain_begins_where_it_is_told_and_every_part_of_an_entry_counts() {
        let base = chain(&[(2, "before"), (3, "a"), (4, "b")]);
        assert_eq!(base.at(2), None);
        assert_eq!(base.newest().map(|point| point.index), Some(4));
        assert_eq!(base.newest(), chain(&[(2, "other"), (3, "a"), (4, "b")]).newest());
        assert_ne!(base.newest(), chain(&[(3, "x"), (4, "b")]).newest());
        let start = chain(&[(3, "a")]);
        let with = |change: fn(&mut Entry)| {
            let (mut chain, mut changed) = (start.clone(), entry(4, "b"));
            change(&mut changed);
            chain.add(&changed, false);
            chain.newest().map(|point| point.hash)
        };
        let plain = with(|_| {});
        assert_eq!(plain, base.newest().map(|point| point.hash));
        assert_ne!(plain, with(|entry| entry.term = 3));
        assert_ne!(plain, with(|entry| entry.index = 5));
        assert_ne!(plain, with(|entry| entry.data = "c".into()));
        assert_ne!(plain, with(|entry| entry.context = "c".into()));
        assert_ne!(plain, with(|entry| (entry.data, entry.context) = ("".into(), "b".into())));
    }

    #[test]
    fn points_are_bounded_and_old_ones_forgotten() {
        let mut chain = chain(&[(3, "a")]);
        for index in 4..4 + MAX_POINTS as u64 {
            chain.add(&entry(index, "b"), false);
        }
        assert_eq!((chain.at(3), chain.points.len()), (None, MAX_POINTS));
        assert!(chain.at(4).is_some());
    }

    fn reports(of: &[(u64, &Chain)]) -> BTreeMap<u64, ChainPoint> {
        of.iter().map(|(id, chain)| (*id, chain.newest().expect("begun"))).collect()
    }

    #[test]
    fn the_minority_has_diverged_and_without_a_majority_who_follows() {
        let (ours, other) = (chain(&[(3, "a"), (4, "b")]), chain(&[(3, "a"), (4, "x")]));
        let behind = chain(&[(3, "a")]);
        let voters = [1, 2, 3];
        let found =
            |reports: &BTreeMap<u64, ChainPoint>| compare(&ours, 1, &voters, reports).diverged;
        assert!(found(&reports(&[(2, &ours), (3, &behind)])).is_empty());
        assert_eq!(found(&reports(&[(2, &ours), (3, &other)])), BTreeMap::from([(3, 4)]));
        assert_eq!(found(&reports(&[(3, &other)])), BTreeMap::from([(3, 4)]));
        assert_eq!(found(&reports(&[(2, &other), (3, &other)])), BTreeMap::from([(1, 4)]));
        // A learner's word is not counted.
        assert_eq!(found(&reports(&[(2, &other), (9, &other)])), BTreeMap::from([(2, 4), (9, 4)]));
        // What is ahead of our chain is not compared.
        let ahead = chain(&[(3, "x"), (4, "x"), (5, "x")]);
        assert!(found(&reports(&[(2, &ahead)])).is_empty());
    }
}
