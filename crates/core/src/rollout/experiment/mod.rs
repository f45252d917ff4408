//! A/B tests: two or more ensembles side by side on a surface, with fixed weights or a bandit's, and
//! what came of them.
//!
//! Users who take part are a slice of a *layer*: a hash of the layer's name and the user's id puts every user
//! at one place of each layer, and the experiments of a layer have slices that do not touch, so nobody
//! is in two of them, be they on one surface or on several (Tang, Agarwal, O'Brien, Meyer, "Overlapping
//! Experiment Infrastructure", KDD 2010). Who takes part in none gets what is live.
//!
//! Arm 0 is what the others are compared with. Reports may be looked at always ([`crate::rollout::sequential`]).
//!
//! Deliberately missing: an end by itself. Whoever reads a report decides, and moves traffic to the
//! better arm by a rollout.

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::id::check_name;
use crate::plan::assignment;
use crate::rollout::judge::{Evidence, SHARE_TOLERANCE};
use crate::rollout::sequential::{Estimate, MIN_GROUPS, join, mean_above, needed};
use crate::rollout::window::{GroupedSum, MAX_ARMS, Measure};

/// Chance that the intervals of a report ever miss the truth.
pub const REPORT_ALPHA: f64 = 0.05;
/// The least floor of a bandit: an arm that nobody gets cannot be known to be worse.
pub const MIN_FLOOR_BASIS_POINTS: u32 = 10;
/// Draws from what is known of the arms, to see how often each is best.
const DRAWS: usize = 1_000;
/// How far single values may plausibly lie from their mean, whatever is measured.
const SPREAD: f64 = 0.01;
/// Effects of a twentieth are what a report should be narrow for.
const SCALE_OF_EFFECTS: f64 = 0.05;

/// One of the ensembles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Its name in reports.
    pub name: String,
    /// An ensemble's name or `model@version`.
    pub ensemble: String,
    /// Its share of those who take part, in 1/10,000; all add up to 10,000.
    pub weight_basis_points: u32,
}

/// Who decides on the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Whoever started it.
    Fixed,
    /// Thompson sampling by a reward: each arm has a share as large as the chance that it is the best
    /// (Thompson 1933), and no less than the floor.
    Thompson {
        /// One of [`Measure::REWARDS`].
        reward: Measure,
        /// In 1/10,000.
        floor_basis_points: u32,
    },
}

/// Where an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExperimentState {
    /// Its ensembles are being loaded; everybody gets what is live.
    Preparing,
    /// Its users get their arms.
    Running,
    /// Over.
    Stopped,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Unique; it salts the split over the arms.
    pub id: String,
    /// Where.
    pub surface: String,
    /// Whom it shares users with: nobody is in two experiments of a layer.
    pub layer: String,
    /// Its slice of the layer: the first of 10,000 places.
    pub from_basis_points: u32,
    /// Its slice of the layer: how many places.
    pub share_basis_points: u32,
    /// At least two.
    pub arms: Vec<Arm>,
    /// Who decides on weights.
    pub allocation: Allocation,
    /// Where it is.
    pub state: ExperimentState,
    /// When it was started.
    pub started_at_ms: u64,
    /// When it was stopped; 0 while it runs.
    pub stopped_at_ms: u64,
    /// Why it was stopped.
    pub reason: String,
}

impl Experiment {
    /// The arm of a user, none for those who do not take part.
    pub fn arm_of(&self, user_id: &str) -> Option<usize> {
        if self.state != ExperimentState::Running {
            return None;
        }
        let place = assignment::bucket(&format!("layer/{}", self.layer), user_id);
        let slice = self.from_basis_points..self.from_basis_points + self.share_basis_points;
        slice.contains(&place).then(|| assignment::choose(&self.id, user_id, &self.weights()))
    }

    /// The arms' shares.
    pub fn weights(&self) -> Vec<u32> {
        self.arms.iter().map(|arm| arm.weight_basis_points).collect()
    }
}

/// The first slice of a layer that is free: where it begins.
pub fn free_slice<'e>(
    running: impl Iterator<Item = &'e Experiment>,
    share_basis_points: u32,
) -> Option<u32> {
    let mut taken: Vec<(u32, u32)> =
        running.map(|it| (it.from_basis_points, it.share_basis_points)).collect();
    taken.sort_unstable();
    let mut from = 0;
    for (begins, share) in taken {
        if begins >= from + share_basis_points {
            break;
        }
        from = begins + share;
    }
    (from + share_basis_points <= FULL_WEIGHT_BASIS_POINTS).then_some(from)
}

