//! What is said of how much a candidate differs: whether it is true, and how much traffic it takes.

use super::Cluster;
use super::chance::poisson;
use super::rollouts::{for_each_seed, rollouts_and_seed, run};
use super::traffic::Candidate;
use super::world::World;
use marquee_core::rollout::gate::{Metric, OnBreach, REWARD_FALSE_ALARM, default_gates};
use marquee_core::rollout::judge::Verdict;
use marquee_core::rollout::window::{GROUPS, Measure, Window};
use marquee_core::rollout::{DEFAULT_SHADOW, Terms};
use statrs::distribution::{ContinuousCDF, Normal};

/// Intervals of clicks cover the truth at all looks of 95 of a hundred rollouts.
#[test]
fn intervals_cover_the_truth_at_all_times() {
    let (rollouts, seed) = rollouts_and_seed();
    // Each has about a hundred looks: a hundred rollouts, as in `make test`, are 10,000 looks.
    let rollouts = (rollouts * 11).div_ceil(20);
    for (name, clicks) in [("the same", 1.0), ("a tenth fewer clicks", 0.9)] {
        let mut world = World::default();
        for gate in &mut world.gates {
            // Only looked at.
            (gate.on_breach, gate.consecutive_breaches) = (OnBreach::Pause, 100);
            gate.false_alarm = Some(1e-9);
        }
        let number = world.gates.iter().position(|gate| gate.metric == Metric::ClicksPerAnswer);
        let number = number.expect("a default gate");
        let looks = for_each_seed(rollouts, seed, |seed| {
            let (mut covered, mut looks, mut width) = (0, 0, f64::NAN);
            run(&world, Candidate::clicked(clicks), seed, |_, gates| {
                let Some((low, high)) = gates[number].effect else { return };
                looks += 1;
                covered += u32::from((low..=high).contains(&(clicks - 1.0)));
                width = high - low;
            });
            (covered, looks, width)
        });
        let all: u32 = looks.iter().map(|(_, looks, _)| looks).sum();
        let covered: u32 = looks.iter().map(|(covered, ..)| covered).sum();
        let always = looks.iter().filter(|(covered, looks, _)| covered == looks).count();
        let width = looks.iter().map(|(.., width)| width).sum::<f64>() / looks.len() as f64;
        println!(
            "intervals, {name}: {all} looks of {rollouts} rollouts from {seed}: {:.2} % cover, {:.1} % of rollouts always, last width {width:.3}",
            100.0 * f64::from(covered) / f64::from(all),
            100.0 * always as f64 / rollouts as f64
        );
        assert!(f64::from(covered) >= 0.95 * f64::from(all), "{name}");
        assert!(always as f64 >= 0.95 * rollouts as f64, "{name}");
    }
}

/// Clicks for each answer of users who come once.
const CHANCE: f64 = 0.1;
/// The loss that is looked for, and the chance of finding it.
const LOSS: f64 = 0.1;
const POWER: f64 = 0.8;
/// Answers in a window, of both variants.
const ANSWERS: f64 = 1_000.0;

/// A window of half as many answers of each variant, each to another user.
fn window_of_new_users(random: &mut fastrand::Rng) -> Window {
    let mut window = Window::new(2);
    for (arm, chance) in window.arms.iter_mut().zip([CHANCE, CHANCE * (1.0 - LOSS)]) {
        for group in 0..GROUPS {
            let of_group = ANSWERS / 2.0 / GROUPS as f64;
            let clicked = poisson(of_group * chance, random);
            let not_clicked = poisson(of_group * (1.0 - chance), random);
            for measure in [Measure::Failed, Measure::Users, Measure::Clicks] {
                let sums = arm.measures.entry(measure).or_default();
                sums.count[group] += (clicked + not_clicked) as u64;
            }
            arm.reward(Measure::Clicks, group, clicked as f64);
            let users = arm.measures.entry(Measure::Users).or_default();
            users.sum[group] = users.count[group] as f64;
        }
    }
    window
}

/// Looking after every window has its price: how many times the answers of a test that looks once are needed to find a loss as surely.
#[test]
fn a_loss_is_found_with_little_more_traffic_than_by_looking_once() {
    let gates = default_gates();
    let number = gates.iter().position(|gate| gate.metric == Metric::ClicksPerAnswer);
    let number = number.expect("a default gate");
    let allowed = gates[number].bound.value();
    // Of a one-sided test whether the candidate has less than `allowed` times the baseline's rate, in answers of both.
    let deviate = |chance: f64| Normal::standard().inverse_cdf(chance);
    let deviates = deviate(1.0 - REWARD_FALSE_ALARM) + deviate(POWER);
    let excess = (allowed - (1.0 - LOSS)) * CHANCE;
    let variance = |chance: f64| 2.0 * chance * (1.0 - chance);
    let variance = allowed * allowed * variance(CHANCE) + variance(CHANCE * (1.0 - LOSS));
    let once = (deviates / excess).powi(2) * variance;

    let (rollouts, seed) = rollouts_and_seed();
    let mut needed = for_each_seed(rollouts, seed, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let terms = Terms { gates: gates.clone(), shadow: DEFAULT_SHADOW, ..Terms::unguarded() };
        let mut cluster = Cluster::with_rollout(seed % 1_000_000_007 + 2, &[(5_000, 7_200)], terms);
        let id = cluster.state.plan.rollouts.last().expect("there").id.clone();
        for windows in 1.. {
            let window = window_of_new_users(&mut random);
            cluster.apply(cluster.judgement_at(&id, 5_000, window));
            let found = &cluster.state.evidence[&id].gates[number];
            if found.verdict == Verdict::Breached || windows as f64 * ANSWERS > 20.0 * once {
                return windows as f64 * ANSWERS;
            }
        }
        unreachable!("the loop ends")
    });
    needed.sort_by(f64::total_cmp);
    let found = needed[(POWER * rollouts as f64).ceil() as usize - 1];
    println!(
        "power: a loss of {LOSS} is found with a chance of {POWER} after {found:.0} answers, by a test that looks once after {once:.0}: \
         {:.2} times as many",
        found / once
    );
    assert!(found <= 2.5 * once, "{found} answers, {once} for a test that looks once");
}
