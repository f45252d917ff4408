//! A request whose rows were looked up: how each of its leaves is answered.

use super::leaf_plan::{
    By, History, LeafPlan, Similarity, Source, by_profile, plan_for_text, plan_for_user,
};
use super::looked_up_rows::LookedUpRows;
use super::stored_row::FoundRow;
use super::vector_basis::VectorBasis;
use crate::admission::request::{RankingRequest, Subject};
use crate::error::RouterError;
use crate::fanout::Failure;
use crate::planning::ensemble_tree::Tree;
use crate::planning::planned::{PlannedLeaf, PlannedRequest};
use crate::planning::shard_map::ShardMap;
use crate::planning::wanted_rows::{RowOwner, own_vector, text_vectors};
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::Route;
use marquee_core::ranking::diversify::Diversity;
use marquee_proto::v1::{FallbackReason, SearchReason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A request, and how each leaf of its ensemble is answered.
pub(crate) struct LookedUpRequest<'a> {
    pub(crate) request: &'a RankingRequest,
    pub(crate) route: Route,
    pub(crate) tree: Tree,
    pub(crate) diversity: Option<Diversity>,
    pub(crate) leaves: Vec<LookedUpLeaf<'a>>,
    pub(crate) timeouts: Vec<Duration>,
    /// Why the answer is not what the models compute for a known user.
    pub(crate) fallback: FallbackReason,
    /// Why a search for a text finds nothing, if it does.
    pub(crate) search: SearchReason,
    /// The shards that could not look the subject up, and why.
    pub(crate) unavailable: BTreeMap<usize, Failure>,
}

/// One recipe of one version, and how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct LookedUpLeaf<'a> {
    /// Its version's number in the shard map.
    pub(crate) version: usize,
    /// Never a blend.
    pub(crate) recipe: &'a Recipe,
    /// It sums the rows of the items that the chain's member before it lists.
    pub(crate) is_chained: bool,
    /// The members with a timeout that it is part of.
    pub(crate) timed_members: Vec<usize>,
    pub(crate) plan: LeafPlan<'a>,
    /// The ordinals that its lists leave out.
    pub(crate) exclude: Arc<[u32]>,
    /// What the vector is a sum of that it is searched for; only for requests that explain.
    pub(crate) basis: Option<VectorBasis<'a>>,
}

impl<'a> LookedUpLeaf<'a> {
    fn new(leaf: PlannedLeaf<'a>) -> Self {
        let PlannedLeaf { version, recipe, is_chained, timed_members } = leaf;
        Self {
            version,
            recipe,
            is_chained,
            timed_members,
            plan: LeafPlan::None,
            exclude: Arc::default(),
            basis: None,
        }
    }

    /// Whether it answers by what it knows of the user, if it knows anything.
    fn is_personal(&self) -> bool {
        self.recipe.is_personal() && !self.is_chained
    }
}

impl<'a> LookedUpRequest<'a> {
    /// Decides how each leaf of a planned request is answered, given the rows that were found.
    ///
    /// # Errors
    /// The request is for an item that no version knows, or that cannot be looked up now; or for a text where no
    /// version knows words.
    pub(crate) fn new(
        planned: PlannedRequest<'a>,
        rows: &LookedUpRows<'a>,
        shards: &ShardMap<'a>,
    ) -> Result<Self, RouterError> {
        let PlannedRequest { request, route, tree, diversity, leaves, timeouts } = planned;
        let mut looked_up = Self {
            request,
            route,
            tree,
            diversity,
            leaves: leaves.into_iter().map(LookedUpLeaf::new).collect(),
            timeouts,
            fallback: FallbackReason::Unspecified,
            search: SearchReason::Unspecified,
            unavailable: rows.unavailable().collect(),
        };
        match request.subject {
            Subject::User(_) => looked_up.plan_for_user(rows, shards),
            Subject::Item(_) => looked_up.plan_for_item(rows, shards)?,
            Subject::Text(_) => looked_up.plan_for_text(rows)?,
        }
        Ok(looked_up)
    }

