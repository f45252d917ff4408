//! What serves a user on a surface.

use super::assignment;
use super::contents::Plan;
use crate::ensemble::{EnsembleNode, WeightedNode};
use crate::planted::{PlantedBug, is_planted};
use crate::ranking::interleave::Interleaving;
use crate::rollout::Rollout;
use crate::rollout::experiment::{Experiment, ExperimentState};
use std::sync::Arc;

/// What serves one user on a surface, under one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The surface that was asked for.
    pub surface: String,
    /// The ensemble's name.
    pub ensemble: String,
    /// The rollout that runs on the surface.
    pub rollout_id: Option<String>,
    /// Which variant of the rollout serves the user.
    pub variant: Variant,
    /// The experiment that the user takes part in, and the name of the user's arm.
    pub experiment: Option<(String, String)>,
    /// The arm that the answer counts for; none outside of trials, for users whom a rollout lists, and where the
    /// variant is forced.
    pub trial: Option<Trial>,
    /// How the answer is made of this list and the other variant's; none: it is this list.
    pub interleaving: Option<Interleaving>,
    /// Whether the request asked for the variant. Such an answer counts for nothing.
    pub is_forced: bool,
    /// Ids of items that are never in an answer on the surface, ascending.
    pub denied: Arc<[String]>,
    /// What to execute: references followed and splits decided, so only models, sequences,
    /// parallels and products are left.
    pub root: EnsembleNode,
}

/// The arm of a rollout or an experiment that an answer counts for; see [`crate::rollout::window`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trial {
    /// The id of a rollout or an experiment.
    pub id: String,
    /// The arm's index; arm 0 is the baseline.
    pub arm: usize,
    /// How many arms there are.
    pub arms: usize,
    /// The share of the last arm now, in 1/10,000. What is measured at another share is another window.
    pub weight_basis_points: u32,
}

/// Which variant of a rollout serves a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// No rollout is running.
    #[default]
    None,
    /// What was live before the trial; of an experiment, its first arm.
    Baseline,
    /// What the rollout tries.
    Candidate,
    /// The lists of both, as one.
    Interleaved,
}

impl Variant {
    /// Its name in exports and explanations; empty if no rollout is running.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Baseline => "baseline",
            Self::Candidate => "candidate",
            Self::Interleaved => "interleaved",
        }
    }
}

/// Why nothing serves a user on a surface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No rollout was ever started on it.
    #[error(
        "surface {0:?} is unknown: start a rollout on it first, or leave it out for \"default\""
    )]
    UnknownSurface(String),
    /// The surface's first ensemble is still being loaded.
    #[error("surface {0:?} has no live model yet: its first rollout is still preparing")]
    NotLive(String),
    /// No trial runs whose variant could be asked for.
    #[error("no trial runs on surface {0:?} now, so no variant of it can be asked for")]
    NoTrial(String),
    /// The trial has no such variant.
    #[error("{trial_id} on surface {surface:?} has no variant {variant:?}: ask for {known}")]
    UnknownVariant {
        /// The surface's name.
        surface: String,
        /// The trial that runs there.
        trial_id: String,
        /// What was asked for.
        variant: String,
        /// What may be asked for, in words.
        known: String,
    },
    /// The plan names an ensemble that it does not hold.
    #[error("the plan of epoch {epoch} names an ensemble {name:?} that it does not hold")]
    Broken {
        /// The plan's epoch.
        epoch: u64,
        /// The ensemble's name.
        name: String,
    },
}

/// How the answer to this user is interleaved now. Users whom a rollout lists are not compared.
fn interleaving_of(rollout: &Rollout, user_id: &str) -> Option<Interleaving> {
    let stage = rollout.interleaves()?;
    let is_in_share = assignment::bucket(&rollout.id, user_id) < stage.share_basis_points;
    let is_listed = || rollout.terms.listed.has_candidate(user_id).is_some();
    (is_in_share && !is_listed()).then_some(stage.how)
}

