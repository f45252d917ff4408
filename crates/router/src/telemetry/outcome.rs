//! What an answer was like, as telemetry counts and compares it.

use super::observation::{AnswerOutcome, List};
use crate::admission::request::RankingRequest;
use crate::explanation::answer::RankingAnswer;

/// An answer in numbers.
pub(crate) fn outcome_of(request: &RankingRequest, answer: &RankingAnswer) -> AnswerOutcome {
    let score = answer.items.first().map(|item| item.score);
    let ids = answer.items.iter().map(|item| item.item_id.as_str());
    AnswerOutcome::Answered {
        is_empty: answer.items.is_empty(),
        is_partial: !answer.shards_missing.is_empty(),
        is_fallback: answer.fallback.is_some(),
        list: request.is_recommendation().then(|| List::of(&answer.recommendation_id, ids, score)),
    }
}

/// The ids of an answer's first items, for readers of the comparison.
pub(crate) fn first_items(answer: &RankingAnswer) -> Vec<String> {
    let first = answer.items.iter().take(marquee_core::rollout::window::MAX_DIFF_ITEMS);
    first.map(|item| item.item_id.clone()).collect()
}
