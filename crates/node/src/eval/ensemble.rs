//! An ensemble against held-out interactions, offline: a router's own decisions and fusion over bundles that are
//! asked directly, exactly and without a clock.

use crate::ctl::message;
use anyhow::{Context as _, bail};
use marquee_core::ensemble::{EnsembleNode, ProductForm, validate};
use marquee_core::fuse::Candidate;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{DEFAULT_SURFACE, Plan, PublishedVersion, Quality, Surface};
use marquee_core::recipe::Recipe;
use marquee_proto::control::v1 as pb;
use marquee_proto::convert_ensemble::ensemble_from_pb;
use marquee_router::evaluate_offline;
use marquee_train::eval::{Evaluator, ListReport, LocalModel, LocalScope, LocalUser, PerUser};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What an ensemble's evaluation came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EnsembleEvaluation {
    /// Its name.
    pub(super) ensemble: String,
    /// Its models, each with the digest of its bundle's manifest.
    pub(super) models: BTreeMap<String, String>,
    /// The lists that it makes.
    #[serde(flatten)]
    pub(super) report: ListReport,
    /// Users of the test file whom none of its bundles knows; they get what is popular.
    pub(super) unknown_users: usize,
}

/// Evaluates the ensemble of a file over bundles given as `MODEL@VERSION=DIR`.
pub(super) fn evaluate(
    file: &Path,
    bundles: &[String],
    evaluator: &Evaluator,
) -> anyhow::Result<(EnsembleEvaluation, PerUser)> {
    let ensemble: pb::Ensemble = message::read_file(file, "marquee.control.v1.Ensemble")?;
    let (name, root) = ensemble_from_pb(ensemble).with_context(|| file.display().to_string())?;
    let mut models = BTreeMap::new();
    for given in bundles {
        let (version, dir) = named(given)?;
        let model = LocalModel::open(dir)?;
        if models.insert(version, model).is_some() {
            bail!("--bundle: {given} is given twice");
        }
    }
    check(&root).with_context(|| file.display().to_string())?;
    let plan = plan_of(&name, root, &models).with_context(|| file.display().to_string())?;
    let answers: Vec<(Vec<String>, bool)> = evaluator
        .users()
        .par_iter()
        .map(|user| answer(&plan, &models, user, evaluator.cutoff()))
        .collect::<anyhow::Result<_>>()?;
    let unknown_users = answers.iter().filter(|(_, known)| !known).count();
    let lists: Vec<Vec<String>> = answers.into_iter().map(|(list, _)| list).collect();
    let (report, per_user) = evaluator.score_per_user(&lists)?;
    let used = plan.versions_of(&name);
    let models = models.into_iter().filter(|(version, _)| used.contains(version));
    let models = models.map(|(version, model)| (version.to_string(), model.digest())).collect();
    Ok((EnsembleEvaluation { ensemble: name, models, report, unknown_users }, per_user))
}

/// `MODEL@VERSION=DIR`.
fn named(given: &str) -> anyhow::Result<(ModelVersion, &Path)> {
    let parts = given.split_once('=');
    let parts = parts.and_then(|(version, dir)| Some((version.parse().ok()?, Path::new(dir))));
    parts.with_context(|| {
        format!(
            "--bundle {given}: with --ensemble write MODEL@VERSION=DIR, such as films@3=films-v3"
        )
    })
}

/// Refuses what needs more of a model than its lists.
fn check(root: &EnsembleNode) -> anyhow::Result<()> {
    let mut found = None;
    root.visit(&mut |node| match node {
        EnsembleNode::Diversify { .. } => found = Some("diversify"),
        EnsembleNode::Product { form: ProductForm::Chain, .. } => {
            found = Some("a product in chain form")
        }
        _ => {}
    });
    match found {
        Some(what) => bail!(
            "{what} is not evaluated offline: serve the ensemble and give `marquee eval --endpoint` its address"
        ),
        None => Ok(()),
    }
}

/// A plan in which the ensemble serves everybody.
fn plan_of(
    name: &str,
    root: EnsembleNode,
    models: &BTreeMap<ModelVersion, LocalModel>,
) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    for (version, model) in models {
        let published = PublishedVersion {
            bundle_uri: String::new(),
            manifest_digest: String::new(),
            recipe: model.recipe().clone(),
            shards: 1,
            users: 0,
            items: 0,
            bytes: 0,
            quality: Quality::default(),
            published_at_ms: 0,
            placements: Vec::new(),
        };
        plan.versions.insert(version.clone(), published);
    }
    validate(name, &root, &plan).context(
        "each of its models needs --bundle MODEL@VERSION=DIR, and no other ensemble is known here",
    )?;
    plan.ensembles.insert(name.into(), root);
    let surface = Surface { ensemble: Some(name.into()), ..Surface::default() };
    plan.surfaces.insert(DEFAULT_SURFACE.into(), surface);
    Ok(plan)
}

