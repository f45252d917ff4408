//! A request between rounds of searches, and one whose lists became one.

use super::diversification::candidate_count;
use super::evaluate::Step;
use crate::admission::request::Subject;
use crate::lookup::leaf_plan::{By, LeafPlan, Source};
use crate::lookup::looked_up::{LookedUpLeaf, LookedUpRequest};
use crate::search::leaf_query::{LeafQuery, LeafState, Scope};
use crate::search::searching::SearchingRequest;
use marquee_core::ranking::diversify::Diversity;
use marquee_core::ranking::fuse::Candidate;
use std::collections::BTreeSet;

/// A request whose leaves are searched, as far as its tree asked for it.
pub(crate) struct FusingRequest<'a> {
    pub(crate) searching: SearchingRequest<'a>,
    /// The list once it was fused, and the leaf whose popular items fill it up.
    short_list: Option<(Vec<Candidate>, usize)>,
}

/// A request that has its list; it is not diversified yet.
pub(crate) struct FusedRequest<'a> {
    pub(crate) searching: SearchingRequest<'a>,
    pub(crate) items: Vec<Candidate>,
}

/// What comes next for a request.
pub(crate) enum Progress<'a> {
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
    pub(crate) fn advance(mut self) -> Progress<'a> {
        if let Some((mut items, filler)) = self.short_list {
            let state = std::mem::replace(&mut self.searching.states[filler], LeafState::Absent);
            if let LeafState::Answered(popular) = state {
                fill_up(&mut items, popular, self.searching.looked_up.request.count);
            }
            return Progress::Fused(FusedRequest { searching: self.searching, items });
        }
        let SearchingRequest { looked_up, states, .. } = &mut self.searching;
        let scope = Scope {
            count: candidate_count(looked_up.diversity(), looked_up.request.count),
            only: looked_up.request.only.clone(),
        };
        match looked_up.tree.evaluate(states, &scope) {
            Step::Search(queries) => Progress::Search(self, queries),
            Step::Done(items) => self.fill_or_finish(items, scope),
        }
    }

    /// Asks for popular items where row-sums, which list only the columns of some row, listed too few.
    fn fill_or_finish(mut self, items: Vec<Candidate>, scope: Scope) -> Progress<'a> {
        let LookedUpRequest { request, leaves, .. } = &self.searching.looked_up;
        let summing = leaves.iter().position(is_personal_sum);
        let may_fill = items.len() < request.count && !matches!(request.subject, Subject::Item(_));
        let (true, Some(summing)) = (may_fill, summing) else {
            return Progress::Fused(FusedRequest { searching: self.searching, items });
        };
        let leaf = self.searching.add_popularity(summing);
        // Items that are listed already may be among the most popular; given items are all asked for anyway.
        let count = if scope.only.is_some() { scope.count } else { scope.count + items.len() };
        self.short_list = Some((items, leaf));
        let query = LeafQuery { leaf, scope: Scope { count, ..scope }, items: None };
        Progress::Search(self, vec![query])
    }
}

fn is_personal_sum(leaf: &LookedUpLeaf<'_>) -> bool {
    let is_sum = matches!(
        &leaf.plan,
        LeafPlan::Items(Source { by: By::Rows(..), .. }) | LeafPlan::Profile(_)
    );
    is_sum && leaf.recipe.is_personal()
}

impl LookedUpRequest<'_> {
    /// How the list is diversified, if it is: given items are ranked and not chosen from.
    pub(super) fn diversity(&self) -> Option<&Diversity> {
        self.diversity.as_ref().filter(|_| self.request.only.is_none())
    }
}

/// Appends popular items that are not listed yet, with scores below all others, up to `count` items.
pub(super) fn fill_up(items: &mut Vec<Candidate>, popular: Vec<Candidate>, count: usize) {
    let lowest = items.last().map_or(0.0, |last| last.score);
    let listed: BTreeSet<String> = items.iter().map(|item| item.item_id.clone()).collect();
    let missing = count.saturating_sub(items.len());
    let more = popular.into_iter().filter(|item| !listed.contains(&item.item_id)).take(missing);
    for (below, mut item) in (1_u32..).zip(more) {
        item.score = lowest - f64::from(below);
        items.push(item);
    }
}
