//! Sets of items that many users have, by FP-growth (Han, Pei and Yin 2000, "Mining frequent patterns without
//! candidate generation").
//!
//! The baskets are put into a tree by their items, the commonest first, so that baskets that begin alike share nodes. The
//! sets with an item are those of the tree of what comes before it, with the item added; each such tree is made and
//! mined in turn, the rarest item first.

use crate::csr::Csr;
use crate::error::TrainError;
use std::collections::BTreeMap;

/// Sets that are kept at most: more are no list that anybody reads, and would not fit into memory.
pub(crate) const MAX_SETS: usize = 5_000_000;

/// A set of items, ascending, and how many baskets have all of them.
pub(crate) type FrequentSet = (Vec<u32>, u32);

/// All sets of at most `most_items` items that at least `least` baskets have, in the order of their items. A row of
/// `baskets` is a basket; its values are not looked at.
///
/// # Errors
/// More than [`MAX_SETS`] of them.
pub(crate) fn frequent_sets(
    baskets: &Csr,
    least: u32,
    most_items: usize,
) -> Result<Vec<FrequentSet>, TrainError> {
    let mut counts = vec![0u32; baskets.columns];
    for &item in &baskets.indices {
        counts[item as usize] += 1;
    }
    // Places of items: the commonest first, equal ones by number.
    let mut items: Vec<u32> = (0..baskets.columns as u32).collect();
    items.retain(|&item| counts[item as usize] >= least.max(1));
    items.sort_by_key(|&item| (std::cmp::Reverse(counts[item as usize]), item));
    let mut places = vec![None; baskets.columns];
    for (&item, place) in items.iter().zip(0u32..) {
        places[item as usize] = Some(place);
    }
    let mut tree = Tree::new(items.len());
    let mut path = Vec::new();
    for basket in 0..baskets.rows() {
        path.clear();
        path.extend(baskets.row(basket).0.iter().filter_map(|&item| places[item as usize]));
        path.sort_unstable();
        tree.add(&path, 1);
    }
    let mut found = Found { items: &items, least: least.max(1), most_items, sets: Vec::new() };
    found.mine(&tree, &mut Vec::new())?;
    let mut sets = found.sets;
    sets.sort_unstable();
    Ok(sets)
}

/// Paths of places from the commonest to the rarest, each node with how many baskets go through it.
struct Tree {
    nodes: Vec<Node>,
    /// The nodes of each place.
    by_place: Vec<Vec<u32>>,
}

struct Node {
    place: u32,
    count: u32,
    /// None for those at the beginning of a path.
    parent: Option<u32>,
    children: BTreeMap<u32, u32>,
}

impl Tree {
    fn new(places: usize) -> Self {
        Self { nodes: vec![Node::new(u32::MAX, None)], by_place: vec![Vec::new(); places] }
    }

    /// Adds so many baskets of these places, which ascend.
    fn add(&mut self, path: &[u32], count: u32) {
        let mut at = 0u32;
        for &place in path {
            let next = match self.nodes[at as usize].children.get(&place) {
                Some(&next) => next,
                None => {
                    let next = self.nodes.len() as u32;
                    self.nodes.push(Node::new(place, (at > 0).then_some(at)));
                    self.nodes[at as usize].children.insert(place, next);
                    self.by_place[place as usize].push(next);
                    next
                }
            };
            self.nodes[next as usize].count += count;
            at = next;
        }
    }

    fn count_of(&self, place: usize) -> u32 {
        self.by_place[place].iter().map(|&node| self.nodes[node as usize].count).sum()
    }

    /// What comes before a place, as a tree of the places that are frequent there.
    fn before(&self, place: usize, least: u32) -> Self {
        let mut paths = Vec::with_capacity(self.by_place[place].len());
        let mut counts = vec![0u32; place];
        for &node in &self.by_place[place] {
            let count = self.nodes[node as usize].count;
            let mut path = Vec::new();
            let mut above = self.nodes[node as usize].parent;
            while let Some(at) = above {
                let Node { place, parent, .. } = &self.nodes[at as usize];
                path.push(*place);
                counts[*place as usize] += count;
                above = *parent;
            }
            path.reverse();
            paths.push((path, count));
        }
        let mut tree = Self::new(place);
        for (mut path, count) in paths {
            path.retain(|&place| counts[place as usize] >= least);
            tree.add(&path, count);
        }
        tree
    }
}

