//! Which answers are slow: slower than a latency gate allows. Pure.
//!
//! A quantile has no mean by groups of users, but the share of answers beyond a fixed latency has. For the gate of a quantile an
//! answer of the baseline is slow beyond what was the baseline's quantile shortly before, and one of the candidate beyond as many times that as
//! the gate allows: then both have equal shares where the candidate is just as slow as it may be.

use marquee_core::rollout::gate::{Gate, slow_beyond_micros};
use marquee_core::rollout::window::{Latencies, Measure};

/// With fewer latencies of the baseline nothing is known of its quantiles.
const LEAST_LATENCIES: u64 = 100;
/// The older half of what is remembered is dropped once the younger has so many latencies, of which 20 are beyond the 99th percentile...
const LATENCIES_REMEMBERED: u64 = 2_000;
/// ...and so many windows: a minute.
const WINDOWS_REMEMBERED: u32 = 30;

/// The baseline's latencies of the last minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsualLatencies {
    recent: Latencies,
    older: Latencies,
    /// Windows of the recent ones.
    windows: u32,
}

/// Beyond which latency the answers of baseline and candidate are slow, in µs, by measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SlowBounds(Vec<(Measure, [u64; 2])>);

impl UsualLatencies {
    /// Adds what was measured of the baseline in a window.
    pub(crate) fn add(&mut self, latencies: &Latencies) {
        self.recent.absorb(latencies);
        self.windows += 1;
        if self.windows >= WINDOWS_REMEMBERED && self.recent.total() >= LATENCIES_REMEMBERED {
            self.older = std::mem::take(&mut self.recent);
            self.windows = 0;
        }
    }

    /// The bounds that follow from these gates; none where too little is known of the baseline. The first gate of a quantile decides.
    pub(crate) fn bounds(&self, gates: &[Gate]) -> SlowBounds {
        let mut bounds: Vec<(Measure, [u64; 2])> = Vec::new();
        let mut decided = Vec::new();
        let mut known = None;
        for gate in gates {
            let (Some(tail), Some(measure)) = (gate.metric.tail(), gate.metric.measure()) else {
                continue;
            };
            if decided.contains(&measure) {
                continue;
            }
            decided.push(measure);
            let known = known.get_or_insert_with(|| self.known());
            let usual = known.as_ref().and_then(|known| known.quantile(1.0 - tail));
            let beyond = |is_candidate| slow_beyond_micros(gate, is_candidate, usual);
            if let (Some(baseline), Some(candidate)) = (beyond(false), beyond(true)) {
                bounds.push((measure, [baseline, candidate]));
            }
        }
        SlowBounds(bounds)
    }

    /// All that is remembered, if it is enough.
    fn known(&self) -> Option<Latencies> {
        if self.recent.total() + self.older.total() < LEAST_LATENCIES {
            return None;
        }
        let mut all = self.recent.clone();
        all.absorb(&self.older);
        Some(all)
    }
}

impl SlowBounds {
    /// For each measure that is taken, whether an answer of this arm was slow.
    pub(crate) fn compare(
        &self,
        arm: usize,
        micros: u64,
    ) -> impl Iterator<Item = (Measure, bool)> + '_ {
        let bounds = self.0.iter();
        bounds.filter_map(move |(measure, beyond)| Some((*measure, micros > *beyond.get(arm)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::gate::{Bound, Metric};

    fn latencies(micros: u64, count: u64) -> Latencies {
        let mut latencies = Latencies::default();
        latencies.add(micros, count);
        latencies
    }

    #[test]
    fn the_bounds_are_the_baselines_quantiles_before() {
        let gates = [
            Gate::new(Metric::LatencyP95, Bound::MaxRatio(1.5)),
            Gate::new(Metric::LatencyP99, Bound::Max(50.0)),
            Gate::new(Metric::ErrorRate, Bound::MaxRatio(1.2)),
            Gate::new(Metric::LatencyP95, Bound::Max(1.0)),
        ];
        let mut usual = UsualLatencies::default();
        usual.add(&latencies(10_000, 94));
        let fixed = (Measure::SlowP99, [50_000, 50_000]);
        assert_eq!(usual.bounds(&gates), SlowBounds(vec![fixed]), "too few for a quantile");
        usual.add(&latencies(30_000, 6));
        let bounds = usual.bounds(&gates);
        // 1.5 times the baseline's, both with 2 ms more.
        assert_eq!(bounds, SlowBounds(vec![(Measure::SlowP95, [30_000, 46_000]), fixed]));
        let slow = |arm, micros| bounds.compare(arm, micros).collect::<Vec<_>>();
        assert_eq!(slow(0, 30_000), [(Measure::SlowP95, false), (Measure::SlowP99, false)]);
        assert_eq!(slow(0, 30_001), [(Measure::SlowP95, true), (Measure::SlowP99, false)]);
        assert_eq!(slow(1, 46_000), [(Measure::SlowP95, false), (Measure::SlowP99, false)]);
        assert_eq!(slow(1, 50_001), [(Measure::SlowP95, true), (Measure::SlowP99, true)]);
        assert_eq!(slow(2, 50_001), [], "a rollout has two arms");
        assert_eq!(usual.bounds(&[]), SlowBounds::default());
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let gate = [Gate::new(Metric::LatencyP50, Bound::MaxRatio(2.0))];
        let median = |usual: &UsualLatencies| usual.bounds(&gate).0[0].1[0];
        let mut usual = UsualLatencies::default();
        for _ in 0..WINDOWS_REMEMBERED {
            usual.add(&latencies(10_000, 100));
        }
        for window in 0..2 * WINDOWS_REMEMBERED {
            usual.add(&latencies(90_000, 100));
            let expected = if window < WINDOWS_REMEMBERED - 1 { 10_000 } else { 90_000 };
            assert_eq!(median(&usual), expected, "window {window}");
        }
        // With little traffic it is remembered for longer.
        let mut usual = UsualLatencies::default();
        usual.add(&latencies(10_000, 1_000));
        (0..10 * WINDOWS_REMEMBERED).for_each(|_| usual.add(&latencies(90_000, 1)));
        assert_eq!(median(&usual), 10_000);
    }
}
