//! The judge: what windows of telemetry say of a rollout. Pure; it reads no clock.
//!
//! [`judge`] takes a rollout, the [`Evidence`] so far and one more window, and says of every gate what is
//! known and what should be done. The leader calls it and commits window, findings and decision as one
//! command, so that what was decided can be read with its reasons on every control node, and no node
//! has to repeat a logarithm to the last bit. [`clearance`] then says whether the present step may be left.
//!
//! What is *inconclusive* never passes and never fails a gate that was declared: no step is left. Means
//! want half of the groups of users on both sides, because one busy user is no population.
//!
//! Gates that were paused for and resumed are accepted by the operator, and stay quiet from then on.

use crate::rollout::gate::{Bound, FALSE_ALARM_BUDGET, Gate, Metric, OnBreach, OnNoData};
use crate::rollout::sequential::{
    Estimate, MIN_GROUPS, Occurrences, ShareTest, join, mean_above, needed,
};
use crate::rollout::window::{
    ArmStats, GroupedSum, LATENCY_SLACK_MICROS, Latencies, Measure, MirrorStats, Window,
};
use crate::rollout::{Clearance, Decision, Rollout, RolloutState};

/// Requests after which errors alone are believed: nobody has to fail a hundred times to be heard.
pub const MIN_REQUESTS_FOR_ERRORS: u64 = 10;
/// How far shares of users may be off before the split itself is doubted, as a part of the share: users
/// whom the candidate brings back sooner are no fault of the split.
pub const SHARE_TOLERANCE: f64 = 0.1;
/// The chance of error that is accepted for leaving a step early.
const PROOF_ALPHA: f64 = 0.05;

/// What is known of one gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateEvidence {
    /// What the windows so far say of rates; unused by gates of means.
    pub shares: ShareTest,
    /// What is known.
    pub verdict: Verdict,
    /// The baseline's value; none where none was measured or needed.
    pub baseline: Option<f64>,
    /// The candidate's value; for overlaps that of both.
    pub candidate: Option<f64>,
    /// What the candidate's value is compared with.
    pub allowed: Option<f64>,
    /// How much more than the baseline's the candidate's value is, as a part of it: an interval that covers the
    /// truth at all times with a chance of 95 %. Means of live answers only.
    pub effect: Option<(f64, f64)>,
    /// Samples: the baseline's and the candidate's.
    pub samples: [u64; 2],
    /// Natural logarithm of the evidence that the bound is broken, and what it must reach.
    pub worse: f64,
    /// See `worse`.
    pub needed: f64,
    /// Natural logarithm of the evidence that the bound is kept.
    pub fine: f64,
    /// Windows in a row in breach.
    pub breaches: u32,
    /// An operator resumed the rollout after this gate had paused it.
    pub accepted: bool,
}

/// What is known of a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Too few samples to say anything.
    #[default]
    Inconclusive,
    /// Nothing speaks against it.
    Holds,
    /// It is proven to hold.
    Proven,
    /// It is broken.
    Breached,
}

impl Verdict {
    /// Its name in evidence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Holds => "HOLDS",
            Self::Proven => "PROVEN",
            Self::Breached => "BREACHED",
        }
    }
}

/// The present stage, of which some things are counted anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// Its step; none in the shadow stage.
    pub step: Option<u32>,
    /// Requests since it began, by arm.
    pub requests: Vec<u64>,
    /// Requests since it began that both sides answered.
    pub mirrored: u64,
    /// Users of a window since it began, and how many of them the candidate had.
    pub users: GroupedSum,
}

/// All that was measured of a rollout and what it came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Windows so far: numbers them, so that none counts twice.
    pub windows: u64,
    /// When the last one was judged.
    pub judged_at_ms: u64,
    /// Everything, summed.
    pub total: Window,
    /// See [`Stage`].
    pub stage: Stage,
    /// One for each gate.
    pub gates: Vec<GateEvidence>,
    /// Whether users are split as the weights say.
    pub split: GateEvidence,
}

/// What the judge makes of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// One for each gate.
    pub gates: Vec<GateEvidence>,
    /// Whether users are split as the weights say.
    pub split: GateEvidence,
    /// What should be done.
    pub decision: Decision,
}

