//! The search itself: rungs, rounds and trials.

use super::args::TuneArgs;
use super::report::TuneTrial;
use crate::catalogue::records;
use crate::choice::{Trial, walk};
use crate::error::TrainError;
use crate::eval::{CUTOFF, evaluate_lists};
use crate::family::{ModelConfig, ModelKind, TrainingOptions};
use crate::interactions::Interactions;
use crate::options::TrainArgs;
use crate::progress::TaskProgress;
use crate::random::{Random, shuffle};
use crate::read::ItemsFile;
use crate::settings::draw_settings;
use crate::split::HoldOut;
use std::collections::HashSet;
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
pub(super) const MAX_ROUNDS: usize = 10_000;

/// Everything a trial needs.
pub(super) struct TuneSearch<'a> {
    pub(super) args: &'a TuneArgs,
    pub(super) training: &'a TrainArgs,
    pub(super) options: TrainingOptions,
    pub(super) file: Option<&'a ItemsFile>,
    /// From the fewest users to all.
    pub(super) rungs: Vec<HoldOut>,
    pub(super) began: Instant,
    pub(super) progress: TaskProgress,
    pub(super) trials: Vec<TuneTrial>,
}

/// Hold-outs of a ninth of the users, a third and all, as far as users are enough; the users of a smaller one
/// are in the larger ones.
pub(super) fn rungs(split: HoldOut, seed: u64) -> Vec<HoldOut> {
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

impl TuneSearch<'_> {
    /// Rounds until the time is up; says how many were begun.
    pub(super) fn run(&mut self) -> Result<usize, TrainError> {
        let model = self.training.model;
        // What all others have to beat, whatever the time.
        let value = self.try_on(self.rungs.len() - 1, &ModelConfig::of(model))?;
        self.walk_grid(model, value, self.args.budget)?;
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

    /// The coarse grid of a family on all users, from its fixed settings, which have this value, until this time after
    /// the beginning. The best with its value.
    pub(super) fn walk_grid(
        &mut self,
        model: ModelKind,
        value: f64,
        until: Duration,
    ) -> Result<(f64, ModelConfig), TrainError> {
        let last = self.rungs.len() - 1;
        let rows = &self.rungs[last].train;
        let (items, _) = records(&rows.items, self.file);
        let grid = model.family().grid(rows, &items);
        let mut best = value;
        let found = walk(&grid, &ModelConfig::of(model), &mut |config, _| {
            if self.began.elapsed() >= until {
                return Ok(Trial::Over);
            }
            let reached = self.try_on(last, config)?;
            let is_better = reached > best;
            best = best.max(reached);
            Ok::<_, TrainError>(if is_better { Trial::Better } else { Trial::Worse })
        })?;
        Ok((best, found))
    }

    /// One round: settings are drawn, and the best of each rung go on to the next. The best of the last one with
    /// its value, or none where this time after the beginning was up before.
    pub(super) fn round(
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

    pub(super) fn is_over(&self) -> bool {
        self.began.elapsed() >= self.args.budget
    }

    /// How good settings are on a rung, which is noted; 0 where training diverges.
    pub(super) fn try_on(&mut self, rung: usize, config: &ModelConfig) -> Result<f64, TrainError> {
        let HoldOut { train, test, .. } = &self.rungs[rung];
        let began = Instant::now();
        let (items, _) = records(&train.items, self.file);
        let value = match config.train(train, &items, &self.options, "") {
            Ok(part) => {
                let users: Vec<u32> = (0..test.users.len() as u32)
                    .filter(|&user| !test.items_of(user as usize).is_empty())
                    .collect();
                let lists = part.lists(train, &users, self.options.weight, CUTOFF);
                let metrics = evaluate_lists(&self.rungs[rung], &users, &lists, CUTOFF);
                self.args.objective.of(&metrics)
            }
            Err(TrainError::Diverged(_)) => 0.0,
            Err(error) => return Err(error),
        };
        self.trials.push(TuneTrial {
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
