//! `marquee eval`: a bundle, an ensemble of bundles, a live endpoint or anybody's lists against held-out
//! interactions, two of them against each other, or a model and its settings by cross-validation.
//!
//! A bundle is ranked exactly, offline, by `marquee-train`. An endpoint is asked as callers ask it,
//! by `BatchRecommend`, and its lists are scored by the same evaluator: the difference between the
//! two is what serving costs in quality. Either leaves every user's scores, and a comparison takes two
//! of those, whether just made or read from a file.

mod endpoint;
mod ensemble;
mod show;

use crate::output;
use crate::runtime::{runtime, server_threads};
use anyhow::{Context as _, bail};
use endpoint::EndpointReport;
pub use ensemble::ensemble_lists;
use indicatif::{ProgressBar, ProgressStyle};
use marquee_client::Address;
use marquee_train::eval::{
    BundleEvaluation, Comparison, CrossValidation, Evaluator, PerUser, compare, cross_validate,
    evaluate_bundle_per_user,
};
use marquee_train::read::{read_interactions, read_items, read_lists};
use marquee_train::{Duplicates, EvalArgs, positives};
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Resampling shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Scores or compares what the arguments name and prints it: a table on a terminal, JSON elsewhere,
/// since whoever reads a pipe or a file is a script.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    args.validate()?;
    let as_table = args.table || !args.json && std::io::stdout().is_terminal();
    if let [a, b] = args.compare.as_slice() {
        let comparison = compare_two(args, a, b)?;
        print(&comparison, as_table, |it| show::comparison(it, a, b))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folds) = args.folds {
        let cross = cross(args, folds)?;
        print(&cross, as_table, show::cross)?;
        return Ok(ExitCode::SUCCESS);
    }
    let evaluator = evaluator(args)?;
    let keep = |per_user: PerUser| match &args.per_user {
        Some(path) => per_user.write(path),
        None => Ok(()),
    };
    if let Some(file) = &args.ensemble {
        let (evaluation, per_user) = ensemble::evaluate(file, &args.bundle, &evaluator)?;
        keep(per_user)?;
        print(&evaluation, as_table, show::ensemble)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(file) = &args.lists {
        let lists = evaluator.in_order(read_lists(file)?);
        let (report, per_user) = evaluator.score_per_user(&lists)?;
        keep(per_user)?;
        print(&report, as_table, |it| show::lists(it, file))?;
        return Ok(ExitCode::SUCCESS);
    }
    match (&args.endpoint, args.bundle.first().map(Path::new)) {
        (None, None) => {
            bail!("nothing to evaluate: give --bundle DIR, --endpoint URL or --lists FILE")
        }
        (None, Some(bundle)) => {
            let (evaluation, per_user) = evaluate_bundle_per_user(bundle, &evaluator)?;
            keep(per_user)?;
            print::<BundleEvaluation>(&evaluation, as_table, show::bundle)?;
        }
        (Some(endpoint), _) => {
            let (report, per_user) = ask(&endpoint.parse().context("--endpoint")?, &evaluator)?;
            keep(per_user)?;
            print::<EndpointReport>(&report, as_table, show::endpoint)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print<T: serde::Serialize>(
    value: &T,
    as_table: bool,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    match as_table {
        true => Ok(output::line(table(value))?),
        false => output::json(value),
    }
}

fn evaluator(args: &EvalArgs) -> anyhow::Result<Evaluator> {
    let (Some(train), Some(test)) = (&args.train, &args.test) else {
        bail!("there is something to evaluate: give --train FILE and --test FILE");
    };
    let read = |path: &Path| {
        read_interactions(path, &args.columns, Duplicates::default(), args.skip_bad_rows)
            .map(|(rows, _)| rows)
    };
    let (train, test) = (read(train)?, read(test)?);
    let test = positives(&test, args.positive_at, Default::default())?;
    let evaluator = Evaluator::new(train, test, args.cutoffs()?)?;
    Ok(match &args.history {
        Some(history) => evaluator.with_history(read(history)?),
        None => evaluator,
    })
}

fn cross(args: &EvalArgs, folds: usize) -> anyhow::Result<CrossValidation> {
    let training = args.training()?;
    let (all, _) = read_interactions(
        &training.interactions,
        &training.columns,
        training.duplicates,
        training.skip_bad_rows,
    )?;
    let items = match &training.items {
        Some(path) => Some(read_items(path, &training.item_columns, training.skip_bad_rows)?),
        None => None,
    };
    let rows = positives(&all, training.positive_at, training.weight)?;
    Ok(cross_validate(&rows, items.as_ref(), &training, folds, &args.cutoffs()?)?)
}

fn ask(address: &Address, evaluator: &Evaluator) -> anyhow::Result<(EndpointReport, PerUser)> {
    runtime(server_threads())?.block_on(endpoint::evaluate(address, evaluator))
}

fn compare_two(args: &EvalArgs, a: &str, b: &str) -> anyhow::Result<Comparison> {
    let sides = [Side::new(a)?, Side::new(b)?];
    if args.history.is_some() && sides.iter().any(|side| matches!(side, Side::Bundle(_))) {
        bail!("--history: a bundle is ranked by the users it knows: serve it, and compare its URL");
    }
    let asks = sides.iter().any(|side| !matches!(side, Side::File(_)));
    let evaluator = match asks {
        true => Some(evaluator(args)?),
        false => None,
    };
    let scores = |side: &Side<'_>| -> anyhow::Result<PerUser> {
        Ok(match (side, &evaluator) {
            (Side::Bundle(dir), Some(evaluator)) => evaluate_bundle_per_user(dir, evaluator)?.1,
            (Side::Endpoint(address), Some(evaluator)) => ask(address, evaluator)?.1,
            (Side::File(path), _) => PerUser::read(path)?,
            // An evaluator is made for whoever is no file.
            (Side::Bundle(_) | Side::Endpoint(_), None) => PerUser::default(),
        })
    };
    let (a, b) = (scores(&sides[0])?, scores(&sides[1])?);
    let (bar, started) = (resampling(), Instant::now());
    let comparison = compare(&a, &b, &args.compare_options(), &|done, total| {
        if started.elapsed() > PATIENCE {
            bar.set_length(total);
            bar.set_position(done);
        }
    });
    bar.finish_and_clear();
    Ok(comparison?)
}

/// One of two to compare.
enum Side<'a> {
    Bundle(&'a Path),
    Endpoint(Address),
    File(&'a Path),
}

impl<'a> Side<'a> {
    fn new(text: &'a str) -> anyhow::Result<Self> {
        let path = Path::new(text);
        if text.contains("://") {
            Ok(Self::Endpoint(text.parse().context("--compare")?))
        } else if path.is_dir() {
            Ok(Self::Bundle(path))
        } else if path.is_file() {
            Ok(Self::File(path))
        } else {
            bail!(
                "--compare: {text} is no bundle's directory, no file of scores and no URL such as \
                 http://127.0.0.1:50051"
            )
        }
    }
}

/// A bar for resampling, where stderr is a terminal.
fn resampling() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template("resampling {wide_bar} {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart_by_what_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("scores.csv");
        std::fs::write(&file, "").expect("written");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        assert!(matches!(Side::new(&text(dir.path())), Ok(Side::Bundle(_))));
        assert!(matches!(Side::new(&text(&file)), Ok(Side::File(_))));
        assert!(matches!(Side::new("http://127.0.0.1:50051"), Ok(Side::Endpoint(_))));
        let error = Side::new("nowhere").map(|_| ()).expect_err("nothing").to_string();
        assert!(error.starts_with("--compare: nowhere is no"), "{error}");
    }
}
