//! Slots of answers that are drawn at random, on the surfaces that are set up so.
//!
//! Every recommendation of such a surface is made with some candidates beyond its list, whether or not a slot is
//! drawn: so the list does not depend on the draw, and the logged propensities are exact.

use crate::admission::request::RankingRequest;
use crate::explanation::answer::RankingAnswer;
use marquee_core::bounds::MAX_COUNT;
use marquee_core::ranking::randomise::{MAX_CANDIDATES_BEYOND, draw_slot};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The share of recommendations that get a drawn slot, by surface.
#[derive(Clone, Debug, Default)]
pub(crate) struct DrawnSlots {
    basis_points: BTreeMap<String, u32>,
}

impl DrawnSlots {
    /// Draws on these surfaces, in so many of 10,000 answers.
    pub(crate) fn new(basis_points: BTreeMap<String, u32>) -> Self {
        Self { basis_points }
    }

    /// The share of answers to requests like this one that get a drawn slot, in 1/10,000. Answers that explain
    /// themselves, or that are of a variant that was asked for, are for users who want to know what a model does.
    fn share_of(&self, request: &RankingRequest) -> u32 {
        if self.basis_points.is_empty()
            || !request.is_recommendation()
            || request.explain
            || request.forced_variant.is_some()
        {
            return 0;
        }
        self.basis_points.get(&request.surface).copied().unwrap_or(0)
    }

    /// The requests, with candidates beyond the list where a slot may be drawn.
    pub(crate) fn deepen<'a>(&self, requests: &'a [RankingRequest]) -> Cow<'a, [RankingRequest]> {
        if requests.iter().all(|request| self.share_of(request) == 0) {
            return Cow::Borrowed(requests);
        }
        let mut deepened = requests.to_vec();
        for request in deepened.iter_mut().filter(|request| self.share_of(request) > 0) {
            let most = (MAX_COUNT as usize).max(request.count);
            request.count = (request.count + MAX_CANDIDATES_BEYOND).min(most);
        }
        Cow::Owned(deepened)
    }

    /// Cuts the answer to a deepened request to what was asked for, and draws a slot or not. `below(n)` gives a
    /// random number in `0..n`.
    pub(crate) fn draw(
        &self,
        request: &RankingRequest,
        answer: &mut RankingAnswer,
        below: impl FnMut(u32) -> u32,
    ) {
        let share = self.share_of(request);
        if share > 0 {
            answer.draw = draw_slot(&mut answer.items, request.count, share, below);
        }
    }
}