impl Evidence {
    /// Takes a window in. `weight_basis_points`: the candidate's share while it was measured; a window of
    /// another stage does not count for the present one.
    pub fn absorb(&mut self, rollout: &Rollout, weight_basis_points: u32, window: &Window) {
        self.total.absorb(window);
        if self.stage.step != rollout.step || self.stage.requests.is_empty() {
            self.stage = Stage { step: rollout.step, requests: vec![0; 2], ..Stage::default() };
        }
        if weight_basis_points != rollout.weight_basis_points() {
            return;
        }
        for (sum, arm) in self.stage.requests.iter_mut().zip(&window.arms) {
            *sum += arm.requests();
        }
        self.stage.mirrored += window.mirror.overlap.total();
        let users =
            |arm: usize| window.arms.get(arm).and_then(|arm| arm.measures.get(&Measure::Users));
        let mut both = GroupedSum::default();
        for (arm, value) in [(0, 0.0), (1, 1.0)] {
            for (group, &count) in
                users(arm).iter().flat_map(|users| users.count.iter().enumerate())
            {
                both.count[group] += count;
                both.sum[group] += value * count as f64;
            }
        }
        self.stage.users.absorb(&both);
    }

    /// An operator resumed: what paused the rollout is accepted.
    pub fn accept(&mut self, rollout: &Rollout) {
        let pausing = rollout.terms.gates.iter().map(|gate| gate.on_breach == OnBreach::Pause);
        for (evidence, pauses) in self.gates.iter_mut().zip(pausing) {
            evidence.accepted |= pauses && evidence.verdict == Verdict::Breached;
        }
        self.split.accepted |= self.split.verdict == Verdict::Breached;
    }
}

/// What one more window says; see the module. `weight_basis_points`: the candidate's share while it was
/// measured.
pub fn judge(
    rollout: &Rollout,
    evidence: &Evidence,
    weight_basis_points: u32,
    window: &Window,
) -> Judgement {
    let mut after = evidence.clone();
    after.absorb(rollout, weight_basis_points, window);
    let gates = &rollout.terms.gates;
    let share_of_budget = FALSE_ALARM_BUDGET / (gates.len() + 1) as f64;
    let mut found = Vec::with_capacity(gates.len());
    let mut decision = Decision::GoOn;
    for (n, gate) in gates.iter().enumerate() {
        let before = evidence.gates.get(n).cloned().unwrap_or_default();
        let alpha = gate.false_alarm.unwrap_or(share_of_budget);
        let now = examine(gate, alpha, before, &evidence.total, &after.total, window);
        if now.breaches >= gate.consecutive_breaches && !now.accepted {
            let why = explain(gate, &now);
            match (gate.on_breach, &decision) {
                (OnBreach::RollBack, Decision::RollBack(_)) => {}
                (OnBreach::RollBack, _) => decision = Decision::RollBack(why),
                (OnBreach::Pause, Decision::GoOn) => decision = Decision::Pause(why),
                (OnBreach::Pause, _) => {}
            }
        }
        found.push(now);
    }
    let split = examine_split(rollout, evidence.split.clone(), &after.stage, share_of_budget);
    if decision == Decision::GoOn && split.verdict == Verdict::Breached && !split.accepted {
        decision = Decision::Pause(format!(
            "the split is off: the candidate has {:.2} % of the users where its share is {:.2} %, so the two \
             sides cannot be compared",
            100.0 * split.candidate.unwrap_or_default(),
            100.0 * split.allowed.unwrap_or_default(),
        ));
    }
    Judgement { gates: found, split, decision }
}

