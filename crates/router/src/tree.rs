//! An ensemble in execution: what it needs next, and how what it got becomes one list. Pure.
//!
//! Leaves are numbered from left to right. All leaves that can be asked at once are asked at once;
//! only the later members of a sequence wait, since they re-rank what the earlier ones propose, and those
//! of a chain, since they add up the rows of what the ones before list. A leaf that failed, was too
//! late, or has nothing to say of the subject, is *absent*: the rest answers without it.

use marquee_core::ensemble::{EnsembleNode, Fusion, ProductForm, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::BLEND_DEPTH;
use marquee_core::ranking::diversify::Diversity;
use marquee_core::ranking::fuse::{
    Candidate, Member, depth, product, reciprocal_rank, rerank, weighted_score,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Members of ensembles propose at least this many items; those of blends
/// [`BLEND_DEPTH`].
pub(crate) const MIN_DEPTH: usize = 100;
/// Rows that a chain adds up at least: beyond these a list says little more of a taste, and each is an id to
/// look up and a row of neighbours to sum.
const MIN_CHAIN_ROWS: usize = 200;

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
    /// All but the first are leaves that add up rows.
    Chain(Vec<Tree>),
    Sequence(Vec<Tree>),
}

/// The weights of the members of a model's recipe.
pub type Weights<'a> = dyn FnMut(&ModelVersion) -> Option<Vec<f64>> + 'a;

/// A tree, and what is to be known of its leaves before it is executed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) tree: Tree,
    /// What is done with the list at last.
    pub(crate) last: Option<Diversity>,
    /// By their numbers.
    pub(crate) leaves: Vec<LeafShape>,
    /// The timeouts of the members of parallels that have one, by the numbers that leaves name.
    pub(crate) timeouts: Vec<Duration>,
}

/// Where a leaf is in its tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeafShape {
    /// It adds up the rows of what a chain's member before it lists.
    pub(crate) is_chained: bool,
    /// The members with a timeout that it is part of.
    pub(crate) within: Vec<usize>,
}

/// The weight of each row of a sum, by the id of its item.
pub(crate) type Rows = Arc<[(String, f64)]>;

/// The rows that a chain's leaf adds up and their weights: of those that were demanded the ones that its model
/// has a number for. Nothing if it knows none of these items, and so has nothing to say.
pub(crate) fn known_rows(
    rows: &[(String, f64)],
    ordinals: impl IntoIterator<Item = Option<u32>>,
) -> (Vec<u32>, Vec<f32>) {
    let known = ordinals.into_iter().zip(rows);
    let known = known.filter_map(|(ordinal, (_, weight))| Some((ordinal?, *weight as f32)));
    known.filter(|(_, weight)| weight.is_finite() && *weight != 0.0).unzip()
}

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
    /// For a leaf of a chain: what it is to add up.
    pub(crate) rows: Option<Rows>,
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
    /// Whether some leaves wait for what others list.
    pub(crate) fn has_stages(&self) -> bool {
        match self {
            Self::Leaf(_) => false,
            Self::Parallel { members, .. } => members.iter().any(|(_, tree)| tree.has_stages()),
            Self::Product(members) => members.iter().any(Self::has_stages),
            Self::Chain(_) | Self::Sequence(_) => true,
        }
    }
}

impl Shape {
    /// The shape of a decided ensemble; none if a reference or a split is left in it, or `weights`
    /// has none.
    ///
    /// `weights` gives, for each model from left to right, the weights of the members of its recipe: a
    /// model that blends several is a parallel of as many leaves.
    pub(crate) fn of(root: &EnsembleNode, weights: &mut Weights<'_>) -> Option<Self> {
        let mut builder =
            Builder { leaves: Vec::new(), timeouts: Vec::new(), within: Vec::new(), weights };
        let (root, last) = match root {
            EnsembleNode::Diversify { node, how } => (node.as_ref(), Some(how.clone())),
            other => (other, None),
        };
        let tree = builder.node(root, false)?;
        let Builder { leaves, timeouts, .. } = builder;
        Some(Self { tree, last, leaves, timeouts })
    }
}

struct Builder<'w, 'f> {
    leaves: Vec<LeafShape>,
    timeouts: Vec<Duration>,
    /// The members with a timeout around the node.
    within: Vec<usize>,
    weights: &'w mut Weights<'f>,
}

impl Builder<'_, '_> {
    fn leaf(&mut self, is_chained: bool) -> Tree {
        self.leaves.push(LeafShape { is_chained, within: self.within.clone() });
        Tree::Leaf(self.leaves.len() - 1)
    }

