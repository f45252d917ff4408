//! The most popular items for all users: the counts of interactions, which every bundle has.

use super::definition::{Family, TrainingInput};
use super::part::TrainedPart;
use crate::error::TrainError;
use crate::settings::SettingInfo;
use marquee_core::model::recipe::Recipe;

/// The family `popularity`.
pub(super) struct Popularity;

impl Family for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn summary(&self) -> &'static str {
        "The most popular items for all users"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        Vec::new()
    }

    fn is_personal(&self) -> bool {
        false
    }

    fn train(&self, _input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        Ok(TrainedPart::new(Recipe::Popularity))
    }
}
