//! What a trained family adds to a bundle.

use crate::interactions::Interactions;
use crate::weight::Weight;
use marquee_bundle::{DenseInput, SparseInput};
use marquee_core::model::recipe::Recipe;

/// What a trained family adds to a bundle: its recipe, and matrices by index of users, items and terms.
#[derive(Clone, Debug)]
pub(crate) struct TrainedPart {
    /// How requests are answered from the matrices.
    pub(crate) recipe: Recipe,
    /// The dense matrices.
    pub(crate) dense: Vec<DenseInput>,
    /// The sparse matrices, whose rows are summed.
    pub(crate) sparse: Vec<SparseInput>,
    /// The terms that rows of matrices stand for; empty where no matrix has rows of terms.
    pub(crate) terms: Vec<String>,
    /// What each interaction counts in the history of the bundle; none where it counts its weight.
    pub(crate) history_values: Option<Vec<f32>>,
    /// The settings it was trained with, for the manifest.
    pub(crate) parameters: Vec<(String, String)>,
    /// Sentences about the training, for its summary.
    pub(crate) notes: Vec<String>,
}

impl TrainedPart {
    /// A part of this recipe without matrices.
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

    /// What an interaction of the training counts in a history.
    pub(crate) fn counts(&self, rows: &Interactions, weight: Weight, row: usize) -> f32 {
        match &self.history_values {
            Some(values) => values[row],
            None => weight.of(rows.value[row]),
        }
    }

    /// With the weights by age of its recipe among its parameters.
    pub(super) fn history_parameters(self) -> Self {
        let Some(history) = self.recipe.history().cloned() else { return self };
        let part = self.parameter("decay", history.decay);
        match history.newest {
            Some(newest) => part.parameter("newest", newest),
            None => part,
        }
    }

    /// With one more parameter.
    pub(super) fn parameter(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.push((name.into(), value.to_string()));
        self
    }
}
