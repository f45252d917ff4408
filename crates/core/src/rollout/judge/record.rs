//! What is kept of how a rollout went: by stage and step, as points for plots, and as windows by which other gates can be
//! tried.
//!
//! All three are bounded. Where there is no room left, neighbours are added up, so that what is old and what is new are equally
//! coarse.

use super::evidence::Evidence;
use super::recorded::{ArmSums, EvidencePoint, RecordedWindow, StepEvidence};
use crate::rollout::machine::{Rollout, RolloutState};
use crate::rollout::terms::RolloutStep;
use crate::rollout::window::Window;
use std::collections::BTreeMap;

/// The most stages and steps that evidence is kept of: all that a rollout can have, and some that it came back to.
const MAX_STEPS: usize = 80;
/// The most points of a plot: more are not seen.
const MAX_POINTS: usize = 120;
/// The most recorded windows: some ten kilobytes each, in every snapshot.
pub const MAX_RECORDED: usize = 16;

/// Keeps a window that was judged at `now_ms`, with what is known of the gates after it.
pub fn record(
    rollout: &Rollout,
    evidence: &mut Evidence,
    weight_basis_points: u32,
    window: &Window,
    now_ms: u64,
) {
    let mut arms = [ArmSums::default(); 2];
    for (sums, arm) in arms.iter_mut().zip(&window.arms) {
        *sums = ArmSums::of(arm);
    }
    record_step(rollout, evidence, weight_basis_points, arms, now_ms);
    let point = EvidencePoint {
        until_ms: now_ms,
        weight_basis_points,
        windows: 1,
        arms,
        log_evidence: evidence.gates.iter().map(|gate| gate.log_evidence_against).collect(),
        log_required: evidence.gates.iter().map(|gate| gate.log_required).collect(),
    };
    evidence.points.push(point);
    if evidence.points.len() > MAX_POINTS {
        merge_points(&mut evidence.points);
    }
    evidence.recorded.push(RecordedWindow {
        until_ms: now_ms,
        weight_basis_points,
        windows: 1,
        window: Window { segments: BTreeMap::new(), ..window.clone() },
    });
    if evidence.recorded.len() > MAX_RECORDED {
        merge_recorded(&mut evidence.recorded);
    }
}

/// Adds to the present stage. What was measured at the share of an earlier step is that step's: rewards come late.
fn record_step(
    rollout: &Rollout,
    evidence: &mut Evidence,
    weight_basis_points: u32,
    arms: [ArmSums; 2],
    now_ms: u64,
) {
    let gates = evidence.gates.clone();
    let is_present = weight_basis_points == rollout.weight_basis_points();
    let known = if is_present {
        let stage = rollout.resumes_to.to_string();
        let last = evidence.steps.last_mut();
        last.filter(|it| (it.step, &it.stage) == (rollout.step, &stage))
    } else {
        let mut newest_first = evidence.steps.iter_mut().rev();
        newest_first.find(|it| it.weight_basis_points == weight_basis_points)
    };
    if let Some(known) = known {
        known.windows += 1;
        for (sums, more) in known.arms.iter_mut().zip(&arms) {
            sums.absorb(more);
        }
        if is_present {
            (known.until_ms, known.gates) = (now_ms, gates);
        }
        return;
    }
    if evidence.steps.len() == MAX_STEPS {
        evidence.steps.remove(0);
    }
    let (stage, step) = if is_present {
        (rollout.resumes_to, rollout.step)
    } else {
        // Nothing was judged on that step itself.
        let of_share = |step: &RolloutStep| step.weight_basis_points == weight_basis_points;
        (RolloutState::Canary, rollout.steps.iter().position(of_share).map(|at| at as u32))
    };
    evidence.steps.push(StepEvidence {
        stage: stage.to_string(),
        step,
        weight_basis_points,
        from_ms: now_ms,
        until_ms: now_ms,
        windows: 1,
        arms,
        gates,
    });
}

/// Adds the two neighbours up that are the fewest windows.
fn merge_points(points: &mut Vec<EvidencePoint>) {
    let pairs = points.windows(2).enumerate();
    let of_share =
        pairs.filter(|(_, pair)| pair[0].weight_basis_points == pair[1].weight_basis_points);
    let fewest = of_share.min_by_key(|(_, pair)| pair[0].windows + pair[1].windows);
    let Some(at) = fewest.map(|(at, _)| at) else {
        points.remove(0);
        return;
    };
    let earlier = points.remove(at);
    let later = &mut points[at];
    later.windows += earlier.windows;
    for (sums, more) in later.arms.iter_mut().zip(&earlier.arms) {
        sums.absorb(more);
    }
}

/// Adds the two neighbours of one share up that are the fewest windows.
fn merge_recorded(recorded: &mut Vec<RecordedWindow>) {
    let pairs = recorded.windows(2).enumerate();
    let of_share =
        pairs.filter(|(_, pair)| pair[0].weight_basis_points == pair[1].weight_basis_points);
    let fewest = of_share.min_by_key(|(_, pair)| pair[0].windows + pair[1].windows);
    let Some(at) = fewest.map(|(at, _)| at) else {
        recorded.remove(0);
        return;
    };
    let earlier = recorded.remove(at);
    let later = &mut recorded[at];
    later.windows += earlier.windows;
    let mut sum = earlier.window;
    sum.absorb(&later.window);
    later.window = sum;
}
