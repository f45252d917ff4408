//! `marquee train`: interactions → hold-out fit → metrics → fit on everything → bundle.

use crate::catalogue::{over_catalogue, records};
use crate::choice::{Choice, SettingsSearch, choose, choose_fallback};
use crate::error::TrainError;
use crate::eval::{CUTOFF, evaluate_lists, evaluate_popularity, users_to_evaluate};
use crate::family::profile::with_profile;
use crate::family::{ModelConfig, ModelKind, TrainedPart, TrainingOptions};
use crate::history::{CsrByIds, seen};
use crate::interactions::Interactions;
use crate::options::TrainArgs;
use crate::phases::Stopwatch;
use crate::progress::TaskProgress;
use crate::read::{
    ItemsFile, forgotten_up_to, read_interactions, read_items, read_user_keys, read_users,
};
use crate::recency::decayed_counts;
use crate::split::hold_out;
use crate::summary::{Evaluation, LeftOutUsers, TrainSummary};
use crate::weight::positives;
use marquee_bundle::{
    BundleInput, ItemRecord, Quality, SparseInput, SparseShape, WriteProgress, write_bundle,
};
use marquee_core::model::recipe::HISTORY_ORDER_MATRIX;
use std::collections::BTreeMap;
use std::path::Path;

/// Trains a model and writes its bundle; `now_ms` is noted as when (milliseconds since 1970).
///
/// Equal arguments, data and `now_ms` give the same bytes, whatever the number of threads.
///
/// # Errors
/// Options out of bounds, unreadable data, nothing to train on, a place that can't be written.
pub fn train(args: &TrainArgs, now_ms: u64) -> Result<TrainSummary, TrainError> {
    let args = &args.with_config_file()?;
    args.validate()?;
    // Before an hour of training rather than after.
    check_out(&args.out)?;
    if args.threads == 0 {
        return run(args, now_ms);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build();
    let pool = pool.map_err(|error| TrainError::option("--threads", error.to_string()))?;
    pool.install(|| run(args, now_ms))
}

fn run(args: &TrainArgs, now_ms: u64) -> Result<TrainSummary, TrainError> {
    let mut clock = Stopwatch::default();
    let privacy = args.forgotten.as_deref().map(read_user_keys).transpose()?;
    let (mut all, read) = clock.time("read", || {
        read_interactions(&args.interactions, &args.columns, args.duplicates, args.skip_bad_rows)
    })?;
    let file = clock.time("read", || {
        args.items
            .as_ref()
            .map(|path| read_items(path, &args.item_columns, args.skip_bad_rows))
            .transpose()
    })?;
    let mut users_file = clock.time("read", || {
        args.users
            .as_ref()
            .map(|path| read_users(path, &args.user_columns, args.skip_bad_rows))
            .transpose()
    })?;
    let forgotten = match &privacy {
        None => None,
        Some(privacy) => {
            let (users, rows) = all.leave_out_users(|id| privacy.forgotten(id).is_some());
            if let Some(file) = &mut users_file {
                file.users.retain(|id, _| privacy.forgotten(id).is_none());
            }
            if all.is_empty() {
                return Err(TrainError::Data(
                    "all interactions are of users who are forgotten: give others".into(),
                ));
            }
            Some(LeftOutUsers { users, rows, list: forgotten_up_to(privacy) })
        }
    };
    let rows = clock.time("read", || positives(&all, args.positive_at, args.weight))?;
    let (chosen, searches) = clock.time("search", || with_choice(args, &rows, file.as_ref()))?;
    // A hybrid has weights although none of its members was searched.
    let is_chosen = !searches.is_empty() || chosen.members.iter().any(|it| it.weight.is_some());
    let args = &chosen;
    let evaluation = evaluate(args, &rows, file.as_ref(), is_chosen, &mut clock)?;
    let (rows, items, catalogue) =
        over_catalogue(rows, file.as_ref(), args.recommends_unseen_items());
    let (config, options) = (args.model_config(), args.training_options());
    let part = clock.time("fit", || config.train(&rows, &items, &options, "fitting"))?;
    let (part, rows) = match &users_file {
        Some(file) => clock.time("fit", || with_profile(part, rows, file))?,
        None => (part, rows),
    };
    // For the family popularity it would be another model.
    let fallback = (!args.no_search && args.model != ModelKind::Popularity)
        .then(|| clock.time("search", || choose_fallback(&rows)))
        .flatten();
    let half_life = fallback.as_ref().and_then(|fallback| fallback.half_life);
    let mut summary = TrainSummary {
        model: args.model_name().into(),
        kind: args.model.name().into(),
        out: args.out.clone(),
        users: rows.users.len(),
        items: rows.items.len(),
        interactions: rows.len(),
        shards: args.shards,
        read,
        catalogue,
        users_file,
        forgotten,
        searches,
        fallback,
        evaluation,
        notes: part.notes.clone(),
        parameters: parameters(args, &part, half_life),
        phases: Vec::new(),
    };
    let histories = seen(&all, &rows, |row| part.counts(&rows, args.weight, row));
    // Writing needs memory of its own, and what was only read for the training is done with.
    drop((all, file));
    let input = bundle_input(args, now_ms, &summary, items, rows, part, histories);
    let progress = TaskProgress::new("writing");
    clock.time("write", || {
        write_bundle(input, &args.out, &|step| match step {
            WriteProgress::Indexing { done, total } => progress.set(done, total),
            WriteProgress::Writing { done, total } => {
                progress.set(u64::from(done), u64::from(total))
            }
        })
    })?;
    summary.phases = clock.finish();
    Ok(summary)
}

/// The arguments with the settings that were chosen on what is held out of the rows, and the searches behind them.
fn with_choice(
    args: &TrainArgs,
    rows: &Interactions,
    file: Option<&ItemsFile>,
) -> Result<(TrainArgs, Vec<SettingsSearch>), TrainError> {
    if args.no_search {
        return Ok((args.clone(), Vec::new()));
    }
    let wide = file
        .filter(|_| args.recommends_unseen_items())
        .map(|file| over_catalogue(rows.clone(), Some(file), true).0);
    let rows = wide.as_ref().unwrap_or(rows);
    let (items, _) = records(&rows.items, file);
    // What is predicted for items without interactions is in no hold-out.
    let options = TrainingOptions { predict_cold_items: false, ..args.training_options() };
    let Some(Choice { config, searches }) = choose(&args.model_config(), rows, &items, &options)?
    else {
        return Ok((args.clone(), Vec::new()));
    };
    let ModelConfig { settings, members, .. } = config;
    Ok((TrainArgs { settings, members, ..args.clone() }, searches))
}

fn evaluate(
    args: &TrainArgs,
    rows: &Interactions,
    file: Option<&ItemsFile>,
    is_chosen: bool,
    clock: &mut Stopwatch,
) -> Result<Option<Evaluation>, TrainError> {
    if args.evaluate_users == Some(0) {
        return Ok(None);
    }
    let Some(split) = clock.time("evaluate", || hold_out(rows, args.seed)) else {
        return Ok(None);
    };
    let users = users_to_evaluate(&split, args.estimated_rank(), args.evaluate_users, args.seed);
    let popularity = clock.time("evaluate", || evaluate_popularity(&split, &users, CUTOFF));
    let model = match args.model {
        ModelKind::Popularity => popularity.clone(),
        _ => {
            let (items, _) = records(&split.train.items, file);
            let (config, options) = (args.model_config(), args.training_options());
            let part = clock.time("fit for evaluation", || {
                config.train(&split.train, &items, &options, "fitting less the hold-out")
            })?;
            clock.time("evaluate", || {
                let lists = part.lists(&split.train, &users, args.weight, CUTOFF);
                evaluate_lists(&split, &users, &lists, CUTOFF)
            })
        }
    };
    Ok(Some(Evaluation {
        chosen_on: is_chosen,
        model,
        popularity,
        held_out_by_time: split.by_time,
        users: split.train.users.len(),
        train_rows: split.train.len(),
        test_rows: split.test.len(),
    }))
}

fn popularity(rows: &Interactions) -> Vec<f32> {
    rows.item_counts().into_iter().map(|count| count as f32).collect()
}

fn bundle_input(
    args: &TrainArgs,
    now_ms: u64,
    summary: &TrainSummary,
    items: Vec<ItemRecord>,
    rows: Interactions,
    part: TrainedPart,
    (history, order): (CsrByIds, Option<CsrByIds>),
) -> BundleInput {
    let mut sparse = part.sparse;
    let ordered = part.recipe.needs().iter().any(|(name, _)| *name == HISTORY_ORDER_MATRIX);
    if let Some(order) = order.filter(|_| ordered) {
        sparse.push(SparseInput {
            name: HISTORY_ORDER_MATRIX.into(),
            shape: SparseShape::ByUser,
            matrix: order.into_input(),
        });
    }
    BundleInput {
        model: args.model_name().into(),
        recipe: part.recipe,
        kind: args.model.name().into(),
        shards: args.shards,
        items,
        popularity: match summary.fallback.as_ref().and_then(|fallback| fallback.half_life) {
            Some(half_life) => decayed_counts(&rows, half_life),
            None => popularity(&rows),
        },
        users: rows.users,
        terms: part.terms,
        dense: part.dense,
        history: Some(history.into_input()),
        sparse,
        quality: quality(summary.evaluation.as_ref()),
        parameters: summary.parameters.clone(),
        forgotten: summary.forgotten.as_ref().map(|left_out| left_out.list.clone()),
        created_at_ms: now_ms,
    }
}

fn quality(evaluation: Option<&Evaluation>) -> Quality {
    evaluation.map_or_else(Quality::default, |evaluation| Quality {
        recall_at_20: Some(evaluation.model.recall),
        ndcg_at_20: Some(evaluation.model.ndcg),
        popularity_recall_at_20: Some(evaluation.popularity.recall),
        popularity_ndcg_at_20: Some(evaluation.popularity.ndcg),
        users_evaluated: Some(evaluation.model.users as u64),
    })
}

fn parameters(
    args: &TrainArgs,
    part: &TrainedPart,
    fallback_half_life: Option<f64>,
) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = part.parameters.iter().cloned().collect();
    parameters.insert("seed".into(), args.seed.to_string());
    if let Some(days) = fallback_half_life {
        parameters.insert("fallback_half_life".into(), days.to_string());
    }
    if let Some(value) = args.positive_at {
        parameters.insert("positive_at".into(), value.to_string());
    }
    parameters
}

/// Refuses a place that already holds something; the writer will, but only after the training.
pub(crate) fn check_out(out: &Path) -> Result<(), TrainError> {
    match std::fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(marquee_bundle::BundleError::Exists { path: out.into() }.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(TrainError::io(out)(error)),
    }
}