/// Whether the present step may be left. Compares what was committed and computes nothing.
pub fn clearance(rollout: &Rollout, evidence: Option<&Evidence>) -> Clearance {
    let nothing = Evidence::default();
    let evidence = evidence.unwrap_or(&nothing);
    let in_stage = evidence.stage.step == rollout.step;
    let requests = match evidence.stage.requests.get(1) {
        Some(&requests) if in_stage => requests,
        _ => 0,
    };
    let (wanted, have, what) = match rollout.step.and_then(|step| rollout.steps.get(step as usize))
    {
        Some(step) => (step.min_samples, requests, "requests on this step"),
        None => {
            let mirrored = if in_stage { evidence.stage.mirrored } else { 0 };
            (rollout.terms.shadow.min_samples, mirrored, "mirrored requests")
        }
    };
    if have < wanted {
        return Clearance::Wait(format!("{have} of {wanted} {what}"));
    }
    let mut all_proven = !rollout.terms.gates.is_empty();
    for (n, gate) in rollout.terms.gates.iter().enumerate() {
        let found = evidence.gates.get(n);
        let verdict = found.map_or(Verdict::Inconclusive, |found| found.verdict);
        // Without traffic nothing can be said of rewards and live answers.
        let is_judged = rollout.state != RolloutState::Shadow || !gate.metric.is_reward();
        match verdict {
            Verdict::Breached if !found.is_some_and(|found| found.accepted) => {
                return Clearance::Wait(format!("gate {} is in breach", gate.metric));
            }
            Verdict::Inconclusive if gate.on_no_data == OnNoData::Hold && is_judged => {
                let [_, candidate] = found.map_or([0, 0], |found| found.samples);
                return Clearance::Wait(format!(
                    "gate {} is inconclusive: {candidate} of {} samples",
                    gate.metric, gate.min_samples
                ));
            }
            _ => {}
        }
        // What was proven at a smaller share still has to show at this one.
        all_proven &= verdict == Verdict::Proven && have >= gate.min_samples;
    }
    if all_proven { Clearance::Proven } else { Clearance::Clear }
}

/// A breach, in words.
fn explain(gate: &Gate, found: &GateEvidence) -> String {
    let number = |value: Option<f64>| match value {
        None => "nothing".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.4}"),
    };
    let baseline = match gate.bound.is_ratio() {
        true => format!(", baseline {}", number(found.baseline)),
        false => String::new(),
    };
    format!(
        "gate {} wants {}: candidate {}{baseline} ({} samples)",
        gate.metric,
        gate.bound,
        number(found.candidate),
        found.samples[1],
    )
}

/// What is known of a gate after a window: `before` it and `after` it.
fn examine(
    gate: &Gate,
    alpha: f64,
    mut found: GateEvidence,
    before: &Window,
    after: &Window,
    window: &Window,
) -> GateEvidence {
    found.needed = needed(alpha);
    let enough = match gate.metric {
        Metric::ErrorRate => examine_errors(gate, &mut found, after, window),
        metric => match metric.tail() {
            Some(tail) => examine_tail(gate, tail, &mut found, before, after, window),
            None => examine_mean(gate, &mut found, after),
        },
    };
    found.verdict = match enough {
        false => Verdict::Inconclusive,
        true if found.worse >= found.needed => Verdict::Breached,
        true if found.fine >= needed(PROOF_ALPHA) => Verdict::Proven,
        true => Verdict::Holds,
    };
    found.breaches = match found.verdict {
        Verdict::Breached => found.breaches.saturating_add(1),
        _ => 0,
    };
    found
}

/// The live and the mirrored answers of both sides.
fn sides(window: &Window) -> [(&ArmStats, &ArmStats); 2] {
    static NOTHING: std::sync::LazyLock<ArmStats> = std::sync::LazyLock::new(ArmStats::default);
    let arm = |n: usize| window.arms.get(n).unwrap_or(&NOTHING);
    let MirrorStats { arms: [baseline, candidate], .. } = &window.mirror;
    [(arm(0), arm(1)), (baseline, candidate)]
}

