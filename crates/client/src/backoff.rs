//! Waits between attempts that grow up to a bound.

use std::time::Duration;

/// The first wait: short, because most failures are one node restarting while another is there.
pub const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait: what a node is late at most when control comes back.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure and says how long to wait: twice as long after each, within
    /// [`FIRST_WAIT`]..=[`LONGEST_WAIT`], of which `jitter` (0..=1) takes away up to a half, so
    /// that the nodes of a cluster do not come back in step.
    pub fn after_failure(&mut self, jitter: f64) -> Duration {
        let full = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Notes a success: the next wait is short again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew_after_a_success() {
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
