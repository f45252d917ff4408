//! Random walks of three steps with popularity held back: RP3beta (Paudel, Christoffel, Newell and
//! Bernstein 2017).
//!
//! A walk goes from the user to an item of the history, to a user of that item, to an item of that user,
//! each step evenly among what is there. Where it ends often is recommended, after the chance is divided
//! by the item's popularity to the power β. The first step is the history's weights; the other two, and
//! the division, are a matrix items × items, of whose rows the largest entries are kept.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::{DECAY, NEIGHBOURS, NEWEST, decay_axis, history_weights};
use super::sparse::{SparseEntry, counts, greatest, ones, product};
use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{Bounds, Setting, SettingInfo, even, log};
use marquee_bundle::{ItemRecord, SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;

/// The matrix of chances in a bundle, items × items.
pub(crate) const RP3BETA: &str = "rp3beta";

/// β, the power of an item's popularity that its chances are divided by.
const BETA: Setting<f32> = Setting::new(
    "beta",
    "How much popular items are held back: 0 is not at all",
    Bounds::AtLeastZero,
    0.3,
)
.searched(even(0.0, 1.0));
const WALK_NEIGHBOURS: Setting<usize> = NEIGHBOURS.searched(log(50.0, 1_000.0));

/// The family `rp3beta`.
pub(super) struct Rp3beta;

impl Family for Rp3beta {
    fn name(&self) -> &'static str {
        "rp3beta"
    }

    fn summary(&self) -> &'static str {
        "Random walks of three steps, less what is popular anyway"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![BETA.info(), WALK_NEIGHBOURS.info(), DECAY.info(), NEWEST.info()]
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn grid(&self, rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        let mut axes = vec![Axis::line(BETA.name, &[0.0, 0.1, 0.3, 0.5, 0.7], 2)];
        axes.extend(decay_axis(rows, &[0.7, 0.8, 0.9, 0.95, 1.0], 2));
        Grid::of(axes)
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, settings, .. } = input;
    let history = history_weights(settings, &DECAY, &NEWEST, rows.has_times())?;
    let (beta, kept) = (settings.get(&BETA), settings.get(&WALK_NEIGHBOURS));
    let users = ones(rows);
    let items = users.transpose();
    let held_back: Vec<f64> = counts(&items)
        .into_iter()
        .map(|count| f64::from(count.max(1.0)).powf(f64::from(beta)))
        .collect();
    let (to_users, to_items) = (evenly(items), evenly(users));
    let matrix = product(&to_users, &to_items, |item, row| {
        let mut others: Vec<SparseEntry> = Vec::with_capacity(row.len());
        for (other, chance) in row {
            if other as usize != item {
                others.push((other, (chance / held_back[other as usize]) as f32));
            }
        }
        greatest(others, kept)
    });
    let mut part = TrainedPart::new(Recipe::ItemRows { matrix: RP3BETA.into(), history });
    part.sparse.push(SparseInput { name: RP3BETA.into(), shape: SparseShape::ITEM_ROWS, matrix });
    Ok(part.parameter("beta", beta).parameter("neighbours", kept).history_parameters())
}

/// Rows divided by what they sum to.
fn evenly(mut matrix: Csr) -> Csr {
    for (row, count) in counts(&matrix).into_iter().enumerate() {
        let range = matrix.offsets[row]..matrix.offsets[row + 1];
        matrix.values[range].iter_mut().for_each(|value| *value /= count);
    }
    matrix
}
