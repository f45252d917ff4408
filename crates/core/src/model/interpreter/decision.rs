//! The decision over all leaves of a request: plans, substitutes, and why.

use super::basis::Basis;
use super::history::UserHistory;
use super::known_rows::KnownRows;
use super::leaf::{
    LeafPlan, MatrixSearch, has_stored_preference, plan_for_item, plan_for_text, plan_for_user,
    profile_search,
};
use super::request::{Request, RowOf, UserRequest};
use crate::model::recipe::{Profile, Recipe};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One part of a model's recipe, as a leaf of the ensemble that answers.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'p> {
    /// The caller's number of its model version.
    pub version: usize,
    /// How it answers: no blend, no profiled recipe.
    pub recipe: &'p Recipe,
    /// Whether it sums the rows of what a chain's member before it lists.
    pub is_chained: bool,
}

/// A model version and what it knows.
#[derive(Clone, Copy, Debug)]
pub struct Model<'p, R> {
    /// The profile of its whole recipe.
    pub profile: Option<&'p Profile>,
    /// What was looked up.
    pub rows: R,
}

/// Why an answer is not what the models compute from a user's stored history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackReason {
    /// No version knows the user.
    UnknownUser,
    /// A shard that holds the user did not answer.
    UserShardUnavailable,
    /// The user is known, but nothing that is stored leads to an answer.
    NoHistory,
    /// Only the recent items lead to an answer.
    RecentItems,
    /// Only attributes lead to an answer.
    Profile,
}

/// What continues a list that is too short.
#[derive(Clone, Debug, PartialEq)]
pub struct Filling<'p> {
    /// The leaf whose version and seen items it is of.
    pub leaf: usize,
    /// What users of the same attributes like, which comes first; none if no attribute is known, or the leaf is
    /// answered by it already. Popular items come after it.
    pub profile: Option<MatrixSearch<'p>>,
}

/// How a request is answered.
#[derive(Clone, Debug, Default)]
pub struct DecidedLeaves<'p> {
    /// For each leaf, in their order.
    pub plans: Vec<LeafPlan<'p>>,
    /// For each leaf, what its vector is a sum of. Empty unless the request explains.
    pub bases: Vec<Option<Basis<'p>>>,
    /// By version, the ordinals of what it knows as seen and lists are not to have: of the user, or the item
    /// that the request is about. Empty where the request includes them. They are to be left out of the lists of
    /// *all* versions, by id.
    pub seen: BTreeMap<usize, Arc<[u32]>>,
    /// Why it is not what the models compute from the stored history, if it is not.
    pub fallback: Option<FallbackReason>,
    /// What continues a list of too few items, if anything does.
    pub filling: Option<Filling<'p>>,
}

/// Decides how the leaves of a request are answered, given what their versions know.
///
/// # Panics
/// If a leaf's version is missing among the models.
pub fn decide<'p, R: KnownRows>(
    request: &Request,
    leaves: &[Leaf<'p>],
    models: &BTreeMap<usize, Model<'p, R>>,
) -> DecidedLeaves<'p> {
    match request {
        Request::User(user) => decide_for_user(user, leaves, models),
        Request::Item => decide_for_item(leaves, models),
        Request::Text { words } => decide_for_text(*words, leaves, models),
    }
}

fn decide_for_item<'p, R: KnownRows>(
    leaves: &[Leaf<'p>],
    models: &BTreeMap<usize, Model<'p, R>>,
) -> DecidedLeaves<'p> {
    let mut decision = DecidedLeaves::default();
    for (version, model) in models {
        let own = model.rows.ordinal(RowOf::Subject);
        decision.seen.insert(*version, own.into_iter().collect());
    }
    for leaf in leaves {
        let plan = if leaf.is_chained {
            LeafPlan::Chained
        } else {
            plan_for_item(leaf.recipe, &models[&leaf.version].rows)
        };
        decision.plans.push(plan);
    }
    decision
}

fn decide_for_text<'p, R: KnownRows>(
    words: usize,
    leaves: &[Leaf<'p>],
    models: &BTreeMap<usize, Model<'p, R>>,
) -> DecidedLeaves<'p> {
    let mut decision = DecidedLeaves::default();
    for leaf in leaves {
        let plan = if leaf.is_chained {
            LeafPlan::Chained
        } else {
            plan_for_text(leaf.recipe, words, &models[&leaf.version].rows)
        };
        decision.plans.push(plan);
    }
    decision
}

