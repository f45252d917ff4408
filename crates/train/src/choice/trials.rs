//! Trials: settings, trained on what is not held out and measured on what is.

use crate::error::TrainError;
use crate::eval::CUTOFF;
use crate::family::grid::Grid;
use crate::family::{ModelConfig, TrainedPart, TrainingOptions};
use crate::settings::{ModelSettings, Value};
use crate::split::hold_out::HoldOut;
use marquee_bundle::ItemRecord;
use marquee_core::model::recipe::{HistoryWeights, NeighbourSearch, Recipe};

/// What settings are measured on.
#[derive(Clone, Copy)]
pub(super) struct TrialData<'a> {
    /// What is trained on, and what is to be found.
    pub(super) split: &'a HoldOut,
    /// The users who are measured, ascending.
    pub(super) users: &'a [u32],
    /// Titles and tags of the items.
    pub(super) items: &'a [ItemRecord],
    /// What does not depend on the family.
    pub(super) options: &'a TrainingOptions,
}

/// Settings that were tried.
pub(super) struct Tried {
    /// Without what is for trials alone.
    pub(super) config: ModelConfig,
    /// What was trained with them.
    pub(super) part: TrainedPart,
    /// The nDCG of each measured user.
    pub(super) values: Vec<f64>,
}

impl Tried {
    /// The mean over the users.
    pub(super) fn mean(&self) -> f64 {
        mean(&self.values)
    }
}

/// The mean of values; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The mean of b − a, pair by pair, and its standard error.
pub(super) fn gain(a: &[f64], b: &[f64]) -> (f64, f64) {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let count = differences.len() as f64;
    let mean = mean(&differences);
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count.max(1.0)).sqrt())
}

impl TrialData<'_> {
    /// Trains settings and measures them, none where their numbers diverge.
    pub(super) fn measure(
        &self,
        config: &ModelConfig,
        grid: &Grid,
    ) -> Result<Option<Tried>, TrainError> {
        let settings = config.settings.or(&grid.trial);
        let trained = ModelConfig { settings, ..config.clone() };
        let part = match trained.train(&self.split.train, self.items, self.options, "") {
            Ok(part) => part,
            Err(TrainError::Diverged(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let values = self.values(&part);
        Ok(Some(Tried { config: config.clone(), part, values }))
    }

    /// The nDCG of each measured user.
    pub(super) fn values(&self, part: &TrainedPart) -> Vec<f64> {
        let HoldOut { train, test, .. } = self.split;
        let lists = part.lists(train, self.users, self.options.weight, CUTOFF);
        let mut values = Vec::with_capacity(lists.len());
        for (list, &user) in lists.iter().zip(self.users) {
            values.push(ndcg(list, test.items_of(user as usize)));
        }
        values
    }
}

/// nDCG of a list, best first; what was held out ascends.
pub(super) fn ndcg(list: &[u32], held_out: &[u32]) -> f64 {
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let hits = list.iter().enumerate().filter(|(_, item)| held_out.binary_search(item).is_ok());
    let ideal: f64 = (0..held_out.len().min(CUTOFF)).map(discount).sum();
    hits.map(|(place, _)| discount(place)).sum::<f64>() / ideal.max(f64::MIN_POSITIVE)
}

/// Changes what settings say of how a trained model is asked.
pub(super) fn ask_with(recipe: &mut Recipe, settings: &ModelSettings) {
    match recipe {
        Recipe::ItemRows { history, .. } => weigh_with(history, settings),
        Recipe::UserNeighbours { by, neighbours, .. } => {
            if let Some(Value::Count(count)) = settings.value("neighbours") {
                *neighbours = u32::try_from(*count).unwrap_or(*neighbours);
            }
            if let NeighbourSearch::Histories { history, .. } = by {
                weigh_with(history, settings);
            }
        }
        Recipe::MatrixFactorisation { .. }
        | Recipe::Content { .. }
        | Recipe::Popularity
        | Recipe::Trending { .. }
        | Recipe::Blend { .. }
        | Recipe::Profiled { .. } => {}
    }
}

fn weigh_with(history: &mut HistoryWeights, settings: &ModelSettings) {
    match settings.value("decay") {
        Some(Value::Number(decay)) => history.decay = *decay,
        Some(Value::Count(decay)) => history.decay = *decay as f64,
        Some(Value::Choice(_)) | None => {}
    }
    if let Some(Value::Count(newest)) = settings.value("newest") {
        history.newest = u32::try_from(*newest).ok().or(history.newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let place = |place: f64| 1.0 / (place + 1.0).log2();
        assert!((ndcg(&[7, 1, 4], &[1, 9]) - place(2.0) / (place(1.0) + place(2.0))).abs() < 1e-12);
        assert_eq!(ndcg(&[1], &[1]), 1.0);
        assert_eq!(ndcg(&[2], &[1]), 0.0);
        // Differences of 1, 3 and 2: the mean is 2, the variance 1.
        let (mean, error) = gain(&[1.0, 0.0, 5.0], &[2.0, 3.0, 7.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (error - (1.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
