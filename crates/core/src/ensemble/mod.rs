//! Expressions over model versions: sequence, parallel, product, split, and a last step that spreads the list.
//!
//! An ensemble is validated once, when it is put; after that it never changes, so that a rollout
//! compares what it said it would. References by name are followed at use.

use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_ENSEMBLE_DEPTH, MAX_ENSEMBLE_MEMBERS};
use crate::id::{IdError, ModelVersion, check_name};
use crate::model::recipe::Recipe;
use crate::ranking::diversify::Diversity;
use std::collections::BTreeSet;

/// Largest weight of a parallel's member: more would be a way of writing "only this one".
pub const MAX_MEMBER_WEIGHT: f64 = 1_000.0;
/// Longest timeout of a parallel's member: no request lives longer, so more would say nothing.
pub const MAX_MEMBER_TIMEOUT_MS: u32 = 30_000;

/// One node of the expression.
#[derive(Clone, Debug, PartialEq)]
pub enum EnsembleNode {
    /// One model version.
    Model(ModelVersion),
    /// Another ensemble, by name.
    Reference(String),
    /// Members run at once; their lists are fused.
    Parallel {
        /// The members and their weights.
        members: Vec<WeightedNode>,
        /// How their lists become one.
        fusion: Fusion,
    },
    /// Sticky choice of one member by user.
    Split {
        /// Names the draw.
        salt: String,
        /// The members; their weights sum to 10,000.
        members: Vec<SplitMember>,
    },
    /// The first member proposes candidates, each later one re-ranks them.
    Sequence(Vec<EnsembleNode>),
    /// What members say of an item multiplied.
    Product {
        /// The members.
        members: Vec<EnsembleNode>,
        /// What is multiplied with what.
        form: ProductForm,
    },
    /// The last step of an ensemble: its list, spread. At the root, or in a split that is.
    Diversify {
        /// What gives the list.
        node: Box<EnsembleNode>,
        /// How it is spread.
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
    /// What runs.
    pub node: EnsembleNode,
    /// In (0, [`MAX_MEMBER_WEIGHT`]].
    pub weight: f64,
    /// The answer goes on without it after so many milliseconds, at most [`MAX_MEMBER_TIMEOUT_MS`];
    /// none: it has as long as the request.
    pub timeout_ms: Option<u32>,
}

/// A member of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitMember {
    /// What runs for its share of users.
    pub node: EnsembleNode,
    /// Its share, in 1/10,000.
    pub weight_basis_points: u32,
}

/// How the lists of a parallel's members become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// Sum of weight / (60 + rank): Cormack, Clarke and Büttcher 2009.
    ReciprocalRank,
    /// Sum of weight × score, scores scaled to 0..1 within each list.
    WeightedScore,
}

/// Why an ensemble is refused; `path` names the node, such as `root.members[1]`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// Its own or a referenced name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A leaf that was never published.
    #[error("{path}: model version {version} is not published: publish it first")]
    UnknownVersion {
        /// The node.
        path: String,
        /// What it names.
        version: ModelVersion,
    },
    /// A reference to nothing.
    #[error("{path}: there is no ensemble {name:?}: put it first")]
    UnknownEnsemble {
        /// The node.
        path: String,
        /// What it names.
        name: String,
    },
    /// A reference that leads back to itself.
    #[error("{path}: ensemble {name:?} leads back to itself")]
    Cycle {
        /// The node.
        path: String,
        /// What it names.
        name: String,
    },
    /// Nested too deeply.
    #[error("{path}: nested more than {MAX_ENSEMBLE_DEPTH} levels deep, references followed")]
    Depth {
        /// The node.
        path: String,
    },
    /// No member, or too many.
    #[error("{path}: has {count} members: 1 to {MAX_ENSEMBLE_MEMBERS} are allowed")]
    Members {
        /// The node.
        path: String,
        /// How many it has.
        count: usize,
    },
    /// Too many leaves in all.
    #[error(
        "the ensemble has {count} leaves, references followed: at most {MAX_ENSEMBLE_MEMBERS} are allowed, \
         since each is a search"
    )]
    Leaves {
        /// How many it has.
        count: usize,
    },
    /// A weight that is not one.
    #[error("{path}: weight {weight} is not above 0 and at most {MAX_MEMBER_WEIGHT}")]
    Weight {
        /// The node.
        path: String,
        /// What it has.
        weight: f64,
    },
    /// A timeout that is none.
    #[error(
        "{path}: timeout_ms {timeout_ms} is not 1 to {MAX_MEMBER_TIMEOUT_MS}: leave it out for as long as \
         the request has"
    )]
    Timeout {
        /// The node.
        path: String,
        /// What it has.
        timeout_ms: u32,
    },
    /// A last step that is not the last.
    #[error(
        "{path}: diversify is the last step of an ensemble: put it at the root, around everything else, or around \
         the members of a split at the root"
    )]
    NotLast {
        /// The node.
        path: String,
    },
    /// A last step with numbers that are none, or without what it needs.
    #[error("{path}: {what}")]
    Diversity {
        /// The node.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A later member of a chain that has no rows of items to add up.
    #[error(
        "{path}: {found} cannot follow in a chain, which adds up the next member's rows of items: put a model \
         there whose recipe sums rows of items (item-knn, ease, rp3beta, transitions), or use the elementwise form"
    )]
    Chain {
        /// The node.
        path: String,
        /// What is there, in words.
        found: String,
    },
    /// Shares that are not the whole.
    #[error(
        "{path}: the weights of a split sum to {sum} basis points: they must sum to {FULL_WEIGHT_BASIS_POINTS}, \
         each at least 1"
    )]
    Shares {
        /// The node.
        path: String,
        /// Their sum.
        sum: u64,
    },
}

