//! The leaves of an ensemble over local bundles: the plans of the
//! [`interpreter`](marquee_core::model::interpreter), run without shards.

use marquee_core::ensemble::EnsembleNode;
use marquee_core::id::ModelVersion;
use marquee_core::model::interpreter::{
    Filling, Leaf, LeafPlan, MatrixSearch, Model, Request, UserRequest, chained_search, decide,
};
use marquee_core::ranking::fuse::Candidate;
use marquee_router::{LeafScope, OfflineEnsemble, OfflineLeaves};
use marquee_train::eval::{LocalList, LocalModel, LocalRanker, LocalScope, LocalUser};
use std::collections::{BTreeMap, HashSet};

/// A model of the ensemble, and what it knows of the user.
pub(super) struct UserModel<'a> {
    pub(super) version: &'a ModelVersion,
    pub(super) model: &'a LocalModel,
    pub(super) ranker: &'a LocalRanker<'a>,
    pub(super) user: LocalUser,
}

/// All leaves of an ensemble, for one user.
pub(super) struct Leaves<'a> {
    /// The ensemble's models, in the order of their names.
    models: &'a [UserModel<'a>],
    leaves: Vec<Leaf<'a>>,
    plans: Vec<LeafPlan<'a>>,
    filling: Option<Filling<'a>>,
}

/// Has the items that any of the models knows as seen left out by all of them.
pub(super) fn share_seen(models: &mut [UserModel<'_>]) {
    let mut seen: HashSet<String> = HashSet::new();
    for it in models.iter() {
        seen.extend(it.model.seen(&it.user).map(str::to_owned));
    }
    for UserModel { model, user, .. } in models {
        model.leave_out(user, seen.iter().map(String::as_str));
    }
}

/// The shape of a decided ensemble and its leaves for a user. None if a reference or a split is left in it, or it
/// names a model that is not among `models`.
pub(super) fn leaves<'a>(
    root: &EnsembleNode,
    models: &'a [UserModel<'a>],
) -> Option<(OfflineEnsemble, Leaves<'a>)> {
    let mut leaves: Vec<Leaf<'a>> = Vec::new();
    let ensemble = OfflineEnsemble::of(root, &mut |named| {
        let version = models.iter().position(|it| it.version == named)?;
        let parts = models[version].model.recipe().parts();
        for &(recipe, _) in &parts {
            leaves.push(Leaf { version, recipe, is_chained: false });
        }
        Some(parts.into_iter().map(|(_, weight)| weight).collect())
    })?;
    for (number, leaf) in leaves.iter_mut().enumerate() {
        leaf.is_chained = ensemble.is_chained(number);
    }
    let mut known = BTreeMap::new();
    for (version, UserModel { model, ranker, user, .. }) in models.iter().enumerate() {
        let profile = model.recipe().profile();
        known.insert(version, Model { profile, rows: ranker.rows(user) });
    }
    let decision = decide(&Request::User(UserRequest::default()), &leaves, &known);
    let (plans, filling) = (decision.plans, decision.filling);
    Some((ensemble, Leaves { models, leaves, plans, filling }))
}

impl<'a> Leaves<'a> {
    fn model_of(&self, leaf: usize) -> &'a UserModel<'a> {
        &self.models[self.leaves[leaf].version]
    }
}

impl OfflineLeaves for Leaves<'_> {
    fn answers(&self, leaf: usize) -> bool {
        self.plans[leaf].answers()
    }

    fn list(&mut self, leaf: usize, scope: LeafScope<'_>) -> Option<Vec<Candidate>> {
        let UserModel { ranker, user, .. } = self.model_of(leaf);
        Some(candidates(ranker.list(&self.plans[leaf], user, local(scope))))
    }

    fn ordinal(&self, leaf: usize, item_id: &str) -> Option<u32> {
        self.model_of(leaf).model.ordinal(item_id)
    }

    fn sum(
        &mut self,
        leaf: usize,
        rows: &[u32],
        weights: &[f32],
        scope: LeafScope<'_>,
    ) -> Option<Vec<Candidate>> {
        let UserModel { ranker, user, .. } = self.model_of(leaf);
        let search = chained_search(self.leaves[leaf].recipe, rows.into(), weights.into())?;
        Some(candidates(ranker.search(&search, user, local(scope))))
    }

    fn fillers(&mut self, count: usize) -> Option<Vec<Candidate>> {
        let Filling { leaf, profile } = self.filling.as_ref()?;
        let UserModel { ranker, user, .. } = self.model_of(*leaf);
        let scope = LocalScope { count, only: None };
        let search = |search: &MatrixSearch<'_>| candidates(ranker.search(search, user, scope));
        let mut all = profile.as_ref().map(search).unwrap_or_default();
        let listed: HashSet<String> = all.iter().map(|item| item.item_id.clone()).collect();
        let popular = candidates(ranker.list(&LeafPlan::Popularity, user, scope));
        all.extend(popular.into_iter().filter(|item| !listed.contains(&item.item_id)));
        Some(all)
    }

    fn model(&self, leaf: usize) -> (usize, Option<&str>) {
        let version = self.leaves[leaf].version;
        (version, self.models[version].model.recipe().item_vectors())
    }

    fn compare(
        &self,
        model: usize,
        item_id: &str,
        vectors: &str,
        tags: bool,
    ) -> Option<(Vec<f32>, Vec<String>)> {
        let (vector, of_item) = self.models[model].model.describe(item_id, vectors)?;
        Some((vector, if tags { of_item } else { Vec::new() }))
    }
}

fn local(LeafScope { count, only }: LeafScope<'_>) -> LocalScope<'_> {
    LocalScope { count, only }
}

fn candidates(list: LocalList) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(list.len());
    for (item_id, score) in list {
        candidates.push(Candidate { item_id, score, ..Candidate::default() });
    }
    candidates
}
