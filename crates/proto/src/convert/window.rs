//! Windows of telemetry ↔ `marquee.control.v1`.
//!
//! What comes from routers is checked against every bound: one bad window must not spoil what all others
//! have measured.

use super::error::{ConvertError, Result, required};
use super::measured_sums::{
    check_count, measure_from_pb, measure_to_pb, measures_from_pb, measures_to_pb, sums_from_pb,
    sums_to_pb,
};
use super::segment::{segments_from_pb, segments_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_NAME_BYTES};
use marquee_core::rollout::sketch::{Distinct, MAX_BUCKET, MAX_REGISTER, REGISTERS, Scores};
use marquee_core::rollout::window::{
    ArmStats, InterleavedStats, Latencies, MAX_ARMS, MAX_CODES, MAX_DIFF_ITEMS, MAX_DIFFS,
    MAX_LATENCIES, Measure, MirrorDiff, MirrorStats, Scope, USER_CELLS, UserCells, Window,
};
use std::collections::BTreeMap;

/// The wire form of a window.
pub fn window_to_pb(window: &Window) -> pb::Window {
    let Window { arms, mirror, interleaved, segments, automated, capped, late, dropped } = window;
    let InterleavedStats { answers, clicks } = interleaved;
    let MirrorStats { arms: [baseline, candidate], overlap, rank_biased_overlap, skipped, diffs } =
        mirror;
    pb::Window {
        arms: arms.iter().map(arm_to_pb).collect(),
        mirror: Some(pb::MirrorStats {
            baseline: Some(arm_to_pb(baseline)),
            candidate: Some(arm_to_pb(candidate)),
            overlap: Some(sums_to_pb(overlap)),
            rank_biased_overlap: Some(sums_to_pb(rank_biased_overlap)),
            skipped: *skipped,
            diffs: diffs.iter().map(diff_to_pb).collect(),
        }),
        // Most windows have no such answers.
        interleaved: (*interleaved != InterleavedStats::default())
            .then(|| pb::InterleavedStats { answers: *answers, clicks: Some(sums_to_pb(clicks)) }),
        segments: segments_to_pb(segments),
        automated: *automated,
        capped: *capped,
        late: *late,
        dropped: *dropped,
    }
}

/// Reads a window from its wire form.
pub fn window_from_pb(window: pb::Window) -> Result<Window> {
    let pb::Window { arms, mirror, interleaved, segments, automated, capped, late, dropped } =
        window;
    if arms.len() > MAX_ARMS {
        return Err(ConvertError::invalid(
            "window.arms",
            format!("{} given: at most {MAX_ARMS}", arms.len()),
        ));
    }
    let pb::MirrorStats { baseline, candidate, overlap, rank_biased_overlap, skipped, diffs } =
        mirror.unwrap_or_default();
    let pb::InterleavedStats { answers, clicks } = interleaved.unwrap_or_default();
    if diffs.len() > MAX_DIFFS {
        return Err(ConvertError::invalid(
            "mirror.diffs",
            format!("{} given: at most {MAX_DIFFS}", diffs.len()),
        ));
    }
    for count in [automated, capped, late, dropped, skipped, answers] {
        check_count("window", count)?;
    }
    Ok(Window {
        arms: arms.into_iter().map(arm_from_pb).collect::<Result<_>>()?,
        mirror: MirrorStats {
            arms: [
                arm_from_pb(baseline.unwrap_or_default())?,
                arm_from_pb(candidate.unwrap_or_default())?,
            ],
            overlap: sums_from_pb(overlap.unwrap_or_default())?,
            rank_biased_overlap: sums_from_pb(rank_biased_overlap.unwrap_or_default())?,
            skipped,
            diffs: diffs.into_iter().map(diff_from_pb).collect::<Result<_>>()?,
        },
        interleaved: InterleavedStats {
            answers,
            clicks: sums_from_pb(clicks.unwrap_or_default())?,
        },
        segments: segments_from_pb(segments)?,
        automated,
        capped,
        late,
        dropped,
    })
}

/// Reads a window with its scope and share from its wire form: what at which share, and what was measured.
pub fn measured_from_pb(measured: pb::TelemetryWindow) -> Result<((Scope, u32), Window)> {
    let pb::TelemetryWindow { scope, weight_basis_points, window } = measured;
    let (field, name, scope) = match required(scope, "scope")? {
        pb::telemetry_window::Scope::TrialId(id) => ("trial_id", id.len(), Scope::Trial(id)),
        pb::telemetry_window::Scope::Surface(name) => ("surface", name.len(), Scope::Surface(name)),
    };
    if !(1..=MAX_NAME_BYTES).contains(&name) {
        return Err(ConvertError::invalid(
            field,
            format!("1 to {MAX_NAME_BYTES} bytes are allowed"),
        ));
    }
    if weight_basis_points > FULL_WEIGHT_BASIS_POINTS {
        let what = format!("{weight_basis_points} is more than {FULL_WEIGHT_BASIS_POINTS}");
        return Err(ConvertError::invalid("weight_basis_points", what));
    }
    let window = window_from_pb(required(window, "window")?)?;
    Ok(((scope, weight_basis_points), window))
}

/// The wire form of a window with its scope and share.
pub fn measured_to_pb(
    scope: &Scope,
    weight_basis_points: u32,
    window: &Window,
) -> pb::TelemetryWindow {
    let scope = Some(match scope {
        Scope::Trial(id) => pb::telemetry_window::Scope::TrialId(id.clone()),
        Scope::Surface(name) => pb::telemetry_window::Scope::Surface(name.clone()),
    });
    pb::TelemetryWindow { scope, weight_basis_points, window: Some(window_to_pb(window)) }
}

