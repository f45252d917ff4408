//! What the gates of a rollout have measured, and what both variants answered, as tables.

use crate::output;
use marquee_core::rollout::gate::{Gate, Metric};
use marquee_core::rollout::judge::{PREDICTED_LOSS, PREDICTED_POWER};
use marquee_core::rollout::window::{ArmStats, InterleavedStats, WINDOW_MS, Window};
use marquee_proto::control::v1::{
    ArmStats as ArmStatsMessage, GateEvidence, Measure, MirrorStats, Prediction, Rollout,
    RolloutEvidence, Verdict,
};
use marquee_proto::convert::external::external_gate_from_pb;
use marquee_proto::convert::gate::{gate_from_pb, metric_from_pb};
use marquee_proto::convert::window::window_from_pb;
use std::collections::BTreeMap;
use std::f64::consts::LN_10;

/// A table of the gates, and lines on how users were split and what was left out.
pub(super) fn table(rollout: &Rollout, evidence: &RolloutEvidence) -> String {
    let mut table = output::table(&[
        "GATE",
        "BOUND",
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
            evidence_in_words(found),
            verdict_name(found),
        ]);
    }
    let mut lines = vec![
        format!(
            "{}; evidence is a power of ten: the gate is breached when it reaches the second number",
            windows(evidence)
        ),
        output::lines_of(&table),
    ];
    lines.extend(predictions(rollout, evidence));
    if let Some(split) = evidence.split.as_ref().filter(|split| split.baseline_samples > 0) {
        lines.push(format!(
            "split: {} of the users of this step have the candidate, {} expected: {}",
            percent(split.candidate),
            percent(split.allowed),
            verdict_name(split)
        ));
    }
    if let Some(split) = evidence.split_of_requests.as_ref().filter(|it| it.baseline_samples > 0) {
        lines.push(format!(
            "split of requests: {} of the requests of this step went to the candidate: {}",
            percent(split.candidate),
            verdict_name(split)
        ));
    }
    let total = window_from_pb(evidence.total.clone().unwrap_or_default()).unwrap_or_default();
    lines.extend(interleaved(&total));
    lines.extend(distinct_items(&total));
    lines.extend(score_distributions(&total));
    if total.automated > 0 {
        lines.push(format!(
            "left out as automated traffic: {} requests",
            output::thousands(total.automated)
        ));
    }
    if total.dropped > 0 {
        lines.push(format!(
            "not measured because routers were too busy: {} requests",
            output::thousands(total.dropped)
        ));
    }
    lines.join("\n")
}

/// A table of the external gates; none if there are none.
pub(super) fn external_table(rollout: &Rollout, evidence: &RolloutEvidence) -> Option<String> {
    if rollout.external_gates.is_empty() {
        return None;
    }
    let mut table =
        output::table(&["EXTERNAL GATE", "ASKS", "ASKED", "ANSWER", "FAILED IN A ROW", "VERDICT"]);
    for (n, gate) in rollout.external_gates.iter().enumerate() {
        let Ok(gate) = external_gate_from_pb(gate.clone()) else { continue };
        let found = evidence.external.get(n).cloned().unwrap_or_default();
        let verdict = match found.verdict() {
            Verdict::Unspecified => "not asked yet",
            Verdict::Inconclusive => "no answer",
            Verdict::Holds | Verdict::Proven => "passes",
            Verdict::Breached if found.accepted => "FAILS, accepted",
            Verdict::Breached => "FAILS",
        };
        let asked = match found.questions {
            0 => "-".to_owned(),
            _ => output::moment(found.asked_at_ms),
        };
        table.add_row([
            gate.name.clone(),
            gate.question.to_string(),
            asked,
            found.says.clone(),
            format!("{} of {}", found.failures, gate.consecutive_failures),
            verdict.to_owned(),
        ]);
    }
    Some(output::lines_of(&table))
}

/// How long it takes to find fewer rewards, for each gate that looks for it.
fn predictions(rollout: &Rollout, evidence: &RolloutEvidence) -> Vec<String> {
    let arms = evidence.total.as_ref().map_or(&[][..], |total| &total.arms);
    let answers: u64 = arms.iter().map(answered_by).sum();
    let measured_ms = evidence.windows * WINDOW_MS;
    let mut lines = Vec::new();
    for (gate, found) in rollout.gates.iter().zip(&evidence.gates) {
        let (Ok(gate), Some(needed)) = (gate_from_pb(*gate), found.answers_needed) else {
            continue;
        };
        let seconds = needed * measured_ms as f64 / 1_000.0 / answers.max(1) as f64;
        lines.push(format!(
            "{} are found with a chance of {:.0} % after {} answers at this share, about {} at this traffic",
            fewer(gate.metric),
            100.0 * PREDICTED_POWER,
            output::thousands(needed as u64),
            duration_in_words(seconds)
        ));
    }
    lines
}

/// What the gates of rewards of a rollout that begins will find.
pub(super) fn predictions_at_start(predictions: &[Prediction]) -> Vec<String> {
    let mut lines = Vec::new();
    for prediction in predictions {
        let Ok(metric) = metric_from_pb(prediction.metric) else { continue };
        let answers = output::thousands(prediction.answers as u64);
        lines.push(match prediction.seconds {
            Some(seconds) => format!(
                "{} are found with a chance of {:.0} % after about {answers} answers, {} at the traffic of the last minutes",
                fewer(metric),
                100.0 * PREDICTED_POWER,
                duration_in_words(seconds)
            ),
            None => format!(
                "{} are hardly found: that takes about {answers} answers on one step, and the traffic of the last minutes does \
                 not bring them; hold the steps longer, or compare interleaved lists first (--interleave)",
                fewer(metric)
            ),
        });
    }
    lines
}

