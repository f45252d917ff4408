//! Answers, as messages to callers.

use crate::error::RouterError;
use crate::explanation::answer::{NamedLeaf, RankingAnswer};
use crate::explanation::explaining::{Attribution, ContributingNeighbours, LeftOutItems, Reasons};
use crate::search::explanation::LeftOutReason;
use marquee_core::bounds::MAX_MESSAGE_BYTES;
use marquee_core::id::ModelVersion;
use marquee_core::model::interpreter::FallbackReason;
use marquee_core::plan::{Route, Variant};
use marquee_core::ranking::fuse::{Candidate, Contribution};
use marquee_proto::convert::version::version_to_pb;
use marquee_proto::v1;
use prost::Message;

impl RankingAnswer {
    /// The answer to Recommend.
    pub(crate) fn into_recommendations(self) -> v1::RecommendResponse {
        let (served_by, coverage) = (self.served_by(), self.coverage());
        v1::RecommendResponse {
            recommendation_id: self.recommendation_id,
            items: items(self.items, &self.leaves, self.reasons),
            served_by: Some(served_by),
            coverage: Some(coverage),
            fallback_reason: fallback_reason(self.fallback).into(),
            left_out: self.left_out.into_iter().map(left_out_to_wire).collect(),
        }
    }

    /// The answer to SimilarItems.
    pub(crate) fn into_similar_items(self) -> v1::SimilarItemsResponse {
        let (served_by, coverage) = (self.served_by(), self.coverage());
        v1::SimilarItemsResponse {
            items: items(self.items, &self.leaves, self.reasons),
            served_by: Some(served_by),
            coverage: Some(coverage),
            recommendation_id: self.recommendation_id,
        }
    }

    /// The answer to SearchItems.
    pub(crate) fn into_found_items(self) -> v1::SearchItemsResponse {
        let (served_by, coverage) = (self.served_by(), self.coverage());
        v1::SearchItemsResponse {
            items: items(self.items, &self.leaves, self.reasons),
            served_by: Some(served_by),
            coverage: Some(coverage),
            reason: search_reason(self.has_unknown_words).into(),
            recommendation_id: self.recommendation_id,
        }
    }

    /// The answer to RankItems.
    pub(crate) fn into_ranked_items(self) -> v1::RankItemsResponse {
        let (served_by, coverage) = (self.served_by(), self.coverage());
        v1::RankItemsResponse {
            items: items(self.items, &self.leaves, self.reasons),
            unknown_item_ids: self.unknown_item_ids,
            served_by: Some(served_by),
            coverage: Some(coverage),
            fallback_reason: fallback_reason(self.fallback).into(),
            recommendation_id: self.recommendation_id,
        }
    }

    fn served_by(&self) -> v1::ServedBy {
        let Route {
            surface,
            ensemble,
            rollout_id,
            variant,
            root,
            experiment,
            trial: _,
            interleaving: _,
            is_forced,
            denied: _,
        } = &self.route;
        let mut versions = root.versions();
        let other = self.interleaved.as_ref().map(|made| &made.candidate);
        versions.extend(other.iter().flat_map(|candidate| candidate.root.versions()));
        v1::ServedBy {
            surface: surface.clone(),
            ensemble: ensemble.clone(),
            models: versions.iter().map(version_to_pb).collect(),
            rollout_id: rollout_id.clone().unwrap_or_default(),
            variant: match variant {
                Variant::None => v1::Variant::Unspecified,
                Variant::Baseline => v1::Variant::Baseline,
                Variant::Candidate => v1::Variant::Candidate,
                Variant::Interleaved => v1::Variant::Interleaved,
            }
            .into(),
            plan_epoch: self.epoch,
            experiment_id: experiment.as_ref().map(|(id, _)| id.clone()).unwrap_or_default(),
            arm: experiment.as_ref().map(|(_, arm)| arm.clone()).unwrap_or_default(),
            forced: *is_forced,
            interleaved_with: other.map(|it| it.ensemble.clone()).unwrap_or_default(),
        }
    }

    fn coverage(&self) -> v1::Coverage {
        v1::Coverage {
            shards_total: self.shards_total as u32,
            shards_answered: (self.shards_total - self.shards_missing.len()) as u32,
            shards_missing: self.shards_missing.clone(),
        }
    }
}

