//! The leaves of an ensemble over local bundles: how each is answered, decided as
//! `router/src/task/settle.rs` does for a user without recent items, and what it says.

use marquee_core::ensemble::EnsembleNode;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::ranking::fuse::Candidate;
use marquee_router::{LeafScope, OfflineEnsemble, OfflineLeaves};
use marquee_train::eval::{LocalList, LocalModel, LocalScope, LocalUser};
use std::collections::HashSet;

/// All leaves of an ensemble, for one user.
pub(super) struct Leaves<'a> {
    pub(super) leaves: Vec<Leaf<'a>>,
    /// The ensemble's models, in the order of their names.
    pub(super) versions: Vec<(&'a ModelVersion, &'a LocalModel)>,
}

/// A part of a model's recipe, as a leaf.
pub(super) struct Leaf<'a> {
    /// The number of its model.
    version: usize,
    model: &'a LocalModel,
    recipe: &'a Recipe,
    /// What the model knows of the user.
    user: LocalUser,
    approach: Approach,
    /// It is answered by a sum of rows, which lists only what some row names.
    sums: bool,
}

/// How a leaf is answered.
#[derive(Clone, Copy, PartialEq)]
enum Approach {
    Recipe,
    Chained,
    Profile,
    Popularity,
    None,
}

/// The shape of a decided ensemble and its leaves for a user, of whom each model knows what `users` has at its
/// place. None if a reference or a split is left in it, or it names another model.
pub(super) fn leaves<'a>(
    root: &EnsembleNode,
    versions: &[(&'a ModelVersion, &'a LocalModel)],
    users: &[Option<LocalUser>],
) -> Option<(OfflineEnsemble, Vec<Leaf<'a>>)> {
    let mut leaves: Vec<Leaf<'a>> = Vec::new();
    let ensemble = OfflineEnsemble::of(root, &mut |named| {
        let version = versions.iter().position(|(version, _)| *version == named)?;
        let model = versions[version].1;
        let parts = model.recipe().parts();
        leaves.extend(parts.iter().map(|&(recipe, _)| Leaf {
            version,
            model,
            recipe,
            user: users[version].clone().unwrap_or_default(),
            approach: Approach::None,
            sums: false,
        }));
        Some(parts.into_iter().map(|(_, weight)| weight).collect())
    })?;
    for (number, leaf) in leaves.iter_mut().enumerate() {
        leaf.approach = match leaf.recipe {
            _ if ensemble.is_chained(number) => Approach::Chained,
            Recipe::Popularity => Approach::Popularity,
            Recipe::Trending { .. } => Approach::Recipe,
            recipe if leaf.model.knows_taste(recipe, &leaf.user) => Approach::Recipe,
            _ => Approach::None,
        };
        // Neighbours are to be found first.
        let has_rows = matches!(leaf.recipe, Recipe::ItemRows { .. });
        leaf.sums = leaf.approach == Approach::Recipe && has_rows;
    }
    stand_in(&mut leaves);
    Some((ensemble, leaves))
}

/// Where no leaf knows a taste, the first of each version that would is answered by attributes, or by what is
/// popular, and nothing is chained to it.
fn stand_in(leaves: &mut [Leaf<'_>]) {
    let knows_tastes =
        |leaf: &&Leaf<'_>| leaf.recipe.is_personal() && leaf.approach != Approach::Chained;
    let mut personal = leaves.iter().filter(knows_tastes).peekable();
    if personal.peek().is_none() || personal.any(|leaf| leaf.approach != Approach::None) {
        return;
    }
    let mut standing_in = HashSet::new();
    for leaf in leaves {
        if leaf.approach == Approach::Chained {
            leaf.approach = Approach::None;
        } else if leaf.recipe.is_personal() && standing_in.insert(leaf.version) {
            let described = leaf.model.by_profile(&leaf.user, LocalScope { count: 1, only: None });
            leaf.approach = match described {
                Some(_) => Approach::Profile,
                None => Approach::Popularity,
            };
            leaf.sums = leaf.approach == Approach::Profile;
        }
    }
}

impl OfflineLeaves for Leaves<'_> {
    fn answers(&self, leaf: usize) -> bool {
        self.leaves[leaf].approach != Approach::None
    }

    fn list(&mut self, leaf: usize, scope: LeafScope<'_>) -> Option<Vec<Candidate>> {
        let leaf = &mut self.leaves[leaf];
        let scope = local(scope);
        let list = match leaf.approach {
            Approach::Recipe => Some(leaf.model.list(leaf.recipe, &leaf.user, scope)),
            Approach::Profile => leaf.model.by_profile(&leaf.user, scope),
            Approach::Popularity => Some(leaf.model.popular(&leaf.user, scope)),
            Approach::Chained | Approach::None => None,
        };
        if matches!(leaf.recipe, Recipe::UserNeighbours { .. }) {
            leaf.sums |= leaf.approach == Approach::Recipe;
        }
        list.map(candidates)
    }

    fn ordinal(&self, leaf: usize, item_id: &str) -> Option<u32> {
        self.leaves[leaf].model.ordinal(item_id)
    }

    fn sum(
        &mut self,
        leaf: usize,
        rows: &[u32],
        weights: &[f32],
        scope: LeafScope<'_>,
    ) -> Option<Vec<Candidate>> {
        let leaf = &mut self.leaves[leaf];
        let list = leaf.model.sum(leaf.recipe, (rows, weights), &leaf.user, local(scope))?;
        leaf.sums = true;
        Some(candidates(list))
    }

    fn popular(&mut self, count: usize) -> Option<Vec<Candidate>> {
        let leaf = self.leaves.iter().find(|leaf| leaf.sums && leaf.recipe.is_personal())?;
        Some(candidates(leaf.model.popular(&leaf.user, LocalScope { count, only: None })))
    }

    fn model(&self, leaf: usize) -> (usize, Option<&str>) {
        let Leaf { version, model, .. } = &self.leaves[leaf];
        (*version, model.recipe().item_vectors())
    }

    fn compare(
        &self,
        model: usize,
        item_id: &str,
        vectors: &str,
        tags: bool,
    ) -> Option<(Vec<f32>, Vec<String>)> {
        let (vector, of_item) = self.versions[model].1.describe(item_id, vectors)?;
        Some((vector, if tags { of_item } else { Vec::new() }))
    }
}

fn local(LeafScope { count, only }: LeafScope<'_>) -> LocalScope<'_> {
    LocalScope { count, only }
}

fn candidates(list: LocalList) -> Vec<Candidate> {
    let item = |(item_id, score)| Candidate { item_id, score, ..Candidate::default() };
    list.into_iter().map(item).collect()
}
