//! Telemetry, gates and evidence of `marquee.control.v1` ↔ core. See [`crate::convert_control`] for what
//! the modules share. What comes from routers is checked against every bound: one bad window must not
//! spoil what all others have measured.

use crate::control::v1 as pb;
use crate::convert_control::{ConvertError, Result, needed};
use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_NAME_BYTES};
use marquee_core::rollout::gate::{Bound, DEFAULT_MIN_SAMPLES, Gate, Metric, OnBreach, OnNoData};
use marquee_core::rollout::judge::{Evidence, GateEvidence, Stage, Verdict};
use marquee_core::rollout::sequential::ShareTest;
use marquee_core::rollout::sketch::{Distinct, MAX_BUCKET, MAX_REGISTER, REGISTERS, Scores};
use marquee_core::rollout::window::{
    ArmStats, GROUPS, GroupedSum, Latencies, MAX_ARMS, MAX_CODES, MAX_DIFF_ITEMS, MAX_DIFFS,
    MAX_LATENCIES, Measure, MirrorDiff, MirrorStats, Scope, Window,
};
use marquee_core::rollout::{Pace, Shadow};
use std::collections::BTreeMap;

/// Samples of one window beyond this are no count of requests but a fault: control adds windows up, and
/// sums must not overflow in a lifetime.
const MAX_COUNT: u64 = 1 << 40;

fn refused(field: &str, what: impl Into<String>) -> ConvertError {
    ConvertError::Value { field: field.into(), what: what.into() }
}

fn unknown(field: &str, value: i32) -> ConvertError {
    ConvertError::Enum { field: field.into(), value }
}

// ---- gates ------------------------------------------------------------------------------------

/// To the wire.
pub fn gate_to_pb(gate: &Gate) -> pb::Gate {
    let Gate {
        metric,
        bound,
        min_samples,
        on_breach,
        on_no_data,
        consecutive_breaches,
        false_alarm,
    } = *gate;
    use pb::gate::Bound as Pb;
    pb::Gate {
        metric: metric_to_pb(metric) as i32,
        bound: Some(match bound {
            Bound::MaxRatio(ratio) => Pb::MaxRatio(ratio),
            Bound::MinRatio(ratio) => Pb::MinRatio(ratio),
            Bound::Max(value) => Pb::Max(value),
            Bound::Min(value) => Pb::Min(value),
        }),
        min_samples: Some(min_samples),
        on_breach: match on_breach {
            OnBreach::RollBack => pb::OnBreach::RollBack,
            OnBreach::Pause => pb::OnBreach::Pause,
        } as i32,
        on_no_data: match on_no_data {
            OnNoData::Hold => pb::OnNoData::Hold,
            OnNoData::Ignore => pb::OnNoData::Ignore,
        } as i32,
        consecutive_breaches,
        false_alarm_probability: false_alarm,
    }
}

/// From the wire; what is left out has its default. Bounds are the state machine's to check.
pub fn gate_from_pb(gate: pb::Gate) -> Result<Gate> {
    let pb::Gate {
        metric,
        bound,
        min_samples,
        on_breach,
        on_no_data,
        consecutive_breaches,
        false_alarm_probability,
    } = gate;
    use pb::gate::Bound as Pb;
    Ok(Gate {
        metric: metric_from_pb(metric)?,
        bound: match needed(bound, "gates.bound")? {
            Pb::MaxRatio(ratio) => Bound::MaxRatio(ratio),
            Pb::MinRatio(ratio) => Bound::MinRatio(ratio),
            Pb::Max(value) => Bound::Max(value),
            Pb::Min(value) => Bound::Min(value),
        },
        min_samples: min_samples.unwrap_or(DEFAULT_MIN_SAMPLES),
        on_breach: match pb::OnBreach::try_from(on_breach) {
            Ok(pb::OnBreach::Unspecified | pb::OnBreach::RollBack) => OnBreach::RollBack,
            Ok(pb::OnBreach::Pause) => OnBreach::Pause,
            Err(_) => return Err(unknown("gates.on_breach", on_breach)),
        },
        on_no_data: match pb::OnNoData::try_from(on_no_data) {
            Ok(pb::OnNoData::Unspecified | pb::OnNoData::Hold) => OnNoData::Hold,
            Ok(pb::OnNoData::Ignore) => OnNoData::Ignore,
            Err(_) => return Err(unknown("gates.on_no_data", on_no_data)),
        },
        consecutive_breaches: consecutive_breaches.max(1),
        false_alarm: false_alarm_probability,
    })
}

