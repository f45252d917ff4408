//! Expressions over model versions: sequence, parallel, product, split, and diversification as the final
//! stage.
//!
//! An ensemble is validated once, when it is put; after that it never changes, so that a rollout compares
//! what it said it would. References by name are followed at use.

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_ENSEMBLE_DEPTH, MAX_ENSEMBLE_MEMBERS};
use crate::id::{IdError, ModelVersion, check_name};
use crate::model::recipe::Recipe;
use crate::ranking::diversify::{Diversity, DiversityError};
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
        /// The members.
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
    /// whose recipe sums rows of items, see [`Recipe::ItemRows`].
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

/// Why an ensemble is refused. `path` names the node, such as `root.members[1]`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// Its own or a referenced name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A leaf names a version that is not published.
    #[error("{path}: model version {version} is not published: publish it first")]
    UnknownVersion {
        /// The node's path.
        path: String,
        /// The version that it names.
        version: ModelVersion,
    },
    /// A reference names an ensemble that is not stored.
    #[error("{path}: there is no ensemble {name:?}: put it first")]
    UnknownEnsemble {
        /// The node's path.
        path: String,
        /// The ensemble that it names.
        name: String,
    },
    /// A reference leads back to itself.
    #[error("{path}: ensemble {name:?} leads back to itself")]
    Cycle {
        /// The node's path.
        path: String,
        /// The ensemble that it names.
        name: String,
    },
    /// The ensemble is nested too deeply.
    #[error("{path}: nested more than {MAX_ENSEMBLE_DEPTH} levels deep, references followed")]
    Depth {
        /// The node's path.
        path: String,
    },
    /// A node has no member, or too many.
    #[error("{path}: has {count} members: 1 to {MAX_ENSEMBLE_MEMBERS} are allowed")]
    Members {
        /// The node's path.
        path: String,
        /// How many it has.
        count: usize,
    },
    /// The whole ensemble has too many leaves.
    #[error(
        "the ensemble has {count} leaves, references followed: at most {MAX_ENSEMBLE_MEMBERS} are allowed, \
         since each is a search"
    )]
    Leaves {
        /// How many it has.
        count: usize,
    },
    /// A weight is out of bounds.
    #[error("{path}: weight {weight} is not above 0 and at most {MAX_MEMBER_WEIGHT}")]
    Weight {
        /// The node's path.
        path: String,
        /// The weight that was given.
        weight: f64,
    },
    /// A timeout is out of bounds.
    #[error(
        "{path}: timeout_ms {timeout_ms} is not 1 to {MAX_MEMBER_TIMEOUT_MS}: leave it out for as long as \
         the request has"
    )]
    Timeout {
        /// The node's path.
        path: String,
        /// The timeout that was given, in ms.
        timeout_ms: u32,
    },
    /// A diversification that is not the final stage.
    #[error(
        "{path}: diversify is the final stage of an ensemble: put it at the root, around everything else, or around \
         the members of a split at the root"
    )]
    NotFinal {
        /// The node's path.
        path: String,
    },
    /// The settings of a diversification are out of bounds.
    #[error("{path}: {error}")]
    Diversity {
        /// The node's path.
        path: String,
        /// What is wrong.
        error: DiversityError,
    },
    /// A diversification compares vectors of items, and no model below it has any.
    #[error(
        "{path}: mmr_lambda compares vectors of items, and no model below has any: add one that was \
         trained as mf, mf-sgd, bpr or content, or leave it out"
    )]
    NoItemVectors {
        /// The node's path.
        path: String,
    },
    /// A later member of a chain has no rows of items to add up.
    #[error(
        "{path}: {found} cannot follow in a chain, which adds up the next member's rows of items: put a model \
         there whose recipe sums rows of items (item-knn, ease, rp3beta, transitions), or use the elementwise form"
    )]
    Chain {
        /// The node's path.
        path: String,
        /// What is there, in words, such as "a parallel".
        found: String,
    },
    /// The shares of a split are not the whole.
    #[error(
        "{path}: the weights of a split sum to {sum} basis points: they must sum to {FULL_WEIGHT_BASIS_POINTS}, \
         each at least 1"
    )]
    Shares {
        /// The node's path.
        path: String,
        /// What they add up to, in 1/10,000.
        sum: u64,
    },
}

