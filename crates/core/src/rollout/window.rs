//! What routers measure of a trial: windows of counts and sums that can be added up.
//!
//! A *trial* is a rollout or an experiment: users are split over its *arms*, of which arm 0 is the baseline.
//! A router turns the answers of a few seconds into one [`Window`] for each trial; control adds the windows
//! of all routers up. Everything in a window is a count, a sum or a [sketch](crate::rollout::sketch), so
//! adding never loses anything, and no window names a user. What belongs to no trial is measured by surface,
//! as the one arm of a window of its own, and becomes [`crate::rollout::traffic`].
//!
//! **Groups.** Answers to one user resemble one another, so answers are no independent draws and their number
//! says too little about how sure a mean is. Users are therefore hashed into [`GROUPS`] groups, independent
//! of the split, and means are kept by group: groups share no user, so the spread of their means says how far
//! the whole may be off, whatever users do (the bucket method of Bakshy and Eckles, "Uncertainty in Online
//! Experiments with Dependent Data", KDD 2013, with groups in place of bootstraps).
//!
//! Deliberately missing: clocks and routers' buffers (the router has them), and what follows from the numbers
//! ([`crate::rollout::judge`]).

use crate::hash::{Purpose, stable_hash, stable_hash_of};
use crate::rollout::sketch::{Distinct, Scores};
use std::collections::BTreeMap;

/// How long a router's window is, and how long the leader adds windows up before it judges, in ms: short
/// enough to roll a bad candidate back within seconds, and long enough that messages are few.
pub const WINDOW_MS: u64 = 2_000;
/// How many groups of users means are kept by: enough for a standard error, few enough to send.
pub const GROUPS: usize = 64;
/// The most arms of a trial: as many as members of an ensemble.
pub const MAX_ARMS: usize = 8;
/// The most status codes that a window tells apart: gRPC has 17.
pub const MAX_CODES: usize = 17;
/// The most different latencies that a window tells apart: with two digits kept, 1 µs to an hour has fewer.
pub const MAX_LATENCIES: usize = 4_096;
/// The most pairs of answers that are kept of a trial: some 3 kB each at worst.
pub const MAX_DIFFS: usize = 20;
/// The most items of each variant in a kept pair: those that overlaps compare.
pub const MAX_DIFF_ITEMS: usize = 10;
/// Latencies are compared as if all were this much longer, in µs, because users do not notice 2 ms: twice 0.3
/// ms is no breach, twice 30 ms is.
pub const LATENCY_SLACK_MICROS: u64 = 2_000;

/// A hash of an item's id that is the same on every router.
pub fn hash_item(item_id: &str) -> u64 {
    stable_hash_of(Purpose::Item, item_id)
}

/// A hash of a user's id that is the same on every router.
pub fn hash_user(user_id: &str) -> u64 {
    stable_hash(Purpose::Group, &[user_id.as_bytes()])
}

/// The group that a user with this [hash](hash_user) belongs to, in `0..GROUPS`.
pub fn group_of_hash(hash: u64) -> usize {
    (hash % GROUPS as u64) as usize
}

/// The group that a user belongs to, in `0..GROUPS`.
pub fn group_of(user_id: &str) -> usize {
    group_of_hash(hash_user(user_id))
}

/// Counts and sums of values, by group of users.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupedSum {
    /// How many values there were, by group: [`GROUPS`] numbers.
    pub count: Vec<u64>,
    /// What they add up to, by group: [`GROUPS`] numbers.
    pub sum: Vec<f64>,
}

impl Default for GroupedSum {
    fn default() -> Self {
        Self { count: vec![0; GROUPS], sum: vec![0.0; GROUPS] }
    }
}

impl GroupedSum {
    /// Adds one value.
    pub fn add(&mut self, group: usize, value: f64) {
        self.count[group] += 1;
        self.sum[group] += value;
    }