fn examine_errors(gate: &Gate, found: &mut GateEvidence, after: &Window, window: &Window) -> bool {
    let occurrences = |arm: &ArmStats| Occurrences { times: arm.failed(), of: arm.requests() };
    for (baseline, candidate) in sides(window) {
        match gate.bound {
            Bound::MaxRatio(ratio) => {
                found.shares.learn(occurrences(baseline), occurrences(candidate), ratio);
            }
            Bound::MinRatio(ratio) => {
                found.shares.learn(occurrences(candidate), occurrences(baseline), 1.0 / ratio);
            }
            Bound::Max(chance) | Bound::Min(chance) => {
                found.shares.learn_constant(occurrences(candidate), chance);
            }
        }
    }
    take_shares(gate, found);
    let [live, mirrored] = sides(after);
    let baseline = occurrences(live.0).plus(occurrences(mirrored.0));
    let candidate = occurrences(live.1).plus(occurrences(mirrored.1));
    let rate = |it: Occurrences| (it.of > 0).then(|| it.times as f64 / it.of as f64);
    compare(gate, found, rate(baseline), rate(candidate), [baseline.of, candidate.of]);
    // Errors speak sooner than their absence.
    let least = match found.worse >= found.needed {
        true => MIN_REQUESTS_FOR_ERRORS.min(gate.min_samples),
        false => gate.min_samples,
    };
    enough(gate, found, least)
}

/// How often answers are slower than the baseline's quantile, as it was before this window. Both sides
/// are counted in the same window, so what slows down everybody says nothing.
fn examine_tail(
    gate: &Gate,
    tail: f64,
    found: &mut GateEvidence,
    before: &Window,
    after: &Window,
    window: &Window,
) -> bool {
    for (side, (baseline, candidate)) in sides(window).into_iter().enumerate() {
        let (candidate, baseline) = (&candidate.latencies, &baseline.latencies);
        match gate.bound {
            Bound::MaxRatio(ratio) => {
                let known = &sides(before)[side].0.latencies;
                if known.total() < gate.min_samples {
                    continue;
                }
                let Some(usual) = known.quantile(1.0 - tail) else { continue };
                // As many of the candidate's may exceed `ratio` times it as of the baseline's exceed it.
                let slow = ratio * (usual + LATENCY_SLACK_MICROS) as f64;
                let slow = (slow as u64).saturating_sub(LATENCY_SLACK_MICROS);
                let usually = Occurrences { times: baseline.above(usual), of: baseline.total() };
                let now = Occurrences { times: candidate.above(slow), of: candidate.total() };
                found.shares.learn(usually, now, 1.0);
            }
            Bound::Max(millis) => {
                let slow = candidate.above((millis * 1_000.0) as u64);
                let slow = Occurrences { times: slow, of: candidate.total() };
                found.shares.learn_constant(slow, tail);
            }
            // Refused where gates are checked.
            Bound::MinRatio(_) | Bound::Min(_) => {}
        }
    }
    take_shares(gate, found);
    let [live, mirrored] = sides(after);
    let (mut baseline, mut candidate) = (live.0.latencies.clone(), live.1.latencies.clone());
    baseline.absorb(&mirrored.0.latencies);
    candidate.absorb(&mirrored.1.latencies);
    let millis = |it: &Latencies| it.quantile(1.0 - tail).map(|micros| micros as f64 / 1_000.0);
    let samples = [baseline.total(), candidate.total()];
    compare(gate, found, millis(&baseline), millis(&candidate), samples);
    enough(gate, found, gate.min_samples) && has_population(after)
}

fn take_shares(gate: &Gate, found: &mut GateEvidence) {
    (found.worse, found.fine) = match gate.bound {
        // A lower bound on a chance is broken where the upper one would be proven.
        Bound::Min(_) => (found.shares.fine(), found.shares.worse()),
        Bound::MaxRatio(_) | Bound::MinRatio(_) | Bound::Max(_) => {
            (found.shares.worse(), found.shares.fine())
        }
    };
}

