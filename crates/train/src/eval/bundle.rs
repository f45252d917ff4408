//! A finished bundle against two files: what its recipe recommends by exact ranking.

use super::lists::{Evaluator, ListReport};
use super::metrics::Metrics;
use super::per_user::PerUser;
use super::rank::{most_popular, popularity_order, rank_by_factors};
use crate::error::TrainError;
use marquee_bundle::{Bundle, BundleError, LoadOptions, SearchError, TrustedKeys};
use marquee_core::hash::shard_of;
use marquee_core::recipe::{POPULARITY_MATRIX, Recipe};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// What a bundle's evaluation came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleEvaluation {
    /// The model's name.
    pub model: String,
    /// The digest of the bundle's manifest.
    pub digest: String,
    /// The lists that the bundle makes.
    #[serde(flatten)]
    pub report: ListReport,
    /// The bundle's most popular items for everybody, for comparison; at the largest cut-off.
    pub popularity: Metrics,
    /// Users of the test file whom the bundle doesn't know; they get what is popular, as they would
    /// from a router.
    pub unknown_users: usize,
}

/// Ranks all items of the bundle for every user of `evaluator`, less the user's train items, and
/// scores the lists. The index is not used: this measures the model.
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
    // Ranking reads everything once and in order; there is nothing to populate.
    let bundle = Bundle::open(dir, &TrustedKeys::default(), &LoadOptions::default())?;
    let items = item_ids(&bundle);
    let ordinals: HashMap<&str, u32> = items.iter().copied().zip(0..).collect();
    let mut known: Vec<Vec<u32>> = Vec::with_capacity(evaluator.users().len());
    for user in evaluator.users() {
        let mut mine: Vec<u32> =
            evaluator.known(user).filter_map(|id| ordinals.get(id).copied()).collect();
        mine.sort_unstable();
        known.push(mine);
    }
    let order = popularity_order(&popularity(dir, &bundle, items.len())?);
    let popular: Vec<Vec<u32>> =
        known.iter().map(|known| most_popular(&order, known, evaluator.cutoff())).collect();
    let (mut lists, users_known) = match &bundle.manifest().recipe {
        Recipe::MatrixFactorisation { user_factors, item_factors, .. } => {
            let factors = ItemFactors::gather(dir, &bundle, item_factors, items.len())?;
            let mut vectors = Vec::with_capacity(known.len());
            for user in evaluator.users() {
                vectors.push(user_vector(dir, &bundle, user_factors, user)?);
            }
            if let Some(vector) =
                vectors.iter().flatten().find(|vector| vector.len() != factors.rank)
            {
                let reason = format!("users have rank {} and items {}", vector.len(), factors.rank);
                return Err(BundleError::Format { path: dir.into(), reason }.into());
            }
            let lists = rank_by_factors(
                known.len(),
                |n| vectors[n],
                &factors.data,
                factors.rank,
                |n| known[n].as_slice(),
                evaluator.cutoff(),
            );
            (lists, vectors.iter().map(Option::is_some).collect::<Vec<_>>())
        }
        _ => (popular.clone(), vec![true; popular.len()]),
    };
    for (list, popular) in lists
        .iter_mut()
        .zip(&popular)
        .zip(&users_known)
        .filter(|(_, known)| !**known)
        .map(|(l, _)| l)
    {
        list.clone_from(popular);
    }
    let names = |lists: &[Vec<u32>]| -> Vec<Vec<String>> {
        lists
            .iter()
            .map(|list| list.iter().map(|&item| items[item as usize].to_string()).collect())
            .collect()
    };
    let (report, per_user) = evaluator.score_per_user(&names(&lists))?;
    let evaluation = BundleEvaluation {
        model: bundle.manifest().model.clone(),
        digest: bundle.digest().to_string(),
        report,
        popularity: evaluator.score(&names(&popular))?.metrics,
        unknown_users: users_known.iter().filter(|known| !**known).count(),
    };
    Ok((evaluation, per_user))
}

/// External ids of all items, by ordinal.
fn item_ids(bundle: &Bundle) -> Vec<&str> {
    let mut ids = vec![""; bundle.shards().iter().map(|shard| shard.items().len()).sum()];
    for shard in bundle.shards() {
        let table = shard.items();
        for row in 0..table.len() as u32 {
            if let Some(id) = ids.get_mut(table.ordinal(row) as usize) {
                *id = table.id(row);
            }
        }
    }
    ids
}

fn popularity(dir: &Path, bundle: &Bundle, items: usize) -> Result<Vec<f32>, TrainError> {
    let mut out = vec![0.0; items];
    for shard in bundle.shards() {
        let (columns, values) = shard.sparse(POPULARITY_MATRIX).map_err(missing(dir))?.row(0);
        for (&row, &value) in columns.iter().zip(values) {
            if let Some(place) = out.get_mut(shard.items().ordinal(row) as usize) {
                *place = value;
            }
        }
    }
    Ok(out)
}

/// Factors of all items, by ordinal.
struct ItemFactors {
    rank: usize,
    data: Vec<f32>,
}

impl ItemFactors {
    fn gather(dir: &Path, bundle: &Bundle, name: &str, items: usize) -> Result<Self, TrainError> {
        let mut out = Self { rank: 0, data: Vec::new() };
        for shard in bundle.shards() {
            let matrix = shard.dense(name).map_err(missing(dir))?;
            if out.rank == 0 {
                out.rank = matrix.rank();
                out.data.resize(items * out.rank, 0.0);
            }
            for row in 0..matrix.rows() as u32 {
                let start = shard.items().ordinal(row) as usize * out.rank;
                if let Some(place) = out.data.get_mut(start..start + out.rank) {
                    place.copy_from_slice(matrix.row(row));
                }
            }
        }
        Ok(out)
    }
}

fn user_vector<'a>(
    dir: &Path,
    bundle: &'a Bundle,
    name: &str,
    user: &str,
) -> Result<Option<&'a [f32]>, TrainError> {
    let shard = &bundle.shards()[shard_of(user, bundle.manifest().shards) as usize];
    let matrix = shard.dense(name).map_err(missing(dir))?;
    Ok(shard.users().find(user).map(|row| matrix.row(row)))
}

fn missing(dir: &Path) -> impl Fn(SearchError) -> TrainError {
    let path = dir.to_path_buf();
    move |error| BundleError::Format { path: path.clone(), reason: error.to_string() }.into()
}