    /// Adds the counts and sums of another.
    pub fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.count.iter_mut().zip(&other.count) {
            *mine += theirs;
        }
        for (mine, theirs) in self.sum.iter_mut().zip(&other.sum) {
            *mine += theirs;
        }
    }

    /// How many values there were.
    pub fn total(&self) -> u64 {
        self.count.iter().sum()
    }

    /// The mean of the values; none if there were none.
    pub fn mean(&self) -> Option<f64> {
        match self.total() {
            0 => None,
            total => Some(self.sum.iter().sum::<f64>() / total as f64),
        }
    }

    /// How many groups have a value.
    pub fn filled(&self) -> usize {
        self.count.iter().filter(|&&count| count > 0).count()
    }
}

/// The latencies that were seen, in µs, and how often each. Routers round them to two digits with an HDR
/// histogram, so that there are few different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies(pub BTreeMap<u64, u64>);

impl Latencies {
    /// Adds `count` latencies of `micros`.
    pub fn add(&mut self, micros: u64, count: u64) {
        *self.0.entry(micros).or_insert(0) += count;
    }

    /// Adds the latencies of another.
    pub fn absorb(&mut self, other: &Self) {
        for (&micros, &count) in &other.0 {
            self.add(micros, count);
        }
    }

    /// How many latencies there are.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many latencies are above `micros`.
    pub fn above(&self, micros: u64) -> u64 {
        self.0.range(micros.saturating_add(1)..).map(|(_, count)| count).sum()
    }

    /// The least latency, in µs, that at least `share` (0..=1) of all do not exceed; none if there are none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (share * self.total() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        self.0.iter().find_map(|(&micros, &count)| {
            below += count;
            (below >= wanted).then_some(micros)
        })
    }
}

/// What the answers of one arm were like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmStats {
    /// How many requests ended with each gRPC code other than OK. Errors that callers caused do not count.
    pub errors: BTreeMap<u32, u64>,
    /// How long answers took, errors included.
    pub latencies: Latencies,
    /// Counts and sums of each measure that was taken.
    pub measures: BTreeMap<Measure, GroupedSum>,
    /// The scores of the best items.
    pub scores: Scores,
    /// The different items among the first [`MAX_DIFF_ITEMS`] of all lists: how much of the catalogue was
    /// shown. It grows with the number of answers, so arms of different shares are compared by
    /// [`Measure::ListSimilarity`] instead.
    pub items: Distinct,
}

/// What a mean is taken of. All but the rewards have one value for each answer. Answers are counted for
/// rewards when they are given, and rewards are added to the sums when they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// 1 for an answer, 0 for an error. Its count is the number of requests.
    Answered,
    /// 1 for an answer without items.
    Empty,
    /// 1 for an answer that lacked shards or members.
    Partial,
    /// 1 for an answer by fallback.
    Fallback,
    /// ln(latency + [`LATENCY_SLACK_MICROS`]), in µs.
    LogLatency,
    /// List similarity across users: the share of the first ten items that the same arm's last answer to
    /// another user had too. It is near 1 where all users get the same.
    ListSimilarity,
    /// The best item's score.
    Score,
    /// Clicks that followed from an answer.
    Clicks,
    /// Seconds played that followed from an answer.
    PlaySeconds,
    /// Purchases that followed from an answer.
    Purchases,
    /// 1 for each user in each window.
    Users,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::Empty,
        Self::Partial,
        Self::Fallback,
        Self::LogLatency,
        Self::ListSimilarity,
        Self::Score,
        Self::Clicks,
        Self::PlaySeconds,
        Self::Purchases,
        Self::Users,
    ];

    /// The measures that events add to.
    pub const REWARDS: [Self; 3] = [Self::Clicks, Self::PlaySeconds, Self::Purchases];
}

impl ArmStats {
    /// How many requests there were, errors included.
    pub fn requests(&self) -> u64 {
        self.measures.get(&Measure::Answered).map_or(0, GroupedSum::total)
    }

