//! A finished bundle against two files: what its recipe recommends by exact ranking.

use super::gather::Gather;
use super::lists::{Evaluator, ListReport};
use super::metrics::Metrics;
use super::per_user::PerUser;
use super::rank::with_ids;
use crate::error::TrainError;
use crate::family::TrainedPart;
use crate::family::score::{KnownUser, Ranker};
use marquee_bundle::{Bundle, Entity, LoadOptions, TrustedKeys};
use marquee_core::model::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The result of a bundle's evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleEvaluation {
    /// The model's name.
    pub model: String,
    /// The digest of the bundle's manifest.
    pub digest: String,
    /// The lists that the bundle makes.
    #[serde(flatten)]
    pub report: ListReport,
    /// The bundle's most popular items for all users, for comparison; at the largest cut-off.
    pub popularity: Metrics,
    /// Rows that were asked for one by one, where that was done: means are over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_rows: Option<usize>,
    /// Users of the test file whom the bundle doesn't know; they get what is popular, as they would
    /// from a router.
    pub unknown_users: usize,
}

/// Ranks all items of the bundle for every user of `evaluator`, less what the bundle's history has of
/// the user, and scores the lists. The index is not used: this measures the model.
///
/// # Errors
/// A bundle that can't be opened, or lacks what its recipe needs.
pub fn evaluate_bundle(dir: &Path, evaluator: &Evaluator) -> Result<BundleEvaluation, TrainError> {
    evaluate_bundle_per_user(dir, evaluator).map(|(evaluation, _)| evaluation)
}

/// As [`evaluate_bundle`], with every user's scores.
///
/// # Errors
/// As [`evaluate_bundle`].
pub fn evaluate_bundle_per_user(
    dir: &Path,
    evaluator: &Evaluator,
) -> Result<(BundleEvaluation, PerUser), TrainError> {
    let bundle = open(dir)?;
    let ranked = Ranked::of(dir, &bundle, evaluator.users(), evaluator.cutoff())?;
    let (report, per_user) = evaluator.score_per_user(&ranked.lists)?;
    let evaluation = BundleEvaluation {
        model: bundle.manifest().model.clone(),
        digest: bundle.digest().to_string(),
        report,
        popularity: evaluator.score(&ranked.popular)?.metrics,
        replayed_rows: None,
        unknown_users: ranked.unknown_users,
    };
    Ok((evaluation, per_user))
}

/// The lists that [`evaluate_bundle`] scores: item ids, best first, one list a user of `evaluator`.
///
/// # Errors
/// As [`evaluate_bundle`].
pub fn offline_lists(dir: &Path, evaluator: &Evaluator) -> Result<Vec<Vec<String>>, TrainError> {
    OfflineBundle::open(dir)?.lists(evaluator.users(), evaluator.cutoff())
}

/// An open bundle, for the lists that it makes for any users.
#[derive(Debug)]
pub struct OfflineBundle {
    dir: PathBuf,
    bundle: Bundle,
}

impl OfflineBundle {
    /// Opens the bundle at `dir`.
    ///
    /// # Errors
    /// A bundle that can't be opened.
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        Ok(Self { dir: dir.into(), bundle: open(dir)? })
    }

    /// The ids of the users that it knows.
    pub fn users(&self) -> Vec<&str> {
        Gather { dir: &self.dir, bundle: &self.bundle }.ids(Entity::User)
    }

    /// For each user the best items by exact ranking, at most `count`, less what its history has of the user; for
    /// unknown users what is popular.
    ///
    /// # Errors
    /// A bundle that lacks what its recipe needs.
    pub fn lists(&self, users: &[String], count: usize) -> Result<Vec<Vec<String>>, TrainError> {
        Ok(Ranked::of(&self.dir, &self.bundle, users, count)?.lists)
    }
}

fn open(dir: &Path) -> Result<Bundle, TrainError> {
    // Ranking reads everything once and in order; there is nothing to populate.
    Ok(Bundle::open(dir, &TrustedKeys::default(), &LoadOptions::default())?)
}

/// Lists of users.
struct Ranked {
    lists: Vec<Vec<String>>,
    popular: Vec<Vec<String>>,
    unknown_users: usize,
}

impl Ranked {
    fn of(dir: &Path, bundle: &Bundle, users: &[String], count: usize) -> Result<Self, TrainError> {
        let gather = Gather { dir, bundle };
        let (items, popularity) = (gather.item_ids(), gather.popularity()?);
        let known = users
            .iter()
            .map(|user| gather.user(user))
            .collect::<Result<Vec<Option<KnownUser>>, TrainError>>()?;
        let unknown_users = known.iter().filter(|user| user.is_none()).count();
        let users: Vec<KnownUser> = known.into_iter().map(Option::unwrap_or_default).collect();
        let ranked = |part: &TrainedPart| Ranker::new(part, &popularity).lists(&users, count);
        Ok(Self {
            lists: with_ids(&ranked(&gather.part()?), &items),
            popular: with_ids(&ranked(&TrainedPart::new(Recipe::Popularity)), &items),
            unknown_users,
        })
    }
}