fn examine_mean(gate: &Gate, found: &mut GateEvidence, after: &Window) -> bool {
    let pairs = |sums: &GroupedSum| [(None, sums.clone())];
    let sources: Vec<(Option<GroupedSum>, GroupedSum)> = match measure_of(gate.metric) {
        Some(measure) => sides(after)
            .into_iter()
            .map(|(baseline, candidate)| {
                (Some(means_of(baseline, measure)), means_of(candidate, measure))
            })
            .collect(),
        None if gate.metric == Metric::Overlap => pairs(&after.mirror.overlap).into(),
        None => pairs(&after.mirror.rank_biased_overlap).into(),
    };
    let (mut worse, mut fine) = (Vec::new(), Vec::new());
    let mut sums: [GroupedSum; 2] = Default::default();
    for (baseline, candidate) in &sources {
        sums[1].absorb(candidate);
        if let Some(baseline) = baseline {
            sums[0].absorb(baseline);
        }
        let Some((excess, scale)) = excess(gate, baseline.as_ref(), candidate) else { continue };
        worse.push(mean_above(excess, scale));
        fine.push(mean_above(excess.negated(), scale));
    }
    (found.worse, found.fine) = (join(&worse), join(&fine));
    found.effect = match &sources[0] {
        (Some(baseline), candidate) => effect(gate.metric, baseline, candidate),
        (None, _) => None,
    };
    let [baseline, candidate] = &sums;
    let shown = |sums: &GroupedSum| sums.mean().map(|mean| from_measure(gate.metric, mean));
    let samples = match gate.metric.is_of_pairs() {
        true => [candidate.total(); 2],
        false => [baseline.total(), candidate.total()],
    };
    compare(gate, found, shown(baseline), shown(candidate), samples);
    !worse.is_empty() && enough(gate, found, gate.min_samples)
}

/// The interval of [`GateEvidence::effect`].
fn effect(metric: Metric, baseline: &GroupedSum, candidate: &GroupedSum) -> Option<(f64, f64)> {
    let spread = least_scale(metric);
    let usual = Estimate::of_population(baseline, spread)?;
    let theirs = Estimate::of_population(candidate, spread)?;
    let difference = theirs.as_wide_as(usual).minus(1.0, usual);
    let scale = (SCALE_OF_EFFECTS * usual.value.abs()).max(spread);
    let half = difference.half_width(scale, PROOF_ALPHA);
    let (low, high) = (difference.value - half, difference.value + half);
    match metric {
        // A difference of logarithms is a ratio.
        Metric::LatencyMean => Some((low.exp_m1(), high.exp_m1())),
        _ if usual.value == 0.0 => None,
        _ => Some((low / usual.value.abs(), high / usual.value.abs())),
    }
}

/// How far a mean is beyond its bound, and what counts as far; none where too few users were seen.
fn excess(
    gate: &Gate,
    baseline: Option<&GroupedSum>,
    candidate: &GroupedSum,
) -> Option<(Estimate, f64)> {
    let spread = least_scale(gate.metric);
    let theirs = Estimate::of_population(candidate, spread)?;
    let usual = baseline.and_then(|sums| Estimate::of_population(sums, spread));
    let scale = |of: f64| (SCALE_OF_EFFECTS * of.abs()).max(spread);
    Some(match gate.bound {
        Bound::Max(value) => (theirs.less(to_measure(gate.metric, value)), scale(theirs.value)),
        Bound::Min(value) => {
            (theirs.less(to_measure(gate.metric, value)).negated(), scale(theirs.value))
        }
        Bound::MaxRatio(ratio) => {
            let usual = usual?;
            let theirs = theirs.as_wide_as(usual);
            (over(gate.metric, theirs, ratio, usual), scale(usual.value))
        }
        Bound::MinRatio(ratio) => {
            let usual = usual?;
            // Nothing is less than nothing: without any rewards at all there is nothing to compare.
            if gate.metric.is_reward() && usual.value <= 0.0 {
                return None;
            }
            let theirs = theirs.as_wide_as(usual);
            (over(gate.metric, theirs, ratio, usual).negated(), scale(usual.value))
        }
    })
}

/// By how much `theirs` exceeds `ratio` times the usual; logarithms are compared by differences.
fn over(metric: Metric, theirs: Estimate, ratio: f64, usual: Estimate) -> Estimate {
    match metric {
        Metric::LatencyMean => theirs.minus(1.0, usual).less(ratio.ln()),
        _ => theirs.minus(ratio, usual),
    }
}

/// Effects of a fifth of the usual value are to be found first.
const SCALE_OF_EFFECTS: f64 = 0.2;

/// The least difference that counts as an effect, in the measure's unit.
fn least_scale(metric: Metric) -> f64 {
    match metric {
        Metric::LatencyMean => 0.2,
        Metric::Sameness | Metric::Overlap | Metric::RankBiasedOverlap => 0.05,
        Metric::PlaySecondsPerAnswer => 1.0,
        _ => 0.01,
    }
}

