//! What is popular of late: interactions that count half after each half-life.
//!
//! "Now" is the latest interaction there is, so the same data give the same model whenever it is trained.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::NO_TIMES;
use super::sparse::{SparseEntry, assemble};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::recency::sums_by_age;
use crate::settings::{Bounds, Setting, SettingInfo, log};
use marquee_bundle::{Entity, ItemRecord, RowSpace, SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;

/// The matrix of one row in a bundle: what each item's interactions come to now.
pub(crate) const TRENDING: &str = "trending";
/// Longest half-life in days: a century.
const MAX_HALF_LIFE: f64 = 36_500.0;
const HALF_LIFE: Setting<f64> = Setting::new(
    "half-life",
    "Days after which an interaction counts half for what is trending",
    Bounds::AboveZeroTo(MAX_HALF_LIFE),
    21.0,
)
.measured_in("DAYS")
.searched(log(0.5, 1_000.0));

/// The family `trending`.
pub(super) struct Trending;

impl Family for Trending {
    fn name(&self) -> &'static str {
        "trending"
    }

    fn summary(&self) -> &'static str {
        "What is popular of late, for all users. Needs times"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![HALF_LIFE.info()]
    }

    fn is_personal(&self) -> bool {
        false
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn unsuited(&self, rows: &Interactions, _items: &[ItemRecord]) -> Option<String> {
        (!rows.has_times()).then(|| NO_TIMES.to_owned())
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        if !rows.has_times() {
            return Grid::default();
        }
        Grid::of(vec![Axis::line("half-life", &[2.0, 7.0, 21.0, 60.0, 365.0], 2)])
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, .. } = input;
    if !rows.has_times() {
        return Err(TrainError::option(
            "--model",
            "trending needs times, and the interactions have none: name their column with --time-column, or take \
             --model popularity",
        ));
    }
    let half_life = settings.get(&HALF_LIFE);
    let sums = sums_by_age(rows, half_life);
    let mut entries: Vec<SparseEntry> = Vec::new();
    for (item, &sum) in (0..).zip(&sums) {
        // What is too old for a number is left to popularity.
        if sum as f32 > 0.0 {
            entries.push((item, sum as f32));
        }
    }
    let matrix = assemble(vec![entries]);
    let mut part = TrainedPart::new(Recipe::Trending { matrix: TRENDING.into() });
    part.sparse.push(SparseInput {
        name: TRENDING.into(),
        shape: SparseShape::Sums { rows: RowSpace::Single, columns: Entity::Item },
        matrix,
    });
    Ok(part.parameter("half_life", half_life))
}
