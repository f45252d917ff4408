//! Figures of another implementation, and worlds whose truth is known.

use super::*;

/// SplitMix64, as the script that made the figures below has it.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// 400 answers of three slots; each slot shows one of six items, by chances of its own.
fn reference_log() -> (Vec<LoggedAnswer>, Vec<Vec<u32>>) {
    const ITEMS: u32 = 6;
    let mut random = Random(42);
    let (mut answers, mut lists) = (Vec::new(), Vec::new());
    for user in 0..400 {
        let mut shown = Vec::new();
        for place in 0..3 {
            let chances: Vec<f64> = (0..ITEMS).map(|_| random.uniform() + 0.1).collect();
            let total: f64 = chances.iter().sum();
            let (mut x, mut item) = (random.uniform() * total, 0);
            while item < ITEMS - 1 && x >= chances[item as usize] {
                x -= chances[item as usize];
                item += 1;
            }
            let chance_of_reward = 0.1 + 0.1 * f64::from(item) - 0.02 * f64::from(place);
            let reward = f64::from(u8::from(random.uniform() < chance_of_reward));
            let propensity = chances[item as usize] / total;
            shown.push(ShownItem { item, propensity, is_drawn: false, reward });
        }
        answers.push(LoggedAnswer { user, shown });
        lists.push((0..3).map(|place| (user + place) % ITEMS).collect());
    }
    (answers, lists)
}

/// The estimates of `obp` 0.4.1 (PyPI) for the same answers: three times its mean over slots.
#[test]
fn estimates_are_those_of_open_bandit_pipeline() {
    const IPS_SNIPS_DR: [f64; 3] = [1.0726452637074742, 1.0067473114381502, 1.0628301473316333];
    let (answers, lists) = reference_log();
    let predict = |_: Assumption, _: &LoggedAnswer, item: u32, place: usize| {
        0.05 + 0.03 * f64::from(item) - 0.04 * place as f64
    };
    let options = Options { min_support: 0.0, resamples: 10, ..Options::default() };
    let mut random = fastrand::Rng::with_seed(1);
    let below = &mut |n| random.usize(..n);
    let evaluation = evaluate(&answers, &lists, None, &predict, &options, below);
    let of_it = |estimate: &&Estimate| estimate.assumption == Assumption::ItemAndRank;
    let estimates: Vec<&Estimate> = evaluation.estimates.iter().filter(of_it).collect();
    for (estimate, expected) in estimates.into_iter().zip(IPS_SNIPS_DR) {
        let found = estimate.figures.expect("supported").candidate.value;
        assert!((found - expected).abs() < 1e-6, "{estimate:?}: {expected} is expected");
    }
}

/// Slots of a list, and candidates beyond it.
const SLOTS: usize = 10;
const BEYOND: usize = 10;
/// The share of answers with a drawn slot, where slots are drawn.
const SHARE: f64 = 0.2;
/// How the true examination of ranks falls off.
const EXPONENT: f64 = 0.7;
/// How good items are, but for those that make the difference.
const QUALITY: f64 = 0.4;
/// The change that is to be found, as a share of what the list of the log earns.
const CHANGE: f64 = 0.05;

/// How answers are logged, and what the candidate changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum World {
    /// Nothing is drawn; the candidate exchanges the items of ranks 1 and 6.
    Deterministic,
    /// A fifth of the answers have a drawn slot; the candidate has an item from beyond the list at rank 3.
    DrawnSlots,
    /// Each slot shows one of four items, by chances of its own; the candidate lists the first of them.
    DrawnItems,
}

/// A log of a world.
struct Simulated {
    answers: Vec<LoggedAnswer>,
    /// The lists of the candidate.
    lists: Vec<Vec<u32>>,
}

impl World {
    /// What the better items are above the others, so that the candidate earns `change` more.
    fn advantage(self, change: f64) -> f64 {
        let ranks = attention();
        let earned = change * QUALITY * ranks.iter().sum::<f64>();
        match self {
            Self::Deterministic => earned / (ranks[0] - ranks[5]),
            Self::DrawnSlots => earned / ranks[2],
            Self::DrawnItems => change * QUALITY / 0.75,
        }
    }

