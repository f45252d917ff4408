//! What a load run counts: pure, so that its sums can be trusted.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// The largest latency that is told apart, in microseconds; longer ones count as this.
const MAX_LATENCY_MICROS: u64 = 600_000_000;
/// Significant digits of latencies: within 0.1 % of the truth at 2 × 10⁵ bytes.
const SIGNIFICANT_DIGITS: u8 = 3;

/// What answered: the models of `served_by` and its side of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Served {
    /// `films@2`, or several joined by `+`.
    pub models: String,
    /// `baseline`, `candidate`, or `-` outside of a rollout.
    pub variant: &'static str,
}

/// One answer for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What answered.
    pub served: Served,
    /// It fell back to popular items.
    pub fallback: bool,
    /// Shards were missing.
    pub partial: bool,
}

/// How one call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With these answers, one for each user of the call.
    Answered(Vec<Answer>),
    /// With this gRPC code.
    Failed(&'static str),
}

/// Sums over calls.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Latency of every call that ended, well or not, from the moment it should have been sent, in
    /// microseconds. An open loop: a stall counts for every call that it held up.
    latency: Histogram<u64>,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed, by gRPC code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Calls that were due but not sent, because too many were under way.
    pub not_sent: u64,
    /// Users answered, by what answered.
    pub served: BTreeMap<Served, u64>,
    /// Users answered with popular items.
    pub fallbacks: u64,
    /// Users answered without some shards.
    pub partial: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that fit");
        Self {
            latency,
            answered: 0,
            errors: BTreeMap::new(),
            not_sent: 0,
            served: BTreeMap::new(),
            fallbacks: 0,
            partial: 0,
        }
    }
}

impl Tally {
    /// Counts a call that ended so long after the moment it should have been sent.
    pub fn ended(&mut self, latency: Duration, ended: Ended) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros.max(1));
        match ended {
            Ended::Failed(code) => *self.errors.entry(code).or_default() += 1,
            Ended::Answered(answers) => {
                self.answered += 1;
                for Answer { served, fallback, partial } in answers {
                    *self.served.entry(served).or_default() += 1;
                    self.fallbacks += u64::from(fallback);
                    self.partial += u64::from(partial);
                }
            }
        }
    }

    /// Counts a call that was due but could not be sent.
    pub fn not_sent(&mut self) {
        self.not_sent += 1;
    }

    /// Adds what another tally counted.
    pub fn merge(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all tallies have the same bounds");
        self.answered += other.answered;
        self.not_sent += other.not_sent;
        self.fallbacks += other.fallbacks;
        self.partial += other.partial;
        for (code, count) in &other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        for (served, count) in &other.served {
            *self.served.entry(served.clone()).or_default() += count;
        }
    }

    /// The latency that a share of calls (0..=1) did not exceed; zero before the first.
    pub fn latency(&self, share: f64) -> Duration {
        match self.latency.is_empty() {
            true => Duration::ZERO,
            false => Duration::from_micros(self.latency.value_at_quantile(share)),
        }
    }

    /// The longest latency.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.latency.max())
    }

    /// Calls that failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Calls that ended, well or not.
    pub fn calls(&self) -> u64 {
        self.answered + self.failed()
    }

    /// Users answered.
    pub fn users(&self) -> u64 {
        self.served.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(models: &str, variant: &'static str) -> Answer {
        Answer {
            served: Served { models: models.into(), variant },
            fallback: false,
            partial: false,
        }
    }

    #[test]
    fn every_call_is_counted_once() {
        let mut tally = Tally::default();
        for n in 1..=90 {
            tally.ended(
                Duration::from_millis(n),
                Ended::Answered(vec![answer("films@1", "baseline")]),
            );
        }
        tally.ended(Duration::from_millis(91), Ended::Failed("UNAVAILABLE"));
        let batch = vec![
            answer("films@2", "candidate"),
            Answer { fallback: true, partial: true, ..answer("films@1", "baseline") },
        ];
        tally.ended(Duration::from_millis(100), Ended::Answered(batch));
        tally.not_sent();
        assert_eq!((tally.answered, tally.failed(), tally.calls()), (91, 1, 92));
        assert_eq!((tally.users(), tally.fallbacks, tally.partial, tally.not_sent), (92, 1, 1, 1));
        let of = |models: &str, variant| tally.served[&Served { models: models.into(), variant }];
        assert_eq!((of("films@1", "baseline"), of("films@2", "candidate")), (91, 1));
        assert_eq!(tally.latency(0.5).as_millis(), 46);
        assert!(tally.longest() >= Duration::from_millis(100));
        assert!(tally.longest() < Duration::from_millis(101));
    }

    #[test]
    fn sums_of_parts_are_the_sum_of_all() {
        let mut all = Tally::default();
        let mut parts = [Tally::default(), Tally::default()];
        for n in 0..100u64 {
            let ended = match n % 7 {
                0 => Ended::Failed("UNAVAILABLE"),
                _ => Ended::Answered(vec![answer("films@1", "-")]),
            };
            let latency = Duration::from_micros(n * n);
            all.ended(latency, ended.clone());
            parts[(n % 2) as usize].ended(latency, ended);
        }
        let mut sum = Tally::default();
        parts.iter().for_each(|part| sum.merge(part));
        assert_eq!(
            (sum.calls(), &sum.errors, &sum.served),
            (all.calls(), &all.errors, &all.served)
        );
        assert_eq!(sum.latency(0.99), all.latency(0.99));
    }

    #[test]
    fn nothing_counted_is_zero_and_a_day_counts_as_ten_minutes() {
        let mut tally = Tally::default();
        assert_eq!((tally.latency(0.99), tally.longest()), (Duration::ZERO, Duration::ZERO));
        tally.ended(Duration::from_secs(86_400), Ended::Failed("UNKNOWN"));
        assert!(tally.latency(1.0) >= Duration::from_secs(599));
    }
}