/// What validation needs to know of the plan.
pub trait Known {
    /// How the version answers, if it is published.
    fn recipe(&self, version: &ModelVersion) -> Option<&Recipe>;
    /// The ensemble of this name.
    fn ensemble(&self, name: &str) -> Option<&EnsembleNode>;
}

/// Checks the ensemble `name` = `root` against what is known; see [`EnsembleError`].
pub fn validate(name: &str, root: &EnsembleNode, known: &dyn Known) -> Result<(), EnsembleError> {
    check_name("ensemble.name", name)?;
    let mut walk = Walk { known, names: vec![name.to_owned()], leaves: 0, has_vectors: false };
    walk.last(root, "root", 1)?;
    if walk.leaves > MAX_ENSEMBLE_MEMBERS {
        return Err(EnsembleError::Leaves { count: walk.leaves });
    }
    Ok(())
}

struct Walk<'a> {
    known: &'a dyn Known,
    /// The chain of references that leads here.
    names: Vec<String>,
    leaves: usize,
    /// A model that was met has vectors of items.
    has_vectors: bool,
}

impl Walk<'_> {
    /// A node that nothing follows.
    fn last(&mut self, node: &EnsembleNode, path: &str, depth: usize) -> Result<(), EnsembleError> {
        match node {
            EnsembleNode::Diversify { node, how } => {
                let refuse = |what| Err(EnsembleError::Diversity { path: path.into(), what });
                if let Err(what) = how.check() {
                    return refuse(what);
                }
                let before = std::mem::take(&mut self.has_vectors);
                self.node(node, &format!("{path}.node"), depth)?;
                if how.mmr_lambda.is_some() && !self.has_vectors {
                    return refuse(
                        "mmr_lambda compares vectors of items, and no model below has any: add one that was \
                         trained as mf, mf-sgd, bpr or content, or leave it out"
                            .into(),
                    );
                }
                self.has_vectors |= before;
                Ok(())
            }
            EnsembleNode::Reference(name) => self.reference(name, path, depth, Self::last),
            EnsembleNode::Split { salt, members } => {
                check_split(salt, members, path)?;
                self.members(members.iter().map(|member| &member.node), path, depth, Self::last)
            }
            _ => self.node(node, path, depth),
        }
    }

    fn node(&mut self, node: &EnsembleNode, path: &str, depth: usize) -> Result<(), EnsembleError> {
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
            EnsembleNode::Reference(name) => self.reference(name, path, depth, Self::node),
            EnsembleNode::Diversify { .. } => Err(EnsembleError::NotLast { path: path.into() }),
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
                self.members(members.iter().map(|member| &member.node), path, depth, Self::node)
            }
            EnsembleNode::Split { salt, members } => {
                check_split(salt, members, path)?;
                self.members(members.iter().map(|member| &member.node), path, depth, Self::node)
            }
            EnsembleNode::Sequence(members) => {
                self.members(members.iter(), path, depth, Self::node)
            }
            EnsembleNode::Product { members, form } => {
                self.members(members.iter(), path, depth, Self::node)?;
                if *form == ProductForm::Chain {
                    for (n, member) in members.iter().enumerate().skip(1) {
                        self.sums_items(member, &format!("{path}.members[{n}]"))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Checks that whatever the node comes to for a user has rows of items to add up. The node itself was
    /// found to be fine, so references end.
    fn sums_items(&self, node: &EnsembleNode, path: &str) -> Result<(), EnsembleError> {
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
                Some(target) => self.sums_items(target, &format!("{path} → {name}")),
                None => Ok(()),
            },
            EnsembleNode::Split { members, .. } => {
                members.iter().enumerate().try_for_each(|(n, member)| {
                    self.sums_items(&member.node, &format!("{path}.members[{n}]"))
                })
            }
            EnsembleNode::Parallel { .. } => refuse("a parallel".into()),
            EnsembleNode::Sequence(_) => refuse("a sequence".into()),
            EnsembleNode::Product { .. } => refuse("a product".into()),
            EnsembleNode::Diversify { .. } => refuse("diversify".into()),
        }
    }

    fn reference(
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

    fn members<'n>(
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

/// How a walk goes on.
type Visit<W> = fn(&mut W, &EnsembleNode, &str, usize) -> Result<(), EnsembleError>;

fn check_split(salt: &str, members: &[SplitMember], path: &str) -> Result<(), EnsembleError> {
    check_name(&format!("{path}.salt"), salt)?;
    let sum = members.iter().map(|member| u64::from(member.weight_basis_points)).sum();
    let is_empty = members.iter().any(|member| member.weight_basis_points == 0);
    match sum == u64::from(FULL_WEIGHT_BASIS_POINTS) && !is_empty {
        true => Ok(()),
        false => Err(EnsembleError::Shares { path: path.into(), sum }),
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