/// Checks what an experiment is to be.
///
/// # Errors
/// Words that name the field and its bound.
pub fn check(share_basis_points: u32, arms: &[Arm], allocation: Allocation) -> Result<(), String> {
    if !(1..=FULL_WEIGHT_BASIS_POINTS).contains(&share_basis_points) {
        return Err(format!(
            "share_basis_points is {share_basis_points}: 1 to {FULL_WEIGHT_BASIS_POINTS} are allowed"
        ));
    }
    if !(2..=MAX_ARMS).contains(&arms.len()) {
        return Err(format!("arms: {} given: 2 to {MAX_ARMS} are allowed", arms.len()));
    }
    for (n, arm) in arms.iter().enumerate() {
        check_name("arm", &arm.name).map_err(|e| format!("arms[{n}].name: {e}"))?;
        if arms[..n].iter().any(|other| other.name == arm.name) {
            return Err(format!("arms[{n}].name: {:?} is there twice", arm.name));
        }
        if arm.weight_basis_points == 0 {
            return Err(format!("arms[{n}].weight_basis_points is 0: nobody would get it"));
        }
    }
    let sum: u64 = arms.iter().map(|arm| u64::from(arm.weight_basis_points)).sum();
    if sum != u64::from(FULL_WEIGHT_BASIS_POINTS) {
        return Err(format!("arms: the weights add up to {sum} and not to 10000"));
    }
    if let Allocation::Thompson { reward, floor_basis_points: floor } = allocation {
        if !Measure::REWARDS.contains(&reward) {
            return Err("allocation.reward is no reward: clicks, play seconds or purchases".into());
        }
        let most = FULL_WEIGHT_BASIS_POINTS / arms.len() as u32;
        if !(MIN_FLOOR_BASIS_POINTS..=most).contains(&floor) {
            return Err(format!(
                "allocation.floor_basis_points is {floor}: {MIN_FLOOR_BASIS_POINTS} to {most} are allowed"
            ));
        }
    }
    Ok(())
}

/// What one measure says of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// What is measured.
    pub measure: Measure,
    /// Which arm.
    pub arm: usize,
    /// Answers.
    pub samples: u64,
    /// The arm's mean.
    pub mean: f64,
    /// The difference from arm 0, as a part of its mean; none for arm 0 and before enough users were seen.
    pub effect: Option<f64>,
    /// An interval for it that covers the truth at all times with a chance of 95 %.
    pub interval: Option<(f64, f64)>,
    /// Evidence (e-value) that there is a difference at all.
    pub e_value: Option<f64>,
    /// The chance of so much evidence at any time without a difference: at most this.
    pub p_value: Option<f64>,
}

/// What came of an experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By measure and arm.
    pub effects: Vec<Effect>,
    /// Users of a window, by arm.
    pub users: Vec<u64>,
    /// Evidence (e-value) that users are not split as the weights say; none while too few were seen, and for
    /// bandits, whose weights change.
    pub mismatch: Option<f64>,
    /// Whether that is enough to call it a mismatch: the arms cannot be compared then.
    pub is_mismatched: bool,
}

/// What is measured so far, compared.
pub fn report(experiment: &Experiment, evidence: Option<&Evidence>) -> Report {
    let Some(Evidence { total, .. }) = evidence else { return Report::default() };
    let sums = |arm: usize, measure: Measure| total.arms.get(arm)?.measures.get(&measure);
    let mut effects = Vec::new();
    let shown = Measure::ALL.into_iter().filter(|&measure| measure != Measure::Users);
    for measure in shown {
        for arm in 0..experiment.arms.len() {
            let Some(theirs) = sums(arm, measure) else { continue };
            let Some(mean) = theirs.mean() else { continue };
            let compared =
                sums(0, measure).filter(|_| arm > 0).and_then(|usual| compare(usual, theirs));
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
    let users: Vec<&GroupedSum> =
        (0..experiment.arms.len()).filter_map(|arm| sums(arm, Measure::Users)).collect();
    let is_fixed = experiment.allocation == Allocation::Fixed;
    let is_whole = users.len() == experiment.arms.len();
    let mismatch =
        (is_fixed && is_whole).then(|| mismatch(&users, &experiment.weights())).flatten();
    Report {
        effects,
        users: users.iter().map(|sums| sums.total()).collect(),
        mismatch: mismatch.map(f64::exp),
        is_mismatched: mismatch.is_some_and(|evidence| evidence >= needed(REPORT_ALPHA / 50.0)),
    }
}

#[derive(Clone, Copy)]
struct Compared {
    effect: f64,
    half_width: f64,
    log_evidence: f64,
}

/// How far a mean is from the usual one, as a part of that.
fn compare(usual: &GroupedSum, theirs: &GroupedSum) -> Option<Compared> {
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
        half_width: difference.half_width(scale, REPORT_ALPHA) / whole,
        log_evidence: evidence,
    })
}

