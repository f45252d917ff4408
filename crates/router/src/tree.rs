//! An ensemble in execution: what it needs next, and how what it got becomes one list. Pure.
//!
//! Leaves are numbered from left to right. All leaves that can be asked at once are asked at once;
//! only the later members of a sequence wait, since they re-rank what the earlier ones propose. A
//! leaf that failed, or has nothing to say of the subject, is *absent*: the rest answers without it.

use marquee_core::ensemble::{EnsembleNode, Fusion, WeightedNode};
use marquee_core::fuse::{
    Candidate, Member, depth, product, reciprocal_rank, rerank, weighted_score,
};
use marquee_core::id::ModelVersion;
use marquee_core::recipe::BLEND_DEPTH;
use std::sync::Arc;

/// Members of ensembles propose at least this many items; those of blends
/// [`BLEND_DEPTH`].
const MIN_DEPTH: usize = 100;

/// An ensemble without references and splits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Leaf(usize),
    /// Members list at least `depth` items each.
    Parallel {
        members: Vec<(f64, Tree)>,
        fusion: Fusion,
        depth: usize,
    },
    Product(Vec<Tree>),
    Sequence(Vec<Tree>),
}

/// The weights of the members of a model's recipe.
pub type Weights<'a> = dyn FnMut(&ModelVersion) -> Option<Vec<f64>> + 'a;

/// What is known of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LeafState {
    /// Not asked yet.
    Open,
    /// Its list, best first.
    Answered(Vec<Candidate>),
    /// Nothing will come of it.
    Absent,
}

/// What is asked of a node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    /// At most this many items.
    pub(crate) count: usize,
    /// Only these items, if given.
    pub(crate) only: Option<Arc<[String]>>,
}

/// A leaf that has to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Demand {
    pub(crate) leaf: usize,
    pub(crate) scope: Scope,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Ask these leaves, then evaluate again.
    Ask(Vec<Demand>),
    /// The list; empty if every leaf is absent.
    Done(Vec<Candidate>),
}

impl Tree {
    /// The tree of a decided ensemble; none if a reference or a split is left in it, or `weights`
    /// has none.
    ///
    /// `weights` gives, for each model from left to right, the weights of the members of its recipe: a
    /// model that blends several is a parallel of as many leaves.
    pub(crate) fn of(root: &EnsembleNode, weights: &mut Weights<'_>) -> Option<Self> {
        Self::node(root, &mut 0, weights)
    }

    fn node(node: &EnsembleNode, leaves: &mut usize, weights: &mut Weights<'_>) -> Option<Self> {
        Some(match node {
            EnsembleNode::Model(version) => {
                let mut leaf = |weight| {
                    *leaves += 1;
                    (weight, Self::Leaf(*leaves - 1))
                };
                match weights(version)?.as_slice() {
                    [one] => leaf(*one).1,
                    several => Self::Parallel {
                        members: several.iter().map(|weight| leaf(*weight)).collect(),
                        fusion: Fusion::WeightedScore,
                        depth: BLEND_DEPTH,
                    },
                }
            }
            EnsembleNode::Parallel { members, fusion } => Self::Parallel {
                members: members
                    .iter()
                    .map(|WeightedNode { node, weight }| {
                        Some((*weight, Self::node(node, leaves, weights)?))
                    })
                    .collect::<Option<_>>()?,
                fusion: *fusion,
                depth: MIN_DEPTH,
            },
            EnsembleNode::Product(members) => Self::Product(Self::nodes(members, leaves, weights)?),
            EnsembleNode::Sequence(members) => {
                Self::Sequence(Self::nodes(members, leaves, weights)?)
            }
            EnsembleNode::Reference(_) | EnsembleNode::Split { .. } => return None,
        })
    }

    fn nodes(
        nodes: &[EnsembleNode],
        leaves: &mut usize,
        weights: &mut Weights<'_>,
    ) -> Option<Vec<Self>> {
        nodes.iter().map(|node| Self::node(node, leaves, weights)).collect()
    }

    /// What comes next, given what is known of the leaves. The list of a lone leaf is taken out of
    /// its state, so it is given once.
    pub(crate) fn evaluate(&self, leaves: &mut [LeafState], scope: &Scope) -> Step {
        if let Self::Leaf(leaf) = self
            && let LeafState::Answered(list) = &mut leaves[*leaf]
        {
            return Step::Done(std::mem::take(list));
        }
        match self.list(leaves, scope) {
            Ok(list) => Step::Done(list.unwrap_or_default()),
            Err(demands) => Step::Ask(demands),
        }
    }

