//! `marquee eval`: a bundle, an ensemble of bundles, a live endpoint or a file of lists against held-out
//! interactions; two of them against each other; or a model and its settings by cross-validation.
//!
//! A bundle is ranked exactly, offline, by `marquee-train`. An endpoint gets `BatchRecommend` requests as
//! callers send them, and its lists are scored by the same evaluator: the difference between the two is what
//! serving costs in quality. Both give scores for every user, and a comparison takes two sets of such scores,
//! computed now or read from a file.

mod endpoint;
mod ensemble;
mod tables;

use crate::credentials::CredentialArgs;
use crate::output;
use crate::runtime::{runtime, server_threads};
use anyhow::{Context as _, bail};
use clap::Args;
use endpoint::EndpointReport;
pub(super) use ensemble::Local as LocalEnsemble;
pub use ensemble::ensemble_lists;
use indicatif::{ProgressBar, ProgressStyle};
use marquee_client::Address;
use marquee_train::eval::{
    BundleEvaluation, Comparison, CrossValidation, Evaluator, PerUser, compare, cross_validate,
    evaluate_bundle_per_user, replay_bundle,
};
use marquee_train::read::{read_interactions, read_items, read_lists};
use marquee_train::{Duplicates, EvalArgs, Interactions, positives};
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A resampling shorter than this shows no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// `marquee eval …`
#[derive(Args, Debug)]
pub struct EvalCommand {
    #[command(flatten)]
    args: EvalArgs,
    #[command(flatten)]
    credentials: CredentialArgs,
}

