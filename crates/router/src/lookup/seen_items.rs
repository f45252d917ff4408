//! The items that a request's lists leave out because some version knows them as seen.
//!
//! Ordinals are numbers within one version. A version's own searches leave its seen items out by ordinal; those of
//! other versions leave them out by id, once they were named ([`ItemNames`]). Requests of one version need no names.

use marquee_core::bounds::MAX_RANK_ITEMS;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The ids of items by their ordinals, for each version by its number in the shard map.
pub(crate) type ItemNames = BTreeMap<usize, HashMap<u32, Arc<str>>>;

/// What each version has seen of a user.
#[derive(Debug, Default)]
pub(crate) struct SeenItems {
    /// The ordinals of the items that a version knows as seen, by the version's number.
    by_version: BTreeMap<usize, Arc<[u32]>>,
    /// The ids of the items that only other versions know as seen, by the version's number.
    of_others: BTreeMap<usize, Vec<String>>,
}

impl SeenItems {
    /// The seen items by the numbers of versions.
    pub(crate) fn new(by_version: BTreeMap<usize, Arc<[u32]>>) -> Self {
        Self { by_version, of_others: BTreeMap::new() }
    }

    /// The ordinals that the lists of a version leave out.
    pub(crate) fn ordinals(&self, version: usize) -> &[u32] {
        self.by_version.get(&version).map_or(&[], |ordinals| ordinals)
    }

    /// The ids that the lists of a version leave out besides.
    pub(crate) fn ids_of_others(&self, version: usize) -> &[String] {
        self.of_others.get(&version).map_or(&[], Vec::as_slice)
    }

    /// Whether one of these versions has seen items that another one has to leave out.
    pub(crate) fn are_shared(&self, versions: impl Iterator<Item = usize>) -> bool {
        let all: BTreeSet<usize> = versions.collect();
        all.len() > 1 && self.by_version.values().any(|ordinals| !ordinals.is_empty())
    }

    /// The ordinals that are to be named, by version.
    pub(crate) fn by_version(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.by_version.iter().map(|(version, ordinals)| (*version, &**ordinals))
    }

    /// Has each version leave out by id what others have seen, as far as `names` has it; no more than a query may
    /// leave out by id besides `reserved` others.
    pub(crate) fn share(&mut self, names: &ItemNames, reserved: usize) {
        let most = MAX_RANK_ITEMS.saturating_sub(reserved);
        let mut named: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for (version, ordinals) in &self.by_version {
            let Some(names) = names.get(version) else { continue };
            let ids = ordinals.iter().filter_map(|ordinal| names.get(ordinal));
            named.insert(*version, ids.map(|id| &**id).collect());
        }
        let mut of_others = BTreeMap::new();
        for version in self.by_version.keys() {
            let mut ids: BTreeSet<&str> = BTreeSet::new();
            for (other, seen) in &named {
                if other != version {
                    ids.extend(seen);
                }
            }
            if let Some(own) = named.get(version) {
                ids.retain(|id| !own.contains(id));
            }
            of_others.insert(*version, ids.into_iter().take(most).map(String::from).collect());
        }
        self.of_others = of_others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[(usize, &[(u32, &str)])]) -> ItemNames {
        let by_ordinal = |pairs: &[(u32, &str)]| {
            pairs.iter().map(|(ordinal, id)| (*ordinal, Arc::from(*id))).collect()
        };
        of.iter().map(|(version, pairs)| (*version, by_ordinal(pairs))).collect()
    }

    fn seen() -> SeenItems {
        SeenItems::new([(0, Arc::from([1, 2])), (1, Arc::from([7])), (2, Arc::from([]))].into())
    }

    #[test]
    fn each_version_leaves_out_what_only_others_have_seen() {
        let mut seen = seen();
        assert!(seen.are_shared([0, 1].into_iter()) && !seen.are_shared([1, 1].into_iter()));
        seen.share(&names(&[(0, &[(1, "a"), (2, "b")]), (1, &[(7, "b")])]), 0);
        assert_eq!(seen.ordinals(0), [1, 2]);
        assert!(seen.ids_of_others(0).is_empty(), "it has seen b itself");
        assert_eq!(seen.ids_of_others(1), ["a"]);
        assert_eq!(seen.ids_of_others(2), ["a", "b"]);
    }

    #[test]
    fn items_without_names_are_passed_over_and_ids_have_a_bound() {
        let mut seen = seen();
        seen.share(&names(&[(0, &[(2, "b")])]), 0);
        assert_eq!(seen.ids_of_others(2), ["b"]);
        seen.share(&names(&[(0, &[(1, "a"), (2, "b")])]), MAX_RANK_ITEMS - 1);
        assert_eq!(seen.ids_of_others(2), ["a"]);
    }
}
