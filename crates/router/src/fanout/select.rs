//! Which replica of each shard to ask, so that few nodes are asked and all get their share.
//!
//! A greedy set cover: again and again the node that has most of what is still wanted. Of several that have as much, two
//! are drawn by a rotation that differs from request to request, and the cheaper one is taken. Then what several of the chosen nodes have is
//! dealt out evenly among them. A shard is only ever asked of its best-standing replicas, so a node
//! of doubtful health is not chosen because it would save a call.
//!
//! Shards of all versions of a request are numbered together, and so are nodes: by the caller.

use marquee_core::plan::{Placement, ReplicaState};
use std::collections::BTreeSet;

/// How much a replica is trusted, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// AVAILABLE, on a node that reports to control and answers us.
    Sound,
    /// AVAILABLE by its last report, on a node that answers us but not control.
    Unreported,
    /// AVAILABLE, on a node that is slower than others.
    Slow,
    /// AVAILABLE by its last report, on a node that failed us lately.
    Suspect,
}

/// The nodes that hold each shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicas {
    /// For each shard the nodes that have it.
    pub(crate) shards: Vec<Vec<(usize, Standing)>>,
    /// The node of this very process, preferred among equals since asking it costs no network.
    pub(crate) local: Option<usize>,
    /// Draws two of several equal nodes; differs from request to request.
    pub(crate) rotation: u64,
    /// What one more call to each node costs, by which one of the two is chosen; nodes that are not there cost
    /// nothing.
    pub(crate) costs: Vec<f64>,
}

/// Which node to ask for each shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Nodes, each once, and the shards to ask of them, ascending.
    pub(crate) calls: Vec<(usize, Vec<usize>)>,
    /// Shards that no allowed node has, ascending.
    pub(crate) unplaced: Vec<usize>,
}

impl Assignment {
    /// The part of it that concerns these shards.
    pub(crate) fn restricted(&self, wanted: &BTreeSet<usize>) -> Self {
        let keep = |shards: &[usize]| -> Vec<usize> {
            shards.iter().copied().filter(|shard| wanted.contains(shard)).collect()
        };
        let calls = self.calls.iter().map(|(node, shards)| (*node, keep(shards)));
        Self {
            calls: calls.filter(|(_, shards)| !shards.is_empty()).collect(),
            unplaced: keep(&self.unplaced),
        }
    }
}

/// The nodes on which a shard is AVAILABLE by their last report.
pub(crate) fn available_on(placement: &Placement) -> impl Iterator<Item = &str> {
    placement
        .replicas
        .iter()
        .filter(|(_, replica)| replica.state == ReplicaState::Available)
        .map(|(node_id, _)| node_id.as_str())
}

/// Assigns the `wanted` shards to nodes of at most the `worst` standing, but never a shard to a node
/// that `refused` says of.
pub(crate) fn assign(
    replicas: &Replicas,
    wanted: &[usize],
    worst: Standing,
    refused: &dyn Fn(usize, usize) -> bool,
) -> Assignment {
    let options: Vec<(usize, Vec<usize>)> = wanted
        .iter()
        .map(|&shard| (shard, best_standing(&replicas.shards[shard], shard, worst, refused)))
        .collect();
    let unplaced = options.iter().filter(|(_, nodes)| nodes.is_empty()).map(|(p, _)| *p).collect();
    let chosen = cover(&options, replicas);
    Assignment { calls: deal(options, &chosen), unplaced }
}

fn best_standing(
    holders: &[(usize, Standing)],
    shard: usize,
    worst: Standing,
    refused: &dyn Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let allowed =
        || holders.iter().filter(|(node, standing)| *standing <= worst && !refused(shard, *node));
    let best = allowed().map(|(_, standing)| *standing).min();
    allowed().filter(|(_, standing)| Some(*standing) == best).map(|(node, _)| *node).collect()
}

/// Nodes that together have all that can be had, in the order they were chosen.
fn cover(options: &[(usize, Vec<usize>)], replicas: &Replicas) -> Vec<usize> {
    let nodes = options.iter().flat_map(|(_, nodes)| nodes).max().map_or(0, |most| most + 1);
    let mut open: Vec<&[usize]> = options.iter().map(|(_, nodes)| nodes.as_slice()).collect();
    open.retain(|nodes| !nodes.is_empty());
    let mut chosen = Vec::new();
    while !open.is_empty() {
        let mut counts = vec![0_usize; nodes];
        open.iter().copied().flatten().for_each(|&node| counts[node] += 1);
        let most = counts.iter().copied().max().unwrap_or_default();
        let equal: Vec<usize> = (0..nodes).filter(|&node| counts[node] == most).collect();
        let best = best_of(&equal, replicas).expect("an open shard has a node");
        open.retain(|nodes| !nodes.contains(&best));
        chosen.push(best);
    }
    chosen
}

/// One of several nodes that have as much: this process itself, or the cheaper of two.
fn best_of(equal: &[usize], replicas: &Replicas) -> Option<usize> {
    if let Some(local) = replicas.local.filter(|local| equal.contains(local)) {
        return Some(local);
    }
    let drawn = |node: &usize| (turn(replicas.rotation, *node), *node);
    let one = *equal.iter().max_by_key(|node| drawn(node))?;
    let other = equal.iter().copied().filter(|&node| node != one).max_by_key(drawn);
    let cost = |node: usize| replicas.costs.get(node).copied().unwrap_or_default();
    Some(other.filter(|&node| cost(node) < cost(one)).unwrap_or(one))
}

