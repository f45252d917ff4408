//! What a router makes of answers: windows by share, with rewards by the cohort of the answer. It is imitated here, because core
//! must not know the router.

use marquee_core::rollout::gate::{Gate, maturity_seconds, slow_beyond_micros};
use marquee_core::rollout::window::{ArmStats, GroupedSum, Latencies, Measure, UserCells, Window};
use std::collections::{BTreeMap, VecDeque};

/// Within so long the requests of a user are counted together.
const BLOCK_MS: u64 = 600_000;
/// The share of users that say how many requests of a user count.
const USUAL_SHARE: f64 = 0.99;
/// So many requests of a user count in any case.
const ALWAYS_COUNTED: usize = 8;
/// With fewer latencies of the baseline nothing is known of its quantiles.
const LEAST_LATENCIES: u64 = 100;
/// The older half of what is remembered of the baseline is dropped once the younger has so many latencies...
const LATENCIES_REMEMBERED: u64 = 2_000;
/// ...and is so old.
const LATENCIES_REMEMBERED_MS: u64 = 60_000;
/// The rewards that are simulated.
pub(crate) const REWARDS: [Measure; 2] = [Measure::Clicks, Measure::PlaySeconds];
/// Latencies are told apart by their first six bits: to 3 %.
const LATENCY_BITS: u32 = 6;
/// Classes of latencies up to two minutes.
const CLASSES: usize = 22 << LATENCY_BITS;

/// How often users have asked within a block of time.
#[derive(Default)]
pub(crate) struct RequestShare {
    began_ms: u64,
    /// How many requests each user sent in this block.
    requests: Vec<u32>,
    /// How many of them were counted.
    counted: Vec<u32>,
    /// How many users have asked so often.
    by_requests: Vec<u32>,
}

impl RequestShare {
    /// Begins another block if this one is over.
    pub(crate) fn expire(&mut self, now_ms: u64, users: usize) {
        if self.requests.is_empty() || now_ms >= self.began_ms + BLOCK_MS {
            let (requests, counted) = (vec![0; users], vec![0; users]);
            *self = Self { began_ms: now_ms, requests, counted, by_requests: vec![0] };
        }
    }

    /// One more request of a user.
    pub(crate) fn record(&mut self, user: usize) {
        let asked = self.requests[user] as usize;
        self.requests[user] += 1;
        if asked + 1 >= self.by_requests.len() {
            self.by_requests.resize(asked + 2, 0);
        }
        if asked > 0 {
            self.by_requests[asked] -= 1;
        }
        self.by_requests[asked + 1] += 1;
    }

    /// How many requests of a user count so far.
    pub(crate) fn limit(&self) -> u32 {
        let users: u32 = self.by_requests.iter().sum();
        let Some(last) = users.checked_sub(1) else { return ALWAYS_COUNTED as u32 };
        let above = last - (f64::from(last) * USUAL_SHARE) as u32;
        let mut seen = 0;
        let most_first = self.by_requests.iter().enumerate().rev();
        let usual = most_first.map(|(requests, &users)| {
            seen += users;
            (requests, seen)
        });
        let usual = usual.into_iter().find(|&(_, seen)| seen > above);
        usual.map_or(ALWAYS_COUNTED, |(requests, _)| requests.max(ALWAYS_COUNTED)) as u32
    }

    /// Whether another request of the user counts.
    pub(crate) fn admit(&mut self, user: usize, limit: u32) -> bool {
        let counts = self.counted[user] < limit;
        self.counted[user] += u32::from(counts);
        counts
    }
}

/// One arm's numbers while a window is measured, by place and not by key: there are many.
#[derive(Default)]
pub(crate) struct Tally {
    sums: [GroupedSum; Measure::ALL.len()],
    errors: u64,
    latencies: Vec<u64>,
    users_with: BTreeMap<Measure, UserCells>,
}

impl Tally {
    pub(crate) fn measure(&mut self, measure: Measure, group: usize, value: f64) {
        self.sums[measure as usize].add(group, value);
    }

    /// Adds 1 where the fault happened to this user, else 0.
    pub(crate) fn fault(&mut self, fault: Measure, group: usize, user: u64, has_it: bool) {
        self.measure(fault, group, f64::from(u8::from(has_it)));
        if has_it {
            self.users_with.entry(fault).or_default().add_user(user);
            self.errors += u64::from(fault == Measure::Failed);
        }
    }

    pub(crate) fn latency(&mut self, micros: u64) {
        let lost = (micros.max(1).ilog2() + 1).saturating_sub(LATENCY_BITS);
        let class = ((lost as usize) << LATENCY_BITS) + (micros >> lost) as usize;
        self.latencies.resize(CLASSES, 0);
        self.latencies[class.min(CLASSES - 1)] += 1;
    }

