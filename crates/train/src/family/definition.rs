//! What a family is: [`Family`], which each family's file implements, and what it is trained on.

use super::grid::Grid;
use super::part::TrainedPart;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{ModelSettings, SettingInfo};
use crate::weight::Weight;
use marquee_bundle::{IndexOptions, ItemRecord, RowFormat};

/// A family of recommenders.
pub(crate) trait Family: Sync {
    /// As on the command line and in the manifest.
    fn name(&self) -> &'static str;

    /// What it is, in a line of `--help`.
    fn summary(&self) -> &'static str;

    /// All its settings, in the order in which `marquee tune` draws them.
    fn settings(&self) -> Vec<SettingInfo>;

    /// Whether users get different items. Where they don't, attributes of users are refused.
    fn is_personal(&self) -> bool {
        true
    }

    /// Whether it recommends described items without interactions.
    fn recommends_unseen_items(&self) -> bool {
        false
    }

    /// Whether `--cold-items` goes with it.
    fn predicts_cold_items(&self) -> bool {
        false
    }

    /// Whether a hybrid can have it as a member.
    fn can_be_member(&self) -> bool {
        false
    }

    /// Why it can't be trained on such data, in a few words: a hybrid leaves it out and says so. None where it can.
    fn unsuited(&self, _rows: &Interactions, _items: &[ItemRecord]) -> Option<String> {
        None
    }

    /// The settings that are tried on such data before a training, where they are not given.
    fn grid(&self, _rows: &Interactions, _items: &[ItemRecord]) -> Grid {
        Grid::default()
    }

    /// Trains it, with settings that were checked.
    ///
    /// # Errors
    /// Data that the family can't be trained on, settings that don't suit them, numbers that diverge.
    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError>;
}

/// What a family is trained on, and with which settings.
#[derive(Clone, Copy)]
pub(crate) struct TrainingInput<'a> {
    /// The interactions, of which each counts in favour of its item.
    pub(crate) rows: &'a Interactions,
    /// Titles and tags, one record an item of `rows`.
    pub(crate) items: &'a [ItemRecord],
    /// The settings of the family, which were checked.
    pub(crate) settings: &'a ModelSettings,
    /// What a hybrid blends; empty for all other families.
    pub(crate) members: &'a [HybridMember],
    /// What does not depend on the family.
    pub(crate) options: &'a TrainingOptions,
    /// The words beside the progress bar.
    pub(crate) label: &'a str,
}

/// A family that a hybrid may blend, with its settings.
pub(crate) struct HybridMember {
    /// The family of the member.
    pub(crate) family: &'static dyn Family,
    /// Its settings, which were checked.
    pub(crate) settings: ModelSettings,
    /// What it counts, where that was chosen before; none: it is fitted.
    pub(crate) weight: Option<f64>,
}

/// Options of a training that all families share.
#[derive(Clone, Debug)]
pub(crate) struct TrainingOptions {
    /// What an interaction weighs.
    pub(crate) weight: Weight,
    /// Decides everything random.
    pub(crate) seed: u64,
    /// How a matrix that is searched is indexed.
    pub(crate) index: IndexOptions,
    /// How the rows of a matrix that is searched are kept in memory.
    pub(crate) row_format: RowFormat,
    /// Whether items without interactions get vectors predicted from their texts.
    pub(crate) predict_cold_items: bool,
}
