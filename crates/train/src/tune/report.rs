//! What a search came to.

use crate::config::ModelConfig;
use crate::options::ModelKind;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Trials that the table lists.
const LISTED: usize = 10;

/// Settings that were tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The settings.
    pub config: ModelConfig,
    /// On so many users.
    pub users: usize,
    /// What they reached.
    pub value: f64,
    /// What it took, on the clock.
    pub seconds: f64,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TuneReport {
    /// The family.
    pub model: ModelKind,
    /// What settings were compared by.
    pub objective: &'static str,
    /// Of so many recommendations a user.
    pub cutoff: usize,
    /// What everything random came from.
    pub seed: u64,
    /// Whether the last by time were validated on, or some at random.
    pub held_out_by_time: bool,
    /// Users of the last rung.
    pub users: usize,
    /// Rounds that were begun.
    pub rounds: usize,
    /// The time there was.
    pub budget_seconds: f64,
    /// The time it took.
    pub seconds: f64,
    /// What the family's defaults reached on all users.
    pub default_value: f64,
    /// The best on all users.
    pub best: Trial,
    /// The file that has it.
    pub config_out: PathBuf,
    /// All, in the order they were tried.
    pub trials: Vec<Trial>,
}

impl fmt::Display for TuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objective, cutoff, users, seed, .. } = self;
        let how = match self.held_out_by_time {
            true => "the last fifth of each user's interactions by time",
            false => "a random fifth of each user's interactions (there are no timestamps)",
        };
        writeln!(
            f,
            "{} trials in {} rounds, {:.0} s; validated on {how}; seed {seed}",
            self.trials.len(),
            self.rounds,
            self.seconds
        )?;
        let mut listed: Vec<&Trial> =
            self.trials.iter().filter(|trial| trial.users == *users).collect();
        listed.retain(|trial| trial.config.model == self.model);
        listed.sort_by(|a, b| b.value.total_cmp(&a.value));
        let heading = format!("{objective}@{cutoff}");
        writeln!(f, "{heading:>10} {:>8}  settings, of {users} users", "seconds")?;
        for Trial { config, value, seconds, .. } in listed.into_iter().take(LISTED) {
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
    let Ok(serde_json::Value::Object(map)) = serde_json::to_value(config) else {
        return String::new();
    };
    // A short number of a setting of single precision is a long one of double.
    let word = |value: serde_json::Value| match value.as_f64() {
        Some(x) => format!("{}", x as f32),
        None => value.as_str().unwrap_or_default().to_owned(),
    };
    if !config.members.is_empty() {
        let member =
            |config: &ModelConfig| format!("{} ({})", config.model.name(), settings(config));
        return config.members.iter().map(member).collect::<Vec<_>>().join(", ");
    }
    let others = map.into_iter().filter(|(name, _)| name != "model");
    let words: Vec<String> =
        others.map(|(name, value)| format!("{name} {}", word(value))).collect();
    if words.is_empty() { "the defaults".into() } else { words.join(", ") }
}
