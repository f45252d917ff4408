//! The world that a rollout takes place in: its users, the hours of its day, and what goes wrong in it for all.

use super::chance::{Alias, exponential, normal, poisson};
use marquee_core::plan::assignment::bucket;
use marquee_core::rollout::gate::{Gate, default_gates};
use marquee_core::rollout::window::{group_of_hash, hash_user};

/// Clicks an answer, of the average user.
pub(crate) const CLICKS: f64 = 0.1;
/// Seconds that those who click play on average.
pub(crate) const PLAY_SECONDS: f64 = 240.0;
/// How long routers have seen the users before the rollout, in seconds.
const SECONDS_BEFORE: f64 = 3_600.0;
/// Answers of the average user that routers add to a user's own when they say what the user did before.
const PRIOR_ANSWERS: f64 = 10.0;
const DAY_MS: f64 = 86_400_000.0;
pub(crate) const MINUTE_MS: u64 = 60_000;

/// What happens to both variants alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// All answers lack a shard.
    AllPartial,
    /// Everything takes three times as long.
    Slower,
    /// Three users of ten are unknown, instead of one.
    NewUsers,
    /// A quarter of the users get errors, and all others wait longer.
    ShardLost,
}

/// A user who is not like the others, and has the candidate from the first step on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OddUser {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Whether all of the requests fail: their deadline is 2 ms.
    pub(crate) always_fails: bool,
}

/// A surface and those who come to it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) users: usize,
    /// Requests a second, on average over the day.
    pub(crate) rate: f64,
    /// Shares of the candidate in 1/10,000, and for how many seconds each.
    pub(crate) steps: Vec<(u32, u64)>,
    pub(crate) gates: Vec<Gate>,
    /// Between windows. Routers send one every two seconds; fewer and larger ones make the same sums.
    pub(crate) window_ms: u64,
    /// How far the day's rate of clicks is from its mean at most, as a part of it. It falls for twelve hours, or rises if
    /// this is negative.
    pub(crate) click_swing: f64,
    /// The same of the number of requests.
    pub(crate) traffic_swing: f64,
    /// How long after the answer clicks arrive on average, in seconds. The first come after half of the time.
    pub(crate) click_delay_seconds: f64,
    /// How much slower or faster all answers of a user are: the standard deviation of the logarithm.
    pub(crate) slowness: f64,
    /// How much slower or faster all answers of a window are: the standard deviation of the logarithm.
    pub(crate) weather: f64,
    /// For how many windows weather lasts.
    pub(crate) weather_windows: u64,
    /// Share of the users that no bundle knows.
    pub(crate) unknown: f64,
    /// Share of the users whose requests always fail.
    pub(crate) always_failing: f64,
    /// Share of the users whose requests fail half of the time.
    pub(crate) half_failing: f64,
    pub(crate) odd_user: Option<OddUser>,
    /// Requests that a user sends in a row, on average, in one mood: some click a lot then, others not at all.
    pub(crate) session: f64,
    pub(crate) trouble: Option<Trouble>,
    /// When there is trouble, in ms.
    pub(crate) trouble_ms: (u64, u64),
}

impl Default for World {
    /// 5,000 users, 50 requests a second, steps as an operator in a hurry takes them: ten minutes each.
    fn default() -> Self {
        Self {
            users: 5_000,
            rate: 50.0,
            steps: vec![(100, 600), (1_000, 600), (5_000, 600)],
            gates: default_gates(),
            window_ms: 30_000,
            click_swing: 0.0,
            traffic_swing: 0.0,
            click_delay_seconds: 15.0,
            slowness: 0.3,
            weather: 0.2,
            weather_windows: 1,
            unknown: 0.1,
            always_failing: 0.0,
            half_failing: 0.0,
            odd_user: None,
            session: 1.0,
            trouble: None,
            trouble_ms: (0, 0),
        }
    }
}

impl World {
    /// The same three shares, each for so many minutes.
    pub(crate) fn with_minutes_a_step(minutes: u64) -> Self {
        let steps = vec![(100, 60 * minutes), (1_000, 60 * minutes), (5_000, 60 * minutes)];
        Self { steps, window_ms: 30_000.min(10_000 * minutes), ..Self::default() }
    }

    /// Half a day with steps of four hours, few requests a second, and large windows, so that it runs fast.
    pub(crate) fn half_a_day(click_swing: f64) -> Self {
        let traffic_swing = click_swing.signum() * 0.5;
        let (rate, window_ms) = (5.0, 4 * MINUTE_MS);
        Self { rate, window_ms, click_swing, traffic_swing, ..Self::with_minutes_a_step(240) }
    }

