//! What users go on to: a Markov chain over items (Shani, Heckerman and Brafman 2005, with their skipping).
//!
//! A user who goes from item i to item j, d interactions later, adds `γ^(d − 1)` to the transition, for d up
//! to the window. A row of sums is divided by `n_i^a`, a column by `n_j^b`, where n is how many users
//! interacted with the item: with a = 1 and b = 0 it would be the plain chance, which takes what was seen
//! once for certain and favours what is popular anyway.
//!
//! It is asked with the newest interactions of the history, of which the last counts most.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::part::TrainedPart;
use super::shared_settings::{DECAY, NEIGHBOURS, NEWEST, NO_TIMES, history_weights};
use super::sparse::{SparseEntry, SparseSums, assemble, greatest};
use crate::error::TrainError;
use crate::history::history_of;
use crate::interactions::Interactions;
use crate::settings::{Bounds, Setting, SettingInfo, even, log};
use marquee_bundle::{ItemRecord, SparseInput, SparseShape};
use marquee_core::model::recipe::Recipe;
use rayon::prelude::*;

/// The matrix of transitions in a bundle, items × items: from a row's item to a column's.
pub(crate) const TRANSITIONS: &str = "transitions";
/// Longest window: every interaction is paired with so many later ones.
const MAX_WINDOW: u64 = 1_000;
/// a and b: what rows and columns are divided by, as powers of popularity. Chosen on the validation
/// splits of ratings of films and of tweeted ratings; flat around.
const FROM_POWER: f64 = 0.35;
const TO_POWER: f64 = 0.15;

const WINDOW: Setting<usize> = Setting::new(
    "window",
    "How many interactions later something still counts as a transition",
    Bounds::Counts(1, MAX_WINDOW),
    20,
)
.searched(log(2.0, 50.0));
/// γ, what a transition's weight is multiplied by for each interaction in between.
const WINDOW_DECAY: Setting<f64> = Setting::new(
    "window-decay",
    "What a transition one interaction later weighs against the next one",
    Bounds::AboveZeroTo(1.0),
    0.9,
)
.searched(even(0.5, 1.0));
const TRANSITIONS_NEWEST: Setting<Option<u32>> =
    NEWEST.with_default(Some(50)).described_default("50").searched(log(5.0, 200.0));
const TRANSITIONS_DECAY: Setting<f64> = DECAY.with_default(0.8);

/// The family `transitions`.
pub(super) struct Transitions;

impl Family for Transitions {
    fn name(&self) -> &'static str {
        "transitions"
    }

    fn summary(&self) -> &'static str {
        "What users go on to after an item: a Markov chain. Needs times"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![
            WINDOW.info(),
            WINDOW_DECAY.info(),
            NEIGHBOURS.info(),
            TRANSITIONS_NEWEST.info(),
            TRANSITIONS_DECAY.info(),
        ]
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
        Grid::of(vec![
            Axis::line("decay", &[0.5, 0.65, 0.8, 0.9], 2).of_requests(),
            Axis::line("window", &[3usize, 8, 20, 40], 2),
            Axis::line("newest", &[10usize, 50, 200], 1).of_requests(),
        ])
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
            "transitions needs times, and the interactions have none: name their column with --time-column, or \
             take another model",
        ));
    }
    let history = history_weights(settings, &TRANSITIONS_DECAY, &TRANSITIONS_NEWEST, true)?;
    let (window, decay) = (settings.get(&WINDOW), settings.get(&WINDOW_DECAY));
    let kept = settings.get(&NEIGHBOURS);
    // Each user's items from the first to the last, and where each item occurs in them.
    let mut paths = Vec::with_capacity(rows.users.len());
    let mut places: Vec<Vec<(u32, u32)>> = vec![Vec::new(); rows.items.len()];
    for user in 0..rows.users.len() {
        let mut mine = history_of(rows, user, |_| 1.0);
        mine.sort_unstable_by_key(|seen| std::cmp::Reverse(seen.age));
        let path: Vec<u32> = mine.iter().map(|seen| seen.ordinal).collect();
        for (place, &item) in (0u32..).zip(&path) {
            places[item as usize].push((user as u32, place));
        }
        paths.push(path);
    }
    let steps: Vec<f64> = (0..window).map(|step| decay.powi(step as i32)).collect();
    let power = |item: usize, power: f64| (places[item].len().max(1) as f64).powf(power);
    let all: Vec<Vec<SparseEntry>> = (0..rows.items.len())
        .into_par_iter()
        .map_init(SparseSums::default, |sums, from| {
            for &(user, place) in &places[from] {
                let later = &paths[user as usize][place as usize + 1..];
                for (&to, &weight) in later.iter().zip(&steps) {
                    sums.add(&[to], &[1.0], weight);
                }
            }
            let mut row: Vec<SparseEntry> = Vec::new();
            for (to, sum) in sums.take_unsorted() {
                let scale = power(from, FROM_POWER) * power(to as usize, TO_POWER);
                row.push((to, (sum / scale) as f32));
            }
            greatest(row, kept)
        })
        .collect();
    let matrix = assemble(all);
    let mut part = TrainedPart::new(Recipe::ItemRows { matrix: TRANSITIONS.into(), history });
    part.sparse.push(SparseInput {
        name: TRANSITIONS.into(),
        shape: SparseShape::ITEM_ROWS,
        matrix,
    });
    Ok(part
        .parameter("window", window)
        .parameter("window_decay", decay)
        .parameter("neighbours", kept)
        .history_parameters())
}