    pub(crate) fn into_stats(self) -> ArmStats {
        let measured = Measure::ALL.into_iter().zip(self.sums);
        let classes = self.latencies.into_iter().enumerate().filter(|(_, count)| *count > 0);
        let latencies = classes.map(|(class, count)| {
            let low = (class % (1 << LATENCY_BITS)) as u64;
            (low << (class >> LATENCY_BITS), count)
        });
        ArmStats {
            errors: if self.errors > 0 { [(14, self.errors)].into() } else { BTreeMap::new() },
            latencies: Latencies(latencies.collect()),
            measures: measured.filter(|(_, sums)| sums.total() > 0).collect(),
            users_with: self.users_with,
            ..ArmStats::default()
        }
    }
}

/// The baseline's latencies of the last minutes.
#[derive(Default)]
pub(crate) struct UsualLatencies {
    recent: Latencies,
    older: Latencies,
    recent_ms: u64,
}

/// Beyond which latency the answers of baseline and candidate are slow, in µs, by measure.
pub(crate) type SlowBounds = Vec<(Measure, [u64; 2])>;

impl UsualLatencies {
    pub(crate) fn add(&mut self, latencies: &Latencies, length_ms: u64) {
        self.recent.absorb(latencies);
        self.recent_ms += length_ms;
        if self.recent_ms >= LATENCIES_REMEMBERED_MS && self.recent.total() >= LATENCIES_REMEMBERED
        {
            self.older = std::mem::take(&mut self.recent);
            self.recent_ms = 0;
        }
    }

    pub(crate) fn bounds(&self, gates: &[Gate]) -> SlowBounds {
        let mut all = self.recent.clone();
        all.absorb(&self.older);
        let is_known = all.total() >= LEAST_LATENCIES;
        let mut bounds = SlowBounds::new();
        for gate in gates {
            let (Some(tail), Some(measure)) = (gate.metric.tail(), gate.metric.measure()) else {
                continue;
            };
            let usual = all.quantile(1.0 - tail).filter(|_| is_known);
            let beyond = |is_candidate| slow_beyond_micros(gate, is_candidate, usual);
            if let (Some(baseline), Some(candidate)) = (beyond(false), beyond(true)) {
                bounds.push((measure, [baseline, candidate]));
            }
        }
        bounds
    }
}

/// What waits of the answers of one window: of each arm, by reward, answers with what came of them, and the same answers with
/// what their users did before.
pub(crate) type CohortSums = [[[GroupedSum; 2]; REWARDS.len()]; 2];

/// What waits of both arms for one reward: when the time is over, in ms, the share at which the answers were given, and for each arm
/// the answers with what came of them, and with what their users did before.
type Waiting = (u64, u32, [[GroupedSum; 2]; 2]);

/// Answers whose time for rewards is not over.
pub(crate) struct Cohorts {
    /// How long answers have time for each reward, in ms.
    pub(crate) maturity_ms: [u64; REWARDS.len()],
    /// The first due first, by reward.
    waiting: [VecDeque<Waiting>; REWARDS.len()],
}

impl Cohorts {
    pub(crate) fn new(gates: &[Gate]) -> Self {
        let maturity_ms = REWARDS.map(|reward| 1_000 * u64::from(maturity_seconds(gates, reward)));
        Self { maturity_ms, waiting: Default::default() }
    }

    /// Adds the answers of a window that ends now.
    pub(crate) fn add(&mut self, now_ms: u64, weight_basis_points: u32, sums: CohortSums) {
        let [mut baseline, mut candidate] = sums;
        for (kind, waiting) in self.waiting.iter_mut().enumerate() {
            let arms = [std::mem::take(&mut baseline[kind]), std::mem::take(&mut candidate[kind])];
            waiting.push_back((now_ms + self.maturity_ms[kind], weight_basis_points, arms));
        }
    }

    /// Adds the rewards of all cohorts whose time is over to windows of their share.
    pub(crate) fn take_due(&mut self, now_ms: u64, windows: &mut BTreeMap<u32, Window>) {
        for (waiting, measure) in self.waiting.iter_mut().zip(REWARDS) {
            while waiting.front().is_some_and(|(due_ms, ..)| *due_ms <= now_ms) {
                let Some((_, weight, arms)) = waiting.pop_front() else { break };
                let window = windows.entry(weight).or_insert_with(|| Window::new(2));
                for (stats, [rewards, before]) in window.arms.iter_mut().zip(arms) {
                    stats.measures.entry(measure).or_default().absorb(&rewards);
                    if let Some(measure) = measure.before() {
                        stats.measures.entry(measure).or_default().absorb(&before);
                    }
                }
            }
        }
    }
}