    /// With trouble from one minute into the last step on.
    pub(crate) fn troubled(trouble: Trouble, seconds: u64) -> Self {
        let from_ms = 21 * MINUTE_MS;
        let trouble_ms = (from_ms, from_ms + 1_000 * seconds);
        Self { trouble: Some(trouble), trouble_ms, ..Self::default() }
    }

    /// How many times its mean something is that swings so far over the day.
    fn at_hour(swing: f64, now_ms: u64) -> f64 {
        1.0 + swing * (std::f64::consts::TAU * now_ms as f64 / DAY_MS).cos()
    }

    pub(crate) fn rate_at(&self, now_ms: u64) -> f64 {
        self.rate * Self::at_hour(self.traffic_swing, now_ms)
    }

    pub(crate) fn clicks_at(&self, now_ms: u64) -> f64 {
        Self::at_hour(self.click_swing, now_ms)
    }

    pub(crate) fn trouble_at(&self, now_ms: u64) -> Option<Trouble> {
        let (from_ms, until_ms) = self.trouble_ms;
        self.trouble.filter(|_| (from_ms..until_ms).contains(&now_ms))
    }

    /// How long all steps take together, in ms.
    pub(crate) fn steps_ms(&self) -> u64 {
        self.steps.iter().map(|(_, seconds)| 1_000 * seconds).sum()
    }
}

/// One who comes to a surface.
pub(crate) struct User {
    pub(crate) bucket: u32,
    pub(crate) group: usize,
    pub(crate) hash: u64,
    pub(crate) slowness: f64,
    /// Clicks an answer.
    pub(crate) clicks: f64,
    /// What routers saw before the rollout: how many more clicks for each answer than of all users, and seconds played.
    pub(crate) before: [f64; 2],
    /// In 0..1: unknown where it is below the share of unknown users, and in a lost shard by another part of it.
    pub(crate) place: f64,
    /// How often a request fails.
    pub(crate) failing: f64,
}

/// All users who come to a surface during a rollout.
pub(crate) struct Population {
    pub(crate) users: Vec<User>,
    pub(crate) by_activity: Alias,
}

impl Population {
    /// Users differ in how often they come (log-normal), how long their answers take, and how often they click.
    pub(crate) fn new(world: &World, salt: &str, random: &mut fastrand::Rng) -> Self {
        let prefix = random.u64(..);
        let mut activities: Vec<f64> = (0..world.users).map(|_| normal(random).exp()).collect();
        let total: f64 = activities.iter().sum();
        let mut users: Vec<User> = activities
            .iter()
            .enumerate()
            .map(|(n, activity)| {
                let id = format!("{prefix:x}-{n}");
                let hash = hash_user(&id);
                let clicks = (CLICKS * (0.7 * normal(random) - 0.245).exp()).min(1.0);
                let failing = match random.f64() {
                    chance if chance < world.always_failing => 1.0,
                    chance if chance < world.always_failing + world.half_failing => 0.5,
                    _ => 0.0,
                };
                let answers = world.rate * SECONDS_BEFORE * activity / total;
                User {
                    bucket: bucket(salt, &id),
                    group: group_of_hash(hash),
                    hash,
                    slowness: (world.slowness * normal(random)).exp(),
                    clicks,
                    before: before(answers * (1.0 - failing), clicks, random),
                    place: random.f64(),
                    failing,
                }
            })
            .collect();
        if let Some(odd) = world.odd_user {
            activities.push(total * odd.rate / world.rate);
            let hash = hash_user(&format!("{prefix:x}-odd"));
            users.push(User {
                bucket: 0,
                group: group_of_hash(hash),
                hash,
                slowness: 1.0,
                clicks: 0.0,
                before: before(odd.rate * SECONDS_BEFORE, 0.0, random),
                place: 0.9,
                failing: f64::from(u8::from(odd.always_fails)),
            });
        }
        Self { users, by_activity: Alias::new(&activities) }
    }
}

/// What routers saw of a user with so many requests and clicks.
fn before(answers: f64, clicks: f64, random: &mut fastrand::Rng) -> [f64; 2] {
    let answers = poisson(answers, random) as f64;
    let clicked = (poisson(answers * clicks, random) as f64).min(answers);
    let played: f64 = (0..clicked as usize).map(|_| PLAY_SECONDS * exponential(random)).sum();
    let of_all = [CLICKS, CLICKS * PLAY_SECONDS].map(|mean| mean * answers);
    [clicked - of_all[0], played - of_all[1]].map(|more| more / (answers + PRIOR_ANSWERS))
}
