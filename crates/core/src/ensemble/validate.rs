//! Validation of an ensemble: its names, its bounds, and that it names only what is known.

use super::error::EnsembleError;
use super::node::{
    EnsembleNode, MAX_MEMBER_TIMEOUT_MS, MAX_MEMBER_WEIGHT, ProductForm, SplitMember,
};
use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_ENSEMBLE_DEPTH, MAX_ENSEMBLE_MEMBERS};
use crate::id::{ModelVersion, check_name};
use crate::model::recipe::Recipe;

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
                Some(recipe) if sums_item_rows(recipe) => Ok(()),
                Some(recipe) => refuse(format!("model version {version} ({})", recipe.name())),
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

/// Whether a recipe adds up rows of items, and nothing else: then other rows can be added up in their place.
fn sums_item_rows(recipe: &Recipe) -> bool {
    match recipe {
        Recipe::ItemRows { .. } => true,
        Recipe::Profiled { recipe, profile: _ } => sums_item_rows(recipe),
        Recipe::Blend { members } => {
            matches!(members.as_slice(), [member] if sums_item_rows(&member.recipe))
        }
        Recipe::MatrixFactorisation { .. }
        | Recipe::Content { .. }
        | Recipe::UserNeighbours { .. }
        | Recipe::Popularity
        | Recipe::Trending { .. } => false,
    }
}

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