impl Node {
    fn new(place: u32, parent: Option<u32>) -> Self {
        Self { place, count: 0, parent, children: BTreeMap::new() }
    }
}

struct Found<'a> {
    /// The item of each place.
    items: &'a [u32],
    least: u32,
    most_items: usize,
    sets: Vec<FrequentSet>,
}

impl Found<'_> {
    /// Adds the sets of a tree, each with the items of `suffix`. As deep as sets have items.
    fn mine(&mut self, tree: &Tree, suffix: &mut Vec<u32>) -> Result<(), TrainError> {
        for place in (0..tree.by_place.len()).rev() {
            let count = tree.count_of(place);
            if count < self.least {
                continue;
            }
            suffix.push(self.items[place]);
            if self.sets.len() == MAX_SETS {
                return Err(TrainError::Data(format!(
                    "more than {MAX_SETS} sets of items are frequent: give a higher --min-support"
                )));
            }
            let mut set = suffix.clone();
            set.sort_unstable();
            self.sets.push((set, count));
            if suffix.len() < self.most_items {
                self.mine(&tree.before(place, self.least), suffix)?;
            }
            suffix.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn csr(baskets: &[BTreeSet<u32>]) -> Csr {
        let mut csr = Csr { columns: 8, offsets: vec![0], ..Csr::default() };
        for basket in baskets {
            csr.indices.extend(basket);
            csr.values.extend(basket.iter().map(|_| 1.0));
            csr.offsets.push(csr.indices.len());
        }
        csr
    }

    /// Apriori (Agrawal and Srikant 1994): sets of k items are made of frequent sets of k − 1 items, and counted.
    fn apriori(baskets: &[BTreeSet<u32>], least: u32, most_items: usize) -> Vec<FrequentSet> {
        let count = |set: &BTreeSet<u32>| {
            baskets.iter().filter(|basket| set.is_subset(basket)).count() as u32
        };
        let mut found = Vec::new();
        let mut last: BTreeSet<BTreeSet<u32>> = BTreeSet::from([BTreeSet::new()]);
        for _ in 0..most_items {
            let mut next = BTreeSet::new();
            for set in &last {
                for item in 0..8 {
                    let mut larger = set.clone();
                    if larger.insert(item) && count(&larger) >= least.max(1) {
                        next.insert(larger);
                    }
                }
            }
            found.extend(next.iter().map(|set| (set.iter().copied().collect(), count(set))));
            last = next;
        }
        found.sort_unstable();
        found
    }

    /// The example of the paper's Table 1 with letters as numbers: f 0, c 1, a 2, b 3, m 4, p 5.
    #[test]
    fn the_example_of_the_paper() {
        let baskets: Vec<BTreeSet<u32>> =
            [&[0, 1, 2, 4, 5][..], &[0, 1, 2, 3, 4], &[0, 3], &[1, 3, 5], &[0, 1, 2, 4, 5]]
                .iter()
                .map(|basket| basket.iter().copied().collect())
                .collect();
        let sets = frequent_sets(&csr(&baskets), 3, 8).expect("few");
        let count = |set: &[u32]| sets.iter().find(|(items, _)| items == set).map(|(_, n)| *n);
        assert_eq!(count(&[1, 5]), Some(3));
        assert_eq!(count(&[0, 1, 2, 4]), Some(3));
        assert_eq!(count(&[0]), Some(4));
        assert_eq!(count(&[3, 5]), None);
        assert_eq!(sets.len(), 18);
    }

    proptest! {
        #[test]
        fn the_sets_are_those_of_apriori(
            baskets in prop::collection::vec(prop::collection::btree_set(0u32..8, 0..7), 0..25),
            least in 0u32..5,
            most_items in 1usize..5,
        ) {
            let found = frequent_sets(&csr(&baskets), least, most_items).expect("few");
            prop_assert_eq!(found, apriori(&baskets, least, most_items));
        }
    }
}
