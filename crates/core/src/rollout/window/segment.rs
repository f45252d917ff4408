//! What the answers of one segment of requests were like.

use super::grouped_sum::GroupedSum;
use super::measure::Measure;
use crate::bounds::MAX_SEGMENTS;
use std::collections::BTreeMap;

/// What is measured of each segment: what an operator would look for in one. Of all requests together there is more.
pub const SEGMENT_MEASURES: [Measure; 7] = [
    Measure::Failed,
    Measure::Empty,
    Measure::Fallback,
    Measure::LogLatency,
    Measure::Clicks,
    Measure::PlaySeconds,
    Measure::Purchases,
];

/// Counts and sums of each measure that was taken of an arm.
pub type MeasuredSums = BTreeMap<Measure, GroupedSum>;

/// What the answers of one segment of requests ([`crate::plan::Segments`]) were like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentStats {
    /// The sums of each arm, of [`SEGMENT_MEASURES`] only.
    pub arms: Vec<MeasuredSums>,
}

impl SegmentStats {
    /// Nothing measured of so many arms.
    pub fn new(arms: usize) -> Self {
        Self { arms: vec![MeasuredSums::new(); arms] }
    }

    /// Adds the answers of another.
    pub fn absorb(&mut self, other: &Self) {
        if self.arms.len() < other.arms.len() {
            self.arms.resize_with(other.arms.len(), MeasuredSums::new);
        }
        for (mine, theirs) in self.arms.iter_mut().zip(&other.arms) {
            for (&measure, sums) in theirs {
                mine.entry(measure).or_default().absorb(sums);
            }
        }
    }
}

/// Adds what was measured of segments, by name. Beyond [`MAX_SEGMENTS`] names further ones are left out: a surface has no more, so
/// a router that sends others makes them up.
pub fn absorb_segments(
    mine: &mut BTreeMap<String, SegmentStats>,
    theirs: &BTreeMap<String, SegmentStats>,
) {
    for (name, stats) in theirs {
        if mine.len() < MAX_SEGMENTS || mine.contains_key(name) {
            mine.entry(name.clone()).or_default().absorb(stats);
        }
    }
}
