//! An ensemble without references and splits, as a tree whose leaves are recipes. Pure.
//!
//! Leaves are numbered from left to right. How the tree is executed is fusion's: see
//! [`evaluate`](crate::fusion::evaluate).

use marquee_core::ensemble::{EnsembleNode, Fusion, ProductForm, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::ranking::diversify::Diversity;
use std::time::Duration;

/// Members of ensembles propose at least this many items; those of a blend more, see
/// [`BLEND_DEPTH`](marquee_core::model::recipe::BLEND_DEPTH).
pub(crate) const MIN_DEPTH: usize = 100;
/// An ensemble without references and splits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// The leaf of this number.
    Leaf(usize),
    /// Members with their weights, at once; each lists at least [`MIN_DEPTH`] items.
    Parallel { members: Vec<(f64, Tree)>, fusion: Fusion },
    /// The members of one model's recipe with their weights, at once; each lists more items than those of parallels.
    Blend(Vec<(f64, Tree)>),
    /// The scores of the members are multiplied.
    Product(Vec<Tree>),
    /// The list of each member gives the rows that the next one sums; all but the first are leaves.
    Chain(Vec<Tree>),
    /// The first member proposes, each later one re-ranks.
    Sequence(Vec<Tree>),
}

/// The weights of the members of a model's recipe.
pub type Weights<'a> = dyn FnMut(&ModelVersion) -> Option<Vec<f64>> + 'a;

/// A tree, and the positions of its leaves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EnsembleShape {
    pub(crate) tree: Tree,
    /// How the list is diversified in the end, if it is.
    pub(crate) diversity: Option<Diversity>,
    /// By their numbers.
    pub(crate) leaves: Vec<LeafPosition>,
    /// The timeouts of the members of parallels that have one, by the numbers that leaves name.
    pub(crate) timeouts: Vec<Duration>,
}

/// The position of a leaf in its tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeafPosition {
    /// It sums the rows of the items that the chain's member before it lists.
    pub(crate) is_chained: bool,
    /// The members with a timeout that it is part of.
    pub(crate) timed_members: Vec<usize>,
}

impl Tree {
    /// Whether some leaves wait for what others list.
    pub(crate) fn has_stages(&self) -> bool {
        match self {
            Self::Leaf(_) | Self::Blend(_) => false,
            Self::Parallel { members, .. } => members.iter().any(|(_, tree)| tree.has_stages()),
            Self::Product(members) => members.iter().any(Self::has_stages),
            Self::Chain(_) | Self::Sequence(_) => true,
        }
    }
}

impl EnsembleShape {
    /// The shape of a decided ensemble; none if a reference or a split is left in it, or if `weights` gives none
    /// for a model.
    ///
    /// `weights` gives, for each model from left to right, the weights of the members of its recipe: a
    /// model that blends several is a parallel of as many leaves.
    pub(crate) fn of(root: &EnsembleNode, weights: &mut Weights<'_>) -> Option<Self> {
        let mut builder = Builder {
            leaves: Vec::new(),
            timeouts: Vec::new(),
            timed_members: Vec::new(),
            weights,
        };
        let (root, diversity) = match root {
            EnsembleNode::Diversify { node, how } => (node.as_ref(), Some(how.clone())),
            other => (other, None),
        };
        let tree = builder.node(root, false)?;
        let Builder { leaves, timeouts, .. } = builder;
        Some(Self { tree, diversity, leaves, timeouts })
    }
}

struct Builder<'w, 'f> {
    leaves: Vec<LeafPosition>,
    timeouts: Vec<Duration>,
    /// The members with a timeout around the node.
    timed_members: Vec<usize>,
    weights: &'w mut Weights<'f>,
}

impl Builder<'_, '_> {
    fn leaf(&mut self, is_chained: bool) -> Tree {
        self.leaves.push(LeafPosition { is_chained, timed_members: self.timed_members.clone() });
        Tree::Leaf(self.leaves.len() - 1)
    }

    fn node(&mut self, node: &EnsembleNode, is_chained: bool) -> Option<Tree> {
        Some(match node {
            EnsembleNode::Model(version) => match (self.weights)(version)?.as_slice() {
                [_] => self.leaf(is_chained),
                // Validation refuses chained blends.
                _ if is_chained => return None,
                several => {
                    Tree::Blend(several.iter().map(|weight| (*weight, self.leaf(false))).collect())
                }
            },
            _ if is_chained => return None,
            EnsembleNode::Parallel { members, fusion } => Tree::Parallel {
                members: members
                    .iter()
                    .map(|member| Some((member.weight, self.member(member)?)))
                    .collect::<Option<_>>()?,
                fusion: *fusion,
            },
            EnsembleNode::Product { members, form: ProductForm::Elementwise } => {
                Tree::Product(self.nodes(members, false)?)
            }
            EnsembleNode::Product { members, form: ProductForm::Chain } => {
                Tree::Chain(self.nodes(members, true)?)
            }
            EnsembleNode::Sequence(members) => Tree::Sequence(self.nodes(members, false)?),
            // Diversification is the outermost node or none.
            EnsembleNode::Diversify { .. } => return None,
            EnsembleNode::Reference(_) | EnsembleNode::Split { .. } => return None,
        })
    }

    fn member(&mut self, member: &WeightedNode) -> Option<Tree> {
        let WeightedNode { node, weight: _, timeout_ms } = member;
        let Some(timeout_ms) = timeout_ms else { return self.node(node, false) };
        self.timed_members.push(self.timeouts.len());
        self.timeouts.push(Duration::from_millis(u64::from(*timeout_ms)));
        let tree = self.node(node, false);
        self.timed_members.pop();
        tree
    }

    /// The trees of all these nodes; all but the first are chained leaves if they are of a chain.
    fn nodes(&mut self, nodes: &[EnsembleNode], is_chain: bool) -> Option<Vec<Tree>> {
        nodes.iter().enumerate().map(|(n, node)| self.node(node, is_chain && n > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(version: u64) -> EnsembleNode {
        EnsembleNode::Model(ModelVersion::new("films", version))
    }

    #[test]
    fn what_is_not_decided_is_no_tree() {
        let reference = EnsembleNode::Reference("x".into());
        assert_eq!(EnsembleShape::of(&reference, &mut |_| Some(vec![1.0])), None);
        assert_eq!(EnsembleShape::of(&model(1), &mut |_| None), None);
    }

    #[test]
    fn a_blend_is_a_parallel_of_its_members() {
        let root = EnsembleNode::Sequence(vec![model(1), model(2)]);
        let mut weights = [vec![0.5, 2.0], vec![3.0]].into_iter();
        let shape = EnsembleShape::of(&root, &mut |_| weights.next()).expect("decided");
        let blend = Tree::Blend(vec![(0.5, Tree::Leaf(0)), (2.0, Tree::Leaf(1))]);
        assert_eq!(shape.tree, Tree::Sequence(vec![blend, Tree::Leaf(2)]));
    }
}