fn measure_of(metric: Metric) -> Option<Measure> {
    Some(match metric {
        Metric::EmptyRate => Measure::Empty,
        Metric::PartialRate => Measure::Partial,
        Metric::FallbackRate => Measure::Fallback,
        Metric::LatencyMean => Measure::LogLatency,
        Metric::Sameness => Measure::Sameness,
        Metric::Score => Measure::Score,
        Metric::ClicksPerAnswer => Measure::Clicks,
        Metric::PlaySecondsPerAnswer => Measure::PlaySeconds,
        Metric::PurchasesPerAnswer => Measure::Purchases,
        Metric::Overlap
        | Metric::RankBiasedOverlap
        | Metric::ErrorRate
        | Metric::LatencyP50
        | Metric::LatencyP95
        | Metric::LatencyP99 => return None,
    })
}

fn means_of(arm: &ArmStats, measure: Measure) -> GroupedSum {
    arm.measures.get(&measure).cloned().unwrap_or_default()
}

/// A metric's value as its measure has it.
fn to_measure(metric: Metric, value: f64) -> f64 {
    match metric {
        Metric::LatencyMean => (value * 1_000.0 + LATENCY_SLACK_MICROS as f64).ln(),
        _ => value,
    }
}

/// A measure's mean as its metric shows it.
fn from_measure(metric: Metric, mean: f64) -> f64 {
    match metric {
        Metric::LatencyMean => (mean.exp() - LATENCY_SLACK_MICROS as f64) / 1_000.0,
        _ => mean,
    }
}

/// Notes what is compared with what.
fn compare(
    gate: &Gate,
    found: &mut GateEvidence,
    baseline: Option<f64>,
    candidate: Option<f64>,
    samples: [u64; 2],
) {
    found.baseline = if gate.metric.is_of_pairs() { None } else { baseline };
    found.candidate = candidate;
    found.samples = samples;
    found.allowed = match gate.bound {
        Bound::MaxRatio(ratio) | Bound::MinRatio(ratio) => baseline.map(|value| ratio * value),
        Bound::Max(value) | Bound::Min(value) => Some(value),
    };
}

fn enough(gate: &Gate, found: &GateEvidence, least: u64) -> bool {
    let [baseline, candidate] = found.samples;
    candidate >= least.max(1) && (!gate.bound.is_ratio() || baseline >= least.max(1))
}

/// Whether latencies of enough users were seen on both sides.
fn has_population(after: &Window) -> bool {
    let is_known = |arm: &ArmStats| means_of(arm, Measure::LogLatency).filled() >= MIN_GROUPS;
    sides(after).into_iter().any(|(baseline, candidate)| is_known(baseline) && is_known(candidate))
}

/// Whether the candidate has the share of users that it should have on this step.
fn examine_split(
    rollout: &Rollout,
    mut found: GateEvidence,
    stage: &Stage,
    alpha: f64,
) -> GateEvidence {
    // Each step is another test.
    found.needed = needed(alpha / rollout.steps.len().max(1) as f64);
    let share = f64::from(rollout.weight_basis_points()) / 10_000.0;
    let users = stage.users.total();
    found.candidate = stage.users.mean();
    found.allowed = Some(share);
    found.samples = [users; 2];
    let is_split = share > 0.0 && share < 1.0 && stage.users.filled() >= MIN_GROUPS;
    let Some(estimate) = Estimate::of_share(&stage.users, share).filter(|_| is_split) else {
        found.verdict = Verdict::Inconclusive;
        (found.worse, found.fine) = (0.0, 0.0);
        return found;
    };
    let (scale, slack) = (SCALE_OF_EFFECTS * share, SHARE_TOLERANCE * share);
    let above = mean_above(estimate.less(share + slack), scale);
    let below = mean_above(estimate.less(share - slack).negated(), scale);
    found.worse = join(&[above, below]);
    found.verdict = match found.worse >= found.needed {
        true => Verdict::Breached,
        false => Verdict::Holds,
    };
    found
}

#[cfg(test)]
mod tests;
