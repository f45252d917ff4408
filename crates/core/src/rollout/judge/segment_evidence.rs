//! What was measured of each segment while the arms had one share.

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::window::{SegmentStats, Window, absorb_segments};
use std::collections::BTreeMap;

/// What was measured of each segment at one share of the last arm. What changes over time is in all arms alike then, so
/// they can be compared; sums over several shares could not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentEvidence {
    /// The share, in 1/10,000.
    pub weight_basis_points: u32,
    /// The sums, by the segment's name.
    pub segments: BTreeMap<String, SegmentStats>,
}

impl SegmentEvidence {
    /// Adds a window that was measured at the present share. Another share begins anew, unless one arm has all of it: there is
    /// nothing to compare then, and what was measured last stays.
    pub(super) fn absorb(&mut self, weight_basis_points: u32, window: &Window) {
        if weight_basis_points != self.weight_basis_points {
            if !(1..FULL_WEIGHT_BASIS_POINTS).contains(&weight_basis_points) {
                return;
            }
            *self = Self { weight_basis_points, segments: BTreeMap::new() };
        }
        absorb_segments(&mut self.segments, &window.segments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::MAX_SEGMENTS;
    use crate::rollout::window::Measure;

    fn window(segment: &str, answers: usize) -> Window {
        let mut window = Window::new(2);
        let mut stats = SegmentStats::new(2);
        for n in 0..answers {
            stats.arms[1].entry(Measure::Failed).or_default().add(n, 0.0);
        }
        window.segments.insert(segment.into(), stats);
        window
    }

    fn answers(evidence: &SegmentEvidence, segment: &str) -> u64 {
        let stats = evidence.segments.get(segment);
        stats.map_or(0, |stats| stats.arms[1][&Measure::Failed].total())
    }

    #[test]
    fn shares_are_not_mixed_and_the_last_that_can_be_compared_stays() {
        let mut evidence = SegmentEvidence::default();
        evidence.absorb(100, &window("a=1", 3));
        evidence.absorb(100, &window("a=1", 4));
        assert_eq!(answers(&evidence, "a=1"), 7);
        evidence.absorb(5_000, &window("a=1", 2));
        for alone in [0, 10_000] {
            evidence.absorb(alone, &window("a=1", 9));
        }
        assert_eq!((evidence.weight_basis_points, answers(&evidence, "a=1")), (5_000, 2));
    }

    #[test]
    fn segments_are_bounded() {
        let (mut evidence, mut sum) = (SegmentEvidence::default(), Window::new(2));
        for n in 0..MAX_SEGMENTS + 5 {
            let one = window(&format!("a={n}"), 1);
            evidence.absorb(100, &one);
            // The leader adds up the windows of routers, of which each may name others.
            sum.absorb(&one);
        }
        assert_eq!(evidence.segments.len(), MAX_SEGMENTS);
        assert_eq!(sum.segments.len(), MAX_SEGMENTS, "or nobody could read the command with it");
    }
}
