//! Association rules from one item to another (Agrawal, Imieliński and Swami 1993, "Mining association rules between
//! sets of items in large databases").
//!
//! Of n users let `n_i` have item i and `n_ij` both i and j, as [`frequent_sets`] counts them. The rule i → j has
//!
//! - support `n_ij / n`,
//! - confidence `n_ij / n_i`: how often who has i has j,
//! - lift `confidence / (n_j / n)`: how much more often than anybody,
//! - conviction `(1 − n_j / n) / (1 − confidence)`: how much more often the rule would be wrong by chance (Brin, Motwani,
//!   Ullman and Tsur 1997); a rule that is never wrong has the conviction of one that is wrong once in twice as many users.
//!
//! Rules with enough support and confidence are a matrix items × items of one of these measures, of whose rows the
//! greatest are kept. A history's rows are summed.

use super::definition::{Family, TrainingInput};
use super::frequent_sets::frequent_sets;
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::{DECAY, NEIGHBOURS, NEWEST, decay_axis, history_weights};
use super::sparse::{SparseEntry, assemble, counts, greatest, ones};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{
    Bounds, ModelSettings, Setting, SettingInfo, choice_name, choice_value, log, one_of,
};
use clap::ValueEnum;
use marquee_bundle::{ItemRecord, SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;

/// The matrix of rules in a bundle, items × items: from a row's item to a column's.
pub(crate) const RULES: &str = "rules";
/// Most users that a rule can be asked to have.
const MAX_USERS: u64 = u32::MAX as u64;

/// What a rule is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuleMeasure {
    /// How often who has the first has the second.
    #[default]
    Confidence,
    /// Confidence over how often anybody has the second.
    Lift,
    /// How much more often the rule would be wrong by chance.
    Conviction,
}
choice_value!(RuleMeasure);

/// What is counted of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleCounts {
    /// Users of the data.
    pub(crate) users: f64,
    /// Users with the items that the rule is from.
    pub(crate) from: f64,
    /// Users with the item that it is to.
    pub(crate) to: f64,
    /// Users with both.
    pub(crate) both: f64,
}

impl RuleCounts {
    /// Share of the users who have both.
    pub(crate) fn support(&self) -> f64 {
        self.both / self.users
    }

    /// Share of those with the first who have the second.
    pub(crate) fn confidence(&self) -> f64 {
        self.both / self.from
    }

    /// Confidence over the share of all users who have the second.
    pub(crate) fn lift(&self) -> f64 {
        self.confidence() * self.users / self.to
    }

    /// How much more often the rule would be wrong by chance than it is.
    pub(crate) fn conviction(&self) -> f64 {
        let wrong = (1.0 - self.confidence()).max(0.5 / self.from);
        (1.0 - self.to / self.users) / wrong
    }

    /// One of these.
    pub(crate) fn of(&self, measure: RuleMeasure) -> f64 {
        match measure {
            RuleMeasure::Confidence => self.confidence(),
            RuleMeasure::Lift => self.lift(),
            RuleMeasure::Conviction => self.conviction(),
        }
    }
}

const MIN_SUPPORT: Setting<usize> = Setting::new(
    "min-support",
    "Users that the two items of a rule have in common at least",
    Bounds::Counts(1, MAX_USERS),
    3,
)
.searched(log(2.0, 20.0));
const MIN_CONFIDENCE: Setting<f64> = Setting::new(
    "min-confidence",
    "Share of the users with the first item of a rule who have the second at least",
    Bounds::Within(0.0, 1.0),
    0.0,
);
const MEASURE: Setting<RuleMeasure> =
    Setting::new("measure", "What a rule is worth", Bounds::Choices, RuleMeasure::Confidence)
        .searched(one_of());

/// The family `rules`.
pub(super) struct Rules;

impl Family for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn summary(&self) -> &'static str {
        "Association rules from item to item"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            MIN_SUPPORT.info(),
            MIN_CONFIDENCE.info(),
            MEASURE.info(),
            NEIGHBOURS.info(),
            DECAY.info(),
            NEWEST.info(),
        ]
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        let by = |name: &str| ModelSettings::default().with(MEASURE.name, name);
        let mut axes = vec![Axis::every(vec![by("lift"), by("conviction")])];
        axes.extend(decay_axis(rows, &[0.7, 0.8, 0.9, 0.95, 1.0], 2));
        // How many users a rule has depends on how many there are.
        Grid::of(axes).on_all_users()
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, .. } = input;
    let history = history_weights(settings, &DECAY, &NEWEST, rows.has_times())?;
    let (least, kept) = (settings.get(&MIN_SUPPORT), settings.get(&NEIGHBOURS));
    let (confidence, measure) = (settings.get(&MIN_CONFIDENCE), settings.get(&MEASURE));
    let baskets = ones(rows);
    let having = counts(&baskets.transpose());
    let mut all: Vec<Vec<SparseEntry>> = vec![Vec::new(); rows.items.len()];
    let mut rules = 0;
    for (set, both) in frequent_sets(&baskets, least as u32, 2)? {
        let [a, b] = set.as_slice() else { continue };
        for (from, to) in [(*a, *b), (*b, *a)] {
            let counts = RuleCounts {
                users: rows.users.len() as f64,
                from: f64::from(having[from as usize]),
                to: f64::from(having[to as usize]),
                both: f64::from(both),
            };
            let value = counts.of(measure) as f32;
            if counts.confidence() >= confidence && value > 0.0 {
                rules += 1;
                all[from as usize].push((to, value));
            }
        }
    }
    let matrix = assemble(all.into_iter().map(|row| greatest(row, kept)).collect());
    let mut part = TrainedPart::new(Recipe::ItemRows { matrix: RULES.into(), history });
    part.notes.push(format!("rules: {rules} of an item to another, each of {least} users or more"));
    part.sparse.push(SparseInput { name: RULES.into(), shape: SparseShape::ITEM_ROWS, matrix });
    Ok(part
        .parameter("min_support", least)
        .parameter("min_confidence", confidence)
        .parameter("measure", choice_name(measure))
        .parameter("neighbours", kept)
        .history_parameters())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of ten users five have bread, four butter, and three both.
    #[test]
    fn measures_by_hand() {
        let counts = RuleCounts { users: 10.0, from: 5.0, to: 4.0, both: 3.0 };
        assert!((counts.support() - 0.3).abs() < 1e-12);
        assert!((counts.confidence() - 0.6).abs() < 1e-12);
        assert!((counts.lift() - 1.5).abs() < 1e-12);
        assert!((counts.conviction() - 1.5).abs() < 1e-12);
        let never_wrong = RuleCounts { both: 5.0, to: 5.0, ..counts };
        assert!((never_wrong.conviction() - 5.0).abs() < 1e-12);
    }
}
