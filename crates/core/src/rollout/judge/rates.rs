//! Gates of rates: how often requests fail, and how often they are slower than a quantile.

use super::compare::{has_enough_samples, note_values, sums_of, variants};
use super::evidence::GateEvidence;
use crate::rollout::gate::{Bound, Gate};
use crate::rollout::sequential::{MIN_GROUPS, Occurrences};
use crate::rollout::window::{ArmStats, LATENCY_SLACK_MICROS, Latencies, Measure, Window};

/// Requests after which a breach of the error rate is believed, whatever the gate's `min_samples`: users
/// should not have to fail a hundred times before it is noticed.
const MIN_REQUESTS_FOR_ERRORS: u64 = 10;

/// Adds the errors of a window to what is known of a gate, and says whether there are enough samples.
pub(super) fn examine_error_rate(
    gate: &Gate,
    found: &mut GateEvidence,
    after: &Window,
    window: &Window,
) -> bool {
    for (baseline, candidate) in variants(window) {
        match gate.bound {
            Bound::MaxRatio(ratio) => {
                found.shares.add_window(failures(baseline), failures(candidate), ratio);
            }
            Bound::MinRatio(ratio) => {
                found.shares.add_window(failures(candidate), failures(baseline), 1.0 / ratio);
            }
            Bound::Max(chance) | Bound::Min(chance) => {
                found.shares.add_window_against_constant(failures(candidate), chance);
            }
        }
    }
    copy_evidence_of_shares(gate, found);
    let [live, mirrored] = variants(after);
    let baseline = failures(live.0).plus(failures(mirrored.0));
    let candidate = failures(live.1).plus(failures(mirrored.1));
    let samples = [baseline.of, candidate.of];
    note_values(gate, found, baseline.rate(), candidate.rate(), samples);
    // Errors speak sooner than their absence.
    let is_breached = found.log_evidence_against >= found.log_required;
    let least =
        if is_breached { MIN_REQUESTS_FOR_ERRORS.min(gate.min_samples) } else { gate.min_samples };
    has_enough_samples(gate, found, least)
}

/// Adds the latencies of a window to what is known of a gate, and says whether there are enough samples.
/// `tail`: the share of requests above the quantile.
///
/// Compares how often answers are slower than the baseline's quantile as it was before this window. Both
/// variants are counted in the same window, so what slows both down changes nothing.
pub(super) fn examine_latency_quantile(
    gate: &Gate,
    tail: f64,
    found: &mut GateEvidence,
    before: &Window,
    after: &Window,
    window: &Window,
) -> bool {
    for (n, (baseline, candidate)) in variants(window).into_iter().enumerate() {
        let (baseline, candidate) = (&baseline.latencies, &candidate.latencies);
        match gate.bound {
            Bound::MaxRatio(ratio) => {
                let known = &variants(before)[n].0.latencies;
                if known.total() < gate.min_samples {
                    continue;
                }
                let Some(usual) = known.quantile(1.0 - tail) else { continue };
                // As many of the candidate's may exceed `ratio` times it as of the baseline's exceed it.
                let allowed = ratio * (usual + LATENCY_SLACK_MICROS) as f64;
                let allowed_micros = (allowed as u64).saturating_sub(LATENCY_SLACK_MICROS);
                let slow_baseline =
                    Occurrences { times: baseline.above(usual), of: baseline.total() };
                let slow_candidate =
                    Occurrences { times: candidate.above(allowed_micros), of: candidate.total() };
                found.shares.add_window(slow_baseline, slow_candidate, 1.0);
            }
            Bound::Max(millis) => {
                let times = candidate.above((millis * 1_000.0) as u64);
                let slow = Occurrences { times, of: candidate.total() };
                found.shares.add_window_against_constant(slow, tail);
            }
            // Refused where gates are checked.
            Bound::MinRatio(_) | Bound::Min(_) => {}
        }
    }
    copy_evidence_of_shares(gate, found);
    let [live, mirrored] = variants(after);
    let (mut baseline, mut candidate) = (live.0.latencies.clone(), live.1.latencies.clone());
    baseline.absorb(&mirrored.0.latencies);
    candidate.absorb(&mirrored.1.latencies);
    let samples = [baseline.total(), candidate.total()];
    let (usual, theirs) = (quantile_ms(&baseline, tail), quantile_ms(&candidate, tail));
    note_values(gate, found, usual, theirs, samples);
    has_enough_samples(gate, found, gate.min_samples) && has_population(after)
}

/// How many requests of an arm failed, of how many.
fn failures(arm: &ArmStats) -> Occurrences {
    Occurrences { times: arm.failed(), of: arm.requests() }
}

/// The latency that a share `tail` of the requests exceed, in ms.
fn quantile_ms(latencies: &Latencies, tail: f64) -> Option<f64> {
    latencies.quantile(1.0 - tail).map(|micros| micros as f64 / 1_000.0)
}

fn copy_evidence_of_shares(gate: &Gate, found: &mut GateEvidence) {
    let (above, below) = (found.shares.log_evidence_above(), found.shares.log_evidence_below());
    (found.log_evidence_against, found.log_evidence_for) = match gate.bound {
        // A lower bound on a chance is broken where the upper one would be proven.
        Bound::Min(_) => (below, above),
        Bound::MaxRatio(_) | Bound::MinRatio(_) | Bound::Max(_) => (above, below),
    };
}

/// Whether latencies of enough groups of users were seen in both variants, live or mirrored.
fn has_population(after: &Window) -> bool {
    let is_known = |arm: &ArmStats| sums_of(arm, Measure::LogLatency).filled() >= MIN_GROUPS;
    variants(after)
        .into_iter()
        .any(|(baseline, candidate)| is_known(baseline) && is_known(candidate))
}