    fn node(&mut self, node: &EnsembleNode, is_chained: bool) -> Option<Tree> {
        Some(match node {
            EnsembleNode::Model(version) => match (self.weights)(version)?.as_slice() {
                [_] => self.leaf(is_chained),
                // Validation lets none in.
                _ if is_chained => return None,
                several => Tree::Parallel {
                    members: several.iter().map(|weight| (*weight, self.leaf(false))).collect(),
                    fusion: Fusion::WeightedScore,
                    depth: BLEND_DEPTH,
                },
            },
            _ if is_chained => return None,
            EnsembleNode::Parallel { members, fusion } => Tree::Parallel {
                members: members
                    .iter()
                    .map(|member| Some((member.weight, self.member(member)?)))
                    .collect::<Option<_>>()?,
                fusion: *fusion,
                depth: MIN_DEPTH,
            },
            EnsembleNode::Product { members, form: ProductForm::Elementwise } => {
                Tree::Product(self.nodes(members, false)?)
            }
            EnsembleNode::Product { members, form: ProductForm::Chain } => {
                Tree::Chain(self.nodes(members, true)?)
            }
            EnsembleNode::Sequence(members) => Tree::Sequence(self.nodes(members, false)?),
            // The last step is around all others.
            EnsembleNode::Diversify { .. } => return None,
            EnsembleNode::Reference(_) | EnsembleNode::Split { .. } => return None,
        })
    }

    fn member(&mut self, member: &WeightedNode) -> Option<Tree> {
        let WeightedNode { node, weight: _, timeout_ms } = member;
        let Some(timeout_ms) = timeout_ms else { return self.node(node, false) };
        self.within.push(self.timeouts.len());
        self.timeouts.push(Duration::from_millis(u64::from(*timeout_ms)));
        let tree = self.node(node, false);
        self.within.pop();
        tree
    }

    /// All of these; all but the first add up rows, if they are `chained`.
    fn nodes(&mut self, nodes: &[EnsembleNode], chained: bool) -> Option<Vec<Tree>> {
        nodes.iter().enumerate().map(|(n, node)| self.node(node, chained && n > 0)).collect()
    }
}

impl Tree {
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
                LeafState::Open => {
                    Err(vec![Demand { leaf: *leaf, scope: scope.clone(), rows: None }])
                }
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
            Self::Chain(members) => chain(members, leaves, scope),
            Self::Sequence(members) => sequence(members, leaves, scope),
        }
    }

    /// Whether the node is a leaf of which nothing will come.
    fn is_absent(&self, leaves: &[LeafState]) -> bool {
        matches!(self, Self::Leaf(leaf) if leaves[*leaf] == LeafState::Absent)
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

/// The first member's list gives the rows that the next one adds up, and so on. A later member that is
/// absent leaves the list as it is.
fn chain(
    members: &[Tree],
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Option<Vec<Candidate>>, Vec<Demand>> {
    // Rows may be of any items, whatever is asked for.
    let of_rows = Scope { count: depth(scope.count, MIN_CHAIN_ROWS), only: None };
    let last = members.iter().rposition(|member| !member.is_absent(leaves));
    let of_member = |n| if Some(n) == last { scope } else { &of_rows };
    let [first, rest @ ..] = members else { return Ok(None) };
    let Some(mut list) = first.list(leaves, of_member(0))? else { return Ok(None) };
    for (n, member) in (1..).zip(rest) {
        let Tree::Leaf(leaf) = member else { return Ok(None) };
        match &leaves[*leaf] {
            _ if list.is_empty() => break,
            LeafState::Absent => {}
            LeafState::Answered(summed) => list.clone_from(summed),
            LeafState::Open => {
                let says_something = |score: f64| score.is_finite() && score != 0.0;
                let rows = list.into_iter().filter(|item| says_something(item.score));
                let rows = rows.map(|item| (item.item_id, item.score)).collect();
                let scope = of_member(n).clone();
                return Err(vec![Demand { leaf: *leaf, scope, rows: Some(rows) }]);
            }
        }
    }
    if let Some(only) = &scope.only {
        let only: HashSet<&str> = only.iter().map(String::as_str).collect();
        list.retain(|item| only.contains(item.item_id.as_str()));
    }
    list.truncate(scope.count);
    Ok(Some(list))
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
mod scripts;
#[cfg(test)]
mod tests;