fn arm_to_pb(arm: &ArmStats) -> pb::ArmStats {
    let ArmStats { errors, latencies, measures, users_with, scores, items } = arm;
    pb::ArmStats {
        errors: errors.iter().map(|(&code, &count)| (code, count)).collect(),
        latency_micros: latencies.0.keys().copied().collect(),
        latency_counts: latencies.0.values().copied().collect(),
        measures: measures_to_pb(measures),
        users_with: users_with
            .iter()
            .map(|(&fault, cells)| pb::UsersWith {
                fault: measure_to_pb(fault) as i32,
                cells: cells.iter().map(u32::from).collect(),
            })
            .collect(),
        score_buckets: scores.buckets().map(|(bucket, _)| bucket).collect(),
        score_counts: scores.buckets().map(|(_, count)| count).collect(),
        item_registers: items.registers().to_vec(),
    }
}

fn arm_from_pb(arm: pb::ArmStats) -> Result<ArmStats> {
    let pb::ArmStats {
        errors,
        latency_micros,
        latency_counts,
        measures,
        users_with,
        score_buckets,
        score_counts,
        item_registers,
    } = arm;
    if errors.len() > MAX_CODES || errors.keys().any(|&code| code as usize >= MAX_CODES) {
        return Err(ConvertError::invalid("arms.errors", "there are gRPC codes 0 to 16"));
    }
    if latency_micros.len() != latency_counts.len() || latency_micros.len() > MAX_LATENCIES {
        let what = format!("as many counts as latencies, and at most {MAX_LATENCIES}, are allowed");
        return Err(ConvertError::invalid("arms.latency_micros", what));
    }
    let is_bucket = |bucket: &i32| (-MAX_BUCKET..=MAX_BUCKET).contains(bucket);
    if score_buckets.len() != score_counts.len()
        || score_buckets.len() > 2 * MAX_BUCKET as usize + 1
        || !score_buckets.iter().all(is_bucket)
    {
        let what =
            format!("as many counts as buckets, from -{MAX_BUCKET} to {MAX_BUCKET}, are allowed");
        return Err(ConvertError::invalid("arms.score_buckets", what));
    }
    let items = Distinct::of_registers(item_registers).ok_or_else(|| {
        let what = format!("{REGISTERS} bytes of at most {MAX_REGISTER}, or none, are allowed");
        ConvertError::invalid("arms.item_registers", what)
    })?;
    for &count in errors.values().chain(&latency_counts).chain(&score_counts) {
        check_count("arms", count)?;
    }
    let mut latencies = Latencies::default();
    for (micros, count) in latency_micros.into_iter().zip(latency_counts) {
        latencies.add(micros, count);
    }
    let mut scores = Scores::default();
    for (bucket, count) in score_buckets.into_iter().zip(score_counts) {
        scores.add_to(bucket, count);
    }
    let known = measures_from_pb(measures)?;
    let mut faults = BTreeMap::new();
    for pb::UsersWith { fault, cells } in users_with {
        let measure = measure_from_pb(fault)?;
        if !Measure::FAULTS.contains(&measure) {
            return Err(ConvertError::unknown("arms.users_with.fault", fault));
        }
        if faults.insert(measure, cells_from_pb(&cells)?).is_some() {
            let key = fault.to_string();
            return Err(ConvertError::DuplicateKey { field: "arms.users_with".into(), key });
        }
    }
    let errors = errors.into_iter().collect();
    Ok(ArmStats { errors, latencies, measures: known, users_with: faults, scores, items })
}

/// Reads a set of cells of users from its wire form.
pub(crate) fn cells_from_pb(cells: &[u32]) -> Result<UserCells> {
    let mut known = UserCells::default();
    for &cell in cells {
        if !u16::try_from(cell).is_ok_and(|cell| known.add(cell)) {
            let what = format!("{cell} is not below {USER_CELLS}");
            return Err(ConvertError::invalid("cells", what));
        }
    }
    Ok(known)
}

fn diff_to_pb(diff: &MirrorDiff) -> pb::MirrorDiff {
    let MirrorDiff { recommendation_id, at_ms, served, overlap, baseline, candidate } = diff;
    pb::MirrorDiff {
        recommendation_id: recommendation_id.clone(),
        at_ms: *at_ms,
        served: *served as u32,
        overlap: *overlap,
        baseline_item_ids: baseline.clone(),
        candidate_item_ids: candidate.clone(),
    }
}

fn diff_from_pb(diff: pb::MirrorDiff) -> Result<MirrorDiff> {
    let pb::MirrorDiff {
        recommendation_id,
        at_ms,
        served,
        overlap,
        baseline_item_ids,
        candidate_item_ids,
    } = diff;
    let longest = baseline_item_ids.len().max(candidate_item_ids.len());
    if longest > MAX_DIFF_ITEMS || served > 1 {
        let what = format!("at most {MAX_DIFF_ITEMS} items of two arms are allowed");
        return Err(ConvertError::invalid("mirror.diffs", what));
    }
    Ok(MirrorDiff {
        recommendation_id,
        at_ms,
        served: served as usize,
        overlap,
        baseline: baseline_item_ids,
        candidate: candidate_item_ids,
    })
}