impl Plan {
    /// What serves `user_id` on `surface`.
    ///
    /// # Errors
    /// The surface is unknown, or nothing is live on it yet.
    pub fn route(&self, surface_name: &str, user_id: &str) -> Result<Route, RouteError> {
        let surface = self
            .surfaces
            .get(surface_name)
            .ok_or_else(|| RouteError::UnknownSurface(surface_name.into()))?;
        if let Some(route) = self.route_to_arm(surface_name, user_id)? {
            return Ok(route);
        }
        if surface.ensemble.is_none() {
            return Err(RouteError::NotLive(surface_name.into()));
        }
        let rollout = surface.rollout_id.as_ref().and_then(|id| self.rollout(id));
        let Some(rollout) = rollout else {
            return self.route_to_variant(surface_name, user_id, None, Variant::None);
        };
        let listed = rollout.listed_has_candidate(user_id);
        let has_candidate = listed.unwrap_or_else(|| {
            let mut bucket = assignment::bucket(&rollout.id, user_id);
            let mut weight = rollout.weight_basis_points();
            if is_planted(PlantedBug::UsersMovedByEpoch) {
                bucket = assignment::bucket(&self.epoch.to_string(), user_id);
            }
            if is_planted(PlantedBug::WeightOfNextStep)
                && let Some(next) =
                    rollout.step.and_then(|step| rollout.steps.get(step as usize + 1))
            {
                weight = next.weight_basis_points;
            }
            bucket < weight
        });
        let variant = if has_candidate { Variant::Candidate } else { Variant::Baseline };
        let mut route = self.route_to_variant(surface_name, user_id, Some(rollout), variant)?;
        route.interleaving = interleaving_of(rollout, user_id);
        if listed.is_some() {
            // Who was chosen by hand is no part of a random split.
            route.trial = None;
        }
        Ok(route)
    }

    /// What would serve `user_id` on `surface` as this variant of the trial that runs there: `baseline` or `candidate` of a
    /// rollout, an arm of an experiment by name. The answer counts for nothing.
    ///
    /// # Errors
    /// The surface is unknown, no trial runs on it, or the trial has no such variant.
    pub fn route_forced(
        &self,
        surface_name: &str,
        user_id: &str,
        wanted: &str,
    ) -> Result<Route, RouteError> {
        let surface = self
            .surfaces
            .get(surface_name)
            .ok_or_else(|| RouteError::UnknownSurface(surface_name.into()))?;
        let unknown = |trial_id: &str, known: String| RouteError::UnknownVariant {
            surface: surface_name.into(),
            trial_id: trial_id.into(),
            variant: wanted.into(),
            known,
        };
        let rollout = surface.rollout_id.as_ref().and_then(|id| self.rollout(id));
        let mut route = if let Some(rollout) = rollout.filter(|it| it.has_two_variants()) {
            let variants = [Variant::Baseline, Variant::Candidate];
            let known = || variants.map(Variant::word).join(" or ");
            let variant = variants.into_iter().find(|variant| variant.word() == wanted);
            let variant = variant.ok_or_else(|| unknown(&rollout.id, known()))?;
            self.route_to_variant(surface_name, user_id, Some(rollout), variant)?
        } else {
            let running = self
                .experiments
                .iter()
                .filter(|it| it.surface == surface_name && it.state == ExperimentState::Running);
            let arms = running.flat_map(|it| (0..it.arms.len()).map(move |arm| (it, arm)));
            let arms: Vec<(&Experiment, usize)> = arms.collect();
            let Some((first, _)) = arms.first() else {
                return Err(RouteError::NoTrial(surface_name.into()));
            };
            let name = |&(it, arm): &(&Experiment, usize)| it.arms[arm].name.clone();
            let known = || arms.iter().map(name).collect::<Vec<_>>().join(" or ");
            let found = arms.iter().find(|(it, arm)| it.arms[*arm].name == wanted);
            let &(experiment, arm) = found.ok_or_else(|| unknown(&first.id, known()))?;
            self.route_of_arm(surface_name, user_id, experiment, arm)?
        };
        route.trial = None;
        route.is_forced = true;
        Ok(route)
    }

    /// What makes the candidate's list for a user whose answer is interleaved with it now; none for other users.
    pub fn route_interleaved(&self, surface_name: &str, user_id: &str) -> Option<Route> {
        let surface = self.surfaces.get(surface_name)?;
        let rollout = self.rollout(surface.rollout_id.as_ref()?)?;
        interleaving_of(rollout, user_id)?;
        let candidate = Variant::Candidate;
        self.route_to_variant(surface_name, user_id, Some(rollout), candidate).ok()
    }

    /// What would have served the user of `route` as the other variant of its rollout; none where there is
    /// none.
    pub fn other_variant(&self, route: &Route, user_id: &str) -> Option<Route> {
        let rollout = self.rollout(route.rollout_id.as_ref()?)?;
        let other = match route.variant {
            Variant::None | Variant::Interleaved => return None,
            Variant::Baseline => Variant::Candidate,
            Variant::Candidate => Variant::Baseline,
        };
        self.route_to_variant(&route.surface, user_id, Some(rollout), other).ok()
    }

    /// What serves a user who takes part in an experiment on the surface; none for other users.
    fn route_to_arm(&self, surface: &str, user_id: &str) -> Result<Option<Route>, RouteError> {
        let on_surface = self.experiments.iter().filter(|it| it.surface == surface);
        for experiment in on_surface {
            if let Some(arm) = experiment.arm_of(user_id) {
                return self.route_of_arm(surface, user_id, experiment, arm).map(Some);
            }
        }
        Ok(None)
    }