/// The loss that is predicted, in words, such as "10 % fewer clicks".
fn fewer(metric: Metric) -> String {
    let reward = metric.name().trim_end_matches("_per_answer").replace('_', " ");
    format!("{:.0} % fewer {reward}", 100.0 * PREDICTED_LOSS)
}

/// A time in its largest sensible unit.
fn duration_in_words(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ if seconds < 7_200.0 => format!("{:.0} minutes", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.0} hours", seconds / 3_600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// What came of interleaved answers, if there were any.
fn interleaved(total: &Window) -> Option<String> {
    let InterleavedStats { answers, clicks } = &total.interleaved;
    (*answers > 0).then(|| {
        let preference = clicks.mean().map_or_else(String::new, |mean| {
            format!(", {:.1} % of them to the candidate", 100.0 * mean)
        });
        format!(
            "interleaved: {}, and {} that are credited to a version{preference}",
            output::count(*answers, "answer"),
            output::count(clicks.total(), "click")
        )
    })
}

/// How many different items both variants show, on the requests that both answered.
fn distinct_items(total: &Window) -> Option<String> {
    let [baseline, candidate] = &total.mirror.arms;
    let items = |arm: &ArmStats| output::thousands(arm.items.estimate().round() as u64);
    (baseline.scores.total() > 0).then(|| {
        format!(
            "different items among the first ten of the lists, over the same {}: {} of the baseline, {} of the candidate",
            output::count(total.mirror.overlap.total(), "mirrored request"),
            items(baseline),
            items(candidate)
        )
    })
}

/// How the best items' scores are distributed, if both variants have served.
fn score_distributions(total: &Window) -> Option<String> {
    let [baseline, candidate] = &total.arms[..] else { return None };
    let distance = baseline.scores.distance(&candidate.scores)?;
    let quantiles = |arm: &ArmStats| {
        let quantile = |share| number(arm.scores.quantile(share));
        format!("{} / {} / {}", quantile(0.1), quantile(0.5), quantile(0.9))
    };
    Some(format!(
        "scores of the best items (10, 50, 90 %): {} and {}; the distance of their distributions is {distance:.2} of 1",
        quantiles(baseline),
        quantiles(candidate)
    ))
}

/// The lists of both variants for the same requests, side by side. `titles`: of items, by id, as far as they are wanted.
pub(super) fn diffs(
    rollout: &Rollout,
    mirror: &MirrorStats,
    titles: &BTreeMap<String, String>,
) -> String {
    if mirror.diffs.is_empty() {
        return format!(
            "no request of {} was answered by both variants yet: start a rollout with --shadow to mirror more",
            rollout.rollout_id
        );
    }
    let mut lists: Vec<String> = Vec::new();
    for diff in &mirror.diffs {
        let mut table = output::table(&["", "BASELINE", "CANDIDATE"]);
        let item = |list: &[String], n: usize| match list.get(n) {
            None => String::new(),
            Some(id) => match titles.get(id) {
                None => id.clone(),
                Some(title) => format!("{id} {title}"),
            },
        };
        let (baseline, candidate) = (&diff.baseline_item_ids, &diff.candidate_item_ids);
        for n in 0..baseline.len().max(candidate.len()) {
            let (left, right) = (item(baseline, n), item(candidate, n));
            table.add_row([(n + 1).to_string(), left, right]);
        }
        let served = if diff.served == 0 { "baseline" } else { "candidate" };
        lists.push(format!(
            "{}  {}: the {served} was served, {:.0} % in common\n{}",
            output::moment(diff.at_ms),
            diff.recommendation_id,
            100.0 * diff.overlap,
            output::lines_of(&table)
        ));
    }
    lists.join("\n\n")
}

/// How many windows were judged and how many requests each variant answered.
fn windows(evidence: &RolloutEvidence) -> String {
    let arms = evidence.total.as_ref().map_or(&[][..], |total| &total.arms);
    let answered = |arm: usize| output::thousands(arms.get(arm).map_or(0, answered_by));
    format!(
        "{} judged, {} requests to the baseline, {} to the candidate",
        output::count(evidence.windows, "window"),
        answered(0),
        answered(1)
    )
}

/// How many requests an arm answered.
fn answered_by(arm: &ArmStatsMessage) -> u64 {
    let mut total = 0;
    for sums in &arm.measures {
        if sums.measure() == Measure::Failed {
            total = sums.sums.as_ref().map_or(0, |sums| sums.counts.iter().sum());
        }
    }
    total
}

/// Evidence against the bound, and the evidence at which the gate is breached, both as powers of ten.
pub(super) fn evidence_in_words(found: &GateEvidence) -> String {
    format!("{:+.1} of {:.1}", found.log_evidence / LN_10, found.log_required / LN_10)
}

/// The 95 % interval of the relative effect.
pub(super) fn effect(found: &GateEvidence) -> String {
    match (found.effect_low, found.effect_high) {
        (Some(low), Some(high)) => format!("{:+.1} to {:+.1} %", 100.0 * low, 100.0 * high),
        _ => "-".into(),
    }
}

/// The verdict of a gate in words.
pub(super) fn verdict_name(found: &GateEvidence) -> String {
    let name = match found.verdict() {
        Verdict::Unspecified => "?",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Holds => "holds",
        Verdict::Proven => "proven",
        Verdict::Breached => "BREACHED",
    };
    if found.accepted { format!("{name}, accepted") } else { name.to_owned() }
}

pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.4}"),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.2} %", 100.0 * share))
}
