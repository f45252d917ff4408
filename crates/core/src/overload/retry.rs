//! When a caller that was refused should come again.

use std::time::Duration;

/// Nobody is asked to come again sooner: some windows of the limit.
pub const SHORTEST_RETRY: Duration = Duration::from_millis(100);
/// Nobody is asked to wait for longer: a flood that has ended is forgotten sooner.
pub const LONGEST_RETRY: Duration = Duration::from_millis(500);

/// The time after which to come again; `random` (0..=1) spreads callers that are refused in the same moment, who would
/// be the next flood.
pub fn retry_after(random: f64) -> Duration {
    SHORTEST_RETRY + (LONGEST_RETRY - SHORTEST_RETRY).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_spread_within_bounds() {
        assert_eq!(retry_after(0.0), SHORTEST_RETRY);
        assert_eq!(retry_after(1.0), LONGEST_RETRY);
        assert!(retry_after(0.4) < retry_after(0.6));
        assert_eq!(retry_after(f64::INFINITY), LONGEST_RETRY);
    }
}
