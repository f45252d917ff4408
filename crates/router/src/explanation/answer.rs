//! From an explained request to its answer.

use super::explaining::{ExplainedRequest, LeftOutItems, Reasons};
use crate::error::{NoAnswerCause, RouterError};
use crate::fanout::CallFailure;
use crate::lookup::looked_up::LookedUpLeaf;
use crate::planning::shard_map::ShardMap;
use crate::search::leaf_query::LeafState;
use crate::search::searching::SearchingRequest;
use marquee_core::id::ModelVersion;
use marquee_core::model::interpreter::{FallbackReason, LeafPlan};
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::Route;
use marquee_core::planted::{PlantedBug, is_planted};
use marquee_core::ranking::fuse::Candidate;
use marquee_core::ranking::interleave::Side;
use marquee_core::ranking::randomise::SlotDraw;
use marquee_core::ranking::strategy::SearchStrategy;
use std::collections::{BTreeMap, BTreeSet};

/// Shards that a message names before it says only how many more there are.
const MAX_NAMED_SHARDS: usize = 8;
/// What explanations call an answer by attributes.
const PROFILE: &str = "profile";

/// The answer to a [`RankingRequest`](crate::admission::request::RankingRequest).
#[derive(Debug)]
pub(crate) struct RankingAnswer {
    /// Its name; given by the service.
    pub(crate) recommendation_id: String,
    /// Best first; their contributions name leaves of `leaves`, and are there if the request explains.
    pub(crate) items: Vec<Candidate>,
    /// How the slots of the list were filled; given by the service.
    pub(crate) draw: SlotDraw,
    /// The leaves of the ensemble; none unless the request explains.
    pub(crate) leaves: Vec<NamedLeaf>,
    /// What contributed to the items, by the numbers of leaves; nothing unless the request explains.
    pub(crate) reasons: Reasons,
    /// What was left out of each version's catalogue.
    pub(crate) left_out: Vec<(ModelVersion, LeftOutItems)>,
    /// The ensemble that answered, and how it was chosen.
    pub(crate) route: Route,
    /// The epoch of the plan.
    pub(crate) epoch: u64,
    /// Why it is not what the models compute for a known user, if it is not.
    pub(crate) fallback: Option<FallbackReason>,
    /// Whether a search for a text found nothing because no word is known.
    pub(crate) has_unknown_words: bool,
    /// How many shards the versions of the route have.
    pub(crate) shards_total: usize,
    /// The shards that did not answer, as `model@version/shard`.
    pub(crate) shards_missing: Vec<String>,
    /// The given items that no version of the route has, as far as shards answered.
    pub(crate) unknown_item_ids: Vec<String>,
    /// How it was made of two lists, if it was.
    pub(crate) interleaved: Option<Box<InterleavedAnswer>>,
}

/// What an interleaved answer is made of, beside the baseline's list and route.
#[derive(Clone, Debug)]
pub(crate) struct InterleavedAnswer {
    /// The candidate's route.
    pub(crate) candidate: Route,
    /// The side that clicks on each item are credited to, item by item; none: nobody.
    pub(crate) credited: Vec<Option<Side>>,
}

/// A leaf of the ensemble, as explanations name it.
#[derive(Clone, Debug)]
pub(crate) struct NamedLeaf {
    pub(crate) model: ModelVersion,
    /// The name of the recipe that it was answered by.
    pub(crate) recipe: String,
    /// The strategies by which it was searched, separated by commas.
    pub(crate) search: String,
}

