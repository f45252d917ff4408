//! `marquee tune`: good settings of a family within a time, chosen on a validation split only.
//!
//! Settings are drawn at random and compared by successive halving (Jamieson and Talwalkar 2016,
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

mod blend;
mod report;

pub use report::{Trial, TuneReport};

use crate::catalogue::records;
use crate::error::TrainError;
use crate::eval::{Metrics, evaluate_lists};
use crate::family::{ModelConfig, ModelKind, TrainingOptions};
use crate::interactions::Interactions;
use crate::options::TrainArgs;
use crate::progress::Progress;
use crate::random::{Random, shuffle};
use crate::read::{ColumnArgs, ItemColumnArgs, ItemsFile, read_interactions, read_items};
use crate::settings::draw_settings;
use crate::split::{HoldOut, hold_out};
use crate::train::{CUTOFF, lists};
use crate::weight::positives;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Of the settings of a rung, one in this many goes on to the next, which has this many times more users.
const ETA: usize = 3;
/// Settings that a round draws: with two rungs above the first, one is left.
const DRAWN: usize = 9;
/// Users of the smallest rung: with fewer, chance decides which settings go on.
const MIN_USERS: usize = 200;
/// Most rungs: the first has a ninth of the users.
const MAX_RUNGS: usize = 3;
/// Most rounds: every family is drawn from densely enough long before.
const MAX_ROUNDS: usize = 10_000;

/// Examples below `marquee tune --help`.
pub const TUNE_EXAMPLES: &str = "\
Examples:
  marquee tune --interactions train.csv --positive-at 4 --model ease --budget 5m --config-out ease.toml
  marquee train --interactions train.csv --positive-at 4 --config ease.toml --out films-v2
  marquee tune --interactions train.csv --items movies.csv --model item-knn --rounds 3 --config-out knn.toml --json
  marquee tune --interactions train.csv --items movies.csv --model hybrid --budget 30m --config-out hybrid.toml";

/// What the trials are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// nDCG@20: hits further up count more.
    #[default]
    Ndcg,
    /// Recall@20: the share of held-out items that are found.
    Recall,
}

impl Objective {
    fn of(self, metrics: &Metrics) -> f64 {
        match self {
            Self::Ndcg => metrics.ndcg,
            Self::Recall => metrics.recall,
        }
    }

    /// The name in reports and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndcg => "ndcg",
            Self::Recall => "recall",
        }
    }
}

/// Interactions in, settings out.
#[derive(Args, Clone, Debug)]
#[command(after_help = TUNE_EXAMPLES)]
pub struct TuneArgs {
    /// Time to search: 90s, 10m, 1h. A training that began before it was up is finished.
    #[arg(long, default_value = "10m", value_parser = parse_time, value_name = "TIME")]
    pub budget: Duration,
    /// Stop after this many rounds of nine settings, though there is time left: for results that can be
    /// reproduced.
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// What settings are compared by.
    #[arg(long, value_enum, default_value_t, value_name = "METRIC")]
    pub objective: Objective,
    /// Where the best settings go, for `marquee train --config`. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub config_out: PathBuf,
    /// The data and the family.
    #[command(flatten)]
    pub data: TuneDataArgs,
}

/// What is tuned, and on which data.
#[derive(Args, Clone, Debug)]
pub struct TuneDataArgs {
    /// Interactions, as `marquee train` reads them.
    #[arg(long, value_name = "FILE")]
    pub interactions: PathBuf,
    /// Titles and tags of items, for content.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// The family to tune.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub model: ModelKind,
    /// Train on rows with a value of at least X only.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub positive_at: Option<f32>,
    /// What a row weighs: 1, its value, or ln(1 + value).
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub weight: crate::weight::Weight,
    /// What becomes of several rows of one user and item.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub duplicates: crate::interactions::Duplicates,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Decides everything random.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Where the items' columns are.
    #[command(flatten)]
    pub item_columns: ItemColumnArgs,
}

impl TuneDataArgs {
    /// As arguments of a training that writes nothing.
    fn training(&self) -> TrainArgs {
        TrainArgs {
            items: self.items.clone(),
            model: self.model,
            positive_at: self.positive_at,
            weight: self.weight,
            duplicates: self.duplicates,
            skip_bad_rows: self.skip_bad_rows,
            seed: self.seed,
            columns: self.columns.clone(),
            item_columns: self.item_columns.clone(),
            ..TrainArgs::new(&self.interactions, "")
        }
    }
}

/// A time such as 90s, 10m or 1h.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 90s, 10m or 1h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let total = number.checked_mul(seconds).filter(|total| *total > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total))
}

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

