//! What was measured on mirrored requests.

use super::arm::ArmStats;
use super::grouped_sum::GroupedSum;

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
    /// Some of the pairs, newest last, at most [`MAX_DIFFS`](super::MAX_DIFFS).
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
    /// The baseline's first items, at most [`MAX_DIFF_ITEMS`](super::MAX_DIFF_ITEMS).
    pub baseline: Vec<String>,
    /// The candidate's first items, at most [`MAX_DIFF_ITEMS`](super::MAX_DIFF_ITEMS).
    pub candidate: Vec<String>,
}
