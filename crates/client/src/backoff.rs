//! Growing waits between attempts.

use std::time::Duration;

/// The first wait: short, because mostly one node restarts while another answers.
pub const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait, and so the longest delay after control is back.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Counts failures and says how long to wait before the next attempt.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure and returns the wait: twice as long after each, within
    /// [`FIRST_WAIT`]..=[`LONGEST_WAIT`], less up to a half by `jitter` (0..=1), so that the nodes of a
    /// cluster do not try at the same moment.
    pub fn after_failure(&mut self, jitter: f64) -> Duration {
        let full = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Counts a success: the next wait is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_are_reset_by_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..7).map(|_| backoff.after_failure(0.0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.after_failure(1.0).as_millis(), 25);
        for _ in 0..100 {
            assert!(backoff.after_failure(0.5) <= LONGEST_WAIT);
        }
    }
}
