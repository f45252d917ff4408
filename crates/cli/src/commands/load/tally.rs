//! The counts of a load run.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// The largest latency that is recorded, in microseconds; longer ones count as this.
const MAX_LATENCY_MICROS: u64 = 600_000_000;
/// Significant digits of recorded latencies: an error of at most 0.1 %, in 2 × 10⁵ bytes.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The models of `served_by` and the variant of its rollout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct AnsweredBy {
    /// A model version such as `films@2`, or several joined by `+`.
    pub models: String,
    /// The variant: `baseline`, `candidate`, or `-` outside of a rollout.
    pub variant: &'static str,
}

/// What is counted of the answer for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedAnswer {
    /// The models and the variant that answered.
    pub answered_by: AnsweredBy,
    /// Whether the answer has a fallback reason.
    pub fallback: bool,
    /// Whether shards were missing from the answer.
    pub partial: bool,
}

/// The result of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It was answered, with one answer for each user of the call.
    Answered(Vec<CountedAnswer>),
    /// It failed with this gRPC code.
    Failed(&'static str),
}

/// Sums over the calls of a run.
#[derive(Clone, Debug)]
pub struct LoadTally {
    /// Latencies of all calls that ended, from the moment they should have been sent, in microseconds. In an
    /// open loop a stall counts for every call that it delayed.
    latency: Histogram<u64>,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed, by gRPC code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Calls that were due but not sent, because too many were under way.
    pub not_sent: u64,
    /// Answered users by the models and the variant that answered.
    pub answered_by: BTreeMap<AnsweredBy, u64>,
    /// Answered users whose answer has a fallback reason.
    pub fallbacks: u64,
    /// Answered users whose answer misses some shards.
    pub partial: u64,
}

impl Default for LoadTally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that fit");
        Self {
            latency,
            answered: 0,
            errors: BTreeMap::new(),
            not_sent: 0,
            answered_by: BTreeMap::new(),
            fallbacks: 0,
            partial: 0,
        }
    }
}

impl LoadTally {
    /// Counts a call that ended `latency` after the moment it should have been sent.
    pub fn count(&mut self, latency: Duration, result: CallResult) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros.max(1));
        match result {
            CallResult::Failed(code) => *self.errors.entry(code).or_default() += 1,
            CallResult::Answered(answers) => {
                self.answered += 1;
                for CountedAnswer { answered_by, fallback, partial } in answers {
                    *self.answered_by.entry(answered_by).or_default() += 1;
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

    /// Adds the counts of another tally.
    pub fn merge(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all tallies have the same bounds");
        self.answered += other.answered;
        self.not_sent += other.not_sent;
        self.fallbacks += other.fallbacks;
        self.partial += other.partial;
        for (code, count) in &other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        for (answered_by, count) in &other.answered_by {
            *self.answered_by.entry(answered_by.clone()).or_default() += count;
        }
    }

    /// The latency that a share of calls (0..=1) did not exceed; zero before the first.
    pub fn latency(&self, share: f64) -> Duration {
        if self.latency.is_empty() {
            return Duration::ZERO;
        }
        Duration::from_micros(self.latency.value_at_quantile(share))
    }

    /// The largest latency.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.latency.max())
    }

    /// The number of calls that failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The number of calls that ended, answered or failed.
    pub fn calls(&self) -> u64 {
        self.answered + self.failed()
    }

    /// The number of answered users.
    pub fn users(&self) -> u64 {
        self.answered_by.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(models: &str, variant: &'static str) -> CountedAnswer {
        CountedAnswer {
            answered_by: AnsweredBy { models: models.into(), variant },
            fallback: false,
            partial: false,
        }
    }

    #[test]
    fn every_call_is_counted_once() {
        let mut tally = LoadTally::default();
        for n in 1..=90 {
            tally.count(
                Duration::from_millis(n),
                CallResult::Answered(vec![answer("films@1", "baseline")]),
            );
        }
        tally.count(Duration::from_millis(91), CallResult::Failed("UNAVAILABLE"));
        let batch = vec![
            answer("films@2", "candidate"),
            CountedAnswer { fallback: true, partial: true, ..answer("films@1", "baseline") },
        ];
        tally.count(Duration::from_millis(100), CallResult::Answered(batch));
        tally.not_sent();
        assert_eq!((tally.answered, tally.failed(), tally.calls()), (91, 1, 92));
        assert_eq!((tally.users(), tally.fallbacks, tally.partial, tally.not_sent), (92, 1, 1, 1));
        let of = |models: &str, variant| {
            tally.answered_by[&AnsweredBy { models: models.into(), variant }]
        };
        assert_eq!((of("films@1", "baseline"), of("films@2", "candidate")), (91, 1));
        assert_eq!(tally.latency(0.5).as_millis(), 46);
        assert!(tally.longest() >= Duration::from_millis(100));
        assert!(tally.longest() < Duration::from_millis(101));
    }

    #[test]
    fn sums_of_parts_are_the_sum_of_all() {
        let mut all = LoadTally::default();
        let mut parts = [LoadTally::default(), LoadTally::default()];
        for n in 0..100u64 {
            let ended = match n % 7 {
                0 => CallResult::Failed("UNAVAILABLE"),
                _ => CallResult::Answered(vec![answer("films@1", "-")]),
            };
            let latency = Duration::from_micros(n * n);
            all.count(latency, ended.clone());
            parts[(n % 2) as usize].count(latency, ended);
        }
        let mut sum = LoadTally::default();
        parts.iter().for_each(|part| sum.merge(part));
        assert_eq!(
            (sum.calls(), &sum.errors, &sum.answered_by),
            (all.calls(), &all.errors, &all.answered_by)
        );
        assert_eq!(sum.latency(0.99), all.latency(0.99));
    }

    #[test]
    fn nothing_counted_is_zero_and_a_day_counts_as_ten_minutes() {
        let mut tally = LoadTally::default();
        assert_eq!((tally.latency(0.99), tally.longest()), (Duration::ZERO, Duration::ZERO));
        tally.count(Duration::from_secs(86_400), CallResult::Failed("UNKNOWN"));
        assert!(tally.latency(1.0) >= Duration::from_secs(599));
    }
}
