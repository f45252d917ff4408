//! What a call to a node is expected to cost: its latency lately, and how many calls wait there.
//!
//! The latency is a peak-sensitive moving average, as of Finagle's and linkerd's load balancers (`PeakEwma`): it jumps
//! to a slow call at once, and forgets it in seconds. It is measured in usual latencies of the group for the same kind
//! of call, so that nodes with different calls compare. Of two nodes the cheaper is asked (Mitzenmacher, "The Power of
//! Two Choices in Randomized Load Balancing", 2001).

use std::time::Duration;
use tokio::time::Instant;

/// The time in which a latency is forgotten to 37 %.
const DECAY: Duration = Duration::from_secs(2);
/// No node is cheaper: otherwise one that was not asked for a while would get all calls.
const LEAST: f64 = 0.1;

/// The peak-sensitive moving average of one node's latencies, in usual latencies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeakEwma {
    average: f64,
    at: Option<Instant>,
}

impl PeakEwma {
    /// Notes a call that took so many usual latencies.
    pub(crate) fn record(&mut self, latency: f64, now: Instant) {
        let kept = self.kept(now);
        self.average = latency.max(latency.mul_add(1.0 - kept, self.average * kept));
        self.at = Some(now);
    }

    /// What one more call costs while so many are under way.
    pub(crate) fn cost(&self, under_way: usize, now: Instant) -> f64 {
        (self.average * self.kept(now)).max(LEAST) * (under_way + 1) as f64
    }

    /// The part of the average that has not been forgotten.
    fn kept(&self, now: Instant) -> f64 {
        let age = self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_call_is_noticed_at_once_and_forgotten_in_seconds() {
        let (mut ewma, start) = (PeakEwma::default(), Instant::now());
        assert_eq!(ewma.cost(0, start), LEAST);
        ewma.record(1.0, start);
        ewma.record(50.0, start);
        assert!((ewma.cost(0, start) - 50.0).abs() < 1e-9);
        let mut now = start;
        for _ in 0..100 {
            now += Duration::from_millis(100);
            ewma.record(1.0, now);
        }
        assert!(ewma.cost(0, now) < 2.0, "{}", ewma.cost(0, now));
        assert!(ewma.cost(9, now) > 9.0, "and each call that waits counts");
    }
}
