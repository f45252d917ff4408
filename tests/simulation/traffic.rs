//! Users, and what a router would measure of them.
//!
//! Users differ: in how often they come (log-normal), how long their answers take (long histories), how
//! often they click, and whether they are known at all; and all of a user's requests share that. So do
//! whole windows: the machine is slow for all users now and then.

use marquee_core::plan::assignment::bucket;
use marquee_core::rollout::window::{
    ArmStats, GroupedSum, LATENCY_SLACK_MICROS, Latencies, Measure, Window, group_of,
};
use std::collections::BTreeMap;

/// Users of a surface.
pub(crate) const USERS: usize = 5_000;
/// Requests a second of all of them.
const RATE: f64 = 50.0;
/// Median latency, µs.
const LATENCY_MICROS: f64 = 10_000.0;
/// Share of the users that no bundle knows.
const UNKNOWN: f64 = 0.1;
/// Clicks an answer, of the average user.
const CLICKS: f64 = 0.1;

/// What is wrong with a candidate, or right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// Nothing: the same answers.
    Same,
    /// Five per cent more clicks, with lists that differ.
    Better,
    /// Each answer is a random list.
    Shuffled,
    /// 20 ms more.
    Slow,
    /// One request of a hundred fails.
    Errors,
    /// One answer of five has no items.
    EmptyAnswers,
    /// All users get the same list.
    PopularOnly,
    /// Half as much clicked, and nothing else to see.
    Unloved,
}

/// One arm's numbers while a window is measured, by place and not by key: there are many.
#[derive(Clone, Default)]
struct Tally {
    sums: [GroupedSum; Measure::ALL.len()],
    errors: u64,
    latencies: BTreeMap<u64, u64>,
}

impl Tally {
    fn measure(&mut self, measure: Measure, group: usize, value: f64) {
        self.sums[measure as usize].add(group, value);
    }

    fn into_stats(self) -> ArmStats {
        let measured = Measure::ALL.into_iter().zip(self.sums);
        ArmStats {
            errors: if self.errors > 0 { [(14, self.errors)].into() } else { BTreeMap::new() },
            latencies: Latencies(self.latencies),
            measures: measured.filter(|(_, sums)| sums.total() > 0).collect(),
            ..ArmStats::default()
        }
    }
}

struct User {
    bucket: u32,
    group: usize,
    /// Adds up over users to 1, cumulated.
    until: f64,
    slowness: f64,
    clicks: f64,
    is_known: bool,
}

/// All users who come to a surface during a rollout.
pub(crate) struct Population(Vec<User>);

/// Normally distributed (Box and Muller 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (u, v) = (1.0 - random.f64(), random.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Poisson, by a normal for the large means of whole windows.
fn arrivals(mean: f64, random: &mut fastrand::Rng) -> usize {
    (mean + mean.sqrt() * normal(random)).round().max(0.0) as usize
}

impl Population {
    pub(crate) fn new(salt: &str, random: &mut fastrand::Rng) -> Self {
        let prefix = random.u64(..);
        let mut sum = 0.0;
        let mut users: Vec<User> = (0..USERS)
            .map(|n| {
                let id = format!("{prefix:x}-{n}");
                sum += normal(random).exp();
                User {
                    bucket: bucket(salt, &id),
                    group: group_of(&id),
                    until: sum,
                    slowness: (0.3 * normal(random)).exp(),
                    clicks: (CLICKS * (0.7 * normal(random) - 0.245).exp()).min(1.0),
                    is_known: random.f64() >= UNKNOWN,
                }
            })
            .collect();
        for user in &mut users {
            user.until /= sum;
        }
        Self(users)
    }

    fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let at = random.f64();
        self.0.partition_point(|user| user.until < at).min(self.0.len() - 1)
    }

    /// What is measured in one window with the candidate at this weight.
    pub(crate) fn window(
        &self,
        candidate: Candidate,
        weight_basis_points: u32,
        mirror_basis_points: u32,
        length_ms: u64,
        affected: &mut [bool],
        random: &mut fastrand::Rng,
    ) -> Window {
        let mut window = Window::new(2);
        let mut tallies: [Tally; 4] = Default::default();
        let mut present = vec![false; USERS];
        // All users' answers are slower in some windows.
        let weather = (0.2 * normal(random)).exp();
        let arrivals = arrivals(RATE * length_ms as f64 / 1_000.0, random);
        for _ in 0..arrivals {
            let n = self.draw(random);
            let user = &self.0[n];
            let arm = usize::from(user.bucket < weight_basis_points);
            affected[n] |= arm == 1;
            if !std::mem::replace(&mut present[n], true) {
                tallies[arm].measure(Measure::Users, user.group, 1.0);
            }
            let kind = if arm == 1 { candidate } else { Candidate::Same };
            answer(user, kind, weather, &mut tallies[arm], random);
            if random.u32(..10_000) < mirror_basis_points {
                for (arm, kind) in [(2, Candidate::Same), (3, candidate)] {
                    answer(user, kind, weather, &mut tallies[arm], random);
                }
                let overlap = overlap(candidate, random);
                window.mirror.overlap.add(user.group, overlap);
                window.mirror.rank_biased_overlap.add(user.group, overlap);
            }
        }
        let [baseline, candidate, mirrored_baseline, mirrored_candidate] =
            tallies.map(Tally::into_stats);
        window.arms = vec![baseline, candidate];
        window.mirror.arms = [mirrored_baseline, mirrored_candidate];
        window
    }
}

/// One answer, measured.
fn answer(user: &User, kind: Candidate, weather: f64, arm: &mut Tally, random: &mut fastrand::Rng) {
    let extra = if kind == Candidate::Slow { 20_000.0 } else { 0.0 };
    let noise = (0.5 * normal(random)).exp();
    let micros = LATENCY_MICROS * user.slowness * weather * noise + extra;
    let log = (micros + LATENCY_SLACK_MICROS as f64).ln();
    arm.measure(Measure::LogLatency, user.group, log);
    // To about two digits, as routers keep them.
    let whole = micros as u64;
    let lost = (whole.max(1).ilog2()).saturating_sub(6);
    *arm.latencies.entry((whole >> lost) << lost).or_insert(0) += 1;
    // One request of ten thousand fails anyway.
    let failing = if kind == Candidate::Errors { 0.01 } else { 0.0001 };
    if random.f64() < failing {
        arm.errors += 1;
        arm.measure(Measure::Failed, user.group, 1.0);
        return;
    }
    let is_empty = kind == Candidate::EmptyAnswers && random.f64() < 0.2;
    let (sameness, appeal) = match kind {
        Candidate::PopularOnly => (0.9, 0.7),
        Candidate::Shuffled => (0.0, 0.1),
        Candidate::Better => (0.15, 1.05),
        Candidate::Unloved => (0.15, 0.5),
        _ => (0.15, 1.0),
    };
    let same: f64 = (0..10).filter(|_| random.f64() < sameness).count() as f64 / 10.0;
    let clicks = !is_empty && random.f64() < user.clicks * appeal;
    arm.measure(Measure::Failed, user.group, 0.0);
    arm.measure(Measure::Empty, user.group, f64::from(u8::from(is_empty)));
    arm.measure(Measure::Partial, user.group, 0.0);
    arm.measure(Measure::Fallback, user.group, f64::from(u8::from(!user.is_known)));
    arm.measure(Measure::ListSimilarity, user.group, same);
    arm.measure(Measure::Clicks, user.group, f64::from(u8::from(clicks)));
    // Those who click play for twenty minutes on average, exponentially distributed.
    let played = if clicks { -1_200.0 * (1.0 - random.f64()).ln() } else { 0.0 };
    arm.measure(Measure::PlaySeconds, user.group, played);
}

/// How much of ten items both sides have.
fn overlap(candidate: Candidate, random: &mut fastrand::Rng) -> f64 {
    let common = match candidate {
        Candidate::Same | Candidate::Slow | Candidate::Errors | Candidate::EmptyAnswers => 1.0,
        Candidate::Better | Candidate::Unloved => 0.4,
        Candidate::PopularOnly => 0.15,
        Candidate::Shuffled => 0.003,
    };
    (0..10).filter(|_| random.f64() < common).count() as f64 / 10.0
}
