//! A request with its route laid out: the tree to fuse by, and the leaves to search.

use super::ensemble_tree::{EnsembleShape, Tree};
use super::shard_map::ShardMap;
use crate::admission::request::RankingRequest;
use crate::error::RouterError;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Plan, Route};
use marquee_core::ranking::diversify::Diversity;
use std::time::Duration;

/// A request and what answers it by one plan.
pub(crate) struct PlannedRequest<'a> {
    pub(crate) request: &'a RankingRequest,
    pub(crate) route: Route,
    /// How the lists of the leaves become one.
    pub(crate) tree: Tree,
    /// How the list is diversified in the end, if it is.
    pub(crate) diversity: Option<Diversity>,
    /// By the numbers that the tree names them by.
    pub(crate) leaves: Vec<PlannedLeaf<'a>>,
    /// The timeouts of the members that have one, by the numbers that leaves name them by.
    pub(crate) timeouts: Vec<Duration>,
}

/// One recipe of one version in an ensemble.
#[derive(Clone, Debug)]
pub(crate) struct PlannedLeaf<'a> {
    /// Its version's number in the shard map.
    pub(crate) version: usize,
    /// How it answers; never a blend.
    pub(crate) recipe: &'a Recipe,
    /// It sums the rows of the items that the chain's member before it lists, and not those of the user's history.
    pub(crate) is_chained: bool,
    /// The members with a timeout that it is part of.
    pub(crate) timed_members: Vec<usize>,
}

/// The ensemble that answers a request under a plan.
///
/// # Errors
/// Nothing serves the surface, the plan is broken, or the request asks for a variant that is not there.
pub(crate) fn route(request: &RankingRequest, plan: &Plan) -> Result<Route, RouterError> {
    let (surface, id) = (&request.surface, request.subject.id());
    Ok(match &request.forced_variant {
        None => plan.route(surface, id)?,
        Some(variant) => plan.route_forced(surface, id, variant)?,
    })
}

impl<'a> PlannedRequest<'a> {
    /// Lays a request's route out over the versions of `shards`.
    ///
    /// # Errors
    /// The route has parts that routing should have followed or decided.
    pub(crate) fn new(
        request: &'a RankingRequest,
        route: Route,
        shards: &ShardMap<'a>,
    ) -> Result<Self, RouterError> {
        let mut leaves = Vec::new();
        let shape = EnsembleShape::of(&route.root, &mut |version| {
            let version = shards.number_of(version)?;
            let parts = shards.version(version).recipe.parts();
            for &(recipe, _) in &parts {
                let (is_chained, timed_members) = (false, Vec::new());
                leaves.push(PlannedLeaf { version, recipe, is_chained, timed_members });
            }
            Some(parts.into_iter().map(|(_, weight)| weight).collect())
        });
        let Some(EnsembleShape { tree, diversity, leaves: positions, timeouts }) = shape else {
            return Err(RouterError::Undecided { ensemble: route.ensemble, epoch: shards.epoch });
        };
        for (leaf, position) in leaves.iter_mut().zip(positions) {
            leaf.is_chained = position.is_chained;
            leaf.timed_members = position.timed_members;
        }
        Ok(Self { request, route, tree, diversity, leaves, timeouts })
    }

    /// Whether remembered rows may take the place of a lookup.
    ///
    /// Not in a trial: of the arm that serves most users more is remembered, and it would look quicker than it is.
    /// Nor where more is asked after the first searches: a node that hangs is found out by its lookups, in half
    /// of the time, while a search may wait for it until no time is left for what follows.
    pub(crate) fn may_use_remembered_rows(&self) -> bool {
        let mut leaves = self.leaves.iter();
        self.route.trial.is_none()
            && !self.tree.has_stages()
            && self.diversity.is_none()
            && !leaves.any(|leaf| leaf.recipe.searches_users())
    }
}
