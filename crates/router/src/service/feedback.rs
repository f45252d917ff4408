//! Recorded events and exposures, from and to messages of callers.

use crate::error::RouterError;
use crate::events::recorder::{EventProblem, MAX_EXPOSED, RecordedCounts, ShownItems};
use marquee_core::plan::Variant;
use marquee_core::ranking::randomise::SlotDraw;
use marquee_events::Event;
use marquee_events::rules::Reason;
use marquee_proto::convert::events::streamed;
use marquee_proto::v1;
use tonic::Status;

/// An answer to a caller, as far as exposures need it.
pub(crate) struct WireAnswer<'a> {
    pub(crate) recommendation_id: &'a str,
    items: &'a [v1::RecommendedItem],
    served_by: Option<&'a v1::ServedBy>,
    fallback_reason: i32,
    draw: SlotDraw,
}

impl<'a> From<&'a v1::RecommendResponse> for WireAnswer<'a> {
    fn from(response: &'a v1::RecommendResponse) -> Self {
        let v1::RecommendResponse {
            recommendation_id,
            items,
            served_by,
            coverage: _,
            fallback_reason,
            left_out: _,
        } = response;
        let (served_by, fallback_reason) = (served_by.as_ref(), *fallback_reason);
        let draw = SlotDraw::default();
        Self { recommendation_id, items, served_by, fallback_reason, draw }
    }
}

impl<'a> From<&'a v1::SimilarItemsResponse> for WireAnswer<'a> {
    fn from(response: &'a v1::SimilarItemsResponse) -> Self {
        let v1::SimilarItemsResponse { recommendation_id, items, served_by, coverage: _ } =
            response;
        let served_by = served_by.as_ref();
        let draw = SlotDraw::default();
        Self { recommendation_id, items, served_by, fallback_reason: 0, draw }
    }
}

impl<'a> From<&'a v1::SearchItemsResponse> for WireAnswer<'a> {
    fn from(response: &'a v1::SearchItemsResponse) -> Self {
        let v1::SearchItemsResponse { recommendation_id, items, served_by, coverage: _, reason: _ } =
            response;
        let served_by = served_by.as_ref();
        let draw = SlotDraw::default();
        Self { recommendation_id, items, served_by, fallback_reason: 0, draw }
    }
}

impl<'a> From<&'a v1::RankItemsResponse> for WireAnswer<'a> {
    fn from(response: &'a v1::RankItemsResponse) -> Self {
        let v1::RankItemsResponse {
            recommendation_id,
            items,
            unknown_item_ids: _,
            served_by,
            coverage: _,
            fallback_reason,
        } = response;
        let (served_by, fallback_reason) = (served_by.as_ref(), *fallback_reason);
        let draw = SlotDraw::default();
        Self { recommendation_id, items, served_by, fallback_reason, draw }
    }
}

impl<'a> WireAnswer<'a> {
    /// The answer, its slots filled like this.
    pub(crate) fn filled_by(self, draw: SlotDraw) -> Self {
        Self { draw, ..self }
    }

    /// What the answer showed; none if it names no ensemble, and for one of a variant that was asked for, which says
    /// nothing of users.
    pub(crate) fn shown(&self) -> Option<ShownItems<'a>> {
        let v1::ServedBy {
            surface,
            ensemble,
            models,
            rollout_id,
            variant: _,
            plan_epoch,
            experiment_id,
            arm: _,
            forced,
            interleaved_with: _,
        } = self.served_by?;
        if *forced {
            return None;
        }
        let variant = match self.served_by?.variant() {
            v1::Variant::Unspecified => Variant::None,
            v1::Variant::Baseline => Variant::Baseline,
            v1::Variant::Candidate => Variant::Candidate,
            v1::Variant::Interleaved => Variant::Interleaved,
        };
        let listed = self.items.iter().take(MAX_EXPOSED);
        Some(ShownItems {
            surface,
            ensemble,
            // A surface has one or the other; which arm it was, the ensemble says.
            trial_id: if experiment_id.is_empty() { rollout_id } else { experiment_id },
            variant,
            models: models.iter().map(|it| (it.model.as_str(), it.version)).collect(),
            plan_epoch: *plan_epoch,
            fallback_reason: u8::try_from(self.fallback_reason).unwrap_or(u8::MAX),
            item_ids: listed.map(|item| item.item_id.as_str()).collect(),
            draw: self.draw,
        })
    }
}

impl RecordedCounts {
    /// The answer to RecordEvents.
    pub(crate) fn into_recorded(self) -> v1::RecordEventsResponse {
        let Self { accepted, duplicates, quarantined: _, refused: _, problems, events: _ } = self;
        v1::RecordEventsResponse {
            accepted: accepted as u32,
            duplicates: duplicates as u32,
            problems: problems.into_iter().map(problem_to_wire).collect(),
        }
    }

    /// The answer to StreamEvents.
    pub(crate) fn into_streamed(self) -> v1::StreamEventsResponse {
        let Self { accepted, duplicates, quarantined, refused, problems, events: _ } = self;
        let problems = problems.into_iter().map(problem_to_wire).collect();
        v1::StreamEventsResponse { accepted, duplicates, quarantined, refused, problems }
    }
}

/// The events of one message of a stream.
pub(crate) fn streamed_events(
    message: Result<v1::StreamEventsRequest, Status>,
) -> Result<Vec<Event>, Status> {
    Ok(streamed(message?).map_err(RouterError::from)?)
}

fn problem_to_wire(problem: EventProblem) -> v1::EventProblem {
    let EventProblem { index, is_quarantined: quarantined, reason, message } = problem;
    v1::EventProblem { index, quarantined, reason: reason_to_wire(reason).into(), message }
}

fn reason_to_wire(reason: Reason) -> v1::EventProblemReason {
    match reason {
        Reason::MissingField => v1::EventProblemReason::MissingField,
        Reason::OversizedField => v1::EventProblemReason::OversizedField,
        Reason::UnknownType => v1::EventProblemReason::UnknownType,
        Reason::NotFinite => v1::EventProblemReason::NotFinite,
        Reason::Late => v1::EventProblemReason::Late,
        Reason::FutureDated => v1::EventProblemReason::FutureDated,
        Reason::ImplausibleValue => v1::EventProblemReason::ImplausibleValue,
        Reason::FalseRecommendationId => v1::EventProblemReason::FalseRecommendationId,
        Reason::ForgottenUser => v1::EventProblemReason::ForgottenUser,
        Reason::OuterSpace => v1::EventProblemReason::OuterSpace,
    }
}