    /// Leaves that know what the user likes answer by it, and personal ones that do not are absent; if none of
    /// them does, the first of each version answers with what users of the same attributes like, or with
    /// what is popular.
    fn plan_for_user(&mut self, rows: &LookedUpRows<'a>, shards: &ShardMap<'a>) {
        let request = self.request;
        let recents = request.shaping_items().len();
        let mut histories: BTreeMap<usize, History> = BTreeMap::new();
        let (mut is_personal, mut is_personal_by_bundle) = (false, false);
        for leaf in &mut self.leaves {
            let history = histories
                .entry(leaf.version)
                .or_insert_with(|| History::of(rows, leaf.version, recents));
            if !request.filter.include_seen {
                leaf.exclude = Arc::clone(&history.seen);
            }
            if leaf.is_chained {
                leaf.plan = LeafPlan::Chained;
                continue;
            }
            leaf.plan = plan_for_user(leaf.recipe, leaf.version, rows, history, recents);
            if let (true, LeafPlan::Items(Source { by: By::Vector(vector, _), .. })) =
                (request.explain, &leaf.plan)
            {
                leaf.basis = VectorBasis::of(leaf.recipe, leaf.version, rows, recents, vector);
            }
            if leaf.is_personal() {
                is_personal |= !matches!(leaf.plan, LeafPlan::None);
                let has_own_vector = own_vector(leaf.recipe)
                    .and_then(|matrix| rows.row(RowOwner::Subject, leaf.version, matrix, ""))
                    .is_some_and(|row| row.has_direction());
                is_personal_by_bundle |=
                    has_own_vector || (leaf.recipe.history().is_some() && history.has_own);
            }
        }
        let personal: BTreeSet<usize> =
            self.leaves.iter().filter(|leaf| leaf.is_personal()).map(|leaf| leaf.version).collect();
        if personal.is_empty() || is_personal_by_bundle {
            return;
        }
        let mut is_unavailable = false;
        let mut is_known = false;
        for (version, found) in rows.of_subject() {
            if personal.contains(&version) {
                is_unavailable |= found.unavailable().is_some();
                is_known |= found.row().is_some();
            }
        }
        self.fallback = if is_unavailable {
            FallbackReason::UserShardUnavailable
        } else if is_personal {
            FallbackReason::RecentItems
        } else if is_known {
            FallbackReason::NoHistory
        } else {
            FallbackReason::UnknownUser
        };
        if !is_personal {
            self.plan_substitutes(rows, shards);
        }
    }

    /// Lets the first personal leaf of each version answer without knowing what the user likes.
    fn plan_substitutes(&mut self, rows: &LookedUpRows<'a>, shards: &ShardMap<'a>) {
        let terms = self.request.terms.len();
        let mut substituted = BTreeSet::new();
        let mut is_by_profile = false;
        for leaf in &mut self.leaves {
            if leaf.is_chained {
                // What is popular is the answer, and not what goes with it.
                leaf.plan = LeafPlan::None;
            } else if leaf.recipe.is_personal() && substituted.insert(leaf.version) {
                let profile = shards.version(leaf.version).recipe.profile();
                let source =
                    profile.and_then(|profile| by_profile(profile, leaf.version, rows, terms));
                is_by_profile |= source.is_some();
                leaf.plan = source.map_or(LeafPlan::Popularity, LeafPlan::Profile);
            }
        }
        if is_by_profile && self.fallback != FallbackReason::UserShardUnavailable {
            self.fallback = FallbackReason::Profile;
        }
    }

    /// Leaves that know words answer by the topics of those they know.
    fn plan_for_text(&mut self, rows: &LookedUpRows<'_>) -> Result<(), RouterError> {
        if !self.leaves.iter().any(|leaf| text_vectors(leaf.recipe).is_some()) {
            return Err(RouterError::NoTexts { surface: self.request.surface.clone() });
        }
        let words = self.request.terms.len();
        self.search = SearchReason::UnknownWords;
        for leaf in &mut self.leaves {
            if leaf.is_chained {
                leaf.plan = LeafPlan::Chained;
                continue;
            }
            leaf.plan = plan_for_text(leaf.recipe, leaf.version, rows, words);
            if !matches!(leaf.plan, LeafPlan::None) {
                self.search = SearchReason::Unspecified;
            }
        }
        Ok(())
    }

    /// Leaves that compare items answer by the item's vector or row.
    fn plan_for_item(
        &mut self,
        rows: &LookedUpRows<'_>,
        shards: &ShardMap<'_>,
    ) -> Result<(), RouterError> {
        for leaf in &mut self.leaves {
            let matrix = match (leaf.recipe.item_vectors(), leaf.recipe) {
                (Some(matrix), _) => matrix,
                (None, Recipe::ItemRows { .. }) => "",
                (None, _) => continue,
            };
            let Some(row) = rows.row(RowOwner::Subject, leaf.version, matrix, "") else {
                if leaf.is_chained {
                    leaf.plan = LeafPlan::Chained;
                }
                continue;
            };
            leaf.exclude = Arc::new([row.ordinal]);
            leaf.plan = match leaf.recipe {
                _ if leaf.is_chained => LeafPlan::Chained,
                Recipe::ItemRows { matrix, .. } => {
                    let by = By::Rows(vec![row.ordinal], vec![1.0]);
                    LeafPlan::Items(Source { matrix, by })
                }
                // Nothing points the same way as a zero vector.
                _ if !row.has_direction() => LeafPlan::None,
                _ => {
                    let vector = row.vector.clone();
                    LeafPlan::Items(Source::vector(matrix, vector, Similarity::Cosine))
                }
            };
        }
        let found: Vec<&FoundRow> = rows.of_subject().map(|(_, found)| found).collect();
        if found.iter().any(|found| found.row().is_some()) {
            return Ok(());
        }
        let (item_id, surface) =
            (self.request.subject.id().to_owned(), self.request.surface.clone());
        if let Some((shard, _)) = rows.unavailable().next() {
            return Err(RouterError::ItemShardUnavailable { item_id, shard: shards.name(shard) });
        }
        if found.is_empty() {
            return Err(RouterError::NoItemVectors { surface });
        }
        Err(RouterError::UnknownItem { item_id, surface })
    }
}