    /// The node's list, none if it is absent; or else what it needs.
    fn list(
        &self,
        leaves: &[LeafState],
        scope: &Scope,
    ) -> Result<Option<Vec<Candidate>>, Vec<Demand>> {
        match self {
            Self::Leaf(leaf) => match &leaves[*leaf] {
                LeafState::Open => Err(vec![Demand { leaf: *leaf, scope: scope.clone() }]),
                LeafState::Answered(list) => Ok(Some(list.clone())),
                LeafState::Absent => Ok(None),
            },
            Self::Parallel { members, fusion, depth } => {
                let (weights, nodes): (Vec<f64>, Vec<&Self>) =
                    members.iter().map(|(weight, node)| (*weight, node)).unzip();
                let members: Vec<Member> = all(nodes, leaves, &scope.deep(*depth))?
                    .into_iter()
                    .zip(weights)
                    .filter_map(|(list, weight)| Some(Member { weight, list: list? }))
                    .collect();
                Ok((!members.is_empty()).then(|| match fusion {
                    Fusion::ReciprocalRank => reciprocal_rank(members, scope.count),
                    Fusion::WeightedScore => weighted_score(members, scope.count),
                }))
            }
            Self::Product(members) => {
                let lists: Vec<_> = all(members.iter().collect(), leaves, &scope.deep(MIN_DEPTH))?;
                let lists: Vec<_> = lists.into_iter().flatten().collect();
                Ok((!lists.is_empty()).then(|| product(lists, scope.count)))
            }
            Self::Sequence(members) => sequence(members, leaves, scope),
        }
    }
}

/// What a leaf is asked, by its number: at most so many items, and only these if given. None where nothing
/// comes of it.
pub type AskLeaf<'a> = dyn FnMut(usize, usize, Option<&[String]>) -> Option<Vec<Candidate>> + 'a;

/// The list of a decided ensemble whose leaves answer at once, as a router makes it: for evaluation. `weights`
/// gives, for each model from left to right, the weights of its recipe's parts, which are the leaves. None if a
/// reference or a split is left in it, or `weights` has none.
pub fn evaluate_offline(
    root: &EnsembleNode,
    count: usize,
    weights: &mut Weights<'_>,
    ask: &mut AskLeaf<'_>,
) -> Option<Vec<Candidate>> {
    let mut leaves = 0;
    let tree = Tree::of(root, &mut |version| {
        let weights = weights(version)?;
        leaves += weights.len();
        Some(weights)
    })?;
    let (mut states, scope) = (vec![LeafState::Open; leaves], Scope { count, only: None });
    loop {
        match tree.evaluate(&mut states, &scope) {
            Step::Done(list) => return Some(list),
            Step::Ask(demands) => {
                for Demand { leaf, scope } in demands {
                    let list = ask(leaf, scope.count, scope.only.as_deref());
                    states[leaf] = list.map_or(LeafState::Absent, LeafState::Answered);
                }
            }
        }
    }
}

