//! Calls a second, as a token bucket.
//!
//! The bucket holds `burst` calls, and gains `calls_per_second`. It is kept as one number, the time at which it will be
//! full again: the generic cell rate algorithm of ITU-T I.371, annex A (virtual scheduling), where that number is the
//! theoretical arrival time.

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// How many calls are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    calls_per_second: u32,
    burst: u32,
}

/// How long until the next call is allowed, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub u64);

impl Rate {
    /// So many calls a second in the long run, and so many at once. A number of 0 counts as 1.
    pub fn new(calls_per_second: u32, burst: u32) -> Self {
        Self { calls_per_second: calls_per_second.max(1), burst: burst.max(1) }
    }

    /// Calls a second in the long run.
    pub fn calls_per_second(&self) -> u32 {
        self.calls_per_second
    }

    /// The most calls at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The time that one call takes up, in nanoseconds.
    fn interval_ns(&self) -> u64 {
        SECOND_NS / u64::from(self.calls_per_second)
    }
}

/// What one has left of a rate. A new one is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    full_at_ns: u64,
}

impl Allowance {
    /// Takes one call at `now_ns`, in nanoseconds after any fixed moment.
    ///
    /// # Errors
    /// The allowance is empty: says how long until it is not. It stays as it was.
    pub fn take(&mut self, rate: &Rate, now_ns: u64) -> Result<(), Wait> {
        let interval_ns = rate.interval_ns();
        let full_at_ns = self.full_at_ns.max(now_ns).saturating_add(interval_ns);
        let allowed_ns = now_ns.saturating_add(interval_ns.saturating_mul(u64::from(rate.burst)));
        if full_at_ns > allowed_ns {
            return Err(Wait(full_at_ns - allowed_ns));
        }
        self.full_at_ns = full_at_ns;
        Ok(())
    }

    /// Whether nothing is missing at `now_ns`: it is as good as a new one.
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.full_at_ns <= now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_then_one_call_an_interval() {
        let rate = Rate::new(10, 3);
        let mut allowance = Allowance::default();
        for _ in 0..3 {
            assert_eq!(allowance.take(&rate, 5), Ok(()));
        }
        assert_eq!(allowance.take(&rate, 5), Err(Wait(100_000_000)));
        assert_eq!(allowance.take(&rate, 100_000_004), Err(Wait(1)));
        assert_eq!(allowance.take(&rate, 100_000_005), Ok(()));
        assert!(!allowance.is_full(400_000_004) && allowance.is_full(400_000_005));
        assert_eq!(Rate::new(0, 0), Rate::new(1, 1));
    }

    proptest! {
        /// In any stretch of time no more calls pass than the burst and the rate allow; who waits as long as is said
        /// passes; and one who keeps the rate is never refused.
        #[test]
        fn the_rate_holds(
            calls_per_second in 1_u32..2_000,
            burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..20_000_000, 1..300),
        ) {
            let rate = Rate::new(calls_per_second, burst);
            let (mut allowance, mut steady) = (Allowance::default(), Allowance::default());
            let (mut now, mut passed): (u64, Vec<u64>) = (1, Vec::new());
            for (n, pause) in pauses.into_iter().enumerate() {
                now += pause;
                match allowance.take(&rate, now) {
                    Ok(()) => passed.push(now),
                    Err(Wait(wait)) => {
                        prop_assert!(allowance.take(&rate, now + wait - 1).is_err());
                        let mut later = allowance;
                        prop_assert!(later.take(&rate, now + wait).is_ok());
                    }
                }
                let even = n as u64 * rate.interval_ns();
                prop_assert!(steady.take(&rate, even).is_ok());
            }
            for (from, first) in passed.iter().enumerate() {
                for (n, last) in passed[from..].iter().enumerate() {
                    let gained = (last - first) / rate.interval_ns();
                    let passed_within = n as u64 + 1;
                    prop_assert!(passed_within <= u64::from(burst) + gained);
                }
            }
        }
    }
}
