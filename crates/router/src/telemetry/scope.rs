//! What an answer counts for.

use super::credits::Credits;
use marquee_core::plan::{Route, Trial};
use marquee_core::rollout::window::Scope;

/// The trial or the surface that an answer counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerScope<'a> {
    /// An arm of a trial.
    Trial(&'a Trial),
    /// The users' preference in a trial: the answer is made of both variants' lists.
    Interleaved {
        /// The trial; the arm in it means nothing.
        trial: &'a Trial,
        /// Whom clicks are credited to.
        credits: &'a Credits,
    },
    /// What is live on a surface, without a trial.
    Surface(&'a str),
}

impl<'a> AnswerScope<'a> {
    /// What an answer by this route counts for, with all that comes of it; none where a tester asked for the variant: it is not
    /// observed, not mirrored, and its id names neither trial nor surface.
    pub(crate) fn of(route: &'a Route) -> Option<Self> {
        let scope = || route.trial.as_ref().map_or(Self::Surface(&route.surface), Self::Trial);
        (!route.is_forced).then(scope)
    }

    pub(crate) fn arm(self) -> usize {
        match self {
            Self::Trial(trial) | Self::Interleaved { trial, .. } => trial.arm,
            Self::Surface(_) => 0,
        }
    }
}

impl<'a> From<&'a Trial> for AnswerScope<'a> {
    fn from(trial: &'a Trial) -> Self {
        Self::Trial(trial)
    }
}

/// Whose window it is: what was measured at different shares is not mixed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WindowKey {
    pub(crate) scope: Scope,
    pub(crate) arms: usize,
    pub(crate) weight_basis_points: u32,
}

impl WindowKey {
    pub(crate) fn of(scope: AnswerScope<'_>) -> Self {
        match scope {
            AnswerScope::Trial(trial) | AnswerScope::Interleaved { trial, .. } => {
                let Trial { id, arm: _, arms, weight_basis_points } = trial;
                Self {
                    scope: Scope::Trial(id.clone()),
                    arms: *arms,
                    weight_basis_points: *weight_basis_points,
                }
            }
            AnswerScope::Surface(surface) => {
                Self { scope: Scope::Surface(surface.into()), arms: 1, weight_basis_points: 0 }
            }
        }
    }

    pub(crate) fn is_of(&self, scope: AnswerScope<'_>) -> bool {
        match (scope, &self.scope) {
            (
                AnswerScope::Trial(trial) | AnswerScope::Interleaved { trial, .. },
                Scope::Trial(id),
            ) => {
                self.weight_basis_points == trial.weight_basis_points
                    && self.arms == trial.arms
                    && *id == trial.id
            }
            (AnswerScope::Surface(surface), Scope::Surface(name)) => surface == name,
            (AnswerScope::Trial(_) | AnswerScope::Interleaved { .. }, Scope::Surface(_))
            | (AnswerScope::Surface(_), Scope::Trial(_)) => false,
        }
    }

    /// Whether it is of a surface and of no trial.
    pub(crate) fn is_of_surface(&self) -> bool {
        self.trial_id().is_none()
    }

    /// The trial that it is of; none if it is of a surface.
    pub(crate) fn trial_id(&self) -> Option<&str> {
        match &self.scope {
            Scope::Trial(id) => Some(id),
            Scope::Surface(_) => None,
        }
    }
}
