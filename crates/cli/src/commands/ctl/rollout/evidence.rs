//! What the gates of a rollout have seen, and what both sides answered, for people.

use crate::output;
use marquee_core::rollout::gate::Gate;
use marquee_core::rollout::window::{ArmStats, Window};
use marquee_proto::control::v1::{GateEvidence, MirrorStats, Rollout, RolloutEvidence, Verdict};
use marquee_proto::convert_telemetry::{gate_from_pb, window_from_pb};
use std::f64::consts::LN_10;

/// A table of the gates, and how the traffic was split.
pub(super) fn table(rollout: &Rollout, evidence: &RolloutEvidence) -> String {
    let mut table = output::table(&[
        "GATE",
        "WANTS",
        "BASELINE",
        "CANDIDATE",
        "EFFECT, 95 %",
        "SAMPLES",
        "EVIDENCE",
        "VERDICT",
    ]);
    for (gate, found) in rollout.gates.iter().zip(&evidence.gates) {
        let Ok(Gate { metric, bound, .. }) = gate_from_pb(*gate) else { continue };
        table.add_row([
            metric.name().to_owned(),
            bound.to_string(),
            number(found.baseline),
            number(found.candidate),
            effect(found),
            output::thousands(found.candidate_samples),
            strength(found),
            verdict(found),
        ]);
    }
    let mut lines = vec![
        format!(
            "{}; evidence is a power of ten, a breach from the second number on",
            windows(evidence)
        ),
        output::lines_of(&table),
    ];
    if let Some(split) = evidence.split.as_ref().filter(|split| split.baseline_samples > 0) {
        lines.push(format!(
            "split: {} of the users of this step have the candidate, {} wanted: {}",
            percent(split.candidate),
            percent(split.allowed),
            verdict(split)
        ));
    }
    let total = window_from_pb(evidence.total.clone().unwrap_or_default()).unwrap_or_default();
    lines.extend(shown(&total));
    lines.extend(scores(&total));
    if total.automated > 0 {
        lines.push(format!(
            "left out as automated traffic: {} requests",
            output::thousands(total.automated)
        ));
    }
    if total.dropped > 0 {
        lines.push(format!(
            "not measured, routers being too busy: {} requests",
            output::thousands(total.dropped)
        ));
    }
    lines.join("\n")
}

/// How much of the catalogue both sides show: comparable on the requests that both answered.
fn shown(total: &Window) -> Option<String> {
    let [baseline, candidate] = &total.mirror.arms;
    let items = |arm: &ArmStats| output::thousands(arm.items.estimate().round() as u64);
    (baseline.scores.total() > 0).then(|| {
        format!(
            "different items among the first ten, on the same {}: {} of the baseline, {} of the candidate",
            output::count(total.mirror.overlap.total(), "mirrored request"),
            items(baseline),
            items(candidate)
        )
    })
}

/// How the best items' scores are distributed, where both sides have served.
fn scores(total: &Window) -> Option<String> {
    let [baseline, candidate] = &total.arms[..] else { return None };
    let distance = baseline.scores.distance(&candidate.scores)?;
    let quantiles = |arm: &ArmStats| {
        let quantile = |share| number(arm.scores.quantile(share));
        format!("{} / {} / {}", quantile(0.1), quantile(0.5), quantile(0.9))
    };
    Some(format!(
        "scores of the best items (10, 50, 90 %): {} and {}; their distributions are {distance:.2} of 1 apart",
        quantiles(baseline),
        quantiles(candidate)
    ))
}

/// Pairs of lists, side by side.
pub(super) fn diffs(rollout: &Rollout, mirror: &MirrorStats) -> String {
    if mirror.diffs.is_empty() {
        return format!(
            "no request of {} was answered by both sides yet: start a rollout with --shadow to mirror more",
            rollout.rollout_id
        );
    }
    let pair = |diff: &marquee_proto::control::v1::MirrorDiff| {
        let mut table = output::table(&["", "BASELINE", "CANDIDATE"]);
        let item = |list: &[String], n: usize| list.get(n).cloned().unwrap_or_default();
        let (baseline, candidate) = (&diff.baseline_item_ids, &diff.candidate_item_ids);
        for n in 0..baseline.len().max(candidate.len()) {
            let (left, right) = (item(baseline, n), item(candidate, n));
            table.add_row([(n + 1).to_string(), left, right]);
        }
        let served = if diff.served == 0 { "baseline" } else { "candidate" };
        format!(
            "{}  {}: the {served} was served, {:.0} % in common\n{}",
            output::moment(diff.at_ms),
            diff.recommendation_id,
            100.0 * diff.overlap,
            output::lines_of(&table)
        )
    };
    let lists: Vec<String> = mirror.diffs.iter().map(pair).collect();
    lists.join("\n\n")
}

fn windows(evidence: &RolloutEvidence) -> String {
    let counts = |n: usize| {
        let arm = evidence.total.as_ref().and_then(|total| total.arms.get(n));
        let answered = |arm: &marquee_proto::control::v1::ArmStats| {
            let answered = marquee_proto::control::v1::Measure::Answered as i32;
            let sums = arm.measures.iter().find(|sums| sums.measure == answered)?.sums.as_ref()?;
            Some(sums.counts.iter().sum::<u64>())
        };
        output::thousands(arm.and_then(answered).unwrap_or(0))
    };
    format!(
        "{} judged, {} requests to the baseline, {} to the candidate",
        output::count(evidence.windows, "window"),
        counts(0),
        counts(1)
    )
}

/// Evidence against the bound, and what a breach takes, both as powers of ten.
fn strength(found: &GateEvidence) -> String {
    format!("{:+.1} of {:.1}", found.log_evidence / LN_10, found.log_needed / LN_10)
}

fn effect(found: &GateEvidence) -> String {
    match (found.effect_low, found.effect_high) {
        (Some(low), Some(high)) => format!("{:+.1} to {:+.1} %", 100.0 * low, 100.0 * high),
        _ => "-".into(),
    }
}

fn verdict(found: &GateEvidence) -> String {
    let name = match found.verdict() {
        Verdict::Unspecified => "?",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Holds => "holds",
        Verdict::Proven => "proven",
        Verdict::Breached => "BREACHED",
    };
    if found.accepted { format!("{name}, accepted") } else { name.to_owned() }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.4}"),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.2} %", 100.0 * share))
}
