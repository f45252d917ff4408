//! A request between rounds of searches, and one whose lists became one.

use super::evaluate::Step;
use crate::lookup::looked_up::LookedUpRequest;
use crate::planning::ensemble_tree::MIN_DEPTH;
use crate::search::leaf_query::{LeafQuery, LeafState, Scope};
use crate::search::searching::SearchingRequest;
use marquee_core::model::interpreter::{Filling, LeafPlan};
use marquee_core::ranking::diversify::Diversity;
use marquee_core::ranking::fuse::{Candidate, depth};
use std::collections::BTreeSet;

/// A request whose leaves are searched, as far as its tree asked for it.
pub(crate) struct FusingRequest<'a> {
    pub(crate) searching: SearchingRequest<'a>,
    /// The list once it was fused, if it is too short.
    short_list: Option<ShortList>,
}

/// A fused list that is too short.
struct ShortList {
    items: Vec<Candidate>,
    /// The leaves that fill it up, in this order.
    fillers: Vec<usize>,
}

/// A request that has its list; it is not diversified yet.
pub(crate) struct FusedRequest<'a> {
    pub(crate) searching: SearchingRequest<'a>,
    pub(crate) items: Vec<Candidate>,
}

/// What comes next for a request.
pub(crate) enum FusingProgress<'a> {
    /// These leaves are to be searched, then it goes on.
    Search(FusingRequest<'a>, Vec<LeafQuery>),
    /// The list is there.
    Fused(FusedRequest<'a>),
}

impl<'a> FusingRequest<'a> {
    /// Nothing was searched yet.
    pub(crate) fn new(looked_up: LookedUpRequest<'a>) -> Self {
        Self { searching: SearchingRequest::new(looked_up), short_list: None }
    }

    /// Fuses what there is, or says what to search first.
    pub(crate) fn advance(mut self) -> FusingProgress<'a> {
        if let Some(ShortList { mut items, fillers }) = self.short_list {
            let count = self.searching.looked_up.request.count;
            for filler in fillers {
                let state = &mut self.searching.states[filler];
                if let LeafState::Answered(more) = std::mem::replace(state, LeafState::Absent) {
                    fill_up(&mut items, more, count);
                }
            }
            return FusingProgress::Fused(FusedRequest { searching: self.searching, items });
        }
        let SearchingRequest { looked_up, states, .. } = &mut self.searching;
        let scope = Scope {
            count: candidate_count(looked_up.diversity(), looked_up.request.count),
            only: looked_up.request.only.clone(),
        };
        match looked_up.tree.evaluate(states, &scope) {
            Step::Search(queries) => FusingProgress::Search(self, queries),
            Step::Done(items) => self.fill_or_finish(items, scope),
        }
    }

    /// Asks for further items where row-sums, which list only the columns of some row, listed too few: what users of
    /// the same attributes like, if the user's are known, and popular items. Of given items, all that some version knows.
    fn fill_or_finish(mut self, items: Vec<Candidate>, scope: Scope) -> FusingProgress<'a> {
        let is_short = items.len() < self.searching.looked_up.request.count;
        let filling = self.searching.looked_up.filling.take().filter(|_| is_short);
        let Some(Filling { leaf, profile }) = filling else {
            return FusingProgress::Fused(FusedRequest { searching: self.searching, items });
        };
        // Listed items may be among the further ones; given items are all asked for anyway.
        let count = if scope.only.is_some() { scope.count } else { scope.count + items.len() };
        let mut fillers = Vec::new();
        let mut queries = Vec::new();
        for plan in profile.map(LeafPlan::Profile).into_iter().chain([LeafPlan::Popularity]) {
            let filler = self.searching.add_filler(leaf, plan);
            let of_filler = Scope { count, only: scope.only.clone() };
            queries.push(LeafQuery { leaf: filler, scope: of_filler, items: None });
            fillers.push(filler);
        }
        if scope.only.is_some() {
            for like in self.other_versions(leaf) {
                let filler = self.searching.add_filler(like, LeafPlan::Popularity);
                queries.push(LeafQuery { leaf: filler, scope: scope.clone(), items: None });
                fillers.push(filler);
            }
        }
        self.short_list = Some(ShortList { items, fillers });
        FusingProgress::Search(self, queries)
    }
}

impl FusingRequest<'_> {
    /// A leaf of each version other than that of the leaf `but`.
    fn other_versions(&self, but: usize) -> Vec<usize> {
        let leaves = &self.searching.looked_up.leaves;
        let mut seen = BTreeSet::from([leaves[but].version]);
        let mut others = Vec::new();
        for (number, leaf) in leaves.iter().enumerate() {
            if seen.insert(leaf.version) {
                others.push(number);
            }
        }
        others
    }
}

impl LookedUpRequest<'_> {
    /// How the list is diversified, if it is: given items are ranked and not chosen from.
    pub(super) fn diversity(&self) -> Option<&Diversity> {
        self.diversity.as_ref().filter(|_| self.request.only.is_none())
    }
}

/// How many items a list is to have before it is diversified, if it is.
pub(super) fn candidate_count(diversity: Option<&Diversity>, count: usize) -> usize {
    match diversity {
        Some(_) => depth(count, MIN_DEPTH),
        None => count,
    }
}

/// Appends further items that are not listed yet, with scores below all others, up to `count` items.
pub(super) fn fill_up(items: &mut Vec<Candidate>, further: Vec<Candidate>, count: usize) {
    let lowest = items.last().map_or(0.0, |last| last.score);
    let listed: BTreeSet<String> = items.iter().map(|item| item.item_id.clone()).collect();
    let missing = count.saturating_sub(items.len());
    let more = further.into_iter().filter(|item| !listed.contains(&item.item_id)).take(missing);
    for (below, mut item) in (1_u32..).zip(more) {
        item.score = lowest - f64::from(below);
        items.push(item);
    }
}
