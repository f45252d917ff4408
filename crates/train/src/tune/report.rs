//! What a search came to.

use crate::family::{ModelConfig, ModelKind};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Trials that the table lists.
const LISTED: usize = 10;

/// One trial: settings, and how good they were.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TuneTrial {
    /// The family and the settings that were tried.
    pub config: ModelConfig,
    /// Users they were trained and validated on.
    pub users: usize,
    /// The value of the objective.
    pub value: f64,
    /// Seconds that training and validation took.
    pub seconds: f64,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TuneReport {
    /// The family that was tuned.
    pub model: ModelKind,
    /// What settings were compared by.
    pub objective: &'static str,
    /// Recommendations of a user that count.
    pub cutoff: usize,
    /// What everything random came from.
    pub seed: u64,
    /// Whether the last by time were validated on, or some at random.
    pub held_out_by_time: bool,
    /// Users of the last rung.
    pub users: usize,
    /// Rounds that were begun.
    pub rounds: usize,
    /// Seconds that the search was given.
    pub budget_seconds: f64,
    /// Seconds that the search took.
    pub seconds: f64,
    /// What the family's defaults reached on all users.
    pub default_value: f64,
    /// The best on all users.
    pub best: TuneTrial,
    /// The file that has it.
    pub config_out: PathBuf,
    /// All, in the order they were tried.
    pub trials: Vec<TuneTrial>,
}

impl fmt::Display for TuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objective, cutoff, users, seed, .. } = self;
        let how = if self.held_out_by_time {
            "the last fifth of each user's interactions by time"
        } else {
            "a random fifth of each user's interactions (there are no timestamps)"
        };
        writeln!(
            f,
            "{} trials in {} rounds, {:.0} s; validated on {how}; seed {seed}",
            self.trials.len(),
            self.rounds,
            self.seconds
        )?;
        let mut listed: Vec<&TuneTrial> =
            self.trials.iter().filter(|trial| trial.users == *users).collect();
        listed.retain(|trial| trial.config.model == self.model);
        listed.sort_by(|a, b| b.value.total_cmp(&a.value));
        let heading = format!("{objective}@{cutoff}");
        writeln!(f, "{heading:>10} {:>8}  settings, of {users} users", "seconds")?;
        for TuneTrial { config, value, seconds, .. } in listed.into_iter().take(LISTED) {
            writeln!(f, "{value:>10.4} {seconds:>8.2}  {}", settings(config))?;
        }
        writeln!(f, "default {:.4}, best {:.4}", self.default_value, self.best.value)?;
        write!(
            f,
            "{} has the best: marquee train --config {}",
            self.config_out.display(),
            self.config_out.display()
        )
    }
}

/// Settings in one line.
fn settings(config: &ModelConfig) -> String {
    if !config.members.is_empty() {
        let members = config.members.iter();
        let members = members.map(|it| format!("{} ({})", it.model.name(), settings(it)));
        return members.collect::<Vec<_>>().join(", ");
    }
    if config.settings.is_empty() {
        return "the defaults".into();
    }
    let settings = config.settings.iter().map(|(name, value)| format!("{name} {value}"));
    settings.collect::<Vec<_>>().join(", ")
}
