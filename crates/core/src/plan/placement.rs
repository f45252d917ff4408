//! Where shards should be: rendezvous hashing, evened out.
//!
//! Each node has a preference for each shard, a hash of the two, and the shard goes to the nodes with the
//! greatest ones (Thaler and Ravishankar 1998). Hashing alone leaves the load to chance, which matters in a
//! small cluster. So replicas then move, one at a time and by the same preferences, from the fullest node to
//! the emptiest until no two nodes differ by more than one. A node that joins or leaves moves few replicas.
//!
//! The hash is of the model's name and not its version: the same shard of successive versions lives on the
//! same nodes, and a user whose rollout compares them asks the same machines.

use super::contents::Plan;
use super::node::Role;
use super::version::{Placement, ReplicaState};
use crate::hash::{Purpose, stable_hash};
use crate::id::ModelVersion;
use crate::planted::{PlantedBug, is_planted};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// For each shard of `model` the nodes that should hold it, most preferred first: `replication_factor`
/// of them, or all nodes where there are fewer. The same for the same arguments, whatever the order
/// of `nodes`, which must not repeat.
pub fn place(
    model: &str,
    shards: u32,
    replication_factor: u32,
    nodes: &[String],
) -> Vec<Vec<String>> {
    let mut nodes: Vec<&String> = nodes.iter().collect();
    nodes.sort();
    let preference = |node: usize, shard: usize| {
        let shard = (shard as u32).to_le_bytes();
        stable_hash(Purpose::Placement, &[nodes[node].as_bytes(), model.as_bytes(), &shard])
    };
    let mut homes: Vec<Vec<usize>> = (0..shards as usize)
        .map(|shard| {
            let mut wanting: Vec<usize> = (0..nodes.len()).collect();
            wanting.sort_by_key(|&node| Reverse(preference(node, shard)));
            wanting.truncate(replication_factor as usize);
            wanting
        })
        .collect();
    even_out(&mut homes, nodes.len(), &preference);
    for (shard, homes) in homes.iter_mut().enumerate() {
        homes.sort_by_key(|&node| Reverse(preference(node, shard)));
    }
    homes
        .into_iter()
        .map(|homes| homes.into_iter().map(|node| nodes[node].clone()).collect())
        .collect()
}

/// Moves replicas from the fullest node to the emptiest until their loads differ by at most one.
/// Each move lowers the sum of squared loads, so this ends.
fn even_out(homes: &mut [Vec<usize>], nodes: usize, preference: &dyn Fn(usize, usize) -> u64) {
    let mut load = vec![0_usize; nodes];
    homes.iter().flatten().for_each(|&node| load[node] += 1);
    loop {
        let fullest = (0..nodes).max_by_key(|&node| (load[node], Reverse(node)));
        let emptiest = (0..nodes).min_by_key(|&node| (load[node], node));
        let (Some(from), Some(to)) = (fullest, emptiest) else { return };
        if load[from] <= load[to] + 1 {
            return;
        }
        let shard = (0..homes.len())
            .filter(|&shard| homes[shard].contains(&from) && !homes[shard].contains(&to))
            .max_by_key(|&shard| preference(to, shard))
            .expect("the fullest node holds at least two shards that the emptiest does not");
        let replica = homes[shard].iter_mut().find(|node| **node == from);
        *replica.expect("just seen to hold it") = to;
        load[from] -= 1;
        load[to] += 1;
    }
}

fn is_available(placement: &Placement, node_id: &str) -> bool {
    placement.replicas.get(node_id).is_some_and(|replica| replica.state == ReplicaState::Available)
}

impl Plan {
    /// The (version, shard) pairs that a node should hold: what is placed on it, and what it holds
    /// of a live version until all nodes that the shard is placed on now have it.
    pub fn wanted_on(&self, node_id: &str) -> BTreeSet<(ModelVersion, u32)> {
        let live = self.live_versions();
        let mut wanted = BTreeSet::new();
        for (version, published) in &self.versions {
            for (shard, placement) in (0..).zip(&published.placements) {
                let homes = &placement.node_ids;
                let is_placed = homes.iter().any(|id| id == node_id);
                let has_moved =
                    !homes.is_empty() && homes.iter().all(|id| is_available(placement, id));
                let is_needed =
                    live.contains(version) && is_available(placement, node_id) && !has_moved;
                if is_placed || is_needed {
                    wanted.insert((version.clone(), shard));
                }
            }
        }
        wanted
    }

    /// Places the shards of live versions on the shard nodes, and takes placements from versions that are not
    /// live any more.
    pub(crate) fn place_live_versions(&mut self) {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.roles.contains(&Role::Shard) && !node.draining)
            .map(|(id, _)| id.clone())
            .collect();
        let live = self.live_versions();
        for (version, published) in &mut self.versions {
            published.placements.resize_with(published.shards as usize, Placement::default);
            let homes = if live.contains(version) {
                place(&version.model, published.shards, self.replication_factor, &nodes)
            } else {
                vec![Vec::new(); published.shards as usize]
            };
            for (placement, mut homes) in published.placements.iter_mut().zip(homes) {
                if is_planted(PlantedBug::ReplicasOnOneNode) {
                    homes.truncate(1);
                }
                placement.node_ids = homes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("shard-{n}")).collect()
    }

    fn loads(placement: &[Vec<String>], nodes: &[String]) -> Vec<usize> {
        let held = |node| placement.iter().filter(|holders| holders.contains(node)).count();
        nodes.iter().map(held).collect()
    }

    proptest! {
        #[test]
        fn shards_are_spread_over_distinct_nodes(
            shards in 1u32..40, replicas in 1u32..5, count in 1usize..12, model in "[a-z]{1,6}",
        ) {
            let nodes = names(count);
            let placement = place(&model, shards, replicas, &nodes);
            prop_assert_eq!(placement.len(), shards as usize);
            for holders in &placement {
                let distinct: BTreeSet<_> = holders.iter().collect();
                prop_assert_eq!(distinct.len(), (replicas as usize).min(count));
            }
            let mut backwards = nodes.clone();
            backwards.reverse();
            prop_assert_eq!(&place(&model, shards, replicas, &backwards), &placement);
        }

        #[test]
        fn loads_are_even(shards in 1u32..40, replicas in 1u32..4, count in 1usize..10) {
            let nodes = names(count);
            let loads = loads(&place("films", shards, replicas, &nodes), &nodes);
            let (least, most) = (loads.iter().min(), loads.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", loads);
        }
    }

    #[test]
    fn a_new_node_moves_few_replicas() {
        let (before, after) = (place("films", 64, 2, &names(8)), place("films", 64, 2, &names(9)));
        let moved: usize = before
            .iter()
            .zip(&after)
            .map(|(old, new)| new.iter().filter(|node| !old.contains(node)).count())
            .sum();
        assert!(moved <= 128 / 4, "{moved} of 128 replicas moved; an even share is {}", 128 / 9);
    }

    #[test]
    fn versions_of_a_model_share_nodes_and_models_do_not_crowd() {
        let nodes = names(4);
        assert_eq!(loads(&place("films", 4, 2, &nodes), &nodes), [2, 2, 2, 2]);
        assert_ne!(place("films", 4, 2, &nodes), place("games", 4, 2, &nodes));
    }

    #[test]
    fn nowhere_to_go() {
        assert_eq!(place("films", 2, 2, &[]), [Vec::<String>::new(), Vec::new()]);
    }
}
