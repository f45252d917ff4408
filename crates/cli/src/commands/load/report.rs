//! The report of a load run, as text or JSON.

use super::cost::Cost;
use super::schedule::Schedule;
use super::tally::LoadTally;
use crate::output;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The result of one run. Latencies are in milliseconds, counted from the moment each call should
/// have been sent.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LoadReport {
    /// Calls per second of the schedule; none for a closed loop.
    pub rate: Option<f64>,
    /// Seconds from the first call to the end of the last.
    pub seconds: f64,
    /// Calls that were answered.
    pub answered: u64,
    /// Answered calls per second.
    pub answered_per_second: f64,
    /// Answered users per second.
    pub users_per_second: f64,
    /// The median latency, in milliseconds.
    pub p50_ms: f64,
    /// The 95th percentile of latencies, in milliseconds.
    pub p95_ms: f64,
    /// The 99th percentile of latencies, in milliseconds.
    pub p99_ms: f64,
    /// The largest latency, in milliseconds.
    pub max_ms: f64,
    /// Failed calls by gRPC code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Calls that were due while too many were under way.
    pub not_sent: u64,
    /// Answered users by the models and the variant that answered.
    pub answers: Vec<AnswersByVariant>,
    /// Answered users whose answer has a fallback reason.
    pub fallbacks: u64,
    /// Answered users whose answer misses some shards.
    pub partial: u64,
    /// What an answered call cost the servers, if they report it.
    pub server: Option<Cost>,
}

/// Users answered by the same models and the same variant of a rollout.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AnswersByVariant {
    /// A model version such as `films@2`, or several joined by `+`.
    pub models: String,
    /// The variant: `baseline`, `candidate` or `-`.
    pub variant: &'static str,
    /// Number of answered users.
    pub users: u64,
    /// Share of all answered users, 0 to 1.
    pub share: f64,
}

impl LoadReport {
    /// The report of a run that took `elapsed`, without the servers' cost.
    pub fn new(schedule: &Schedule, elapsed: Duration, tally: &LoadTally) -> Self {
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let users = tally.users();
        Self {
            rate: schedule.rate,
            seconds,
            answered: tally.answered,
            answered_per_second: tally.answered as f64 / seconds,
            users_per_second: users as f64 / seconds,
            p50_ms: to_ms(tally.latency(0.50)),
            p95_ms: to_ms(tally.latency(0.95)),
            p99_ms: to_ms(tally.latency(0.99)),
            max_ms: to_ms(tally.longest()),
            errors: tally.errors.clone(),
            not_sent: tally.not_sent,
            answers: tally
                .answered_by
                .iter()
                .map(|(answered_by, count)| AnswersByVariant {
                    models: answered_by.models.clone(),
                    variant: answered_by.variant,
                    users: *count,
                    share: *count as f64 / users.max(1) as f64,
                })
                .collect(),
            fallbacks: tally.fallbacks,
            partial: tally.partial,
            server: None,
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.rate.map_or(String::new(), |rate| format!(" of {rate:.1}/s targeted"));
        writeln!(
            f,
            "{} answered in {:.1} s: {:.1}/s{target}, {:.1} users/s",
            output::count(self.answered, "call"),
            self.seconds,
            self.answered_per_second,
            self.users_per_second
        )?;
        writeln!(
            f,
            "latency   p50 {:.2} ms  p95 {:.2} ms  p99 {:.2} ms  max {:.2} ms, from the intended send time",
            self.p50_ms, self.p95_ms, self.p99_ms, self.max_ms
        )?;
        let errors: Vec<String> =
            self.errors.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let errors = if errors.is_empty() { "0".into() } else { errors.join(", ") };
        writeln!(f, "errors    {errors}")?;
        writeln!(f, "not sent  {}", self.not_sent)?;
        for AnswersByVariant { models, variant, users, share } in &self.answers {
            let variant = if *variant == "-" { "" } else { variant };
            writeln!(f, "answers   {models} {variant:<9} {users} ({:.2} %)", share * 100.0)?;
        }
        write!(f, "of these  {} fallbacks, {} partial", self.fallbacks, self.partial)?;
        match &self.server {
            Some(cost) => write!(f, "\ncost      {cost}"),
            None => Ok(()),
        }
    }
}

fn to_ms(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1_000.0
}

/// A latency in milliseconds with one decimal.
pub fn milliseconds(latency: Duration) -> String {
    format!("{:.1} ms", to_ms(latency))
}
