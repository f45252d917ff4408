//! `marquee train`: interactions → hold-out fit → metrics → fit on everything → bundle.

use crate::als::{Factors, fit};
use crate::catalogue::records;
use crate::error::TrainError;
use crate::eval::{evaluate_factors, evaluate_popularity, users_to_evaluate};
use crate::history::{CsrByIds, seen};
use crate::interactions::Interactions;
use crate::options::{ModelKind, TrainArgs};
use crate::phases::Stopwatch;
use crate::progress::Progress;
use crate::read::{read_interactions, read_items};
use crate::split::hold_out;
use crate::summary::{Evaluation, TrainSummary};
use crate::weight::{confidences, positives};
use marquee_bundle::{
    BundleInput, DenseInput, Entity, IndexOptions, Quality, RowFormat, WriteProgress, write_bundle,
};
use marquee_core::recipe::Recipe;
use std::collections::BTreeMap;
use std::path::Path;

/// The matrix of user factors in a bundle of matrix factorisation.
pub const USER_FACTORS: &str = "user_factors";
/// The matrix of item factors in a bundle of matrix factorisation.
pub const ITEM_FACTORS: &str = "item_factors";
/// The cutoff of the metrics in a manifest.
pub const CUTOFF: usize = 20;
/// Rows of a shard from which on a trained bundle has an index unless told otherwise.
///
/// An exact scan of fewer costs below 0.1 ms, while building and measuring cells costs a CPU second:
/// more than the training itself. Who wants them all the same says `--index cells`.
const INDEX_MIN_ROWS: usize = 20_000;

/// Trains a model and writes its bundle; `now_ms` is noted as when (milliseconds since 1970).
///
/// Equal arguments, data and `now_ms` give the same bytes, whatever the number of threads.
///
/// # Errors
/// Options out of bounds, unreadable data, nothing to learn from, a place that can't be written.
pub fn train(args: &TrainArgs, now_ms: u64) -> Result<TrainSummary, TrainError> {
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
    let (all, read) = clock.time("read", || {
        read_interactions(&args.interactions, &args.columns, args.duplicates, args.skip_bad_rows)
    })?;
    let file = clock.time("read", || {
        args.items
            .as_ref()
            .map(|path| read_items(path, &args.item_columns, args.skip_bad_rows))
            .transpose()
    })?;
    let rows = clock.time("read", || positives(&all, args.positive_at, args.weight))?;
    let evaluation = evaluate(args, &rows, &mut clock)?;
    let factors = match args.model {
        ModelKind::Mf => Some(clock.time("fit", || fit_rows(args, &rows, "fitting"))?),
        ModelKind::Popularity => None,
    };
    let (items, catalogue) = records(&rows.items, file.as_ref());
    let history = seen(&all, &rows, args.weight);
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
        evaluation,
        parameters: parameters(args),
        phases: Vec::new(),
    };
    let input = bundle_input(args, now_ms, &summary, items, &rows, factors, history);
    let progress = Progress::new("writing");
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

fn fit_rows(args: &TrainArgs, rows: &Interactions, label: &str) -> Result<Factors, TrainError> {
    let progress = Progress::new(label);
    let total = args.iterations as u64;
    fit(&confidences(rows, args.weight, args.alpha), &args.als(), &|done| {
        progress.set(done as u64, total)
    })
}

fn evaluate(
    args: &TrainArgs,
    rows: &Interactions,
    clock: &mut Stopwatch,
) -> Result<Option<Evaluation>, TrainError> {
    if args.evaluate_users == Some(0) {
        return Ok(None);
    }
    let Some(split) = clock.time("evaluate", || hold_out(rows, args.seed)) else {
        return Ok(None);
    };
    let users = users_to_evaluate(&split, args.factors, args.evaluate_users, args.seed);
    let popularity = clock.time("evaluate", || evaluate_popularity(&split, &users, CUTOFF));
    let model = match args.model {
        ModelKind::Mf => {
            let factors = clock.time("fit for evaluation", || {
                fit_rows(args, &split.train, "fitting less the hold-out")
            })?;
            clock.time("evaluate", || evaluate_factors(&split, &factors, &users, CUTOFF))
        }
        ModelKind::Popularity => popularity.clone(),
    };
    Ok(Some(Evaluation {
        model,
        popularity,
        held_out_by_time: split.by_time,
        users: split.train.users.len(),
        train_rows: split.train.len(),
        test_rows: split.test.len(),
    }))
}

fn bundle_input(
    args: &TrainArgs,
    now_ms: u64,
    summary: &TrainSummary,
    items: Vec<marquee_bundle::ItemRecord>,
    rows: &Interactions,
    factors: Option<Factors>,
    history: CsrByIds,
) -> BundleInput {
    let index = IndexOptions { seed: args.seed, min_rows: INDEX_MIN_ROWS, ..args.index.into() };
    let (recipe, dense) = match factors {
        Some(factors) => (mf_recipe(), mf_matrices(factors, index, args.rows.into())),
        None => (Recipe::Popularity, Vec::new()),
    };
    BundleInput {
        model: args.model_name().into(),
        recipe,
        kind: args.model.name().into(),
        shards: args.shards,
        items,
        users: rows.users.clone(),
        dense,
        history: Some(history.into_input()),
        popularity: rows.item_counts().into_iter().map(|count| count as f32).collect(),
        sparse: Vec::new(),
        quality: quality(summary.evaluation.as_ref()),
        parameters: summary.parameters.clone(),
        created_at_ms: now_ms,
    }
}

/// The recipe of matrix factorisation over the matrices of [`mf_matrices`].
pub(crate) fn mf_recipe() -> Recipe {
    Recipe::MatrixFactorisation {
        user_factors: USER_FACTORS.into(),
        item_factors: ITEM_FACTORS.into(),
        fold_in: None,
    }
}

/// Both factor matrices; the items' is searched, so it may have an index.
pub(crate) fn mf_matrices(
    factors: Factors,
    index: IndexOptions,
    rows: RowFormat,
) -> Vec<DenseInput> {
    let dense = |name: &str, entity, data, index, rows| DenseInput {
        name: name.into(),
        entity,
        rank: factors.rank,
        data,
        index,
        rows,
    };
    vec![
        dense(USER_FACTORS, Entity::User, factors.users, None, RowFormat::F32),
        dense(ITEM_FACTORS, Entity::Item, factors.items, Some(index), rows),
    ]
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

fn parameters(args: &TrainArgs) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut set = |name: &str, value: String| parameters.insert(name.to_string(), value);
    if args.model == ModelKind::Mf {
        set("factors", args.factors.to_string());
        set("regularization", args.regularization.to_string());
        set("regularization_scaling", args.regularization_scaling.name().to_string());
        set("alpha", args.alpha.to_string());
        set("iterations", args.iterations.to_string());
        set("weight", args.weight.name().to_string());
    }
    set("seed", args.seed.to_string());
    if let Some(value) = args.positive_at {
        set("positive_at", value.to_string());
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