/// Gives each shard to the chosen node that has least so far; shards with the least choice first.
fn deal(mut options: Vec<(usize, Vec<usize>)>, chosen: &[usize]) -> Vec<(usize, Vec<usize>)> {
    let mut calls: Vec<(usize, Vec<usize>)> =
        chosen.iter().map(|&node| (node, Vec::new())).collect();
    for (_, nodes) in &mut options {
        nodes.retain(|node| chosen.contains(node));
    }
    options.sort_by_key(|(shard, nodes)| (nodes.len(), *shard));
    for (shard, nodes) in options {
        let least = calls
            .iter_mut()
            .filter(|(node, _)| nodes.contains(node))
            .min_by_key(|(_, shards)| shards.len());
        if let Some((_, shards)) = least {
            shards.push(shard);
        }
    }
    calls.retain_mut(|(_, shards)| {
        shards.sort_unstable();
        !shards.is_empty()
    });
    calls
}

/// A number that looks random and is the same for the same arguments (the finaliser of SplitMix64).
fn turn(rotation: u64, node: usize) -> u64 {
    let mut z = rotation.wrapping_add((node as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sound(shards: &[&[usize]], rotation: u64) -> Replicas {
        let holders = |nodes: &&[usize]| nodes.iter().map(|&n| (n, Standing::Sound)).collect();
        Replicas {
            shards: shards.iter().map(holders).collect(),
            local: None,
            rotation,
            costs: Vec::new(),
        }
    }

    fn all(replicas: &Replicas) -> Assignment {
        let wanted: Vec<usize> = (0..replicas.shards.len()).collect();
        assign(replicas, &wanted, Standing::Suspect, &|_, _| false)
    }

    #[test]
    fn one_node_that_has_all_is_asked_alone() {
        let replicas = sound(&[&[0, 1], &[1, 2], &[1]], 7);
        assert_eq!(all(&replicas).calls, [(1, vec![0, 1, 2])]);
    }

    #[test]
    fn what_two_chosen_nodes_share_is_dealt_out_evenly() {
        let replicas = sound(&[&[0], &[1], &[0, 1], &[0, 1], &[0, 1], &[0, 1]], 3);
        let loads: Vec<usize> = all(&replicas).calls.iter().map(|(_, p)| p.len()).collect();
        assert_eq!(loads, [3, 3]);
    }

    #[test]
    fn health_goes_before_thrift() {
        let mut replicas = sound(&[&[0, 1], &[0]], 3);
        replicas.shards[0][0].1 = Standing::Suspect;
        let mut calls = all(&replicas).calls;
        calls.sort();
        assert_eq!(calls, [(0, vec![1]), (1, vec![0])]);
        let worst = assign(&replicas, &[0, 1], Standing::Unreported, &|_, node| node == 1);
        assert_eq!(worst, Assignment { calls: vec![(0, vec![1])], unplaced: vec![0] });
    }

    #[test]
    fn rotation_spreads_the_load_and_the_local_node_is_preferred() {
        let mut counts = [0; 3];
        for rotation in 0..3_000 {
            counts[all(&sound(&[&[0, 1, 2]], rotation)).calls[0].0] += 1;
        }
        assert!(counts.iter().all(|&count| (900..1_100).contains(&count)), "{counts:?}");
        for rotation in 0..100 {
            let replicas = Replicas { local: Some(2), ..sound(&[&[0, 1, 2]], rotation) };
            assert_eq!(all(&replicas).calls[0].0, 2);
        }
    }

    #[test]
    fn of_two_the_cheaper_is_asked_and_the_dearest_never() {
        let mut counts = [0; 3];
        for rotation in 0..3_000 {
            let replicas = sound(&[&[0, 1, 2]], rotation);
            let replicas = Replicas { costs: vec![1.0, 2.0, 50.0], ..replicas };
            counts[all(&replicas).calls[0].0] += 1;
        }
        assert!((1_900..2_100).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
    }

    fn standing() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::Sound),
            Just(Standing::Unreported),
            Just(Standing::Slow),
            Just(Standing::Suspect)
        ]
    }

    proptest! {
        #[test]
        fn every_piece_goes_once_to_a_best_holder_or_is_named(
            shards in prop::collection::vec(
                prop::collection::btree_map(0usize..8, standing(), 0..4), 1..20),
            rotation in any::<u64>(), banned in 0usize..8,
        ) {
            let replicas = Replicas {
                shards: shards.iter().map(|p| p.clone().into_iter().collect()).collect(),
                local: None,
                rotation,
                costs: Vec::new(),
            };
            let wanted: Vec<usize> = (0..shards.len()).collect();
            let assignment = assign(&replicas, &wanted, Standing::Unreported, &|_, node| node == banned);
            let mut placed = assignment.unplaced.clone();
            for (node, asked) in &assignment.calls {
                prop_assert!(!asked.is_empty());
                for shard in asked {
                    let allowed = |(n, s): (&usize, &Standing)|
                        (*n != banned && *s <= Standing::Unreported).then_some(*s);
                    let best = shards[*shard].iter().filter_map(allowed).min();
                    prop_assert_ne!(*node, banned);
                    prop_assert_eq!(shards[*shard].get(node).copied(), best);
                }
                placed.extend(asked);
            }
            placed.sort_unstable();
            prop_assert_eq!(placed, wanted);
            let mut nodes: Vec<usize> = assignment.calls.iter().map(|(n, _)| *n).collect();
            nodes.sort_unstable();
            nodes.dedup();
            prop_assert_eq!(nodes.len(), assignment.calls.len());
        }
    }
}
