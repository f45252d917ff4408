//! What was measured of segments ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result};
use super::measured_sums::{measures_from_pb, measures_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::bounds::{MAX_ATTRIBUTE_NAME_BYTES, MAX_ATTRIBUTE_VALUE_BYTES, MAX_SEGMENTS};
use marquee_core::rollout::judge::SegmentEvidence;
use marquee_core::rollout::window::{MAX_ARMS, SEGMENT_MEASURES, SegmentStats};
use std::collections::BTreeMap;

/// Bytes of a segment's name: an attribute's name and value, and what stands between.
const MAX_SEGMENT_NAME_BYTES: usize = MAX_ATTRIBUTE_NAME_BYTES + 1 + MAX_ATTRIBUTE_VALUE_BYTES;

/// The wire form of what was measured of each segment.
pub(super) fn segments_to_pb(segments: &BTreeMap<String, SegmentStats>) -> Vec<pb::SegmentStats> {
    let stats = |(name, SegmentStats { arms }): (&String, &SegmentStats)| pb::SegmentStats {
        name: name.clone(),
        arms: arms.iter().map(|arm| pb::SegmentArm { measures: measures_to_pb(arm) }).collect(),
    };
    segments.iter().map(stats).collect()
}

/// Reads what was measured of each segment from its wire form.
pub(super) fn segments_from_pb(
    segments: Vec<pb::SegmentStats>,
) -> Result<BTreeMap<String, SegmentStats>> {
    if segments.len() > MAX_SEGMENTS {
        let what = format!("{} given: at most {MAX_SEGMENTS}", segments.len());
        return Err(ConvertError::invalid("segments", what));
    }
    let mut known = BTreeMap::new();
    for pb::SegmentStats { name, arms } in segments {
        if !(1..=MAX_SEGMENT_NAME_BYTES).contains(&name.len()) || arms.len() > MAX_ARMS {
            let what = format!(
                "names of 1 to {MAX_SEGMENT_NAME_BYTES} bytes and at most {MAX_ARMS} arms are allowed"
            );
            return Err(ConvertError::invalid("segments", what));
        }
        let mut stats = SegmentStats::default();
        for pb::SegmentArm { measures } in arms {
            let measured = measures_from_pb(measures)?;
            if let Some(other) = measured.keys().find(|it| !SEGMENT_MEASURES.contains(it)) {
                let what = format!("{other:?} is not measured of segments");
                return Err(ConvertError::invalid("segments", what));
            }
            stats.arms.push(measured);
        }
        if known.insert(name.clone(), stats).is_some() {
            return Err(ConvertError::DuplicateKey { field: "segments".into(), key: name });
        }
    }
    Ok(known)
}

/// The wire form of the evidence of segments.
pub(super) fn segment_evidence_to_pb(evidence: &SegmentEvidence) -> pb::SegmentEvidence {
    let SegmentEvidence { weight_basis_points, segments } = evidence;
    pb::SegmentEvidence {
        weight_basis_points: *weight_basis_points,
        segments: segments_to_pb(segments),
    }
}

/// Reads the evidence of segments from its wire form.
pub(super) fn segment_evidence_from_pb(evidence: pb::SegmentEvidence) -> Result<SegmentEvidence> {
    let pb::SegmentEvidence { weight_basis_points, segments } = evidence;
    Ok(SegmentEvidence { weight_basis_points, segments: segments_from_pb(segments)? })
}