    /// What an answer of the candidate earns, and how much more than one of the log that is.
    fn truth(self, change: f64) -> (f64, f64) {
        let (ranks, advantage) = (attention(), self.advantage(change));
        let all: f64 = ranks.iter().sum();
        let (candidate, logged) = match self {
            Self::Deterministic => (ranks[0], ranks[5]),
            Self::DrawnSlots => (ranks[2], all * SHARE / (SLOTS * BEYOND) as f64),
            Self::DrawnItems => (all, all / 4.0),
        };
        (QUALITY * all + advantage * candidate, advantage * (candidate - logged))
    }

    /// The items that an answer shows, each with its propensity and whether it was drawn.
    fn shown(self, random: &mut fastrand::Rng) -> Vec<(u32, f64, bool)> {
        let own =
            |propensity: f64| (0..SLOTS as u32).map(|item| (item, propensity, false)).collect();
        match self {
            Self::Deterministic => own(1.0),
            Self::DrawnSlots => {
                let of_slot = SHARE / SLOTS as f64;
                let mut shown: Vec<_> = own(1.0 - of_slot);
                if random.f64() < SHARE {
                    let item = (SLOTS + random.usize(..BEYOND)) as u32;
                    shown[random.usize(..SLOTS)] = (item, of_slot / BEYOND as f64, true);
                }
                shown
            }
            Self::DrawnItems => {
                let mut shown = Vec::with_capacity(SLOTS);
                for slot in 0..SLOTS as u32 {
                    let chances: [f64; 4] = std::array::from_fn(|_| random.f64() + 0.2);
                    let total: f64 = chances.iter().sum();
                    let mut x = random.f64() * total;
                    let mut chosen = 0;
                    while chosen < 3 && x >= chances[chosen] {
                        x -= chances[chosen];
                        chosen += 1;
                    }
                    shown.push((slot * 4 + chosen as u32, chances[chosen] / total, false));
                }
                shown
            }
        }
    }

    /// The list of the candidate.
    fn list(self) -> Vec<u32> {
        let mut list: Vec<u32> = (0..SLOTS as u32).collect();
        match self {
            Self::Deterministic => list.swap(0, 5),
            Self::DrawnSlots => list[2] = SLOTS as u32 + 3,
            Self::DrawnItems => list.iter_mut().for_each(|item| *item *= 4),
        }
        list
    }

    /// Whether an item is one of those that the candidate is better by.
    fn is_better(self, item: u32) -> bool {
        match self {
            Self::Deterministic => item == 5,
            Self::DrawnSlots => item == SLOTS as u32 + 3,
            Self::DrawnItems => item.is_multiple_of(4),
        }
    }

    /// Simulates so many users of 4 to 16 answers; half of them react three times as much as the others.
    fn simulate(self, users: u32, change: f64, random: &mut fastrand::Rng) -> Simulated {
        let (ranks, advantage) = (attention(), self.advantage(change));
        let mut answers = Vec::new();
        for user in 0..users {
            let reacts = if random.bool() { 0.5 } else { 1.5 };
            for _ in 0..random.usize(4..=16) {
                let mut shown = Vec::with_capacity(SLOTS);
                for ((item, propensity, is_drawn), rank) in
                    self.shown(random).into_iter().zip(&ranks)
                {
                    let better = if self.is_better(item) { advantage } else { 0.0 };
                    let chance = reacts * rank * (QUALITY + better);
                    assert!(chance <= 1.0, "{chance}");
                    let reward = f64::from(u8::from(random.f64() < chance));
                    shown.push(ShownItem { item, propensity, is_drawn, reward });
                }
                answers.push(LoggedAnswer { user, shown });
            }
        }
        let lists = vec![self.list(); answers.len()];
        Simulated { answers, lists }
    }