fn fallback_reason(fallback: Option<FallbackReason>) -> v1::FallbackReason {
    match fallback {
        None => v1::FallbackReason::Unspecified,
        Some(FallbackReason::UnknownUser) => v1::FallbackReason::UnknownUser,
        Some(FallbackReason::UserShardUnavailable) => v1::FallbackReason::UserShardUnavailable,
        Some(FallbackReason::NoHistory) => v1::FallbackReason::NoHistory,
        Some(FallbackReason::RecentItems) => v1::FallbackReason::RecentItems,
        Some(FallbackReason::Profile) => v1::FallbackReason::Profile,
    }
}

fn search_reason(has_unknown_words: bool) -> v1::SearchReason {
    if has_unknown_words { v1::SearchReason::UnknownWords } else { v1::SearchReason::Unspecified }
}

fn items(
    items: Vec<Candidate>,
    leaves: &[NamedLeaf],
    mut reasons: Reasons,
) -> Vec<v1::RecommendedItem> {
    let mut wire_items = Vec::with_capacity(items.len());
    for Candidate { item_id, title, score, contributions } in items {
        let mut explanations = Vec::with_capacity(contributions.len());
        for contribution in contributions {
            explanations.push(explanation(&item_id, contribution, leaves, &mut reasons));
        }
        wire_items.push(v1::RecommendedItem { item_id, score, title, explanations });
    }
    wire_items
}

/// What a leaf contributed to an item.
fn explanation(
    item_id: &str,
    Contribution { leaf, score, rank }: Contribution,
    leaves: &[NamedLeaf],
    reasons: &mut Reasons,
) -> v1::Explanation {
    let NamedLeaf { model, recipe, search } = &leaves[leaf];
    let key = (leaf, item_id.to_owned());
    let attributions = reasons.attributions.remove(&key).unwrap_or_default();
    v1::Explanation {
        model: Some(version_to_pb(model)),
        recipe: recipe.clone(),
        score,
        rank,
        search: search.clone(),
        attributions: attributions.into_iter().map(attribution_to_wire).collect(),
        neighbours: reasons.neighbours.remove(&key).map(neighbours_to_wire),
    }
}

fn attribution_to_wire(attribution: Attribution) -> v1::Attribution {
    let Attribution { item_id, title, share } = attribution;
    v1::Attribution { item_id, title, share }
}

fn neighbours_to_wire(neighbours: ContributingNeighbours) -> v1::Neighbours {
    let ContributingNeighbours { count, mean_similarity } = neighbours;
    v1::Neighbours { count, mean_similarity }
}

fn left_out_to_wire((version, left_out): (ModelVersion, LeftOutItems)) -> v1::LeftOut {
    let LeftOutItems { items, candidates, counts } = left_out;
    let mut wire_counts = Vec::with_capacity(counts.len());
    for (reason, items) in counts {
        wire_counts.push(v1::LeftOutCount { reason: left_out_reason_to_wire(reason), items });
    }
    let model = Some(version_to_pb(&version));
    v1::LeftOut { model, items, candidates, counts: wire_counts }
}

fn left_out_reason_to_wire(reason: LeftOutReason) -> i32 {
    match reason {
        LeftOutReason::NotIncluded => v1::LeftOutReason::NotIncluded.into(),
        LeftOutReason::Excluded => v1::LeftOutReason::Excluded.into(),
        LeftOutReason::WithoutTag => v1::LeftOutReason::WithoutTag.into(),
        LeftOutReason::WithTag => v1::LeftOutReason::WithTag.into(),
        LeftOutReason::OutOfRange => v1::LeftOutReason::OutOfRange.into(),
        LeftOutReason::Denied => v1::LeftOutReason::Denied.into(),
        LeftOutReason::Recent => v1::LeftOutReason::Recent.into(),
        LeftOutReason::Seen => v1::LeftOutReason::Seen.into(),
        LeftOutReason::Later(number) => number,
    }
}

/// Refuses an answer that callers could not receive: gRPC's own limit would break it off without a
/// word on what to do.
pub(crate) fn check_size<M: Message>(answer: M) -> Result<M, RouterError> {
    let bytes = answer.encoded_len();
    if bytes > MAX_MESSAGE_BYTES {
        return Err(RouterError::TooLarge { bytes, max: MAX_MESSAGE_BYTES });
    }
    Ok(answer)
}
