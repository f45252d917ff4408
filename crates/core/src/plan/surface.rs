//! Surfaces: the named places that callers ask for.

use super::segments::Segments;
use crate::id::ModelVersion;
use crate::rollout::{RolloutStep, Terms};
use std::sync::Arc;

/// The surface of requests that name none.
pub const DEFAULT_SURFACE: &str = "default";

/// A named place that callers ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surface {
    /// The ensemble that is live; none until the first rollout is over.
    pub ensemble: Option<String>,
    /// The rollout that runs on it.
    pub rollout_id: Option<String>,
    /// The ensemble that was live before. It is kept, because an operator may return to it.
    pub previous: Option<String>,
    /// The rollouts that begin by themselves; none: operators start them.
    pub automatic: Option<Automatic>,
    /// Ids of items that are never in an answer here, ascending, at most
    /// [`MAX_DENIED_ITEMS`](crate::bounds::MAX_DENIED_ITEMS). Shared, because every route has them.
    pub denied: Arc<[String]>,
    /// The segments that trials here are reported by.
    pub segments: Segments,
}

/// A rollout that begins whenever a new version of a model is published.
#[derive(Clone, Debug, PartialEq)]
pub struct Automatic {
    /// The model's name.
    pub model: String,
    /// The steps of the rollout.
    pub steps: Vec<RolloutStep>,
    /// How the rollout is guarded.
    pub terms: Terms,
    /// The newest version, if it was published while something else ran on the surface: it is next.
    pub pending: Option<ModelVersion>,
}
