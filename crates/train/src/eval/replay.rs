//! A bundle asked for each row to find with all that its user did before: what `recent_item_ids` of requests and recorded
//! events make of serving, where no user waits for the next training.

use super::bundle::BundleEvaluation;
use super::gather::Gather;
use super::lists::{Evaluator, RowsTally};
use super::rank::with_ids;
use crate::error::TrainError;
use crate::family::TrainedPart;
use crate::family::score::{KnownUser, Ranker};
use marquee_bundle::{Bundle, LoadOptions, TrustedKeys};
use marquee_core::model::recipe::Recipe;
use std::collections::HashMap;
use std::path::Path;

/// Rows whose lists are made at a time: each has a history of its own in memory.
const ROWS_PER_BLOCK: usize = 4_096;

/// As [`evaluate_bundle`](super::evaluate_bundle), but for each row to find alone, as it came: the lists are of the bundle's history
/// of the user, and the user's earlier rows as recent items. Means are over rows.
///
/// # Errors
/// A bundle that can't be opened, or lacks what its recipe needs; rows without times.
pub fn replay_bundle(dir: &Path, evaluator: &Evaluator) -> Result<BundleEvaluation, TrainError> {
    let bundle = Bundle::open(dir, &TrustedKeys::default(), &LoadOptions::default())?;
    let gather = Gather { dir, bundle: &bundle };
    let items = gather.item_ids();
    let ordinals: HashMap<&str, u32> = items.iter().copied().zip(0..).collect();
    let (part, popularity) = (gather.part()?, gather.popularity()?);
    let popular = TrainedPart::new(Recipe::Popularity);
    let replay =
        Replay { items: &items, evaluator, popularity: &popularity, count: evaluator.cutoff() };
    let mut unknown_users = 0;
    let (mut queries, mut targets) = (Vec::new(), Vec::new());
    let mut tallies = [evaluator.rows_tally(), evaluator.rows_tally()];
    for (user, found) in evaluator.rows_by_time()? {
        let known = gather.user(user)?;
        unknown_users += usize::from(known.is_none());
        let known = known.unwrap_or_default();
        let mut recents: Vec<u32> = Vec::new();
        for item in found {
            queries.push(KnownUser { recents: recents.clone(), ..known.clone() });
            targets.push(item);
            recents.extend(ordinals.get(item));
        }
        if queries.len() >= ROWS_PER_BLOCK {
            replay.score([&part, &popular], &queries, &targets, &mut tallies);
            queries.clear();
            targets.clear();
        }
    }
    replay.score([&part, &popular], &queries, &targets, &mut tallies);
    let [of_part, of_popular] = tallies.map(|tally| evaluator.report_of_rows(&tally));
    Ok(BundleEvaluation {
        model: bundle.manifest().model.clone(),
        digest: bundle.digest().to_string(),
        replayed_rows: Some(of_part.metrics.users),
        report: of_part,
        popularity: of_popular.metrics,
        unknown_users,
    })
}

struct Replay<'a> {
    items: &'a [&'a str],
    evaluator: &'a Evaluator,
    popularity: &'a [f32],
    count: usize,
}

impl Replay<'_> {
    /// Scores the lists of each part for these rows.
    fn score(
        &self,
        parts: [&TrainedPart; 2],
        queries: &[KnownUser],
        targets: &[&str],
        tallies: &mut [RowsTally; 2],
    ) {
        for (part, tally) in parts.into_iter().zip(tallies) {
            let lists = Ranker::new(part, self.popularity).lists(queries, self.count);
            for (list, target) in with_ids(&lists, self.items).iter().zip(targets) {
                self.evaluator.add_row(tally, list, target);
            }
        }
    }
}
