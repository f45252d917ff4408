//! Requests of users, what the variants answer, and what is measured of it.

use super::chance::{exponential, normal, poisson};
use super::telemetry::{
    CohortSums, Cohorts, REWARDS, RequestShare, SlowBounds, Tally, UsualLatencies,
};
use super::world::{PLAY_SECONDS, Population, Trouble, User, World};
use marquee_core::rollout::window::{GroupedSum, LATENCY_SLACK_MICROS, Measure, Window};
use std::collections::BTreeMap;

/// Median latency, µs.
const LATENCY_MICROS: f64 = 10_000.0;
/// How often a request fails for no reason.
const FAILING: f64 = 0.0001;
/// Items that two lists are compared by.
const ITEMS: usize = 10;
/// Answers with lists in common that draws choose from.
const DRAWS: usize = 1 << 10;

/// What is wrong with a candidate, or right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// How often it is clicked, as a multiple of the baseline.
    pub(crate) clicks: f64,
    /// Added to each latency, µs.
    pub(crate) slower_micros: f64,
    /// Answers that take this long or longer, µs, take twice as long.
    pub(crate) doubles_beyond_micros: f64,
    /// How many requests fail for no reason.
    pub(crate) failing: f64,
    /// How many answers have no items.
    pub(crate) empty: f64,
    /// How many of the users get fallback answers.
    pub(crate) falling_back: f64,
    /// How many items two users' lists have in common.
    pub(crate) similarity: f64,
    /// How many items its lists have in common with the baseline's.
    pub(crate) overlap: f64,
    /// How many items its list for a user has in common with the baseline's list for another.
    pub(crate) overlap_with_others: f64,
    /// All this begins after so long, in ms; until then it is the same as the baseline.
    pub(crate) begins_ms: u64,
}

impl Candidate {
    /// The same answers.
    pub(crate) const SAME: Self = Self {
        clicks: 1.0,
        slower_micros: 0.0,
        doubles_beyond_micros: f64::INFINITY,
        failing: FAILING,
        empty: 0.0,
        falling_back: 0.0,
        similarity: 0.15,
        overlap: 1.0,
        overlap_with_others: 0.15,
        begins_ms: 0,
    };

    /// Other lists, clicked so often.
    pub(crate) const fn clicked(clicks: f64) -> Self {
        Self { clicks, overlap: 0.4, overlap_with_others: 0.1, ..Self::SAME }
    }
}

/// Whether so many items are in common: a table to draw from.
struct InCommon(Vec<f64>);

impl InCommon {
    fn new(share: f64, random: &mut fastrand::Rng) -> Self {
        let count = |random: &mut fastrand::Rng| {
            (0..ITEMS).filter(|_| random.f64() < share).count() as f64 / ITEMS as f64
        };
        Self((0..DRAWS).map(|_| count(random)).collect())
    }

    fn draw(&self, random: &mut fastrand::Rng) -> f64 {
        self.0[random.usize(..DRAWS)]
    }
}

/// What users ask during a rollout, and what is measured of it.
pub(crate) struct Traffic<'a> {
    world: &'a World,
    /// Of baseline and candidate.
    variants: [Candidate; 2],
    similarity: [InCommon; 2],
    overlap: [InCommon; 2],
    overlap_with_others: [InCommon; 2],
    population: Population,
    /// Whether a user has met the candidate as it is when it is not as the baseline.
    pub(crate) affected: Vec<bool>,
    /// The number of the last window that a user was seen in.
    seen: Vec<u64>,
    windows: u64,
    weather: f64,
    asked: [RequestShare; 2],
    asked_at_weight: u32,
    /// Of answers to callers and to mirrored requests.
    usual: [UsualLatencies; 2],
    cohorts: Cohorts,
    random: fastrand::Rng,
}

#[derive(Clone, Copy)]
struct Request {
    user: usize,
    /// How much more, or less, the user clicks than usual.
    mood: f64,
    is_mirrored: bool,
}

/// What a window is measured under.
struct Conditions {
    trouble: Option<Trouble>,
    /// How much slower everything is.
    slowness: f64,
    unknown: f64,
    clicks: f64,
    has_begun: bool,
}

