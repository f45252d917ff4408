//! `marquee tune`: good settings of a family within a time, chosen on a validation split only.
//!
//! First the family's coarse grid is walked on all users, as a training without settings walks it, but without a
//! sample and with all iterations. Then settings are drawn at random and compared by successive halving (Jamieson and Talwalkar 2016,
//! "Non-stochastic best arm identification and hyperparameter optimization", with η = 3): many are tried on a
//! share of the users, the best third of them on three times as many, and so on up to all. What is validated on
//! is the last fifth of each user's interactions by time, which no trial is trained on. The family's defaults
//! go through every rung, so what wins is at least as good as they are there.
//!
//! Rounds follow one another until the time is up; every number comes from the seed, so two runs with the same
//! number of rounds draw and try the same. A hybrid is tuned by its members, see `blend`.
//!
//! Deliberately missing: a test set. To know how good the winner is, hold one out (`marquee split`) and run
//! `marquee eval` on it.

mod args;
mod blend;
mod report;
mod search;

pub use args::{Objective, TUNE_EXAMPLES, TuneArgs, TuneDataArgs};
pub use report::{TuneReport, TuneTrial};

use crate::error::TrainError;
use crate::eval::CUTOFF;
use crate::family::{ModelConfig, ModelKind};
use crate::interactions::Interactions;
use crate::options::TrainArgs;
use crate::progress::TaskProgress;
use crate::read::{ItemsFile, read_interactions, read_items};
use crate::split::hold_out;
use crate::weight::positives;
use search::{MAX_ROUNDS, TuneSearch, rungs};
use std::time::Instant;

/// Searches, and writes the best settings.
///
/// # Errors
/// Arguments out of bounds, data that can't be read or split, a family without settings, a training that
/// fails, a file that exists or can't be written.
pub fn tune(args: &TuneArgs) -> Result<TuneReport, TrainError> {
    let training = args.data.training();
    training.validate()?;
    if args.rounds.is_some_and(|rounds| !(1..=MAX_ROUNDS).contains(&rounds)) {
        let problem = format!("it is not in 1 to {MAX_ROUNDS}");
        return Err(TrainError::option("--rounds", problem));
    }
    // Before the search rather than after.
    if args.config_out.exists() {
        let problem = format!("{} exists: give another name", args.config_out.display());
        return Err(TrainError::option("--config-out", problem));
    }
    let columns = &training.columns;
    let (all, _) = read_interactions(
        &training.interactions,
        columns,
        training.duplicates,
        training.skip_bad_rows,
    )?;
    let file = training
        .items
        .as_ref()
        .map(|path| read_items(path, &training.item_columns, training.skip_bad_rows))
        .transpose()?;
    let rows = positives(&all, training.positive_at, training.weight)?;
    let report = search(args, &training, &rows, file.as_ref())?;
    let comment = format!(
        "marquee tune: {} {:.4} on a validation split, {:.4} by default; seed {}",
        report.objective, report.best.value, report.default_value, report.seed
    );
    let text = report.best.config.to_text(&comment)?;
    fs_err::write(&args.config_out, text).map_err(TrainError::write(&args.config_out))?;
    Ok(report)
}

fn search(
    args: &TuneArgs,
    training: &TrainArgs,
    rows: &Interactions,
    file: Option<&ItemsFile>,
) -> Result<TuneReport, TrainError> {
    let is_searched = training.model.family().settings().iter().any(|it| it.search.is_some());
    if !is_searched && training.model != ModelKind::Hybrid {
        let name = training.model.name();
        let problem = format!("{name} has no settings to tune: train it as it is");
        return Err(TrainError::option("--model", problem));
    }
    let Some(split) = hold_out(rows, training.seed) else {
        return Err(TrainError::Data(
            "no user has five interactions: there is nothing to validate on".into(),
        ));
    };
    let by_time = split.by_time;
    let mut search = TuneSearch {
        args,
        training,
        options: training.training_options(),
        file,
        rungs: rungs(split, training.seed),
        began: Instant::now(),
        progress: TaskProgress::new("tuning"),
        trials: Vec::new(),
    };
    let rounds = match training.model {
        ModelKind::Hybrid => search.run_blend()?,
        _ => search.run()?,
    };
    let TuneSearch { rungs, began, trials, .. } = search;
    let full = rungs.last().map_or(0, |rung| rung.train.users.len());
    let default = ModelConfig::of(training.model);
    let mut default_value = None;
    let mut best: Option<&TuneTrial> = None;
    for trial in &trials {
        // Members that were tried alone are no hybrids.
        if trial.users != full || trial.config.model != training.model {
            continue;
        }
        if trial.config == default && default_value.is_none() {
            default_value = Some(trial.value);
        }
        // Of equals the first stays, and so the default.
        if best.is_none_or(|best| trial.value > best.value) {
            best = Some(trial);
        }
    }
    let (Some(best), Some(default_value)) = (best.cloned(), default_value) else {
        return Err(TrainError::Data("no trial was finished: give a longer --budget".into()));
    };
    Ok(TuneReport {
        model: training.model,
        objective: args.objective.name(),
        cutoff: CUTOFF,
        seed: training.seed,
        held_out_by_time: by_time,
        users: full,
        rounds,
        budget_seconds: args.budget.as_secs_f64(),
        seconds: began.elapsed().as_secs_f64(),
        default_value,
        best,
        config_out: args.config_out.clone(),
        trials,
    })
}

#[cfg(test)]
mod tests;