    /// Simulates and evaluates, with the reward model that is fitted to the log.
    fn evaluate(self, users: u32, change: f64, seed: u64) -> Evaluation {
        // Streams of neighbouring seeds are alike.
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let Simulated { answers, lists } = self.simulate(users, change, &mut random);
        let curve = PositionCurve::assumed(EXPONENT);
        let means = ItemMeans::fit(&answers, curve);
        let predict = |assumption, answer: &LoggedAnswer, item, place| {
            means.predict(assumption, answer.user, item, place)
        };
        let options = Options { curve, resamples: 200, ..Options::default() };
        evaluate(&answers, &lists, None, &predict, &options, &mut |n| random.usize(..n))
    }
}

/// How likely each rank is looked at, in truth.
fn attention() -> Vec<f64> {
    PositionCurve::assumed(EXPONENT).ranks(SLOTS)
}

/// Of many logs, how often each estimate had the right sign, and how often its intervals covered the truth: the
/// candidate's value, and the difference. In the order of the estimates; a refused one is never right.
fn reliability(world: World, users: u32, logs: u64) -> Vec<(Assumption, Estimator, [f64; 3])> {
    let (value, difference) = world.truth(CHANGE);
    let mut right = Vec::new();
    for seed in 0..logs {
        let evaluation = world.evaluate(users, CHANGE, seed);
        if right.is_empty() {
            let named = |it: &Estimate| (it.assumption, it.estimator, [0.0; 3]);
            right = evaluation.estimates.iter().map(named).collect();
        }
        for (estimate, (_, _, right)) in evaluation.estimates.iter().zip(&mut right) {
            let Some(Figures { candidate, difference: found }) = estimate.figures else { continue };
            let covers = |it: Interval, truth| it.low <= truth && truth <= it.high;
            let is_right = [found.value > 0.0, covers(candidate, value), covers(found, difference)];
            for (share, is_right) in right.iter_mut().zip(is_right) {
                *share += f64::from(u8::from(is_right)) / logs as f64;
            }
        }
    }
    right
}

/// The sign is right in 95 of 100 logs, where the log says so much, and intervals cover the truth in 88.
#[track_caller]
fn assert_reliable(world: World, users: u32, logs: u64, with_signs: &[Assumption]) {
    for (assumption, estimator, [sign, value, difference]) in reliability(world, users, logs) {
        let case = format!("{world:?}, {assumption:?}, {estimator:?}: {sign} {value} {difference}");
        if world == World::Deterministic && assumption == Assumption::ItemAndRank {
            assert_eq!([sign, value, difference], [0.0; 3], "refused, {case}");
            continue;
        }
        assert!(sign >= 0.95 || !with_signs.contains(&assumption), "the sign, {case}");
        // Sums of shares are rounded.
        let covers = |share: f64| share >= 0.88 - 1e-9;
        assert!(covers(value) && covers(difference), "the interval, {case}");
    }
}

#[test]
fn a_reordered_list_is_judged_by_a_deterministic_log_and_the_position_curve() {
    assert_reliable(World::Deterministic, 400, 400, &[Assumption::PositionBased]);
}

#[test]
fn a_new_item_is_judged_by_drawn_slots_and_needs_more_of_them_without_a_position_curve() {
    assert_reliable(World::DrawnSlots, 1_400, 300, &[Assumption::PositionBased]);
}

#[test]
fn a_new_list_is_judged_where_every_item_is_drawn() {
    assert_reliable(World::DrawnItems, 500, 400, &Assumption::ALL);
}

#[test]
fn no_difference_is_found_where_there_is_none() {
    let logs = 300;
    let mut found = 0;
    for seed in 0..logs {
        let evaluation = World::DrawnItems.evaluate(300, 0.0, seed);
        let Figures { difference, .. } = evaluation.estimates[2].figures.expect("supported");
        found += usize::from(difference.low > 0.0 || difference.high < 0.0);
    }
    assert!(found as f64 / logs as f64 <= 0.12, "{found} of {logs}");
}