/// Everything a trial needs.
struct Search<'a> {
    args: &'a TuneArgs,
    training: &'a TrainArgs,
    options: TrainingOptions,
    file: Option<&'a ItemsFile>,
    /// From the fewest users to all.
    rungs: Vec<HoldOut>,
    began: Instant,
    progress: Progress,
    trials: Vec<Trial>,
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
    let mut search = Search {
        args,
        training,
        options: training.training_options(),
        file,
        rungs: rungs(split, training.seed),
        began: Instant::now(),
        progress: Progress::new("tuning"),
        trials: Vec::new(),
    };
    let rounds = match training.model {
        ModelKind::Hybrid => search.run_blend()?,
        _ => search.run()?,
    };
    let Search { rungs, began, trials, .. } = search;
    let full = rungs.last().map_or(0, |rung| rung.train.users.len());
    let default = ModelConfig::of(training.model);
    let mut default_value = None;
    let mut best: Option<&Trial> = None;
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

/// Hold-outs of a ninth of the users, a third and all, as far as users are enough; the users of a smaller one
/// are in the larger ones.
fn rungs(split: HoldOut, seed: u64) -> Vec<HoldOut> {
    let users = split.train.users.len();
    let mut order: Vec<u32> = (0..users as u32).collect();
    shuffle(&mut order, seed);
    let mut rungs = Vec::new();
    for rung in (1..MAX_RUNGS as u32).rev() {
        let count = users / ETA.pow(rung);
        if count >= MIN_USERS {
            let chosen: HashSet<u32> = order[..count].iter().copied().collect();
            let train = rows_of_users(&split.train, &chosen);
            rungs.push(HoldOut::new(&train, &rows_of_users(&split.test, &chosen)));
        }
    }
    rungs.push(split);
    rungs
}

fn rows_of_users(rows: &Interactions, users: &HashSet<u32>) -> Interactions {
    rows.filter_rows(|user, _| users.contains(&(user as u32))).compact()
}

impl Search<'_> {
    /// Rounds until the time is up; says how many were begun.
    fn run(&mut self) -> Result<usize, TrainError> {
        let model = self.training.model;
        // What all others have to beat, whatever the time.
        self.try_on(self.rungs.len() - 1, &ModelConfig::of(model))?;
        let mut random = Random::new(self.training.seed);
        let mut rounds = 0;
        while rounds < self.args.rounds.unwrap_or(MAX_ROUNDS) && !self.is_over() {
            rounds += 1;
            if self.round(model, &mut random, self.args.budget)?.is_none() {
                break;
            }
        }
        Ok(rounds)
    }

    /// One round: settings are drawn, and the best of each rung go on to the next. The best of the last one with
    /// its value, or none where this time after the beginning was up before.
    fn round(
        &mut self,
        model: ModelKind,
        random: &mut Random,
        until: Duration,
    ) -> Result<Option<(f64, ModelConfig)>, TrainError> {
        let table = model.family().settings();
        let has_times = self.rungs.iter().any(|rung| rung.train.has_times());
        let mut here: Vec<ModelConfig> = Vec::with_capacity(DRAWN);
        for _ in 0..DRAWN {
            let settings = draw_settings(&table, has_times, random);
            here.push(ModelConfig { settings, ..ModelConfig::of(model) });
        }
        let mut best = None;
        for rung in 0..self.rungs.len() {
            let mut scored = Vec::with_capacity(here.len());
            for config in here {
                if self.began.elapsed() >= until {
                    return Ok(None);
                }
                scored.push((self.try_on(rung, &config)?, config));
            }
            // Stable: of equals the one drawn first.
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            best = scored.first().cloned();
            scored.truncate(DRAWN / ETA.pow(rung as u32 + 1));
            here = scored.into_iter().map(|(_, config)| config).collect();
        }
        Ok(best)
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.args.budget
    }

    /// How good settings are on a rung, which is noted; 0 where training diverges.
    fn try_on(&mut self, rung: usize, config: &ModelConfig) -> Result<f64, TrainError> {
        let HoldOut { train, test, .. } = &self.rungs[rung];
        let began = Instant::now();
        let (items, _) = records(&train.items, self.file);
        let value = match config.train(train, &items, &self.options, "") {
            Ok(part) => {
                let users: Vec<u32> = (0..test.users.len() as u32)
                    .filter(|&user| !test.items_of(user as usize).is_empty())
                    .collect();
                let lists = lists(&part, train, &users, self.options.weight);
                let metrics = evaluate_lists(&self.rungs[rung], &users, &lists, CUTOFF);
                self.args.objective.of(&metrics)
            }
            Err(TrainError::Diverged(_)) => 0.0,
            Err(error) => return Err(error),
        };
        self.trials.push(Trial {
            config: config.clone(),
            users: train.users.len(),
            value,
            seconds: began.elapsed().as_secs_f64(),
        });
        let (done, total) = (self.began.elapsed().as_secs(), self.args.budget.as_secs());
        self.progress.set(done.min(total), total);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
