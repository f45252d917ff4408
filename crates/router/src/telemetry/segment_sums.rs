//! What was counted of the segments of an arm, compactly: a request is in few of them, and most groups of users have none. Pure.

use marquee_core::plan::SegmentSet;
use marquee_core::rollout::window::{Measure, SegmentStats};
use std::collections::BTreeMap;

/// Counts and sums by segment and group of users.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SegmentSums(BTreeMap<(u8, u8), CountAndSum>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct CountAndSum {
    count: u32,
    sum: f64,
}

impl SegmentSums {
    /// Adds an answer in these segments to a user of `group`.
    pub(crate) fn add_answer(&mut self, segments: SegmentSet, group: usize) {
        for segment in segments.numbers() {
            let known = self.0.entry((segment as u8, group as u8)).or_default();
            known.count = known.count.saturating_add(1);
        }
    }

    /// Adds what came of an answer in these segments that is counted elsewhere.
    pub(crate) fn add_reward(&mut self, segments: SegmentSet, group: usize, value: f64) {
        for segment in segments.numbers() {
            self.0.entry((segment as u8, group as u8)).or_default().sum += value;
        }
    }

    /// Adds the sums of another.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (&place, &CountAndSum { count, sum }) in &other.0 {
            let known = self.0.entry(place).or_default();
            known.count = known.count.saturating_add(count);
            known.sum += sum;
        }
    }

    /// Adds the sums to what a window has of an arm and a measure. `segments`: by number; what is of no segment among them is left out.
    pub(crate) fn add_to(&self, arm: usize, measure: Measure, segments: &mut [SegmentStats]) {
        for (&(segment, group), &CountAndSum { count, sum }) in &self.0 {
            let Some(stats) = segments.get_mut(usize::from(segment)) else { continue };
            let sums = stats.arms[arm].entry(measure).or_default();
            sums.count[usize::from(group)] += u64::from(count);
            sums.sum[usize::from(group)] += sum;
        }
    }
}