fn decide_for_user<'p, R: KnownRows>(
    request: &UserRequest,
    leaves: &[Leaf<'p>],
    models: &BTreeMap<usize, Model<'p, R>>,
) -> DecidedLeaves<'p> {
    let mut decision = DecidedLeaves::default();
    let mut histories: BTreeMap<usize, UserHistory<'_>> = BTreeMap::new();
    for (version, model) in models {
        let history = UserHistory::of(&model.rows, request.recents);
        if !request.include_seen {
            let seen = history.stored.iter().map(|seen| seen.ordinal).collect();
            decision.seen.insert(*version, seen);
        }
        histories.insert(*version, history);
    }
    let (mut has_preference, mut has_stored) = (false, false);
    for leaf in leaves {
        let (model, history) = (&models[&leaf.version], &histories[&leaf.version]);
        if leaf.is_chained {
            decision.plans.push(LeafPlan::Chained);
            continue;
        }
        let plan = plan_for_user(leaf.recipe, &model.rows, history);
        if leaf.recipe.is_personal() && plan.answers() {
            has_preference = true;
            has_stored = has_stored || has_stored_preference(leaf.recipe, &model.rows, history);
        }
        decision.plans.push(plan);
    }
    if request.explain {
        for (leaf, plan) in leaves.iter().zip(&decision.plans) {
            let (model, history) = (&models[&leaf.version], &histories[&leaf.version]);
            decision.bases.push(Basis::of(leaf.recipe, plan, &model.rows, history));
        }
    }
    let personal: BTreeSet<usize> =
        leaves.iter().filter(|leaf| is_personal(leaf)).map(|leaf| leaf.version).collect();
    if !personal.is_empty() && !has_stored {
        decision.fallback = Some(reason(has_preference, &personal, models));
        if !has_preference {
            decision.substitute(request, leaves, models);
        }
    }
    decision.filling = decision.filling_for(request, leaves, models);
    decision
}

/// Whether a leaf answers by what it knows of the user.
fn is_personal(leaf: &Leaf<'_>) -> bool {
    leaf.recipe.is_personal() && !leaf.is_chained
}

/// Why no leaf is answered from the stored history, given whether any is answered by recent items.
fn reason<R: KnownRows>(
    has_preference: bool,
    personal: &BTreeSet<usize>,
    models: &BTreeMap<usize, Model<'_, R>>,
) -> FallbackReason {
    let mut is_known = false;
    for version in personal {
        let rows = &models[version].rows;
        if rows.is_subject_unavailable() {
            return FallbackReason::UserShardUnavailable;
        }
        is_known = is_known || rows.ordinal(RowOf::Subject).is_some();
    }
    if has_preference {
        FallbackReason::RecentItems
    } else if is_known {
        FallbackReason::NoHistory
    } else {
        FallbackReason::UnknownUser
    }
}

impl<'p> DecidedLeaves<'p> {
    /// Has the first personal leaf of each version answered by attributes, or else by popular items. What is
    /// popular is then the answer, and not what goes with it: nothing is chained to it.
    fn substitute<R: KnownRows>(
        &mut self,
        request: &UserRequest,
        leaves: &[Leaf<'p>],
        models: &BTreeMap<usize, Model<'p, R>>,
    ) {
        let mut substituted = BTreeSet::new();
        let mut has_profile = false;
        for (leaf, plan) in leaves.iter().zip(&mut self.plans) {
            if leaf.is_chained {
                *plan = LeafPlan::Nothing;
            } else if leaf.recipe.is_personal() && substituted.insert(leaf.version) {
                *plan = match profile_of(request, &models[&leaf.version]) {
                    Some(search) => LeafPlan::Profile(search),
                    None => LeafPlan::Popularity,
                };
                has_profile = has_profile || matches!(plan, LeafPlan::Profile(_));
            }
        }
        if has_profile && self.fallback != Some(FallbackReason::UserShardUnavailable) {
            self.fallback = Some(FallbackReason::Profile);
        }
    }

    /// What continues a short list: the substitutes of the first leaf that sums rows.
    fn filling_for<R: KnownRows>(
        &self,
        request: &UserRequest,
        leaves: &[Leaf<'p>],
        models: &BTreeMap<usize, Model<'p, R>>,
    ) -> Option<Filling<'p>> {
        let leaf = self.plans.iter().position(LeafPlan::is_sum)?;
        let profile = match &self.plans[leaf] {
            LeafPlan::Profile(_) => None,
            LeafPlan::Search(_)
            | LeafPlan::Neighbours(_)
            | LeafPlan::Chained
            | LeafPlan::Popularity
            | LeafPlan::Nothing => profile_of(request, &models[&leaves[leaf].version]),
        };
        Some(Filling { leaf, profile })
    }
}

fn profile_of<'p, R: KnownRows>(
    request: &UserRequest,
    model: &Model<'p, R>,
) -> Option<MatrixSearch<'p>> {
    profile_search(model.profile?, request.terms, &model.rows)
}
