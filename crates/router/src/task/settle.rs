//! How each leaf of a task is answered, once its subject was looked up.

use super::{Leaf, Task};
use crate::approach::{
    Approach, By, History, Source, approach_to_text, approach_to_user, by_profile, has_direction,
    own_vector, text_vectors,
};
use crate::ask::Subject;
use crate::basis::Basis;
use crate::error::RouterError;
use crate::facts::{Facts, Who};
use crate::fanout::Failure;
use crate::layout::Layout;
use crate::lookup::{Found, LookupRound};
use crate::tree::LeafState;
use marquee_core::model::recipe::Recipe;
use marquee_proto::shard::v1::Operation;
use marquee_proto::v1::{FallbackReason, SearchReason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl<'a> Task<'a> {
    /// Decides how each leaf is answered, given what was found.
    ///
    /// # Errors
    /// An item that is not known, or cannot be known now.
    pub(crate) fn settle(
        &mut self,
        layout: &Layout<'a>,
        round: &mut LookupRound<'a>,
        lost: &BTreeMap<usize, Failure>,
    ) -> Result<(), RouterError> {
        self.facts.take(round);
        for piece in self.facts.unavailable() {
            self.silent.insert(piece, lost.get(&piece).copied().unwrap_or(Failure::Unreachable));
        }
        match self.ask.subject {
            Subject::User(_) => self.settle_user(layout),
            Subject::Item(_) => self.settle_item(layout)?,
            Subject::Text(_) => self.settle_text()?,
        }
        for (leaf, state) in self.leaves.iter().zip(&mut self.states) {
            if matches!(leaf.approach, Approach::None) {
                *state = LeafState::Absent;
            }
        }
        self.facts = Facts::default();
        Ok(())
    }

    /// Leaves that know a taste answer by it, and personal ones that do not are silent; if none of
    /// them does, the first of each version answers with what people of the user's attributes like, or with
    /// what is popular.
    fn settle_user(&mut self, layout: &Layout<'a>) {
        let mut histories: BTreeMap<usize, History> = BTreeMap::new();
        let (facts, recents) = (&self.facts, self.ask.shaping_items().len());
        let (mut has_taste, mut has_own_taste) = (false, false);
        for leaf in &mut self.leaves {
            let history = histories
                .entry(leaf.version)
                .or_insert_with(|| History::of(facts, leaf.version, recents));
            leaf.exclude = Arc::clone(&history.seen);
            leaf.approach = match leaf.is_chained {
                true => Approach::Chained,
                false => approach_to_user(leaf.recipe, leaf.version, facts, history, recents),
            };
            if let (true, Approach::Items(Source { by: By::Vector(vector, _), .. })) =
                (self.ask.explain, &leaf.approach)
            {
                leaf.basis = Basis::of(leaf.recipe, leaf.version, facts, recents, vector);
            }
            if leaf.knows_tastes() {
                has_taste |= !matches!(leaf.approach, Approach::None);
                let own = own_vector(leaf.recipe)
                    .and_then(|matrix| facts.row(Who::Subject, leaf.version, matrix, ""))
                    .is_some_and(has_direction);
                has_own_taste |= own || (leaf.recipe.history().is_some() && history.has_own);
            }
        }
        if self.ask.filter.include_seen {
            self.leaves.iter_mut().for_each(|leaf| leaf.exclude = Arc::default());
        }
        let personal: BTreeSet<usize> = self
            .leaves
            .iter()
            .filter(|leaf| leaf.knows_tastes())
            .map(|leaf| leaf.version)
            .collect();
        if personal.is_empty() || has_own_taste {
            return;
        }
        let of_personal = || {
            let all = facts.of_subject().filter(|(version, _)| personal.contains(version));
            all.map(|(_, found)| found)
        };
        self.fallback = if of_personal().any(|found| found.unavailable().is_some()) {
            FallbackReason::UserShardUnavailable
        } else if has_taste {
            FallbackReason::RecentItems
        } else if of_personal().any(|found| matches!(found, Found::Row(_))) {
            FallbackReason::NoHistory
        } else {
            FallbackReason::UnknownUser
        };
        if !has_taste {
            let mut standing_in = BTreeSet::new();
            for leaf in &mut self.leaves {
                if leaf.is_chained {
                    // What is popular is the answer, and not what goes with it.
                    leaf.approach = Approach::None;
                } else if leaf.recipe.is_personal() && standing_in.insert(leaf.version) {
                    let profile = layout.version(leaf.version).recipe.profile();
                    let terms = self.ask.terms.len();
                    let source =
                        profile.and_then(|profile| by_profile(profile, leaf.version, facts, terms));
                    leaf.approach = match source {
                        Some(source) => Approach::Profile(source),
                        None => Approach::Popularity,
                    };
                }
            }
            let by_profile = |leaf: &Leaf<'_>| matches!(leaf.approach, Approach::Profile(_));
            let is_silent = self.fallback == FallbackReason::UserShardUnavailable;
            if !is_silent && self.leaves.iter().any(by_profile) {
                self.fallback = FallbackReason::Profile;
            }
        }
    }

    /// Leaves that know words answer by the topics of those they know.
    fn settle_text(&mut self) -> Result<(), RouterError> {
        if !self.leaves.iter().any(|leaf| text_vectors(leaf.recipe).is_some()) {
            return Err(RouterError::NoTexts { surface: self.ask.surface.clone() });
        }
        let words = self.ask.terms.len();
        let is_known =
            |leaf: &Leaf<'_>| !matches!(leaf.approach, Approach::None | Approach::Chained);
        for leaf in &mut self.leaves {
            leaf.approach = match leaf.is_chained {
                true => Approach::Chained,
                false => approach_to_text(leaf.recipe, leaf.version, &self.facts, words),
            };
        }
        if !self.leaves.iter().any(is_known) {
            self.search = SearchReason::UnknownWords;
        }
        Ok(())
    }

    fn settle_item(&mut self, layout: &Layout<'_>) -> Result<(), RouterError> {
        for leaf in &mut self.leaves {
            let matrix = match (leaf.recipe.item_vectors(), leaf.recipe) {
                (Some(matrix), _) => matrix,
                (None, Recipe::ItemRows { .. }) => "",
                (None, _) => continue,
            };
            let Some(row) = self.facts.row(Who::Subject, leaf.version, matrix, "") else {
                if leaf.is_chained {
                    leaf.approach = Approach::Chained;
                }
                continue;
            };
            leaf.exclude = Arc::new([row.ordinal]);
            leaf.approach = match leaf.recipe {
                _ if leaf.is_chained => Approach::Chained,
                Recipe::ItemRows { matrix, .. } => {
                    let by = By::Rows(vec![row.ordinal], vec![1.0]);
                    Approach::Items(Source { matrix, by })
                }
                // Without a direction nothing points the same way.
                _ if !has_direction(row) => Approach::None,
                _ => {
                    let vector = row.vector.clone();
                    Approach::Items(Source::vector(matrix, vector, Operation::DenseCosine))
                }
            };
        }
        let unavailable = self.facts.unavailable().next();
        let known = self.facts.of_subject().any(|(_, found)| matches!(found, Found::Row(_)));
        let (item_id, surface) = (self.ask.subject.id().to_owned(), self.ask.surface.clone());
        match (known, unavailable) {
            (true, _) => Ok(()),
            (false, Some(piece)) => {
                Err(RouterError::ItemShardUnavailable { item_id, shard: layout.name(piece) })
            }
            (false, None) if !self.facts.has_subject() => {
                Err(RouterError::NoItemVectors { surface })
            }
            (false, None) => Err(RouterError::UnknownItem { item_id, surface }),
        }
    }
}
