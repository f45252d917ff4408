//! What came of an experiment so far: each arm compared with arm 0, by each measure.

use super::definition::{Experiment, SPREAD};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::judge::{Evidence, SHARE_TOLERANCE, SegmentEvidence};
use crate::rollout::sequential::{Estimate, MIN_GROUPS, join, mean_above, required_log_evidence};
use crate::rollout::window::{GroupedSum, Measure, MeasuredSums, Window};

/// The chance that the intervals of a report ever miss the truth.
pub const REPORT_ALPHA: f64 = 0.05;
/// Intervals are narrowest for effects of this size, as a part of the mean of arm 0.
const SCALE_OF_EFFECTS: f64 = 0.05;

/// One arm compared with arm 0, by one measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// What is measured.
    pub measure: Measure,
    /// The arm's index.
    pub arm: usize,
    /// How many answers were measured.
    pub samples: u64,
    /// The arm's mean.
    pub mean: f64,
    /// The difference from arm 0, as a part of its mean; none for arm 0 and before enough users were seen.
    pub effect: Option<f64>,
    /// An interval for `effect` that covers the truth at all times with a chance of 95 %; in a table of segments, the intervals
    /// of one measure do so together.
    pub interval: Option<(f64, f64)>,
    /// Evidence (e-value) that there is a difference at all.
    pub e_value: Option<f64>,
    /// The chance of so much evidence at any time without a difference: at most this.
    pub p_value: Option<f64>,
}

/// The arms of an experiment, compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// One for each measure and arm that was measured.
    pub effects: Vec<Effect>,
    /// Users, counted once in each window, by arm.
    pub users: Vec<u64>,
    /// Evidence (e-value) that users are not split as the weights say; none while too few were seen.
    pub mismatch: Option<f64>,
    /// Whether `mismatch` is enough to call it one: the arms cannot be compared then.
    pub is_mismatched: bool,
    /// The arms compared within each segment.
    pub segments: Vec<SegmentReport>,
}

/// The arms compared within one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentReport {
    /// The segment's name, such as `region=de`.
    pub name: String,
    /// One for each measure and arm that was measured.
    pub effects: Vec<Effect>,
}

/// Compares the arms by what was measured so far.
pub fn report(experiment: &Experiment, evidence: Option<&Evidence>) -> Report {
    let Some(evidence) = evidence else { return Report::default() };
    let total = &evidence.total;
    let sums = |arm: usize, measure: Measure| total.arms.get(arm)?.measures.get(&measure);
    let effects = compare_arms(total);
    let users: Vec<&GroupedSum> =
        (0..experiment.arms.len()).filter_map(|arm| sums(arm, Measure::Users)).collect();
    let is_whole = users.len() == experiment.arms.len();
    let log_evidence =
        if is_whole { log_evidence_of_mismatch(&users, &experiment.weights()) } else { None };
    let log_required = required_log_evidence(REPORT_ALPHA / 50.0);
    Report {
        effects,
        users: users.iter().map(|sums| sums.total()).collect(),
        mismatch: log_evidence.map(f64::exp),
        is_mismatched: log_evidence.is_some_and(|evidence| evidence >= log_required),
        segments: compare_segments(&evidence.segments),
    }
}

/// Compares the arms of these sums with arm 0, by each measure. Shares were the same all the time: what changes over
/// time is then in all arms alike.
pub fn compare_arms(total: &Window) -> Vec<Effect> {
    let arms: Vec<&MeasuredSums> = total.arms.iter().map(|arm| &arm.measures).collect();
    compare_sums(&arms, REPORT_ALPHA)
}

/// Compares the arms within each segment. Who looks at many segments finds an effect by chance in one of them, so the chance of
/// [`REPORT_ALPHA`] is divided among them.
pub fn compare_segments(evidence: &SegmentEvidence) -> Vec<SegmentReport> {
    let alpha = REPORT_ALPHA / evidence.segments.len().max(1) as f64;
    let reports = evidence.segments.iter().map(|(name, stats)| {
        let arms: Vec<&MeasuredSums> = stats.arms.iter().collect();
        SegmentReport { name: name.clone(), effects: compare_sums(&arms, alpha) }
    });
    reports.collect()
}

/// Compares arms with arm 0, by each measure. `alpha`: the chance that the interval of an arm and measure ever misses the truth.
fn compare_sums(arms: &[&MeasuredSums], alpha: f64) -> Vec<Effect> {
    let sums = |arm: usize, measure: Measure| arms.get(arm)?.get(&measure);
    let mut effects = Vec::new();
    let shown = Measure::ALL.into_iter().filter(|&measure| measure != Measure::Users);
    for measure in shown {
        for arm in 0..arms.len() {
            let Some(theirs) = sums(arm, measure) else { continue };
            let Some(mean) = theirs.mean() else { continue };
            let compared = sums(0, measure)
                .filter(|_| arm > 0)
                .and_then(|usual| compare(usual, theirs, alpha));
            effects.push(Effect {
                measure,
                arm,
                samples: theirs.total(),
                mean,
                effect: compared.map(|it| it.effect),
                interval: compared.map(|it| (it.effect - it.half_width, it.effect + it.half_width)),
                e_value: compared.map(|it| it.log_evidence.exp()),
                p_value: compared.map(|it| (-it.log_evidence).exp().min(1.0)),
            });
        }
    }
    effects
}

/// How far an arm's mean is from that of arm 0, as a part of it.
#[derive(Clone, Copy)]
struct Compared {
    effect: f64,
    half_width: f64,
    log_evidence: f64,
}

/// Compares the mean of an arm with that of arm 0; none while too few users were seen, or where that is 0.
fn compare(usual: &GroupedSum, theirs: &GroupedSum, alpha: f64) -> Option<Compared> {
    let usual = Estimate::of_population(usual, SPREAD)?;
    let theirs = Estimate::of_population(theirs, SPREAD)?;
    let whole = usual.value.abs();
    if whole == 0.0 {
        return None;
    }
    let difference = theirs.as_wide_as(usual).minus(1.0, usual.as_wide_as(theirs));
    let scale = SCALE_OF_EFFECTS * whole;
    let evidence = join(&[mean_above(difference, scale), mean_above(difference.negated(), scale)]);
    Some(Compared {
        effect: difference.value / whole,
        half_width: difference.half_width(scale, alpha) / whole,
        log_evidence: evidence,
    })
}

/// Natural logarithm of the evidence that the arms' shares of users are off by more than the tolerance; none
/// where too few users were seen.
fn log_evidence_of_mismatch(users: &[&GroupedSum], weights: &[u32]) -> Option<f64> {
    let mut all = GroupedSum::default();
    for sums in users {
        for (total, count) in all.count.iter_mut().zip(&sums.count) {
            *total += count;
        }
    }
    if all.filled() < MIN_GROUPS {
        return None;
    }
    let mut found = Vec::new();
    for (sums, &weight) in users.iter().zip(weights) {
        let share = f64::from(weight) / f64::from(FULL_WEIGHT_BASIS_POINTS);
        let mut theirs = all.clone();
        for (sum, &count) in theirs.sum.iter_mut().zip(&sums.count) {
            *sum = count as f64;
        }
        let estimate = Estimate::of_share(&theirs, share)?;
        let slack = SHARE_TOLERANCE * share;
        let above = estimate.minus_constant(share + slack);
        let below = estimate.minus_constant(share - slack).negated();
        found.push(join(&[mean_above(above, 0.2 * share), mean_above(below, 0.2 * share)]));
    }
    Some(join(&found))
}