/// The lists of all, or what all of them together need.
fn all(
    nodes: Vec<&Tree>,
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Vec<Option<Vec<Candidate>>>, Vec<Demand>> {
    let mut lists = Vec::with_capacity(nodes.len());
    let mut demands = Vec::new();
    for node in nodes {
        match node.list(leaves, scope) {
            Ok(list) => lists.push(list),
            Err(more) => demands.extend(more),
        }
    }
    if demands.is_empty() { Ok(lists) } else { Err(demands) }
}

/// The first member that is not absent proposes, each later one re-ranks.
fn sequence(
    members: &[Tree],
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Option<Vec<Candidate>>, Vec<Demand>> {
    let mut proposed: Option<Vec<Candidate>> = None;
    for (n, member) in members.iter().enumerate() {
        proposed = match proposed {
            None if n + 1 == members.len() => member.list(leaves, scope)?,
            None => member.list(leaves, &scope.deep(MIN_DEPTH))?,
            Some(list) if list.is_empty() => Some(list),
            Some(list) => {
                let only: Arc<[String]> = list.iter().map(|item| item.item_id.clone()).collect();
                let count = list.len();
                let scored = member.list(leaves, &Scope { count, only: Some(only) })?;
                Some(match scored {
                    Some(scored) => rerank(list, scored, count),
                    None => list,
                })
            }
        };
    }
    Ok(proposed.map(|mut list| {
        list.truncate(scope.count);
        list
    }))
}

impl Scope {
    /// What to ask of members so that `count` can be chosen well: `least`, or more. Where the items are given, all of
    /// them are asked for already.
    fn deep(&self, least: usize) -> Self {
        let count = match self.only {
            Some(_) => self.count,
            None => depth(self.count, least),
        };
        Self { count, only: self.only.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(version: u64) -> EnsembleNode {
        EnsembleNode::Model(ModelVersion::new("films", version))
    }

    fn answered(ids: &[&str]) -> LeafState {
        let item = |(below, id): (u32, &&str)| Candidate {
            item_id: (*id).into(),
            score: -f64::from(below),
            ..Candidate::default()
        };
        LeafState::Answered((0..).zip(ids).map(item).collect())
    }

    fn done(step: Step) -> Vec<String> {
        match step {
            Step::Done(list) => list.into_iter().map(|item| item.item_id).collect(),
            Step::Ask(demands) => panic!("still asks {demands:?}"),
        }
    }

    fn asks(step: Step) -> Vec<(usize, usize, Option<Vec<String>>)> {
        match step {
            Step::Done(list) => panic!("is done: {list:?}"),
            Step::Ask(demands) => demands
                .into_iter()
                .map(|d| (d.leaf, d.scope.count, d.scope.only.map(|ids| ids.to_vec())))
                .collect(),
        }
    }

    fn scope(count: usize) -> Scope {
        Scope { count, only: None }
    }

    #[test]
    fn leaves_are_numbered_from_left_to_right_and_asked_at_once() {
        let parallel = EnsembleNode::Parallel {
            members: vec![
                WeightedNode { node: model(3), weight: 1.0 },
                WeightedNode { node: EnsembleNode::Product(vec![model(1), model(2)]), weight: 2.0 },
            ],
            fusion: Fusion::ReciprocalRank,
        };
        let mut versions = Vec::new();
        let tree = Tree::of(&parallel, &mut |version| {
            versions.push(version.version);
            Some(vec![1.0])
        });
        let tree = tree.expect("no references");
        assert_eq!(versions, [3, 1, 2]);
        let mut open = vec![LeafState::Open; 3];
        assert_eq!(
            asks(tree.evaluate(&mut open, &scope(10))),
            [(0, 100, None), (1, 300, None), (2, 300, None)]
        );
        let mut one_failed = [answered(&["a", "b"]), LeafState::Absent, answered(&["c", "b"])];
        assert_eq!(done(tree.evaluate(&mut one_failed, &scope(2))), ["b", "c"]);
        let mut one_left = [answered(&["a", "b"]), LeafState::Absent, LeafState::Absent];
        assert_eq!(done(tree.evaluate(&mut one_left, &scope(2))), ["a", "b"]);
        assert!(done(tree.evaluate(&mut vec![LeafState::Absent; 3], &scope(2))).is_empty());
    }

    #[test]
    fn a_sequence_asks_its_members_one_after_another() {
        let root = EnsembleNode::Sequence(vec![model(1), model(2), model(3)]);
        let tree = Tree::of(&root, &mut |_| Some(vec![1.0])).expect("no references");
        let mut leaves = vec![LeafState::Open; 3];
        assert_eq!(asks(tree.evaluate(&mut leaves, &scope(2))), [(0, 100, None)]);
        leaves[0] = answered(&["a", "b", "c"]);
        let only = |ids: [&str; 3]| Some(ids.map(String::from).to_vec());
        assert_eq!(asks(tree.evaluate(&mut leaves, &scope(2))), [(1, 3, only(["a", "b", "c"]))]);
        leaves[1] = answered(&["c", "b"]);
        assert_eq!(asks(tree.evaluate(&mut leaves, &scope(2))), [(2, 3, only(["c", "b", "a"]))]);
        leaves[2] = LeafState::Absent;
        assert_eq!(done(tree.evaluate(&mut leaves, &scope(2))), ["c", "b"]);
    }

    #[test]
    fn without_its_first_member_the_next_one_proposes() {
        let root = EnsembleNode::Sequence(vec![model(1), model(2)]);
        let tree = Tree::of(&root, &mut |_| Some(vec![1.0])).expect("no references");
        let mut leaves = [LeafState::Absent, LeafState::Open];
        assert_eq!(asks(tree.evaluate(&mut leaves, &scope(7))), [(1, 7, None)]);
        let mut nothing = [answered(&[]), LeafState::Open];
        assert!(done(tree.evaluate(&mut nothing, &scope(7))).is_empty());
    }

    #[test]
    fn given_items_are_the_scope_of_every_leaf() {
        let root = EnsembleNode::Product(vec![model(1), model(2)]);
        let tree = Tree::of(&root, &mut |_| Some(vec![1.0])).expect("no references");
        let only: Arc<[String]> = Arc::new(["a".into(), "b".into()]);
        let scope = Scope { count: 2, only: Some(Arc::clone(&only)) };
        let ids = Some(vec!["a".to_owned(), "b".to_owned()]);
        let mut open = vec![LeafState::Open; 2];
        assert_eq!(asks(tree.evaluate(&mut open, &scope)), [(0, 2, ids.clone()), (1, 2, ids)]);
    }

    #[test]
    fn what_is_not_decided_is_no_tree() {
        assert_eq!(Tree::of(&EnsembleNode::Reference("x".into()), &mut |_| Some(vec![1.0])), None);
        assert_eq!(Tree::of(&model(1), &mut |_| None), None);
    }

    #[test]
    fn a_blend_is_a_parallel_of_its_members() {
        let root = EnsembleNode::Sequence(vec![model(1), model(2)]);
        let mut weights = [vec![0.5, 2.0], vec![3.0]].into_iter();
        let tree = Tree::of(&root, &mut |_| weights.next()).expect("decided");
        let blend = Tree::Parallel {
            members: vec![(0.5, Tree::Leaf(0)), (2.0, Tree::Leaf(1))],
            fusion: Fusion::WeightedScore,
            depth: BLEND_DEPTH,
        };
        assert_eq!(tree, Tree::Sequence(vec![blend, Tree::Leaf(2)]));
    }
}
