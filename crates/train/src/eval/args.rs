//! The arguments of `marquee eval`.

use super::compare::{CompareOptions, DEFAULT_RESAMPLES};
use super::metrics::Cutoffs;
use crate::error::TrainError;
use crate::family::ModelKind;
use crate::options::{TrainArgs, check_positive_at};
use crate::read::ColumnArgs;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Examples below `marquee eval --help`.
pub const EVAL_EXAMPLES: &str = "\
Examples:
  marquee eval --bundle films-v1 --train train.csv --test test.csv --cutoff 5,10,20
  marquee eval --endpoint http://127.0.0.1:50051 --train train.csv --test test.csv --per-user now.csv
  marquee eval --compare films-v1 films-v2 --train train.csv --test test.csv
  marquee eval --ensemble blend.yaml --bundle films@1=films-v1 --bundle films@2=films-v2 \\
      --train train.csv --test test.csv
  marquee eval --lists other-system.csv --train train.csv --test test.csv --per-user other.csv
  marquee eval --bundle films-v1 --train train.csv --test test.csv --replay
  marquee eval --folds 5 --model ease --train ratings.csv --positive-at 4
  marquee eval --compare before.parquet now.csv --json";

/// A bundle or a live endpoint against interactions that were held out, or two of them against each
/// other.
///
/// The default is a table on a terminal and JSON on a pipe or in a file. In JSON the metrics at the
/// largest cut-off stand at the top, and those at each cut-off in `cutoffs`.
#[derive(Args, Clone, Debug, Serialize)]
#[command(after_help = EVAL_EXAMPLES)]
#[command(group = clap::ArgGroup::new("evaluated").required(true))]
#[group(skip)]
pub struct EvalArgs {
    /// The bundle to evaluate, offline and by exact ranking; with --ensemble one for each of its models, as
    /// MODEL@VERSION=DIR.
    #[arg(long, value_name = "DIR", group = "evaluated")]
    pub bundle: Vec<String>,
    /// The ensemble to evaluate, of the bundles given: a file as `marquee ctl ensemble put` reads it. All
    /// members answer exactly and in time; chains and a last `diversify` are executed, too.
    #[arg(long, value_name = "FILE", requires = "bundle")]
    pub ensemble: Option<PathBuf>,
    /// Cross-validate on this many folds of --train: a model is trained for each on all the others.
    #[arg(long, value_name = "K", group = "evaluated", requires = "train", conflicts_with_all = ["test", "history", "per_user"])]
    pub folds: Option<usize>,
    /// What to train for each fold.
    #[arg(long, value_enum, value_name = "KIND", requires = "folds")]
    pub model: Option<ModelKind>,
    /// The model and its settings, as `marquee tune` writes them.
    #[arg(long, value_name = "FILE", requires = "folds")]
    pub config: Option<PathBuf>,
    /// Titles and tags of items, for content and hybrid.
    #[arg(long, value_name = "FILE", requires = "folds")]
    pub items: Option<PathBuf>,
    /// The router to ask, such as http://127.0.0.1:50051.
    #[arg(long, value_name = "URL", group = "evaluated")]
    pub endpoint: Option<String>,
    /// Lists that any system made: a file with columns user, item and rank, best first.
    #[arg(long, value_name = "FILE", group = "evaluated")]
    pub lists: Option<PathBuf>,
    /// Two to compare, by paired tests over users: each a bundle, a router's URL, or a file that
    /// --per-user wrote. Differences are B - A.
    #[arg(long, value_names = ["A", "B"], num_args = 2, group = "evaluated")]
    pub compare: Vec<String>,
    /// Interactions the model knows: they are not to be recommended again.
    #[arg(long, value_name = "FILE", required_unless_present = "compare")]
    pub train: Option<PathBuf>,
    /// Interactions to find.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["compare", "folds"])]
    pub test: Option<PathBuf>,
    /// What the users come with, such as input.csv of `marquee split --by user`: known as those of
    /// --train are, and sent to the router as recent_item_ids, the last 1,000 a user.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// How many recommendations of a user count; several with commas between. The largest is what
    /// is asked for.
    #[arg(long, default_value = "20", value_delimiter = ',', value_name = "N,…")]
    pub cutoff: Vec<usize>,
    /// Look for rows of the test file with a value of at least X only.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub positive_at: Option<f32>,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Write every user's scores, as CSV, or as Parquet where FILE ends in .parquet.
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    pub per_user: Option<PathBuf>,
    /// Write the lists themselves, user, item and rank in CSV, as --lists reads them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["compare", "folds", "lists"])]
    pub lists_out: Option<PathBuf>,
    /// Ask for each row of --test alone, in the order of time, with all that its user did before: what recent items
    /// and recorded events make of serving. Means are then over rows.
    #[arg(long, requires = "bundle", conflicts_with_all = ["compare", "folds", "lists", "endpoint", "ensemble", "history", "per_user", "lists_out"])]
    pub replay: bool,
    /// Random exchanges and draws of users that a comparison makes.
    #[arg(long, default_value_t = DEFAULT_RESAMPLES, value_name = "N", conflicts_with_all = ["bundle", "endpoint", "lists"])]
    pub resamples: usize,
    /// What they, or folds, come from.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with_all = ["bundle", "endpoint", "lists"])]
    pub seed: u64,
    /// Print JSON, on a terminal too.
    #[arg(long)]
    pub json: bool,
    /// Print a table, on a pipe too.
    #[arg(long, conflicts_with = "json")]
    pub table: bool,
    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
}

impl EvalArgs {
    /// Where lists are cut.
    ///
    /// # Errors
    /// A cut-off out of its bounds.
    pub fn cutoffs(&self) -> Result<Cutoffs, TrainError> {
        Cutoffs::new(&self.cutoff)
    }

    /// How two are compared.
    pub fn compare_options(&self) -> CompareOptions {
        CompareOptions { resamples: self.resamples, seed: self.seed }
    }

    /// What to train for each fold.
    ///
    /// # Errors
    /// Settings that can't be read, or are of another model than `--model` says.
    pub fn training(&self) -> Result<TrainArgs, TrainError> {
        let train = self.train.clone().unwrap_or_default();
        let args = TrainArgs {
            model: self.model.unwrap_or_default(),
            config: self.config.clone(),
            items: self.items.clone(),
            positive_at: self.positive_at,
            seed: self.seed,
            skip_bad_rows: self.skip_bad_rows,
            columns: self.columns.clone(),
            ..TrainArgs::new(train, "")
        };
        args.with_config_file()
    }

    /// Checks that every option is within its bounds.
    ///
    /// # Errors
    /// The first flag that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.cutoffs()?;
        self.compare_options().validate()?;
        match (&self.ensemble, self.bundle.as_slice()) {
            (None, [] | [_]) | (Some(_), [_, ..]) => {}
            (None, _) => {
                let problem =
                    "one is evaluated at a time: compare two with --compare, or give --ensemble";
                return Err(TrainError::option("--bundle", problem));
            }
            (Some(_), []) => {
                let problem =
                    "give the bundle of each of its models with --bundle MODEL@VERSION=DIR";
                return Err(TrainError::option("--ensemble", problem));
            }
        }
        if self.history.is_some() && !self.bundle.is_empty() {
            let problem = "a bundle is ranked by the users it knows, without histories: serve it, and give \
                           --endpoint";
            return Err(TrainError::option("--history", problem));
        }
        check_positive_at(self.positive_at)
    }
}
