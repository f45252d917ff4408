//! What was measured of a rollout or an experiment, and what was concluded, ↔ `marquee.control.v1`.

use super::comparison::{gate_comparison_from_pb, gate_comparison_to_pb};
use super::error::{Result, required};
use super::external::{external_evidence_from_pb, external_evidence_to_pb};
use super::gate::metric_to_pb;
use super::gate_evidence::{gate_evidence_from_pb, gate_evidence_to_pb};
use super::measured_sums::{sums_from_pb, sums_to_pb};
use super::record::{
    point_from_pb, point_to_pb, recorded_from_pb, recorded_to_pb, step_evidence_from_pb,
    step_evidence_to_pb,
};
use super::segment::{segment_evidence_from_pb, segment_evidence_to_pb};
use super::window::{window_from_pb, window_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::rollout::judge::{Evidence, GateEvidence, Prediction, Stage};

/// The wire form of what a gate will find.
pub fn prediction_to_pb(prediction: &Prediction) -> pb::Prediction {
    let Prediction { metric, answers, seconds } = *prediction;
    pb::Prediction { metric: metric_to_pb(metric) as i32, answers, seconds }
}

/// The wire form of the evidence of a rollout or an experiment.
pub fn evidence_to_pb(rollout_id: &str, evidence: &Evidence) -> pb::RolloutEvidence {
    let Evidence {
        windows,
        judged_at_ms,
        total,
        comparisons,
        stage,
        gates,
        split,
        holdout,
        external,
        split_of_requests,
        steps,
        points,
        recorded,
        segments,
    } = evidence;
    let Stage { step, requests, mirrored, interleaved, users, requests_by_group } = stage;
    pb::RolloutEvidence {
        rollout_id: rollout_id.into(),
        windows: *windows,
        judged_at_ms: *judged_at_ms,
        total: Some(window_to_pb(total)),
        stage: Some(pb::StageEvidence {
            step: *step,
            requests: requests.clone(),
            mirrored: *mirrored,
            interleaved: *interleaved,
            users: Some(sums_to_pb(users)),
            requests_by_group: Some(sums_to_pb(requests_by_group)),
        }),
        gates: gates.iter().map(gate_evidence_to_pb).collect(),
        split: Some(gate_evidence_to_pb(split)),
        comparisons: comparisons.iter().map(gate_comparison_to_pb).collect(),
        holdout: Some(window_to_pb(holdout)),
        external: external.iter().map(external_evidence_to_pb).collect(),
        split_of_requests: Some(gate_evidence_to_pb(split_of_requests)),
        steps: steps.iter().map(step_evidence_to_pb).collect(),
        points: points.iter().map(point_to_pb).collect(),
        recorded: recorded.iter().map(recorded_to_pb).collect(),
        segments: Some(segment_evidence_to_pb(segments)),
    }
}

/// Reads the evidence of a rollout or an experiment from its wire form, with the rollout's id.
pub fn evidence_from_pb(evidence: pb::RolloutEvidence) -> Result<(String, Evidence)> {
    let pb::RolloutEvidence {
        rollout_id,
        windows,
        judged_at_ms,
        total,
        stage,
        gates,
        split,
        comparisons,
        holdout,
        external,
        split_of_requests,
        steps,
        points,
        recorded,
        segments,
    } = evidence;
    let pb::StageEvidence { step, requests, mirrored, interleaved, users, requests_by_group } =
        required(stage, "evidence.stage")?;
    let evidence = Evidence {
        windows,
        judged_at_ms,
        total: window_from_pb(required(total, "evidence.total")?)?,
        comparisons: comparisons.into_iter().map(gate_comparison_from_pb).collect::<Result<_>>()?,
        stage: Stage {
            step,
            requests,
            mirrored,
            interleaved,
            users: sums_from_pb(users.unwrap_or_default())?,
            requests_by_group: sums_from_pb(requests_by_group.unwrap_or_default())?,
        },
        gates: gates.into_iter().map(gate_evidence_from_pb).collect::<Result<_>>()?,
        split: gate_evidence_from_pb(required(split, "evidence.split")?)?,
        holdout: window_from_pb(required(holdout, "evidence.holdout")?)?,
        external: external.into_iter().map(external_evidence_from_pb).collect::<Result<_>>()?,
        // Absent where an older release wrote it.
        split_of_requests: match split_of_requests {
            Some(split) => gate_evidence_from_pb(split)?,
            None => GateEvidence::default(),
        },
        steps: steps.into_iter().map(step_evidence_from_pb).collect::<Result<_>>()?,
        points: points.into_iter().map(point_from_pb).collect::<Result<_>>()?,
        recorded: recorded.into_iter().map(recorded_from_pb).collect::<Result<_>>()?,
        segments: segment_evidence_from_pb(segments.unwrap_or_default())?,
    };
    Ok((rollout_id, evidence))
}