/// A part of a model's recipe, as a leaf.
struct Leaf<'a> {
    version: &'a ModelVersion,
    model: &'a LocalModel,
    recipe: &'a Recipe,
    user: &'a LocalUser,
    approach: Approach,
}

/// How a leaf is answered, as `marquee-router` decides it for a user without recent items.
#[derive(Clone, Copy, PartialEq)]
enum Approach {
    Recipe,
    Profile,
    Popularity,
    None,
}

/// The list for a user, and whether any model knows the user.
fn answer(
    plan: &Plan,
    models: &BTreeMap<ModelVersion, LocalModel>,
    user: &str,
    count: usize,
) -> anyhow::Result<(Vec<String>, bool)> {
    let route = plan.route(DEFAULT_SURFACE, user)?;
    let users: BTreeMap<&ModelVersion, Option<LocalUser>> = models
        .iter()
        .map(|(version, model)| Ok((version, model.user(user)?)))
        .collect::<anyhow::Result<_>>()?;
    let stranger = LocalUser::default();
    let mut leaves: Vec<Leaf<'_>> = Vec::new();
    let mut add = |version: &ModelVersion| {
        let (version, model) = models.get_key_value(version)?;
        let user = users.get(version).and_then(Option::as_ref).unwrap_or(&stranger);
        let parts = model.recipe().parts();
        leaves.extend(parts.iter().map(|&(recipe, _)| {
            let approach = match recipe {
                Recipe::Popularity => Approach::Popularity,
                Recipe::Trending { .. } => Approach::Recipe,
                recipe if model.knows_taste(recipe, user) => Approach::Recipe,
                _ => Approach::None,
            };
            Leaf { version, model, recipe, user, approach }
        }));
        Some(parts.into_iter().map(|(_, weight)| weight).collect::<Vec<f64>>())
    };
    // Once to know the leaves, since what stands in for taste depends on all of them.
    evaluate_offline(&route.root, count, &mut add, &mut |_, _, _| None);
    stand_in(&mut leaves);
    let mut weights = |version: &ModelVersion| {
        let model = models.get(version)?;
        Some(model.recipe().parts().into_iter().map(|(_, weight)| weight).collect())
    };
    let mut ask = |leaf: usize, count: usize, only: Option<&[String]>| {
        let list = leaves[leaf].list(LocalScope { count, only })?;
        let item = |(item_id, score)| Candidate { item_id, score, ..Candidate::default() };
        Some(list.into_iter().map(item).collect())
    };
    let list = evaluate_offline(&route.root, count, &mut weights, &mut ask)
        .context("the ensemble has a part that is not decided")?;
    let mut list: Vec<String> = list.into_iter().map(|item| item.item_id).collect();
    // Sums of rows list only what some row names: popular items follow.
    let sums = |leaf: &&Leaf<'_>| {
        let by_rows =
            matches!(leaf.recipe, Recipe::ItemRows { .. } | Recipe::UserNeighbours { .. });
        leaf.recipe.is_personal()
            && (leaf.approach == Approach::Profile || leaf.approach == Approach::Recipe && by_rows)
    };
    if let Some(leaf) = leaves.iter().find(sums).filter(|_| list.len() < count) {
        let scope = LocalScope { count: count + list.len(), only: None };
        let had: HashSet<String> = list.iter().cloned().collect();
        let popular = leaf.model.popular(leaf.user, scope).into_iter().map(|(id, _)| id);
        list.extend(popular.filter(|id| !had.contains(id)).take(count - had.len()));
    }
    Ok((list, users.values().any(Option::is_some)))
}

/// Where no leaf knows a taste, the first of each version that would is answered by attributes, or by what is
/// popular.
fn stand_in(leaves: &mut [Leaf<'_>]) {
    let personal = |leaf: &&mut Leaf<'_>| leaf.recipe.is_personal();
    if leaves.iter_mut().filter(personal).any(|leaf| leaf.approach != Approach::None) {
        return;
    }
    let mut standing_in = HashSet::new();
    for leaf in leaves.iter_mut().filter(personal) {
        if standing_in.insert(leaf.version) {
            let described = leaf.model.by_profile(leaf.user, LocalScope { count: 1, only: None });
            leaf.approach = match described {
                Some(_) => Approach::Profile,
                None => Approach::Popularity,
            };
        }
    }
}

impl Leaf<'_> {
    fn list(&self, scope: LocalScope<'_>) -> Option<Vec<(String, f64)>> {
        match self.approach {
            Approach::Recipe => Some(self.model.list(self.recipe, self.user, scope)),
            Approach::Profile => self.model.by_profile(self.user, scope),
            Approach::Popularity => Some(self.model.popular(self.user, scope)),
            Approach::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_named() {
        let (version, dir) = named("films@3=out/v=3").expect("named");
        assert_eq!((version.to_string().as_str(), dir), ("films@3", Path::new("out/v=3")));
        for wrong in ["films-v3", "films=x", "films@x=y"] {
            let said = named(wrong).expect_err("refused").to_string();
            assert!(said.contains("write MODEL@VERSION=DIR"), "{said}");
        }
    }
}
