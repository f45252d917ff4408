//! An ensemble against held-out interactions, offline: a router's own decisions and fusion over bundles that are
//! asked directly, exactly and without a clock. [`mod@leaves`] says how each part of a model answers.

mod leaves;

use crate::message;
use anyhow::{Context as _, bail};
use leaves::{UserModel, leaves, share_seen};
use marquee_core::ensemble::{EnsembleNode, validate};
use marquee_core::id::ModelVersion;
use marquee_core::plan::{DEFAULT_SURFACE, Plan, PublishedVersion, Quality, Surface};
use marquee_proto::control::v1 as pb;
use marquee_proto::convert::ensemble::ensemble_from_pb;
use marquee_train::eval::{Evaluator, ListReport, LocalModel, LocalRanker, PerUser};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What an ensemble's evaluation came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EnsembleEvaluation {
    /// The ensemble's name in the file of ensembles.
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
    let local = Local::open(file, bundles)?;
    let answers = local.answers(evaluator.users(), evaluator.cutoff())?;
    let unknown_users = answers.iter().filter(|(_, known)| !known).count();
    let lists: Vec<Vec<String>> = answers.into_iter().map(|(list, _)| list).collect();
    let (report, per_user) = evaluator.score_per_user(&lists)?;
    let Local { name: ensemble, plan, models } = local;
    let used = plan.versions_of(&ensemble);
    let models = models.into_iter().filter(|(version, _)| used.contains(version));
    let models = models.map(|(version, model)| (version.to_string(), model.digest())).collect();
    Ok((EnsembleEvaluation { ensemble, models, report, unknown_users }, per_user))
}

/// The list of each of the evaluator's users, as `marquee eval --ensemble` scores them.
///
/// # Errors
/// A file or a bundle that cannot be read, or does not fit the others.
pub fn ensemble_lists(
    file: &Path,
    bundles: &[String],
    evaluator: &Evaluator,
) -> anyhow::Result<Vec<Vec<String>>> {
    let local = Local::open(file, bundles)?;
    let answers = local.answers(evaluator.users(), evaluator.cutoff())?;
    Ok(answers.into_iter().map(|(list, _)| list).collect())
}

/// An ensemble and the bundles of its models.
pub(in crate::commands) struct Local {
    name: String,
    /// A plan in which the ensemble serves all users.
    plan: Plan,
    models: BTreeMap<ModelVersion, LocalModel>,
}

impl Local {
    pub(in crate::commands) fn open(file: &Path, bundles: &[String]) -> anyhow::Result<Self> {
        let ensemble: pb::Ensemble = message::read_file(file, "marquee.control.v1.Ensemble")?;
        let (name, root) =
            ensemble_from_pb(ensemble).with_context(|| file.display().to_string())?;
        let mut models = BTreeMap::new();
        for given in bundles {
            let (version, dir) = named(given)?;
            let model = LocalModel::open(dir)?;
            if models.insert(version, model).is_some() {
                bail!("--bundle: {given} is given twice");
            }
        }
        let plan = plan_of(&name, root, &models).with_context(|| file.display().to_string())?;
        Ok(Self { name, plan, models })
    }

    /// The ids of the users that any of its models knows; some more than once.
    pub(in crate::commands) fn users(&self) -> impl Iterator<Item = &str> {
        self.models.values().flat_map(LocalModel::users)
    }

    /// For each user the list, and whether any model knows the user.
    pub(in crate::commands) fn answers(
        &self,
        users: &[String],
        count: usize,
    ) -> anyhow::Result<Vec<(Vec<String>, bool)>> {
        let rankers = self.models.iter().map(|(version, model)| (version, model, model.ranker()));
        let models: Vec<_> = rankers.collect();
        users.par_iter().map(|user| answer(&self.plan, &models, user, count)).collect()
    }
}

/// Parses `MODEL@VERSION=DIR` into the version and the directory of its bundle.
fn named(given: &str) -> anyhow::Result<(ModelVersion, &Path)> {
    let parts = given.split_once('=');
    let parts = parts.and_then(|(version, dir)| Some((version.parse().ok()?, Path::new(dir))));
    parts.with_context(|| {
        format!(
            "--bundle {given}: with --ensemble write MODEL@VERSION=DIR, such as films@3=films-v3"
        )
    })
}

/// A plan in which the ensemble serves all users.
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
            forgotten_up_to: 0,
            signed_counter: 0,
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

/// The list for a user, and whether any model knows the user.
fn answer(
    plan: &Plan,
    models: &[(&ModelVersion, &LocalModel, LocalRanker<'_>)],
    user: &str,
    count: usize,
) -> anyhow::Result<(Vec<String>, bool)> {
    let route = plan.route(DEFAULT_SURFACE, user)?;
    let used = route.root.versions();
    let mut is_known = false;
    let mut of_user = Vec::with_capacity(models.len());
    for (version, model, ranker) in models.iter().filter(|it| used.contains(it.0)) {
        let known = model.user(user)?;
        is_known |= known.is_some();
        of_user.push(UserModel { version, model, ranker, user: known.unwrap_or_default() });
    }
    share_seen(&mut of_user);
    let (ensemble, mut leaves) =
        leaves(&route.root, &of_user).context("the ensemble has a part that is not decided")?;
    let list = ensemble.list(count, &mut leaves);
    Ok((list.into_iter().map(|item| item.item_id).collect(), is_known))
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