/// To the wire.
pub fn metric_to_pb(metric: Metric) -> pb::Metric {
    match metric {
        Metric::ErrorRate => pb::Metric::ErrorRate,
        Metric::EmptyRate => pb::Metric::EmptyRate,
        Metric::PartialRate => pb::Metric::PartialRate,
        Metric::FallbackRate => pb::Metric::FallbackRate,
        Metric::LatencyP50 => pb::Metric::LatencyP50,
        Metric::LatencyP95 => pb::Metric::LatencyP95,
        Metric::LatencyP99 => pb::Metric::LatencyP99,
        Metric::LatencyMean => pb::Metric::LatencyMean,
        Metric::Sameness => pb::Metric::Sameness,
        Metric::Score => pb::Metric::Score,
        Metric::Overlap => pb::Metric::Overlap,
        Metric::RankBiasedOverlap => pb::Metric::RankBiasedOverlap,
        Metric::ClicksPerAnswer => pb::Metric::ClicksPerAnswer,
        Metric::PlaySecondsPerAnswer => pb::Metric::PlaySecondsPerAnswer,
        Metric::PurchasesPerAnswer => pb::Metric::PurchasesPerAnswer,
    }
}

/// From the wire.
pub fn metric_from_pb(value: i32) -> Result<Metric> {
    let metric = pb::Metric::try_from(value).map_err(|_| unknown("gates.metric", value))?;
    let found = Metric::ALL.into_iter().find(|&it| metric_to_pb(it) == metric);
    found.ok_or_else(|| unknown("gates.metric", value))
}

/// To the wire.
pub fn shadow_to_pb(shadow: Shadow) -> pb::Shadow {
    let Shadow { mirror_basis_points, hold_seconds, min_samples } = shadow;
    pb::Shadow { mirror_basis_points, hold_seconds, min_samples }
}

/// From the wire.
pub fn shadow_from_pb(shadow: pb::Shadow) -> Shadow {
    let pb::Shadow { mirror_basis_points, hold_seconds, min_samples } = shadow;
    Shadow { mirror_basis_points, hold_seconds, min_samples }
}

/// To the wire.
pub fn pace_to_pb(pace: Pace) -> pb::Pace {
    match pace {
        Pace::Fixed => pb::Pace::Fixed,
        Pace::Evidence => pb::Pace::Evidence,
    }
}

/// From the wire.
pub fn pace_from_pb(value: i32) -> Result<Pace> {
    match pb::Pace::try_from(value) {
        Ok(pb::Pace::Unspecified | pb::Pace::Fixed) => Ok(Pace::Fixed),
        Ok(pb::Pace::Evidence) => Ok(Pace::Evidence),
        Err(_) => Err(unknown("pace", value)),
    }
}

// ---- windows ----------------------------------------------------------------------------------

/// To the wire.
pub fn window_to_pb(window: &Window) -> pb::Window {
    let Window { arms, mirror, automated, dropped } = window;
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
        automated: *automated,
        dropped: *dropped,
    }
}

/// From the wire.
pub fn window_from_pb(window: pb::Window) -> Result<Window> {
    let pb::Window { arms, mirror, automated, dropped } = window;
    if arms.len() > MAX_ARMS {
        return Err(refused("window.arms", format!("{} given: at most {MAX_ARMS}", arms.len())));
    }
    let pb::MirrorStats { baseline, candidate, overlap, rank_biased_overlap, skipped, diffs } =
        mirror.unwrap_or_default();
    if diffs.len() > MAX_DIFFS {
        return Err(refused("mirror.diffs", format!("{} given: at most {MAX_DIFFS}", diffs.len())));
    }
    for count in [automated, dropped, skipped] {
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
        automated,
        dropped,
    })
}

/// From the wire: what at which share, and what was measured.
pub fn measured_from_pb(measured: pb::TelemetryWindow) -> Result<((Scope, u32), Window)> {
    let pb::TelemetryWindow { scope, weight_basis_points, window } = measured;
    let (field, name, scope) = match needed(scope, "scope")? {
        pb::telemetry_window::Scope::TrialId(id) => ("trial_id", id.len(), Scope::Trial(id)),
        pb::telemetry_window::Scope::Surface(name) => ("surface", name.len(), Scope::Surface(name)),
    };
    if !(1..=MAX_NAME_BYTES).contains(&name) {
        return Err(refused(field, format!("1 to {MAX_NAME_BYTES} bytes are allowed")));
    }
    if weight_basis_points > FULL_WEIGHT_BASIS_POINTS {
        let what = format!("{weight_basis_points} is more than {FULL_WEIGHT_BASIS_POINTS}");
        return Err(refused("weight_basis_points", what));
    }
    let window = window_from_pb(needed(window, "window")?)?;
    Ok(((scope, weight_basis_points), window))
}