/// The names that an ensemble may use: what validation needs of the plan.
pub trait KnownNames {
    /// The recipe of a version, if it is published.
    fn recipe(&self, version: &ModelVersion) -> Option<&Recipe>;
    /// The stored ensemble of this name.
    fn ensemble(&self, name: &str) -> Option<&EnsembleNode>;
}

/// Checks the definition of an ensemble: its names, its bounds, and that it names only what is known.
pub fn validate(
    name: &str,
    root: &EnsembleNode,
    known: &dyn KnownNames,
) -> Result<(), EnsembleError> {
    check_name("ensemble.name", name)?;
    let mut walk = Walk { known, names: vec![name.to_owned()], leaves: 0, has_vectors: false };
    walk.check_final(root, "root", 1)?;
    if walk.leaves > MAX_ENSEMBLE_MEMBERS {
        return Err(EnsembleError::Leaves { count: walk.leaves });
    }
    Ok(())
}

/// One pass over an ensemble, references followed.
struct Walk<'a> {
    known: &'a dyn KnownNames,
    /// The chain of references that leads here.
    names: Vec<String>,
    leaves: usize,
    /// Whether a model that was passed has vectors of items.
    has_vectors: bool,
}

impl Walk<'_> {
    /// Checks a node that no other stage follows: it may be a diversification.
    fn check_final(
        &mut self,
        node: &EnsembleNode,
        path: &str,
        depth: usize,
    ) -> Result<(), EnsembleError> {
        match node {
            EnsembleNode::Diversify { node, how } => {
                how.check()
                    .map_err(|error| EnsembleError::Diversity { path: path.into(), error })?;
                let before = std::mem::take(&mut self.has_vectors);
                self.check_node(node, &format!("{path}.node"), depth)?;
                if how.mmr_lambda.is_some() && !self.has_vectors {
                    return Err(EnsembleError::NoItemVectors { path: path.into() });
                }
                self.has_vectors |= before;
                Ok(())
            }
            EnsembleNode::Reference(name) => {
                self.check_reference(name, path, depth, Self::check_final)
            }
            EnsembleNode::Split { salt, members } => {
                check_split(salt, members, path)?;
                self.check_members(
                    members.iter().map(|member| &member.node),
                    path,
                    depth,
                    Self::check_final,
                )
            }
            _ => self.check_node(node, path, depth),
        }
    }

    /// Checks a node that another stage may follow.
    fn check_node(
        &mut self,
        node: &EnsembleNode,
        path: &str,
        depth: usize,
    ) -> Result<(), EnsembleError> {
        if depth > MAX_ENSEMBLE_DEPTH {
            return Err(EnsembleError::Depth { path: path.into() });
        }
        match node {
            EnsembleNode::Model(version) => {
                self.leaves += 1;
                match self.known.recipe(version) {
                    Some(recipe) => {
                        self.has_vectors |= recipe.item_vectors().is_some();
                        Ok(())
                    }
                    None => Err(EnsembleError::UnknownVersion {
                        path: path.into(),
                        version: version.clone(),
                    }),
                }
            }
            EnsembleNode::Reference(name) => {
                self.check_reference(name, path, depth, Self::check_node)
            }
            EnsembleNode::Diversify { .. } => Err(EnsembleError::NotFinal { path: path.into() }),
            EnsembleNode::Parallel { members, fusion: _ } => {
                for (n, member) in members.iter().enumerate() {
                    if !(member.weight > 0.0 && member.weight <= MAX_MEMBER_WEIGHT) {
                        let path = format!("{path}.members[{n}]");
                        return Err(EnsembleError::Weight { path, weight: member.weight });
                    }
                    if let Some(timeout_ms) = member.timeout_ms
                        && !(1..=MAX_MEMBER_TIMEOUT_MS).contains(&timeout_ms)
                    {
                        let path = format!("{path}.members[{n}]");
                        return Err(EnsembleError::Timeout { path, timeout_ms });
                    }
                }
                self.check_members(
                    members.iter().map(|member| &member.node),
                    path,
                    depth,
                    Self::check_node,
                )
            }
            EnsembleNode::Split { salt, members } => {
                check_split(salt, members, path)?;
                self.check_members(
                    members.iter().map(|member| &member.node),
                    path,
                    depth,
                    Self::check_node,
                )
            }
            EnsembleNode::Sequence(members) => {
                self.check_members(members.iter(), path, depth, Self::check_node)
            }
            EnsembleNode::Product { members, form } => {
                self.check_members(members.iter(), path, depth, Self::check_node)?;
                if *form == ProductForm::Chain {
                    for (n, member) in members.iter().enumerate().skip(1) {
                        self.check_sums_items(member, &format!("{path}.members[{n}]"))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Checks that whatever the node resolves to for a user has rows of items to add up. The node itself was
    /// checked before, so references end.
    fn check_sums_items(&self, node: &EnsembleNode, path: &str) -> Result<(), EnsembleError> {
        let refuse = |found: String| Err(EnsembleError::Chain { path: path.into(), found });
        match node {
            EnsembleNode::Model(version) => match self.known.recipe(version) {
                None => Ok(()),
                Some(recipe) => match recipe.parts().as_slice() {
                    [(Recipe::ItemRows { .. }, _)] => Ok(()),
                    _ => refuse(format!("model version {version} ({})", recipe.name())),
                },
            },
            EnsembleNode::Reference(name) => match self.known.ensemble(name) {
                Some(target) => self.check_sums_items(target, &format!("{path} → {name}")),
                None => Ok(()),
            },
            EnsembleNode::Split { members, .. } => {
                members.iter().enumerate().try_for_each(|(n, member)| {
                    self.check_sums_items(&member.node, &format!("{path}.members[{n}]"))
                })
            }
            EnsembleNode::Parallel { .. } => refuse("a parallel".into()),
            EnsembleNode::Sequence(_) => refuse("a sequence".into()),
            EnsembleNode::Product { .. } => refuse("a product".into()),
            EnsembleNode::Diversify { .. } => refuse("diversify".into()),
        }
    }

    fn check_reference(
        &mut self,
        name: &str,
        path: &str,
        depth: usize,
        visit: Visit<Self>,
    ) -> Result<(), EnsembleError> {
        check_name(path, name)?;
        if self.names.iter().any(|seen| seen == name) {
            return Err(EnsembleError::Cycle { path: path.into(), name: name.into() });
        }
        let known = self.known;
        let target = known.ensemble(name).ok_or_else(|| EnsembleError::UnknownEnsemble {
            path: path.into(),
            name: name.into(),
        })?;
        self.names.push(name.to_owned());
        visit(self, target, &format!("{path} → {name}"), depth + 1)?;
        self.names.pop();
        Ok(())
    }

    fn check_members<'n>(
        &mut self,
        members: impl ExactSizeIterator<Item = &'n EnsembleNode>,
        path: &str,
        depth: usize,
        visit: Visit<Self>,
    ) -> Result<(), EnsembleError> {
        let count = members.len();
        if count == 0 || count > MAX_ENSEMBLE_MEMBERS {
            return Err(EnsembleError::Members { path: path.into(), count });
        }
        for (n, member) in members.enumerate() {
            visit(self, member, &format!("{path}.members[{n}]"), depth + 1)?;
        }
        Ok(())
    }
}

/// The check that a walk goes on with below a node.
type Visit<W> = fn(&mut W, &EnsembleNode, &str, usize) -> Result<(), EnsembleError>;

fn check_split(salt: &str, members: &[SplitMember], path: &str) -> Result<(), EnsembleError> {
    check_name(&format!("{path}.salt"), salt)?;
    let sum = members.iter().map(|member| u64::from(member.weight_basis_points)).sum();
    let is_empty = members.iter().any(|member| member.weight_basis_points == 0);
    if sum == u64::from(FULL_WEIGHT_BASIS_POINTS) && !is_empty {
        Ok(())
    } else {
        Err(EnsembleError::Shares { path: path.into(), sum })
    }
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

#[cfg(test)]
mod tests;
