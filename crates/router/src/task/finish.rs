//! From a task that has its list to an answer.

use super::Task;
use crate::ask::Answer;
use crate::error::{RouterError, Silence};
use crate::fanout::Failure;
use crate::layout::Layout;
use crate::tree::LeafState;
use std::collections::{BTreeMap, BTreeSet};

/// Shards that a message names before it says only how many more there are.
const MAX_NAMED_SHARDS: usize = 8;

impl Task<'_> {
    /// The answer.
    ///
    /// # Errors
    /// Too little was searched.
    pub(crate) fn finish(mut self, layout: &Layout<'_>) -> Result<Answer, RouterError> {
        let versions: BTreeSet<usize> = self.leaves.iter().map(|leaf| leaf.version).collect();
        let total: usize = versions.iter().map(|version| layout.pieces(*version).len()).sum();
        // A shard that was silent at first may have been searched after all.
        self.silent.retain(|piece, _| !self.searched.contains(piece));
        self.missing.append(&mut self.silent);
        let answered = total - self.missing.len();
        let has_list = |state: &LeafState| matches!(state, LeafState::Answered(_));
        if !self.states.iter().any(has_list) && !self.missing.is_empty() {
            return Err(RouterError::NothingAnswered {
                surface: self.route.surface,
                missing: named(layout, &self.missing),
                why: silence(&self.missing),
            });
        }
        if answered as f64 / (total as f64) < self.ask.min_coverage {
            return Err(RouterError::Coverage {
                answered,
                total,
                min_coverage: self.ask.min_coverage,
                missing: named(layout, &self.missing),
            });
        }
        Ok(Answer {
            recommendation_id: String::new(),
            unknown_item_ids: self.unknown(layout, &versions),
            leaves: match self.ask.explain {
                true => self.leaves.iter().map(|leaf| leaf.named(layout)).collect(),
                false => Vec::new(),
            },
            items: self.items.unwrap_or_default(),
            left_out: self
                .reasons
                .left_out
                .iter()
                .map(|(version, it)| (layout.version(*version).name.clone(), it.clone()))
                .collect(),
            reasons: self.reasons,
            route: self.route,
            epoch: layout.epoch,
            fallback: self.fallback,
            search: self.search,
            shards_total: total,
            shards_missing: self.missing.keys().map(|piece| layout.name(*piece)).collect(),
        })
    }

    /// Of the items that were given, those that would have been found if they were anywhere.
    fn unknown(&self, layout: &Layout<'_>, versions: &BTreeSet<usize>) -> Vec<String> {
        let Some(only) = &self.ask.only else { return Vec::new() };
        let found: BTreeSet<&str> =
            self.items.iter().flatten().map(|item| item.item_id.as_str()).collect();
        let is_unknown = |id: &&String| {
            let searched =
                |&version: &usize| !self.missing.contains_key(&layout.piece_of(version, id));
            // Denied items are not unknown: they are not spoken of.
            let is_denied = self.route.denied.binary_search(id).is_ok();
            !found.contains(id.as_str()) && !is_denied && versions.iter().all(searched)
        };
        only.iter().filter(is_unknown).cloned().collect()
    }
}

fn silence(missing: &BTreeMap<usize, Failure>) -> Silence {
    let all = |wanted| missing.values().all(|failure| *failure == wanted);
    match () {
        () if all(Failure::Timeout) => Silence::Late,
        () if all(Failure::Overloaded) => Silence::Busy,
        () => Silence::Gone,
    }
}

fn named(layout: &Layout<'_>, missing: &BTreeMap<usize, Failure>) -> String {
    let mut names: Vec<String> =
        missing.keys().take(MAX_NAMED_SHARDS).map(|piece| layout.name(*piece)).collect();
    if missing.len() > names.len() {
        names.push(format!("and {} more", missing.len() - names.len()));
    }
    names.join(", ")
}
