//! The families of recommenders: what each learns from interactions and adds to a bundle.
//!
//! A family is a function from a [`Lesson`] to a [`Part`]: matrices by input index, and the recipe that
//! turns them into scores. Nothing else in the cluster knows of families; [`score`] executes the same
//! recipes in memory, for the evaluation inside training and to fit the weights of a [`hybrid`].
//!
//! | kind | what is searched or summed | after |
//! |---|---|---|
//! | mf | dense, items × rank, and its fold-in matrix | Hu, Koren and Volinsky 2008 |
//! | mf-sgd | dense, items × (rank + 2), biases as columns | Koren, Bell and Volinsky 2009 |
//! | bpr | dense, items × (rank + 1), the bias as a column | Rendle et al. 2009 |
//! | item-knn | `item_neighbours`, items × items | Sarwar et al. 2001 |
//! | user-knn | `users_by_item`, items × users, or users × rank; then `user_histories` | Herlocker et al. 1999 |
//! | ease | `ease`, items × items | Steck 2019 |
//! | rp3beta | `rp3beta`, items × items | Paudel et al. 2017 |
//! | transitions | `transitions`, items × items | Shani, Heckerman and Brafman 2005 |
//! | content | dense, items × topics | Deerwester et al. 1990 |
//! | trending | `trending`, one row | |
//! | hybrid | all of the above | |
//!
//! Every sum has an order that does not depend on threads: rows are computed alone, each in the order of
//! its entries. Users and items in another order, with other ids, get the same scores up to rounding from all
//! families but those that draw starts or pairs at random by place: mf, mf-sgd, bpr, user-knn by vectors, and a
//! hybrid by its mf. To them another order is another seed.
//!
//! Beside a family stand [`profile`], which answers by attributes whatever the family, and `cold_items`, which
//! gives mf vectors for items that nobody has seen.

mod bpr;
mod cold_items;
mod content;
mod ease;
pub(crate) mod hybrid;
mod item_knn;
mod mf;
mod mf_sgd;
pub(crate) mod profile;
#[cfg(test)]
mod reference;
mod rp3beta;
pub(crate) mod score;
mod settings;
mod sparse;
#[cfg(test)]
mod tests;
mod transitions;
mod trending;
mod user_knn;
mod widen;

use crate::error::TrainError;
use crate::history::history_of;
use crate::interactions::Interactions;
use crate::options::{ModelKind, TrainArgs};
use crate::weight::Weight;
pub(crate) use content::{TERM_RARITY, top_terms};
use marquee_bundle::{DenseInput, ItemRecord, SparseInput};
use marquee_core::model::recipe::Recipe;
pub(crate) use mf::{mf_matrices, mf_recipe};
use score::Asker;

/// What a family learns from.
#[derive(Clone, Copy)]
pub(crate) struct Lesson<'a> {
    /// The interactions that speak for an item.
    pub(crate) rows: &'a Interactions,
    /// Titles and tags, one record an item of `rows`.
    pub(crate) items: &'a [ItemRecord],
    /// The settings.
    pub(crate) args: &'a TrainArgs,
    /// What to show while it takes long.
    pub(crate) label: &'a str,
}

/// What a trained family adds to a bundle: its recipe, and matrices by index of users, items and terms.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// How it answers.
    pub(crate) recipe: Recipe,
    /// Its dense matrices.
    pub(crate) dense: Vec<DenseInput>,
    /// Its sparse matrices, all of them to be summed.
    pub(crate) sparse: Vec<SparseInput>,
    /// The terms that matrices are about; none unless some are.
    pub(crate) terms: Vec<String>,
    /// What each of the lesson's rows counts in the history of the bundle, where that is not its weight.
    pub(crate) history_values: Option<Vec<f32>>,
    /// The settings that made it, for the manifest.
    pub(crate) parameters: Vec<(String, String)>,
    /// What is to be known of it, in sentences.
    pub(crate) notes: Vec<String>,
}

impl Part {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            dense: Vec::new(),
            sparse: Vec::new(),
            terms: Vec::new(),
            history_values: None,
            parameters: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// What a row of the lesson counts in a history.
    pub(crate) fn counts(&self, rows: &Interactions, weight: Weight, row: usize) -> f32 {
        match &self.history_values {
            Some(values) => values[row],
            None => weight.of(rows.value[row]),
        }
    }

    /// Users of the lesson, with their rows and histories.
    pub(crate) fn askers(&self, rows: &Interactions, users: &[u32], weight: Weight) -> Vec<Asker> {
        let asker = |&user: &u32| Asker {
            row: Some(user as usize),
            history: history_of(rows, user as usize, |row| self.counts(rows, weight, row)),
            ..Asker::default()
        };
        users.iter().map(asker).collect()
    }

    fn history_parameters(self) -> Self {
        let Some(history) = self.recipe.history().cloned() else { return self };
        let part = self.parameter("decay", history.decay);
        match history.newest {
            Some(newest) => part.parameter("newest", newest),
            None => part,
        }
    }

    fn parameter(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.push((name.into(), value.to_string()));
        self
    }
}

/// Fits a family.
///
/// # Errors
/// Data that the family can't learn from, settings that don't suit them, numbers that diverge.
pub(crate) fn fit(kind: ModelKind, lesson: Lesson<'_>) -> Result<Part, TrainError> {
    // Sums of dense algebra would depend on how many threads they are cut among.
    faer::set_global_parallelism(faer::Par::Seq);
    match kind {
        ModelKind::Mf => mf::fit(lesson),
        ModelKind::MfSgd => mf_sgd::fit(lesson),
        ModelKind::Bpr => bpr::fit(lesson),
        ModelKind::ItemKnn => item_knn::fit(lesson),
        ModelKind::UserKnn => user_knn::fit(lesson),
        ModelKind::Ease => ease::fit(lesson),
        ModelKind::Rp3beta => rp3beta::fit(lesson),
        ModelKind::Transitions => transitions::fit(lesson),
        ModelKind::Content => content::fit(lesson),
        ModelKind::Popularity => Ok(Part::new(Recipe::Popularity)),
        ModelKind::Trending => trending::fit(lesson),
        ModelKind::Hybrid => hybrid::fit(lesson),
    }
}