    /// What serves a user as an arm of an experiment on the surface.
    fn route_of_arm(
        &self,
        surface: &str,
        user_id: &str,
        experiment: &Experiment,
        arm: usize,
    ) -> Result<Route, RouteError> {
        let Experiment { id, arms, .. } = experiment;
        Ok(Route {
            surface: surface.into(),
            ensemble: arms[arm].ensemble.clone(),
            rollout_id: None,
            variant: Variant::None,
            experiment: Some((id.clone(), arms[arm].name.clone())),
            interleaving: None,
            trial: Some(Trial {
                id: id.clone(),
                arm,
                arms: arms.len(),
                weight_basis_points: arms.last().map_or(0, |last| last.weight_basis_points),
            }),
            is_forced: false,
            denied: self.denied(surface),
            root: self.resolve(&self.named(&arms[arm].ensemble)?, user_id)?,
        })
    }

    fn route_to_variant(
        &self,
        surface: &str,
        user_id: &str,
        rollout: Option<&Rollout>,
        variant: Variant,
    ) -> Result<Route, RouteError> {
        let live = self.surfaces.get(surface).and_then(|surface| surface.ensemble.as_ref());
        let ensemble = match (rollout, variant) {
            (Some(rollout), Variant::Candidate) => Some(&rollout.candidate),
            _ => live,
        };
        let ensemble = ensemble.ok_or_else(|| RouteError::NotLive(surface.into()))?;
        let arm = match variant {
            Variant::None | Variant::Interleaved => None,
            Variant::Baseline => Some(0),
            Variant::Candidate => Some(1),
        };
        let trial = rollout.zip(arm).map(|(rollout, arm)| Trial {
            id: rollout.id.clone(),
            arm,
            arms: 2,
            weight_basis_points: rollout.weight_basis_points(),
        });
        Ok(Route {
            surface: surface.into(),
            ensemble: ensemble.clone(),
            rollout_id: rollout.map(|rollout| rollout.id.clone()),
            variant,
            experiment: None,
            trial,
            interleaving: None,
            is_forced: false,
            denied: self.denied(surface),
            root: self.resolve(&self.named(ensemble)?, user_id)?,
        })
    }

    /// The items that are never in an answer on the surface.
    fn denied(&self, surface: &str) -> Arc<[String]> {
        self.surfaces.get(surface).map(|surface| Arc::clone(&surface.denied)).unwrap_or_default()
    }

    fn named(&self, name: &str) -> Result<EnsembleNode, RouteError> {
        self.ensemble_named(name)
            .ok_or_else(|| RouteError::Broken { epoch: self.epoch, name: name.into() })
    }

    /// Follows references and resolves splits for a user. It ends, because stored ensembles have no cycles.
    fn resolve(&self, node: &EnsembleNode, user_id: &str) -> Result<EnsembleNode, RouteError> {
        Ok(match node {
            EnsembleNode::Model(version) => EnsembleNode::Model(version.clone()),
            EnsembleNode::Reference(name) => self.resolve(&self.named(name)?, user_id)?,
            EnsembleNode::Sequence(members) => {
                EnsembleNode::Sequence(self.resolve_all(members, user_id)?)
            }
            EnsembleNode::Product { members, form } => {
                let members = self.resolve_all(members, user_id)?;
                EnsembleNode::Product { members, form: *form }
            }
            EnsembleNode::Parallel { members, fusion } => {
                let mut resolved = Vec::with_capacity(members.len());
                for WeightedNode { node, weight, timeout_ms } in members {
                    resolved.push(WeightedNode {
                        node: self.resolve(node, user_id)?,
                        weight: *weight,
                        timeout_ms: *timeout_ms,
                    });
                }
                EnsembleNode::Parallel { members: resolved, fusion: *fusion }
            }
            EnsembleNode::Diversify { node, how } => EnsembleNode::Diversify {
                node: Box::new(self.resolve(node, user_id)?),
                how: how.clone(),
            },
            EnsembleNode::Split { salt, members } => {
                let weights: Vec<u32> = members.iter().map(|m| m.weight_basis_points).collect();
                let chosen = assignment::choose(salt, user_id, &weights);
                self.resolve(&members[chosen].node, user_id)?
            }
        })
    }

    fn resolve_all(
        &self,
        members: &[EnsembleNode],
        user_id: &str,
    ) -> Result<Vec<EnsembleNode>, RouteError> {
        members.iter().map(|member| self.resolve(member, user_id)).collect()
    }
}