    /// How many requests ended in an error.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Adds one value of an answer to a user of `group`.
    pub fn measure(&mut self, measure: Measure, group: usize, value: f64) {
        self.measures.entry(measure).or_default().add(group, value);
    }

    /// Adds a reward for an answer that was counted before.
    pub fn reward(&mut self, measure: Measure, group: usize, value: f64) {
        self.measures.entry(measure).or_default().sum[group] += value;
    }

    /// Adds the answers of another.
    pub fn absorb(&mut self, other: &Self) {
        for (&code, &count) in &other.errors {
            *self.errors.entry(code).or_insert(0) += count;
        }
        self.latencies.absorb(&other.latencies);
        for (&measure, theirs) in &other.measures {
            self.measures.entry(measure).or_default().absorb(theirs);
        }
        self.scores.absorb(&other.scores);
        self.items.absorb(&other.items);
    }
}

/// What was measured on requests that both variants of a rollout answered, of which only one was served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MirrorStats {
    /// The baseline's and the candidate's answers to these requests.
    pub arms: [ArmStats; 2],
    /// The share of the first ten items that both answers have.
    pub overlap: GroupedSum,
    /// Rank-biased overlap of the two lists (Webber, Moffat, Zobel 2010, p = 0.9, extrapolated).
    pub rank_biased_overlap: GroupedSum,
    /// How many requests were not mirrored because the router's budget was used up.
    pub skipped: u64,
    /// Some of the pairs, newest last, at most [`MAX_DIFFS`].
    pub diffs: Vec<MirrorDiff>,
}

/// What both variants answered to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MirrorDiff {
    /// The recommendation id of the answer that the caller got.
    pub recommendation_id: String,
    /// When it was answered, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The index of the arm that the caller got.
    pub served: usize,
    /// The share of the first ten items that both answers have.
    pub overlap: f64,
    /// The baseline's first items, at most [`MAX_DIFF_ITEMS`].
    pub baseline: Vec<String>,
    /// The candidate's first items, at most [`MAX_DIFF_ITEMS`].
    pub candidate: Vec<String>,
}

/// What a window measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A rollout or an experiment, by its id.
    Trial(String),
    /// The answers of a surface that belong to no trial, by the surface's name.
    Surface(String),
}

/// What was measured of a trial or a surface within some seconds, while the arms had the same shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// One entry for each arm; arm 0 is the baseline.
    pub arms: Vec<ArmStats>,
    /// What was measured on mirrored requests. Rollouts only.
    pub mirror: MirrorStats,
    /// How many requests look like automated traffic. They are counted nowhere else.
    pub automated: u64,
    /// How many observations did not fit into a router's buffer.
    pub dropped: u64,
}

impl Window {
    /// An empty window of so many arms.
    pub fn new(arms: usize) -> Self {
        Self { arms: vec![ArmStats::default(); arms], ..Self::default() }
    }

    /// Adds the window of another router, or a later one, of the same arms.
    pub fn absorb(&mut self, other: &Self) {
        if self.arms.len() < other.arms.len() {
            self.arms.resize_with(other.arms.len(), ArmStats::default);
        }
        for (mine, theirs) in self.arms.iter_mut().zip(&other.arms) {
            mine.absorb(theirs);
        }
        for (mine, theirs) in self.mirror.arms.iter_mut().zip(&other.mirror.arms) {
            mine.absorb(theirs);
        }
        self.mirror.overlap.absorb(&other.mirror.overlap);
        self.mirror.rank_biased_overlap.absorb(&other.mirror.rank_biased_overlap);
        self.mirror.skipped += other.mirror.skipped;
        self.mirror.diffs.extend_from_slice(&other.mirror.diffs);
        let old = self.mirror.diffs.len().saturating_sub(MAX_DIFFS);
        self.mirror.diffs.drain(..old);
        self.automated += other.automated;
        self.dropped += other.dropped;
    }
}