/// Evaluates or compares what the arguments name and prints the result: a table on a terminal, JSON to a pipe
/// or a file.
pub fn run(command: &EvalCommand) -> anyhow::Result<ExitCode> {
    let EvalCommand { args, credentials } = command;
    args.validate()?;
    let as_table = args.table || !args.json && std::io::stdout().is_terminal();
    if let [a, b] = args.compare.as_slice() {
        let comparison = compare_two(args, credentials, a, b)?;
        print(&comparison, as_table, |it| tables::comparison(it, a, b))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folds) = args.folds {
        let validation = cross_validation(args, folds)?;
        print(&validation, as_table, tables::cross)?;
        return Ok(ExitCode::SUCCESS);
    }
    let evaluator = evaluator(args)?;
    if let Some(file) = &args.ensemble {
        let (evaluation, per_user) = ensemble::evaluate(file, &args.bundle, &evaluator)?;
        write_per_user(args, &per_user)?;
        print(&evaluation, as_table, tables::ensemble)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(file) = &args.lists {
        let lists = evaluator.in_order(read_lists(file)?);
        let (report, per_user) = evaluator.score_per_user(&lists)?;
        write_per_user(args, &per_user)?;
        print(&report, as_table, |it| tables::lists(it, file))?;
        return Ok(ExitCode::SUCCESS);
    }
    match (&args.endpoint, args.bundle.first().map(Path::new)) {
        (None, None) => {
            bail!("nothing to evaluate: give --bundle DIR, --endpoint URL or --lists FILE")
        }
        (None, Some(bundle)) if args.replay => {
            let evaluation = replay_bundle(bundle, &evaluator)?;
            print::<BundleEvaluation>(&evaluation, as_table, tables::bundle)?;
        }
        (None, Some(bundle)) => {
            let (evaluation, per_user) = evaluate_bundle_per_user(bundle, &evaluator)?;
            write_per_user(args, &per_user)?;
            print::<BundleEvaluation>(&evaluation, as_table, tables::bundle)?;
        }
        (Some(endpoint), _) => {
            let address = endpoint.parse().context("--endpoint")?;
            let (report, per_user) = evaluate_endpoint(&address, credentials, &evaluator)?;
            write_per_user(args, &per_user)?;
            print::<EndpointReport>(&report, as_table, tables::endpoint)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes every user's scores to the file of `--per-user`, if it is given.
fn write_per_user(args: &EvalArgs, per_user: &PerUser) -> anyhow::Result<()> {
    if let Some(path) = &args.per_user {
        per_user.write(path)?;
    }
    Ok(())
}

/// Prints a result as a table or as JSON.
fn print<T: serde::Serialize>(
    value: &T,
    as_table: bool,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    if as_table {
        output::line(table(value))?;
        return Ok(());
    }
    output::json(value)
}

/// The evaluator of the files of the arguments.
fn evaluator(args: &EvalArgs) -> anyhow::Result<Evaluator> {
    let (Some(train), Some(test)) = (&args.train, &args.test) else {
        bail!("an evaluation needs data: give --train FILE and --test FILE");
    };
    let held_out = positives(&read(args, test)?, args.positive_at, Default::default())?;
    let evaluator = Evaluator::new(read(args, train)?, held_out, args.cutoffs()?)?
        .with_lists_out(args.lists_out.clone());
    for remark in evaluator.overlap().remarks() {
        tracing::warn!("{remark}");
    }
    match &args.history {
        Some(history) => Ok(evaluator.with_history(read(args, history)?)),
        None => Ok(evaluator),
    }
}

/// Reads a file of interactions.
fn read(args: &EvalArgs, path: &Path) -> anyhow::Result<Interactions> {
    let (interactions, _) =
        read_interactions(path, &args.columns, Duplicates::default(), args.skip_bad_rows)?;
    Ok(interactions)
}

/// Cross-validates the model that the arguments train.
fn cross_validation(args: &EvalArgs, folds: usize) -> anyhow::Result<CrossValidation> {
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

/// Evaluates a live endpoint.
fn evaluate_endpoint(
    address: &Address,
    credentials: &CredentialArgs,
    evaluator: &Evaluator,
) -> anyhow::Result<(EndpointReport, PerUser)> {
    let credentials = credentials.read(std::slice::from_ref(address))?;
    runtime(server_threads())?.block_on(endpoint::evaluate(address, &credentials, evaluator))
}

/// Compares two bundles, endpoints or files of scores.
fn compare_two(
    args: &EvalArgs,
    credentials: &CredentialArgs,
    a: &str,
    b: &str,
) -> anyhow::Result<Comparison> {
    let compared = [Compared::new(a)?, Compared::new(b)?];
    if args.history.is_some() && compared.iter().any(|one| matches!(one, Compared::Bundle(_))) {
        bail!(
            "--history: a bundle is ranked for the users it knows: serve it, and compare its URL"
        );
    }
    let all_are_files = compared.iter().all(|one| matches!(one, Compared::File(_)));
    let evaluator = if all_are_files { None } else { Some(evaluator(args)?) };
    let scores_a = scores(&compared[0], credentials, evaluator.as_ref())?;
    let scores_b = scores(&compared[1], credentials, evaluator.as_ref())?;
    let (bar, started) = (resampling_bar(), Instant::now());
    let comparison = compare(&scores_a, &scores_b, &args.compare_options(), &|done, total| {
        if started.elapsed() > BAR_AFTER {
            bar.set_length(total);
            bar.set_position(done);
        }
    });
    bar.finish_and_clear();
    Ok(comparison?)
}

/// The scores of every user of one of two that are compared. Only a file needs no evaluator.
fn scores(
    compared: &Compared<'_>,
    credentials: &CredentialArgs,
    evaluator: Option<&Evaluator>,
) -> anyhow::Result<PerUser> {
    match (compared, evaluator) {
        (Compared::Bundle(dir), Some(evaluator)) => Ok(evaluate_bundle_per_user(dir, evaluator)?.1),
        (Compared::Endpoint(address), Some(evaluator)) => {
            Ok(evaluate_endpoint(address, credentials, evaluator)?.1)
        }
        (Compared::File(path), _) => Ok(PerUser::read(path)?),
        (Compared::Bundle(_) | Compared::Endpoint(_), None) => Ok(PerUser::default()),
    }
}

/// One of two that are compared.
enum Compared<'a> {
    /// A bundle's directory.
    Bundle(&'a Path),
    /// A live endpoint.
    Endpoint(Address),
    /// A file of scores that an earlier `--per-user` wrote.
    File(&'a Path),
}

impl<'a> Compared<'a> {
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

/// A progress bar of the resampling, hidden unless stderr is a terminal.
fn resampling_bar() -> ProgressBar {
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
    fn what_is_compared_is_recognised() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("scores.csv");
        std::fs::write(&file, "").expect("written");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        assert!(matches!(Compared::new(&text(dir.path())), Ok(Compared::Bundle(_))));
        assert!(matches!(Compared::new(&text(&file)), Ok(Compared::File(_))));
        assert!(matches!(Compared::new("http://127.0.0.1:50051"), Ok(Compared::Endpoint(_))));
        let error = Compared::new("nowhere").map(|_| ()).expect_err("nothing").to_string();
        assert!(error.starts_with("--compare: nowhere is no"), "{error}");
    }
}
