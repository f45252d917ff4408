//! Settings that several families have: a family takes one from here, with a default and a search of its own.

use super::grid::Axis;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{Bounds, ModelSettings, Setting, even};
use marquee_core::bounds::MAX_RANK;
use marquee_core::model::recipe::HistoryWeights;

/// Most iterations: every trainer has converged long before.
const MAX_ITERATIONS: u64 = 10_000;
/// Most neighbours of an item: the row-sums of a request grow with it.
const MAX_KEPT: u64 = 100_000;

/// Components of a factor vector.
pub(super) const FACTORS: Setting<usize> = Setting::new(
    "factors",
    "Components of a factor vector",
    Bounds::Counts(1, MAX_RANK as u64),
    64,
);

/// λ of a regularised model.
pub(super) const REGULARIZATION: Setting<f32> = Setting::new(
    "regularization",
    "How strongly a model is held near zero",
    Bounds::AtLeastZero,
    10.0,
);

/// Sweeps of an iterative trainer.
pub(super) const ITERATIONS: Setting<usize> = Setting::new(
    "iterations",
    "Sweeps over users and items, or over interactions",
    Bounds::Counts(1, MAX_ITERATIONS),
    15,
);

/// Length of a step of gradient descent.
pub(super) const LEARNING_RATE: Setting<f32> =
    Setting::new("learning-rate", "Length of a step of gradient descent", Bounds::AboveZero, 0.05);

/// Neighbours of an item, or of a user.
pub(super) const NEIGHBOURS: Setting<usize> = Setting::new(
    "neighbours",
    "Neighbours that are kept of each item, or users whose histories are summed",
    Bounds::Counts(1, MAX_KEPT),
    500,
);

/// What an interaction weighs against the next newer one.
pub(super) const DECAY: Setting<f64> = Setting::new(
    "decay",
    "What an interaction weighs against the next newer one of the user, above 0 and at most 1, where there are times",
    Bounds::AboveZeroTo(1.0),
    0.9,
)
.searched(even(0.5, 1.0).where_there_are_times());

/// The newest interactions of a user that count.
pub(super) const NEWEST: Setting<Option<u32>> = Setting::new(
    "newest",
    "Only this many of a user's newest interactions count; the others are only seen",
    Bounds::Counts(1, u32::MAX as u64),
    None,
)
.described_default("all");

/// Why a family that needs times is not trained.
pub(super) const NO_TIMES: &str = "the interactions have no times";

/// What settings say for a walk over weights by age, for families whose trained matrices do not depend on them; none
/// without times. `start` is the place of the default in `decays`.
pub(super) fn decay_axis(rows: &Interactions, decays: &[f64], start: usize) -> Option<Axis> {
    rows.has_times().then(|| Axis::line(DECAY.name, decays, start).of_requests())
}

/// What the interactions of a history weigh by age, for a family that takes [`DECAY`] and [`NEWEST`]; without times
/// all weigh the same.
///
/// # Errors
/// When weights by age were asked for and there are no times.
pub(super) fn history_weights(
    settings: &ModelSettings,
    decay: &Setting<f64>,
    newest: &Setting<Option<u32>>,
    has_times: bool,
) -> Result<HistoryWeights, TrainError> {
    if has_times {
        let (decay, newest) = (settings.get(decay), settings.get(newest));
        return Ok(HistoryWeights { by_value: false, decay, newest });
    }
    require_times_of_decay(settings, decay)?;
    if settings.has(newest) {
        return Err(times_are_missing(newest));
    }
    Ok(HistoryWeights::default())
}

/// Refuses a decay by age of interactions without times.
///
/// # Errors
/// A decay below 1 is given.
pub(super) fn require_times_of_decay(
    settings: &ModelSettings,
    decay: &Setting<f64>,
) -> Result<(), TrainError> {
    if settings.has(decay) && settings.get(decay) < 1.0 {
        return Err(times_are_missing(decay));
    }
    Ok(())
}

fn times_are_missing<T>(setting: &Setting<T>) -> TrainError {
    TrainError::option(
        format!("--{}", setting.name),
        "the interactions have no times: leave it out, or name their column with --time-column",
    )
}
