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

mod arm;
mod cells;
mod group;
mod grouped_sum;
mod interleaved;
mod latencies;
mod measure;
mod mirror;
mod segment;

pub use arm::ArmStats;
pub use cells::{USER_CELLS, UserCells};
pub use group::{GROUPS, group_of, group_of_hash, hash_item, hash_user};
pub use grouped_sum::GroupedSum;
pub use interleaved::InterleavedStats;
pub use latencies::Latencies;
pub use measure::Measure;
pub use mirror::{MirrorDiff, MirrorStats};
pub use segment::{MeasuredSums, SEGMENT_MEASURES, SegmentStats, absorb_segments};

use std::collections::BTreeMap;

/// How long a router's window is, and how long the leader adds windows up before it judges, in ms: short
/// enough to roll a bad candidate back within seconds, and long enough that messages are few.
pub const WINDOW_MS: u64 = 2_000;
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
    /// What was measured on interleaved answers. Rollouts only.
    pub interleaved: InterleavedStats,
    /// What was measured of each segment of requests, by its name. Trials only.
    pub segments: BTreeMap<String, SegmentStats>,
    /// How many requests look like automated traffic. They are counted nowhere else.
    pub automated: u64,
    /// How many requests were not counted because their user had sent more than almost all others.
    pub capped: u64,
    /// How many rewards came after their answer's time for them was over. They count for no arm.
    pub late: u64,
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
        self.interleaved.absorb(&other.interleaved);
        absorb_segments(&mut self.segments, &other.segments);
        self.automated += other.automated;
        self.capped += other.capped;
        self.late += other.late;
        self.dropped += other.dropped;
    }
}
