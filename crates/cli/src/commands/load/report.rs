//! What a load run found, for people and for scripts.

use super::cost::Cost;
use super::schedule::Schedule;
use super::tally::Tally;
use crate::output;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The result of one run. Latencies are in milliseconds, counted from the moment each call should
/// have been sent.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LoadReport {
    /// Calls a second that were asked for; none of a closed loop.
    pub rate: Option<f64>,
    /// From the first call to the end of the last.
    pub seconds: f64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls answered a second.
    pub answered_per_second: f64,
    /// Users answered a second.
    pub users_per_second: f64,
    /// Half of the calls took no longer.
    pub p50_ms: f64,
    /// 95 % of the calls took no longer.
    pub p95_ms: f64,
    /// 99 % of the calls took no longer.
    pub p99_ms: f64,
    /// No call took longer.
    pub max_ms: f64,
    /// Failed calls by gRPC code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Calls that were due while too many were under way.
    pub not_sent: u64,
    /// Users answered, by what answered, with their share.
    pub answers: Vec<Answers>,
    /// Users answered with popular items.
    pub fallbacks: u64,
    /// Users answered without some shards.
    pub partial: u64,
    /// What an answered call cost the servers, if they say.
    pub server: Option<Cost>,
}

/// Users answered by the same versions on the same side of a rollout.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Answers {
    /// `films@2`, or several joined by `+`.
    pub models: String,
    /// `baseline`, `candidate` or `-`.
    pub variant: &'static str,
    /// How many.
    pub users: u64,
    /// Of all users answered, 0 to 1.
    pub share: f64,
}

impl LoadReport {
    /// Sums up a run of `elapsed`.
    pub fn new(schedule: &Schedule, elapsed: Duration, tally: &Tally) -> Self {
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let users = tally.users();
        let ms = |latency: Duration| latency.as_secs_f64() * 1_000.0;
        Self {
            rate: schedule.rate,
            seconds,
            answered: tally.answered,
            answered_per_second: tally.answered as f64 / seconds,
            users_per_second: users as f64 / seconds,
            p50_ms: ms(tally.latency(0.50)),
            p95_ms: ms(tally.latency(0.95)),
            p99_ms: ms(tally.latency(0.99)),
            max_ms: ms(tally.longest()),
            errors: tally.errors.clone(),
            not_sent: tally.not_sent,
            answers: tally
                .served
                .iter()
                .map(|(served, count)| Answers {
                    models: served.models.clone(),
                    variant: served.variant,
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
        let asked = self.rate.map_or(String::new(), |rate| format!(" of {rate:.1}/s asked"));
        writeln!(
            f,
            "{} answered in {:.1} s: {:.1}/s{asked}, {:.1} users/s",
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
        for Answers { models, variant, users, share } in &self.answers {
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

/// A latency in milliseconds with as many digits as say something.
pub fn milliseconds(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1_000.0)
}