impl ExplainedRequest<'_> {
    /// The answer.
    ///
    /// # Errors
    /// Too few shards answered.
    pub(crate) fn into_answer(self, shards: &ShardMap<'_>) -> Result<RankingAnswer, RouterError> {
        let Self { searching, items, reasons } = self;
        let SearchingRequest { looked_up, states, strategies, mut unavailable, searched, .. } =
            searching;
        let request = looked_up.request;
        let versions: BTreeSet<usize> = looked_up.leaves.iter().map(|leaf| leaf.version).collect();
        let total: usize = versions.iter().map(|version| shards.shards_of(*version).len()).sum();
        for (shard, failure) in looked_up.unavailable {
            // A shard that did not answer the lookup may have been searched after all.
            if !searched.contains(&shard) {
                unavailable.insert(shard, failure);
            }
        }
        if is_planted(PlantedBug::MissingShardsHidden) {
            unavailable.clear();
        }
        let answered = total - unavailable.len();
        let has_list = states.iter().any(|state| matches!(state, LeafState::Answered(_)));
        if !has_list && !unavailable.is_empty() {
            return Err(RouterError::NothingAnswered {
                surface: looked_up.route.surface,
                missing: names(shards, &unavailable),
                why: common_cause(&unavailable),
            });
        }
        if answered as f64 / (total as f64) < request.min_coverage {
            return Err(RouterError::Coverage {
                answered,
                total,
                min_coverage: request.min_coverage,
                missing: names(shards, &unavailable),
            });
        }
        let unknown_item_ids = match &request.only {
            Some(only) => {
                unknown_items(only, &items, &looked_up.route, shards, &versions, &unavailable)
            }
            None => Vec::new(),
        };
        let mut leaves = Vec::new();
        if request.explain {
            for (number, leaf) in looked_up.leaves.iter().enumerate() {
                leaves.push(named(leaf, strategies.get(&number), shards));
            }
        }
        let left_out = reasons
            .left_out
            .iter()
            .map(|(version, left_out)| (shards.version(*version).name.clone(), left_out.clone()))
            .collect();
        Ok(RankingAnswer {
            recommendation_id: String::new(),
            items,
            draw: SlotDraw::default(),
            leaves,
            reasons,
            left_out,
            route: looked_up.route,
            epoch: shards.epoch,
            fallback: looked_up.fallback,
            has_unknown_words: looked_up.has_unknown_words,
            shards_total: total,
            shards_missing: unavailable.keys().map(|shard| shards.name(*shard)).collect(),
            unknown_item_ids,
            interleaved: None,
        })
    }
}

/// Of the items that were given, those that would have been found if any version had them.
fn unknown_items(
    only: &[String],
    items: &[Candidate],
    route: &Route,
    shards: &ShardMap<'_>,
    versions: &BTreeSet<usize>,
    unavailable: &BTreeMap<usize, CallFailure>,
) -> Vec<String> {
    let found: BTreeSet<&str> = items.iter().map(|item| item.item_id.as_str()).collect();
    let mut unknown = Vec::new();
    for id in only {
        // Denied items are not unknown: nothing is said of them.
        let is_denied = route.denied.binary_search(id).is_ok();
        if !is_denied
            && !found.contains(id.as_str())
            && versions
                .iter()
                .all(|&version| !unavailable.contains_key(&shards.shard_holding(version, id)))
        {
            unknown.push(id.clone());
        }
    }
    unknown
}

fn named(
    leaf: &LookedUpLeaf<'_>,
    strategies: Option<&BTreeSet<SearchStrategy>>,
    shards: &ShardMap<'_>,
) -> NamedLeaf {
    let recipe = match leaf.plan {
        LeafPlan::Popularity => Recipe::Popularity.name(),
        LeafPlan::Profile(_) => PROFILE,
        LeafPlan::Search(_) | LeafPlan::Neighbours(_) | LeafPlan::Chained | LeafPlan::Nothing => {
            leaf.recipe.name()
        }
    };
    let words: Vec<&str> =
        strategies.into_iter().flatten().map(|strategy| strategy.name()).collect();
    let model = shards.version(leaf.version).name.clone();
    NamedLeaf { model, recipe: recipe.into(), search: words.join(", ") }
}

/// Why no shard answered, where all had the same reason.
fn common_cause(unavailable: &BTreeMap<usize, CallFailure>) -> NoAnswerCause {
    if unavailable.values().all(|failure| *failure == CallFailure::Timeout) {
        NoAnswerCause::Timeout
    } else if unavailable.values().all(|failure| *failure == CallFailure::Overloaded) {
        NoAnswerCause::Overload
    } else {
        NoAnswerCause::Unavailable
    }
}

/// The names of shards, the first few of them.
fn names(shards: &ShardMap<'_>, unavailable: &BTreeMap<usize, CallFailure>) -> String {
    let mut names: Vec<String> =
        unavailable.keys().take(MAX_NAMED_SHARDS).map(|shard| shards.name(*shard)).collect();
    if unavailable.len() > names.len() {
        names.push(format!("and {} more", unavailable.len() - names.len()));
    }
    names.join(", ")
}