impl<'a> Traffic<'a> {
    pub(crate) fn new(world: &'a World, candidate: Candidate, salt: &str, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let population = Population::new(world, salt, &mut random);
        let users = population.users.len();
        let variants = [Candidate::SAME, candidate];
        Self {
            world,
            variants,
            similarity: variants.map(|it| InCommon::new(it.similarity, &mut random)),
            overlap: variants.map(|it| InCommon::new(it.overlap, &mut random)),
            overlap_with_others: variants
                .map(|it| InCommon::new(it.overlap_with_others, &mut random)),
            population,
            affected: vec![false; users],
            seen: vec![0; users],
            windows: 0,
            weather: 1.0,
            asked: Default::default(),
            asked_at_weight: 0,
            usual: Default::default(),
            cohorts: Cohorts::new(&world.gates),
            random,
        }
    }

    /// What is measured in the window that ends now, by the candidate's share when it was answered: the last is the
    /// present share, others have what came of earlier answers.
    pub(crate) fn windows(
        &mut self,
        now_ms: u64,
        weight_basis_points: u32,
        mirror_basis_points: u32,
    ) -> Vec<(u32, Window)> {
        let began_ms = now_ms - self.world.window_ms;
        let conditions = self.conditions(began_ms);
        let users = self.population.users.len();
        if self.asked_at_weight != weight_basis_points {
            (self.asked, self.asked_at_weight) = (Default::default(), weight_basis_points);
        }
        self.asked.iter_mut().for_each(|asked| asked.expire(began_ms, users));

        let length_seconds = self.world.window_ms as f64 / 1_000.0;
        let count = poisson(self.world.rate_at(began_ms) * length_seconds, &mut self.random);
        let mut window = Window::new(2);
        let mut tallies: [Tally; 4] = Default::default();
        let mut cohort = CohortSums::default();
        let slow = self.usual.each_ref().map(|usual| usual.bounds(&self.world.gates));
        let asked = self.ask(count, mirror_basis_points);
        let limits = self.asked.each_ref().map(RequestShare::limit);
        for Request { user: n, mood, is_mirrored } in asked {
            let arm = usize::from(self.population.users[n].bucket < weight_basis_points);
            if !self.asked[0].admit(n, limits[0]) {
                window.capped += 1;
                continue;
            }
            self.affected[n] |= arm == 1 && conditions.has_begun;
            let group = self.population.users[n].group;
            if std::mem::replace(&mut self.seen[n], self.windows) != self.windows {
                tallies[arm].measure(Measure::Users, group, 1.0);
            }
            let is_answered = self.answer(n, arm, &conditions, &slow[0], &mut tallies[arm]);
            if is_answered {
                window.late +=
                    self.reward(n, arm, mood * conditions.clicks, &conditions, &mut cohort[arm]);
            }
            if is_mirrored && self.asked[1].admit(n, limits[1]) {
                for arm in 0..2 {
                    self.answer(n, arm, &conditions, &slow[1], &mut tallies[2 + arm]);
                }
                let variant = usize::from(conditions.has_begun);
                let overlap = self.overlap[variant].draw(&mut self.random);
                window.mirror.overlap.add(group, overlap);
                window.mirror.rank_biased_overlap.add(group, overlap);
                let of_baseline = 1.0 - self.overlap_with_others[0].draw(&mut self.random);
                let of_candidate =
                    overlap - self.overlap_with_others[variant].draw(&mut self.random);
                tallies[2].measure(Measure::Personalisation, group, of_baseline);
                tallies[3].measure(Measure::Personalisation, group, of_candidate);
            }
        }
        let [baseline, candidate, mirrored_baseline, mirrored_candidate] =
            tallies.map(Tally::into_stats);
        window.arms = vec![baseline, candidate];
        window.mirror.arms = [mirrored_baseline, mirrored_candidate];
        self.usual[0].add(&window.arms[0].latencies, self.world.window_ms);
        self.usual[1].add(&window.mirror.arms[0].latencies, self.world.window_ms);

        let mut windows = BTreeMap::new();
        if count > 0 {
            self.cohorts.add(now_ms, weight_basis_points, cohort);
            windows.insert(weight_basis_points, window);
        }
        self.cohorts.take_due(now_ms, &mut windows);
        windows.into_iter().collect()
    }

    fn conditions(&mut self, began_ms: u64) -> Conditions {
        let world = self.world;
        if self.windows.is_multiple_of(world.weather_windows) {
            self.weather = (world.weather * normal(&mut self.random)).exp();
        }
        self.windows += 1;
        let trouble = world.trouble_at(began_ms);
        let slower = match trouble {
            Some(Trouble::Slower) => 3.0,
            Some(Trouble::ShardLost) => 1.5,
            Some(Trouble::AllPartial | Trouble::NewUsers) | None => 1.0,
        };
        Conditions {
            trouble,
            slowness: self.weather * slower,
            unknown: if trouble == Some(Trouble::NewUsers) { 0.3 } else { world.unknown },
            clicks: world.clicks_at(began_ms),
            has_begun: began_ms >= self.variants[1].begins_ms,
        }
    }