/// To the wire.
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

fn check_count(field: &str, count: u64) -> Result<()> {
    match count {
        0..=MAX_COUNT => Ok(()),
        _ => Err(refused(field, format!("a count of {count} is beyond {MAX_COUNT}"))),
    }
}

fn arm_to_pb(arm: &ArmStats) -> pb::ArmStats {
    let ArmStats { errors, latencies, measures, scores, items } = arm;
    pb::ArmStats {
        errors: errors.iter().map(|(&code, &count)| (code, count)).collect(),
        latency_micros: latencies.0.keys().copied().collect(),
        latency_counts: latencies.0.values().copied().collect(),
        measures: measures
            .iter()
            .map(|(&measure, sums)| pb::MeasureSum {
                measure: measure_to_pb(measure) as i32,
                sums: Some(sums_to_pb(sums)),
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
        score_buckets,
        score_counts,
        item_registers,
    } = arm;
    if errors.len() > MAX_CODES || errors.keys().any(|&code| code as usize >= MAX_CODES) {
        return Err(refused("arms.errors", "there are gRPC codes 0 to 16"));
    }
    if latency_micros.len() != latency_counts.len() || latency_micros.len() > MAX_LATENCIES {
        let what = format!("as many counts as latencies, and at most {MAX_LATENCIES}, are allowed");
        return Err(refused("arms.latency_micros", what));
    }
    let is_bucket = |bucket: &i32| (-MAX_BUCKET..=MAX_BUCKET).contains(bucket);
    if score_buckets.len() != score_counts.len()
        || score_buckets.len() > 2 * MAX_BUCKET as usize + 1
        || !score_buckets.iter().all(is_bucket)
    {
        let what =
            format!("as many counts as buckets, from -{MAX_BUCKET} to {MAX_BUCKET}, are allowed");
        return Err(refused("arms.score_buckets", what));
    }
    let items = Distinct::of_registers(item_registers).ok_or_else(|| {
        let what = format!("{REGISTERS} bytes of at most {MAX_REGISTER}, or none, are allowed");
        refused("arms.item_registers", what)
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
    let mut known = BTreeMap::new();
    for pb::MeasureSum { measure, sums } in measures {
        let sums = sums_from_pb(sums.unwrap_or_default())?;
        if known.insert(measure_from_pb(measure)?, sums).is_some() {
            let key = measure.to_string();
            return Err(ConvertError::Twice { field: "arms.measures".into(), key });
        }
    }
    let errors = errors.into_iter().collect();
    Ok(ArmStats { errors, latencies, measures: known, scores, items })
}

fn sums_to_pb(sums: &GroupedSum) -> pb::GroupedSum {
    let GroupedSum { count, sum } = sums;
    // Most measures of most windows are all zeros: faults are rare, and so are rewards.
    let counts = if count.iter().all(|&count| count == 0) { Vec::new() } else { count.clone() };
    let sums = if sum.iter().all(|&sum| sum == 0.0) { Vec::new() } else { sum.clone() };
    pb::GroupedSum { counts, sums }
}

fn sums_from_pb(sums: pb::GroupedSum) -> Result<GroupedSum> {
    let pb::GroupedSum { counts, sums } = sums;
    let nothing = GroupedSum::default();
    let counts = if counts.is_empty() { nothing.count } else { counts };
    let sums = if sums.is_empty() { nothing.sum } else { sums };
    if counts.len() != GROUPS || sums.len() != GROUPS {
        return Err(refused("sums", format!("{GROUPS} counts and sums, or none, are allowed")));
    }
    if let Some(sum) = sums.iter().find(|sum| !sum.is_finite() || sum.abs() > MAX_COUNT as f64) {
        return Err(refused("sums", format!("{sum} is no sum of a window")));
    }
    for &count in &counts {
        check_count("sums", count)?;
    }
    Ok(GroupedSum { count: counts, sum: sums })
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
        return Err(refused("mirror.diffs", what));
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

/// To the wire.
pub fn measure_to_pb(measure: Measure) -> pb::Measure {
    match measure {
        Measure::Answered => pb::Measure::Answered,
        Measure::Empty => pb::Measure::Empty,
        Measure::Partial => pb::Measure::Partial,
        Measure::Fallback => pb::Measure::Fallback,
        Measure::LogLatency => pb::Measure::LogLatency,
        Measure::Sameness => pb::Measure::Sameness,
        Measure::Score => pb::Measure::Score,
        Measure::Clicks => pb::Measure::Clicks,
        Measure::PlaySeconds => pb::Measure::PlaySeconds,
        Measure::Purchases => pb::Measure::Purchases,
        Measure::Users => pb::Measure::Users,
    }
}

/// From the wire.
pub fn measure_from_pb(value: i32) -> Result<Measure> {
    let measure = pb::Measure::try_from(value).map_err(|_| unknown("measure", value))?;
    let found = Measure::ALL.into_iter().find(|&it| measure_to_pb(it) == measure);
    found.ok_or_else(|| unknown("measure", value))
}

// ---- evidence ---------------------------------------------------------------------------------

/// To the wire.
pub fn gate_evidence_to_pb(evidence: &GateEvidence) -> pb::GateEvidence {
    let GateEvidence {
        shares: ShareTest { above, below },
        verdict,
        baseline,
        candidate,
        allowed,
        effect,
        samples: [baseline_samples, candidate_samples],
        worse,
        needed,
        fine,
        breaches,
        accepted,
    } = evidence;
    pb::GateEvidence {
        verdict: match verdict {
            Verdict::Inconclusive => pb::Verdict::Inconclusive,
            Verdict::Holds => pb::Verdict::Holds,
            Verdict::Proven => pb::Verdict::Proven,
            Verdict::Breached => pb::Verdict::Breached,
        } as i32,
        baseline: *baseline,
        candidate: *candidate,
        allowed: *allowed,
        baseline_samples: *baseline_samples,
        candidate_samples: *candidate_samples,
        log_evidence: *worse,
        log_needed: *needed,
        log_evidence_for: *fine,
        breaches: *breaches,
        accepted: *accepted,
        log_ratios_above: above.clone(),
        log_ratios_below: below.clone(),
        effect_low: effect.map(|(low, _)| low),
        effect_high: effect.map(|(_, high)| high),
    }
}

/// From the wire.
pub fn gate_evidence_from_pb(evidence: pb::GateEvidence) -> Result<GateEvidence> {
    let pb::GateEvidence {
        verdict,
        baseline,
        candidate,
        allowed,
        baseline_samples,
        candidate_samples,
        log_evidence,
        log_needed,
        log_evidence_for,
        breaches,
        accepted,
        log_ratios_above,
        log_ratios_below,
        effect_low,
        effect_high,
    } = evidence;
    Ok(GateEvidence {
        shares: ShareTest { above: log_ratios_above, below: log_ratios_below },
        verdict: match pb::Verdict::try_from(verdict) {
            Ok(pb::Verdict::Inconclusive) => Verdict::Inconclusive,
            Ok(pb::Verdict::Holds) => Verdict::Holds,
            Ok(pb::Verdict::Proven) => Verdict::Proven,
            Ok(pb::Verdict::Breached) => Verdict::Breached,
            Ok(pb::Verdict::Unspecified) | Err(_) => {
                return Err(unknown("gates.verdict", verdict));
            }
        },
        baseline,
        candidate,
        allowed,
        effect: effect_low.zip(effect_high),
        samples: [baseline_samples, candidate_samples],
        worse: log_evidence,
        needed: log_needed,
        fine: log_evidence_for,
        breaches,
        accepted,
    })
}

/// To the wire.
pub fn evidence_to_pb(rollout_id: &str, evidence: &Evidence) -> pb::RolloutEvidence {
    let Evidence { windows, judged_at_ms, total, stage, gates, split } = evidence;
    let Stage { step, requests, mirrored, users } = stage;
    pb::RolloutEvidence {
        rollout_id: rollout_id.into(),
        windows: *windows,
        judged_at_ms: *judged_at_ms,
        total: Some(window_to_pb(total)),
        stage: Some(pb::StageEvidence {
            step: *step,
            requests: requests.clone(),
            mirrored: *mirrored,
            users: Some(sums_to_pb(users)),
        }),
        gates: gates.iter().map(gate_evidence_to_pb).collect(),
        split: Some(gate_evidence_to_pb(split)),
    }
}

/// From the wire, with the rollout's id.
pub fn evidence_from_pb(evidence: pb::RolloutEvidence) -> Result<(String, Evidence)> {
    let pb::RolloutEvidence { rollout_id, windows, judged_at_ms, total, stage, gates, split } =
        evidence;
    let pb::StageEvidence { step, requests, mirrored, users } = needed(stage, "evidence.stage")?;
    let evidence = Evidence {
        windows,
        judged_at_ms,
        total: window_from_pb(needed(total, "evidence.total")?)?,
        stage: Stage { step, requests, mirrored, users: sums_from_pb(users.unwrap_or_default())? },
        gates: gates.into_iter().map(gate_evidence_from_pb).collect::<Result<_>>()?,
        split: gate_evidence_from_pb(needed(split, "evidence.split")?)?,
    };
    Ok((rollout_id, evidence))
}
