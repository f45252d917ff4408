//! A family with its settings.

use super::definition::{HybridMember, TrainingInput, TrainingOptions};
use super::part::TrainedPart;
use super::registry::ModelKind;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::settings::{ModelSettings, Value, check_settings};
use marquee_bundle::ItemRecord;

/// A family and its settings, named as the flags of `marquee train` are; what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// The family that is trained.
    pub model: ModelKind,
    /// The settings of the family that were given.
    pub settings: ModelSettings,
    /// The members of a hybrid, each with settings of its own; empty: all families that the data allow, with
    /// their defaults.
    pub members: Vec<ModelConfig>,
    /// What a member of a hybrid counts, where that was chosen before; none: it is fitted.
    pub weight: Option<f64>,
}

impl ModelConfig {
    /// A family with its defaults.
    pub fn of(model: ModelKind) -> Self {
        Self { model, ..Self::default() }
    }

    /// With one setting more.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        Self { settings: self.settings.with(name, value), ..self }
    }

    /// Refuses settings that the family does not take, that are out of bounds or do not go together, and members
    /// that a hybrid cannot have.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self) -> Result<(), TrainError> {
        let family = self.model.family();
        check_settings(family.name(), &family.settings(), &self.settings)?;
        if !self.members.is_empty() && self.model != ModelKind::Hybrid {
            return Err(TrainError::option(
                "--config",
                "members go with model hybrid: leave them out",
            ));
        }
        for (n, member) in self.members.iter().enumerate() {
            let name = member.model.name();
            if !member.model.family().can_be_member() || !member.members.is_empty() {
                let known: Vec<&str> = ModelKind::members().map(ModelKind::name).collect();
                let problem = format!("{name} is no member of a hybrid: take {}", known.join(", "));
                return Err(TrainError::option("--config", problem));
            }
            if self.members[..n].iter().any(|other| other.model == member.model) {
                let problem = format!("members name {name} twice: take one of them");
                return Err(TrainError::option("--config", problem));
            }
            member.check()?;
        }
        Ok(())
    }

    /// Trains the family on these interactions, `items` describing their items; `label` stands beside the progress
    /// bar.
    ///
    /// # Errors
    /// Data that the family can't be trained on, settings that don't suit them, numbers that diverge.
    pub(crate) fn train(
        &self,
        rows: &Interactions,
        items: &[ItemRecord],
        options: &TrainingOptions,
        label: &str,
    ) -> Result<TrainedPart, TrainError> {
        // Sums of dense algebra would depend on how many threads they are cut among.
        faer::set_global_parallelism(faer::Par::Seq);
        let members: Vec<HybridMember> = match self.members.as_slice() {
            [] if self.model == ModelKind::Hybrid => ModelKind::members_for(rows, items)
                .into_iter()
                .map(|kind| ModelConfig::of(kind).as_member())
                .collect(),
            given => given.iter().map(ModelConfig::as_member).collect(),
        };
        let mut part = self.model.family().train(TrainingInput {
            rows,
            items,
            settings: &self.settings,
            members: &members,
            options,
            label,
        })?;
        if self.model == ModelKind::Hybrid {
            for (kind, why) in ModelKind::not_members_for(rows, items) {
                part.notes.push(format!("hybrid: left out {}: {why}", kind.name()));
            }
        }
        Ok(part)
    }

    fn as_member(&self) -> HybridMember {
        HybridMember {
            family: self.model.family(),
            settings: self.settings.clone(),
            weight: self.weight,
        }
    }
}