#[test]
fn what_both_policies_show_cancels_out() {
    let Evaluation { logged, estimates, .. } = World::Deterministic.evaluate(400, CHANGE, 1);
    let Figures { candidate, difference } = estimates[3].figures.expect("supported");
    let apart = candidate.standard_error.hypot(logged.standard_error);
    assert!(difference.standard_error < apart / 3.0, "{difference:?} and apart {apart}");
}

#[test]
fn a_deterministic_log_says_nothing_of_other_ranks() {
    let evaluation = World::Deterministic.evaluate(400, CHANGE, 1);
    assert_eq!(evaluation.randomised_answers, 0);
    for estimate in &evaluation.estimates[..3] {
        assert_eq!(estimate.figures, None);
        let refusal = estimate.refusal.expect("refused");
        assert!((estimate.support - 0.8).abs() < 1e-9, "two of ten ranks differ");
        assert_eq!(
            refusal.to_string(),
            "logging was deterministic, and has evidence for only 80.0 % of the lists where 90.0 % are needed: \
             randomise slots"
        );
    }
}

#[test]
fn what_is_not_supported_is_refused_with_the_reason() {
    let mut random = fastrand::Rng::with_seed(3);
    let evaluated = |answers: &[LoggedAnswer], lists: &[Vec<u32>], max_weight: f64| {
        let options = Options { max_weight, resamples: 10, ..Options::default() };
        let mut draws = fastrand::Rng::with_seed(1);
        evaluate(answers, lists, None, &|_, _, _, _| 0.0, &options, &mut |n| draws.usize(..n))
    };
    let Simulated { answers, lists } = World::DrawnSlots.simulate(1_000, CHANGE, &mut random);
    let unknown = vec![vec![99; SLOTS]; answers.len()];
    let of_unknown = evaluated(&answers, &unknown, 1e9).estimates[0];
    assert_eq!(of_unknown.refusal, Some(Refusal::Support { support: 0.0, least: 0.9 }));
    // What is cut off from weights is not supported.
    let clipped = evaluated(&answers, &lists, 1.1).estimates[0];
    assert!(clipped.clipped > 0 && clipped.support < 0.91, "{clipped:?}");
    let few = answers.iter().take_while(|answer| answer.user < 50).count();
    let of_few = evaluated(&answers[..few], &lists[..few], 1e9).estimates[0];
    assert!(matches!(
        of_few.refusal,
        Some(Refusal::EffectiveUsers { .. } | Refusal::Support { .. })
    ));
    let none = evaluated(&[], &[], 1e9);
    assert_eq!(none.estimates.len(), 6);
    assert!(none.estimates.iter().all(|it| it.refusal == Some(Refusal::NoAnswers)));
}

#[test]
fn a_policy_can_be_compared_with_another_instead_of_the_log() {
    let mut random = fastrand::Rng::with_seed(4);
    let Simulated { answers, lists } = World::DrawnItems.simulate(500, CHANGE, &mut random);
    let options = Options { resamples: 100, ..Options::default() };
    let mut draws = |n| random.usize(..n);
    let same = evaluate(&answers, &lists, Some(&lists), &|_, _, _, _| 0.0, &options, &mut draws)
        .estimates[0];
    let Figures { candidate, difference } = same.figures.expect("supported");
    assert_eq!((difference.value, difference.low, difference.high), (0.0, 0.0, 0.0));
    assert!(candidate.low < candidate.high);
}

#[test]
fn the_position_curve_is_found_by_drawn_items() {
    let mut random = fastrand::Rng::with_seed(5);
    let Simulated { answers, .. } = World::DrawnSlots.simulate(4_000, CHANGE, &mut random);
    let curve = PositionCurve::fitted(&answers).expect("enough");
    assert!(curve.is_fitted && (curve.exponent - EXPONENT).abs() < 0.07, "{curve:?}");
    assert_eq!(PositionCurve::fitted(&answers[..200]), None, "too few");
    let Simulated { answers, .. } = World::Deterministic.simulate(1_000, CHANGE, &mut random);
    assert_eq!(PositionCurve::fitted(&answers), None, "nothing was drawn");
}