/// Evidence that the arms' shares of users are off by more than the tolerance.
fn mismatch(users: &[&GroupedSum], weights: &[u32]) -> Option<f64> {
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
        let above = estimate.less(share + slack);
        let below = estimate.less(share - slack).negated();
        found.push(join(&[mean_above(above, 0.2 * share), mean_above(below, 0.2 * share)]));
    }
    Some(join(&found))
}

/// The weights that a bandit gives its arms: as likely as each is the best, and no less than the floor.
/// `normal` draws from a standard normal. None before all arms are known well enough.
pub fn thompson(
    experiment: &Experiment,
    evidence: &Evidence,
    mut normal: impl FnMut() -> f64,
) -> Option<Vec<u32>> {
    let Allocation::Thompson { reward, floor_basis_points } = experiment.allocation else {
        return None;
    };
    let estimates: Vec<Estimate> = evidence
        .total
        .arms
        .iter()
        .map(|arm| Estimate::of_population(arm.measures.get(&reward)?, SPREAD))
        .collect::<Option<_>>()?;
    if estimates.len() != experiment.arms.len() {
        return None;
    }
    let mut best = vec![0u32; estimates.len()];
    for _ in 0..DRAWS {
        let drawn = estimates.iter().map(|it| it.value + it.variance.sqrt() * normal());
        let winner = drawn.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best[winner?.0] += 1;
    }
    // What is above the floors is shared out by the chances; the first arm gets what rounding leaves.
    let arms = estimates.len() as u32;
    let free = FULL_WEIGHT_BASIS_POINTS - floor_basis_points * arms;
    let mut weights: Vec<u32> =
        best.iter().map(|wins| floor_basis_points + free * wins / DRAWS as u32).collect();
    weights[0] += FULL_WEIGHT_BASIS_POINTS - weights.iter().sum::<u32>();
    Some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::window::{GROUPS, Window};
    use proptest::prelude::*;

    fn arm(name: &str, weight_basis_points: u32) -> Arm {
        Arm { name: name.into(), ensemble: "films@1".into(), weight_basis_points }
    }

    fn experiment(from_basis_points: u32, share_basis_points: u32) -> Experiment {
        Experiment {
            id: format!("home-ab-{from_basis_points}"),
            surface: "home".into(),
            layer: "ranking".into(),
            from_basis_points,
            share_basis_points,
            arms: vec![arm("control", 5_000), arm("other", 5_000)],
            allocation: Allocation::Fixed,
            state: ExperimentState::Running,
            started_at_ms: 0,
            stopped_at_ms: 0,
            reason: String::new(),
        }
    }

    /// Clicks of so many answers an arm, spread over all groups.
    fn clicks(rates: &[f64], answers: usize) -> Evidence {
        let mut random = fastrand::Rng::with_seed(7);
        let mut evidence = Evidence { total: Window::new(rates.len()), ..Evidence::default() };
        for (arm, &rate) in evidence.total.arms.iter_mut().zip(rates) {
            for n in 0..answers {
                let value = f64::from(u8::from(random.f64() < rate));
                arm.measure(Measure::Clicks, n % GROUPS, value);
                arm.measure(Measure::Users, random.usize(..GROUPS), 1.0);
            }
        }
        evidence
    }

    #[test]
    fn slices_of_a_layer_do_not_touch() {
        let (a, b) = (experiment(0, 4_000), experiment(6_000, 3_000));
        let running = [&b, &a];
        assert_eq!(free_slice(running.into_iter(), 2_000), Some(4_000));
        assert_eq!(free_slice(running.into_iter(), 1_000), Some(4_000));
        assert_eq!(free_slice(running.into_iter(), 2_001), None);
        assert_eq!(free_slice([&a].into_iter(), 6_000), Some(4_000));
        assert_eq!(free_slice([].into_iter(), 10_000), Some(0));
        let other = experiment(4_000, 6_000);
        for n in 0..2_000 {
            let user = format!("user-{n}");
            assert!(a.arm_of(&user).is_none() || other.arm_of(&user).is_none(), "in both");
            assert!(a.arm_of(&user).is_some() || other.arm_of(&user).is_some(), "in neither");
        }
    }

    #[test]
    fn a_difference_is_found_and_none_is_not() {
        let it = experiment(0, 10_000);
        let effect = |report: &Report| {
            *report
                .effects
                .iter()
                .find(|e| e.measure == Measure::Clicks && e.arm == 1)
                .expect("there")
        };
        let better = effect(&report(&it, Some(&clicks(&[0.10, 0.12], 50_000))));
        let (low, high) = better.interval.expect("known");
        assert!(low > 0.0 && (low..high).contains(&0.2), "{better:?}");
        assert!(better.p_value.expect("known") < 0.001, "{better:?}");
        let same = effect(&report(&it, Some(&clicks(&[0.10, 0.10], 50_000))));
        let (low, high) = same.interval.expect("known");
        assert!(low < 0.0 && high > 0.0 && same.p_value.expect("known") > 0.05, "{same:?}");
        let few = effect(&report(&it, Some(&clicks(&[0.10, 0.10], 20))));
        assert_eq!(few.effect, None, "twenty answers say nothing");
    }

    #[test]
    fn a_split_that_is_off_is_noticed() {
        let mut it = experiment(0, 10_000);
        let evidence = clicks(&[0.1, 0.1], 50_000);
        assert!(!report(&it, Some(&evidence)).is_mismatched);
        it.arms = vec![arm("control", 8_000), arm("other", 2_000)];
        assert!(report(&it, Some(&evidence)).is_mismatched, "half is not a fifth");
    }

    #[test]
    fn a_bandit_moves_to_the_best_arm_and_leaves_each_its_floor() {
        let mut it = experiment(0, 10_000);
        it.arms.push(arm("third", 1));
        it.allocation = Allocation::Thompson { reward: Measure::Clicks, floor_basis_points: 500 };
        let mut random = fastrand::Rng::with_seed(3);
        let mut normal = || {
            let (u, v) = (1.0 - random.f64(), random.f64());
            (-2.0 * f64::ln(u)).sqrt() * (std::f64::consts::TAU * v).cos()
        };
        let weights = thompson(&it, &clicks(&[0.10, 0.14, 0.10], 20_000), &mut normal);
        let weights = weights.expect("all arms are known");
        assert_eq!(weights.iter().sum::<u32>(), 10_000);
        assert!(weights[1] >= 8_900 && weights[0] >= 500 && weights[2] >= 500, "{weights:?}");
        let even = thompson(&it, &clicks(&[0.10, 0.10, 0.10], 2_000), &mut normal);
        assert!(even.expect("known").iter().all(|&weight| weight >= 500));
        assert_eq!(thompson(&it, &clicks(&[0.1, 0.1, 0.1], 10), &mut normal), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let arms = [arm("a", 5_000), arm("b", 5_000)];
        let fixed = Allocation::Fixed;
        assert_eq!(check(10_000, &arms, fixed), Ok(()));
        let bandit = |floor_basis_points, reward| {
            check(10_000, &arms, Allocation::Thompson { reward, floor_basis_points })
        };
        assert_eq!(bandit(5_000, Measure::Clicks), Ok(()));
        for (said, says) in [
            (check(0, &arms, fixed), "share_basis_points is 0"),
            (check(10_001, &arms, fixed), "share_basis_points is 10001"),
            (check(1, &arms[..1], fixed), "arms: 1 given"),
            (check(1, &[arm("a", 5_000), arm("a", 5_000)], fixed), "there twice"),
            (check(1, &[arm("a", 5_000), arm("b", 4_000)], fixed), "add up to 9000"),
            (check(1, &[arm("a", 10_000), arm("b", 0)], fixed), "nobody would get it"),
            (check(1, &[arm("a b", 5_000), arm("b", 5_000)], fixed), "arms[0].name"),
            (bandit(9, Measure::Clicks), "floor_basis_points is 9"),
            (bandit(5_001, Measure::Clicks), "floor_basis_points is 5001"),
            (bandit(100, Measure::Score), "is no reward"),
        ] {
            let said = said.expect_err(says);
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }

    proptest! {
        #[test]
        fn a_free_slice_is_free(
            taken in prop::collection::vec((0u32..100, 1u32..40), 0..6), share in 1u32..=100,
        ) {
            // In hundredths of the layer; those that overlap cannot have been given out.
            let mut running: Vec<Experiment> = Vec::new();
            for (from, width) in taken {
                let (from, width) = (from * 100, width * 100);
                let is_free = running.iter().all(|it| {
                    from + width <= it.from_basis_points
                        || it.from_basis_points + it.share_basis_points <= from
                });
                if is_free && from + width <= 10_000 {
                    running.push(experiment(from, width));
                }
            }
            let share = share * 100;
            let touches = |from: u32| running.iter().any(|it| {
                from < it.from_basis_points + it.share_basis_points
                    && it.from_basis_points < from + share
            });
            match free_slice(running.iter(), share) {
                Some(from) => prop_assert!(from + share <= 10_000 && !touches(from)),
                None => prop_assert!((0..=10_000 - share).all(touches), "there was room"),
            }
        }
    }
}
