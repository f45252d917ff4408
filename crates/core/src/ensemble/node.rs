//! The nodes of an ensemble.

use crate::id::ModelVersion;
use crate::ranking::diversify::Diversity;
use std::collections::BTreeSet;

/// The largest weight of a parallel's member: more would mean "only this one".
pub const MAX_MEMBER_WEIGHT: f64 = 1_000.0;
/// The longest timeout of a parallel's member, in ms: no request lives longer, so more would change nothing.
pub const MAX_MEMBER_TIMEOUT_MS: u32 = 30_000;

/// One node of the expression.
#[derive(Clone, Debug, PartialEq)]
pub enum EnsembleNode {
    /// One model version.
    Model(ModelVersion),
    /// Another ensemble, by name.
    Reference(String),
    /// Members run at once, and their lists are fused.
    Parallel {
        /// The members and their weights.
        members: Vec<WeightedNode>,
        /// How their lists become one.
        fusion: Fusion,
    },
    /// Chooses one member for each user; the same user always gets the same one.
    Split {
        /// Salts the choice.
        salt: String,
        /// The members; their weights add up to 10,000.
        members: Vec<SplitMember>,
    },
    /// The first member proposes candidates, each later one re-ranks them.
    Sequence(Vec<EnsembleNode>),
    /// Multiplies what the members say of an item.
    Product {
        /// The members whose scores are multiplied, in order.
        members: Vec<EnsembleNode>,
        /// What is multiplied with what.
        form: ProductForm,
    },
    /// The final stage of an ensemble: reorders the list so that its items are less alike. It is at the root,
    /// or in a split at the root.
    Diversify {
        /// What gives the list.
        node: Box<EnsembleNode>,
        /// How the list is diversified.
        how: Diversity,
    },
}

/// What a product multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductForm {
    /// The members' scores of the same item, scaled to 0..1 within each member's list.
    Elementwise,
    /// A row of scores with a matrix, `s · M`: the scores of a member's best items are the weights with
    /// which the next member's rows of these items are added up. Every member but the first is a model
    /// whose recipe sums rows of items, see [`Recipe::ItemRows`](crate::model::recipe::Recipe::ItemRows).
    Chain,
}

/// A member of a parallel.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedNode {
    /// The member's expression.
    pub node: EnsembleNode,
    /// What the member counts, in (0, [`MAX_MEMBER_WEIGHT`]].
    pub weight: f64,
    /// After how many milliseconds the answer goes on without the member, at most [`MAX_MEMBER_TIMEOUT_MS`];
    /// none: it has as long as the request.
    pub timeout_ms: Option<u32>,
}

/// A member of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitMember {
    /// The member's expression.
    pub node: EnsembleNode,
    /// The share of users who get it, in 1/10,000.
    pub weight_basis_points: u32,
}

/// How the lists of a parallel's members become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// By the sum of weight / (60 + rank): Cormack, Clarke and Büttcher 2009.
    ReciprocalRank,
    /// By the sum of weight × score, with the scores of each list scaled to 0..1.
    WeightedScore,
}

impl EnsembleNode {
    /// The model versions of all leaves, references not followed.
    pub fn versions(&self) -> BTreeSet<ModelVersion> {
        let mut versions = BTreeSet::new();
        self.visit(&mut |node| {
            if let Self::Model(version) = node {
                versions.insert(version.clone());
            }
        });
        versions
    }

    /// Calls `f` for this node and every node below it.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        f(self);
        match self {
            Self::Model(_) | Self::Reference(_) => {}
            Self::Parallel { members, .. } => members.iter().for_each(|m| m.node.visit(f)),
            Self::Split { members, .. } => members.iter().for_each(|m| m.node.visit(f)),
            Self::Diversify { node, how: _ } => node.visit(f),
            Self::Sequence(members) | Self::Product { members, form: _ } => {
                members.iter().for_each(|member| member.visit(f));
            }
        }
    }
}
