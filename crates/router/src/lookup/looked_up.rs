//! A request whose rows were looked up: the interpreter's decision how each of its leaves is answered.

use super::looked_up_rows::{LookedUpRows, VersionRows};
use super::seen_items::SeenItems;
use crate::admission::request::{RankingRequest, Subject};
use crate::error::RouterError;
use crate::fanout::CallFailure;
use crate::planning::ensemble_tree::Tree;
use crate::planning::planned::{PlannedLeaf, PlannedRequest};
use crate::planning::shard_map::ShardMap;
use crate::planning::wanted_rows::interpreted;
use marquee_core::model::interpreter::{
    Basis, DecidedLeaves, FallbackReason, Filling, Leaf, LeafPlan, Model, decide,
};
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::Route;
use marquee_core::ranking::diversify::Diversity;
use std::collections::BTreeMap;
use std::time::Duration;

/// A request, and how each leaf of its ensemble is answered.
pub(crate) struct LookedUpRequest<'a> {
    pub(crate) request: &'a RankingRequest,
    pub(crate) route: Route,
    pub(crate) tree: Tree,
    pub(crate) diversity: Option<Diversity>,
    pub(crate) leaves: Vec<LookedUpLeaf<'a>>,
    pub(crate) timeouts: Vec<Duration>,
    /// The items that lists leave out because some version knows them as seen.
    pub(crate) seen: SeenItems,
    /// Why the answer is not what the models compute for a known user, if it is not.
    pub(crate) fallback: Option<FallbackReason>,
    /// What continues a list that is too short, if anything does.
    pub(crate) filling: Option<Filling<'a>>,
    /// Whether no leaf knows a word of a text.
    pub(crate) has_unknown_words: bool,
    /// The shards that did not answer lookups, and why.
    pub(crate) unavailable: BTreeMap<usize, CallFailure>,
}

/// One recipe of one version, and how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct LookedUpLeaf<'a> {
    /// Its version's number in the shard map.
    pub(crate) version: usize,
    /// Never a blend.
    pub(crate) recipe: &'a Recipe,
    /// The members with a timeout that it is part of.
    pub(crate) timed_members: Vec<usize>,
    pub(crate) plan: LeafPlan<'a>,
    /// What the vector is a sum of that it is searched for; only for requests that explain.
    pub(crate) basis: Option<Basis<'a>>,
}

impl<'a> LookedUpRequest<'a> {
    /// Decides how each leaf of a planned request is answered, given the rows that were found.
    ///
    /// # Errors
    /// The request is for an item that no version knows, or that cannot be looked up now; or for a text where no
    /// version knows words.
    pub(crate) fn new(
        planned: PlannedRequest<'a>,
        rows: &LookedUpRows<'_>,
        shards: &ShardMap<'a>,
    ) -> Result<Self, RouterError> {
        let PlannedRequest { request, route, tree, diversity, leaves: planned_leaves, timeouts } =
            planned;
        let mut leaves = Vec::with_capacity(planned_leaves.len());
        let mut models: BTreeMap<usize, Model<'a, VersionRows<'_>>> = BTreeMap::new();
        for &PlannedLeaf { version, recipe, is_chained, .. } in &planned_leaves {
            leaves.push(Leaf { version, recipe, is_chained });
            models.entry(version).or_insert_with(|| Model {
                profile: shards.version(version).recipe.profile(),
                rows: rows.of_version(version),
            });
        }
        let DecidedLeaves { plans, bases, seen, fallback, filling } =
            decide(&interpreted(request), &leaves, &models);
        let has_unknown_words = match request.subject {
            Subject::User(_) | Subject::Forgotten(_) => false,
            Subject::Item(_) => {
                check_item(request, rows, shards)?;
                false
            }
            Subject::Text(_) => {
                check_texts(request, &leaves)?;
                !plans.iter().any(is_answered_by_words)
            }
        };
        let mut all_bases = bases.into_iter();
        let mut looked_up = Vec::with_capacity(leaves.len());
        for (leaf, plan) in planned_leaves.into_iter().zip(plans) {
            let PlannedLeaf { version, recipe, is_chained: _, timed_members } = leaf;
            let basis = all_bases.next().flatten();
            looked_up.push(LookedUpLeaf { version, recipe, timed_members, plan, basis });
        }
        Ok(Self {
            request,
            route,
            tree,
            diversity,
            leaves: looked_up,
            timeouts,
            seen: SeenItems::new(seen),
            fallback,
            filling,
            has_unknown_words,
            unavailable: rows.unavailable().collect(),
        })
    }

    /// Whether the lists of one version are to leave out items that another one knows as seen: these have to be
    /// named, since ordinals say nothing to other versions.
    pub(crate) fn shares_seen_items(&self) -> bool {
        let is_for_user = self.request.subject.is_user();
        is_for_user && self.seen.are_shared(self.leaves.iter().map(|leaf| leaf.version))
    }
}

fn is_answered_by_words(plan: &LeafPlan<'_>) -> bool {
    plan.answers() && !matches!(plan, LeafPlan::Chained)
}

/// Refuses a request for an item that no version knows.
fn check_item(
    request: &RankingRequest,
    rows: &LookedUpRows<'_>,
    shards: &ShardMap<'_>,
) -> Result<(), RouterError> {
    if rows.has_subject() {
        return Ok(());
    }
    let (item_id, surface) = (request.subject.id().to_owned(), request.surface.clone());
    if let Some((shard, _)) = rows.unavailable().next() {
        return Err(RouterError::ItemShardUnavailable { item_id, shard: shards.name(shard) });
    }
    if rows.is_empty() {
        return Err(RouterError::NoItemVectors { surface });
    }
    Err(RouterError::UnknownItem { item_id, surface })
}

/// Refuses a request for a text where no leaf knows words.
fn check_texts(request: &RankingRequest, leaves: &[Leaf<'_>]) -> Result<(), RouterError> {
    if leaves.iter().any(|leaf| leaf.recipe.text_vectors().is_some()) {
        return Ok(());
    }
    Err(RouterError::NoTexts { surface: request.surface.clone() })
}