    /// Which users come, in which order.
    fn ask(&mut self, count: usize, mirror_basis_points: u32) -> Vec<Request> {
        let goes_on = 1.0 - 1.0 / self.world.session;
        let random = &mut self.random;
        let mut requests: Vec<Request> = Vec::with_capacity(count);
        for _ in 0..count {
            let is_mirrored = random.u32(..10_000) < mirror_basis_points;
            let request = match requests.last() {
                Some(&last) if goes_on > 0.0 && random.f64() < goes_on => {
                    Request { is_mirrored, ..last }
                }
                _ => {
                    let mood = if goes_on > 0.0 { (normal(random) - 0.5).exp() } else { 1.0 };
                    Request { user: self.population.by_activity.draw(random), mood, is_mirrored }
                }
            };
            self.asked[0].record(request.user);
            if is_mirrored {
                self.asked[1].record(request.user);
            }
            requests.push(request);
        }
        requests
    }

    /// Measures one answer; whether it was one.
    fn answer(
        &mut self,
        n: usize,
        arm: usize,
        conditions: &Conditions,
        slow: &SlowBounds,
        tally: &mut Tally,
    ) -> bool {
        let user = &self.population.users[n];
        let random = &mut self.random;
        let variant = usize::from(arm == 1 && conditions.has_begun);
        let candidate = &self.variants[variant];
        let noise = (0.5 * normal(random)).exp();
        let usual = LATENCY_MICROS * user.slowness * conditions.slowness * noise;
        let times = if usual >= candidate.doubles_beyond_micros { 2.0 } else { 1.0 };
        let micros = (usual * times + candidate.slower_micros) as u64;
        let &User { group, hash, place, .. } = user;
        tally.measure(Measure::LogLatency, group, ((micros + LATENCY_SLACK_MICROS) as f64).ln());
        for &(measure, beyond) in slow {
            tally.fault(measure, group, hash, micros > beyond[arm]);
        }
        tally.latency(micros);
        let is_lost = conditions.trouble == Some(Trouble::ShardLost) && place >= 0.75;
        let failed = is_lost || random.f64() < candidate.failing.max(user.failing);
        tally.fault(Measure::Failed, group, hash, failed);
        if failed {
            return false;
        }
        // By another part of the place than what is unknown to both.
        let falls_back = place < conditions.unknown || 1.0 - place < candidate.falling_back;
        let is_empty = candidate.empty > 0.0 && random.f64() < candidate.empty;
        let is_partial = conditions.trouble == Some(Trouble::AllPartial);
        tally.fault(Measure::Empty, group, hash, is_empty);
        tally.fault(Measure::Partial, group, hash, is_partial);
        tally.fault(Measure::Fallback, group, hash, falls_back);
        if !is_empty {
            tally.measure(Measure::ListSimilarity, group, self.similarity[variant].draw(random));
        }
        true
    }

    /// Measures what comes of one answer; how many rewards come too late. `clicks`: as a multiple of how often the user
    /// clicks usually.
    fn reward(
        &mut self,
        n: usize,
        arm: usize,
        clicks: f64,
        conditions: &Conditions,
        cohort: &mut [[GroupedSum; 2]; REWARDS.len()],
    ) -> u64 {
        let user = &self.population.users[n];
        let random = &mut self.random;
        let candidate = &self.variants[usize::from(arm == 1 && conditions.has_begun)];
        let clicks = user.clicks * clicks * candidate.clicks * (1.0 - candidate.empty);
        let (mut values, mut late) = ([0.0; REWARDS.len()], 0);
        if random.f64() < clicks {
            let delay = self.world.click_delay_seconds * 0.5 * (1.0 + exponential(random));
            let played = PLAY_SECONDS * exponential(random);
            // What is played is reported when it is over.
            for (kind, (value, seconds)) in
                [(1.0, delay), (played, delay + played)].iter().enumerate()
            {
                if seconds * 1_000.0 <= self.cohorts.maturity_ms[kind] as f64 {
                    values[kind] = *value;
                } else {
                    late += 1;
                }
            }
        }
        for (kind, [rewards, before]) in cohort.iter_mut().enumerate() {
            rewards.add(user.group, values[kind]);
            before.add(user.group, user.before[kind]);
        }
        late
    }
}
