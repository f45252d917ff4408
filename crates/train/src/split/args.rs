//! The arguments of `marquee split`.

use super::options::{SplitBy, SplitOptions};
use crate::error::TrainError;
use crate::interactions::Duplicates;
use crate::options::check_positive_at;
use crate::read::ColumnArgs;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Examples below `marquee split --help`.
pub const SPLIT_EXAMPLES: &str = "\
Examples:
  marquee split --interactions ratings.csv --out split --positive-at 4 --valid
  marquee split --interactions ratings.csv --out split-seq --by leave-last --valid
  marquee split --interactions ratings.csv --out unknown-users --by user --share 0.1
  marquee split --interactions ratings.csv --out folds --by rows --folds 5";

/// Cuts interactions into files to train on and to evaluate on.
#[derive(Args, Clone, Debug, Serialize)]
#[command(after_help = SPLIT_EXAMPLES)]
pub struct SplitArgs {
    /// Interactions: CSV, TSV, ::-separated or Parquet.
    #[arg(long, value_name = "FILE")]
    pub interactions: PathBuf,
    /// The directory for train.csv, test.csv and the like, which must not exist yet or be empty. Folds
    /// are directories fold-1, fold-2 … in it.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What decides which rows are held out.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub by: SplitBy,
    /// Share to hold out: of each user's rows, of all rows (global-time), or of the users (user).
    #[arg(long, default_value_t = SplitOptions::default().share, value_name = "SHARE")]
    pub share: f64,
    /// Share of a held-out user's rows that are to be found (test.csv); the others are what the user
    /// comes with (input.csv). With --by user.
    #[arg(long, default_value_t = SplitOptions::default().target_share, value_name = "SHARE")]
    pub target_share: f64,
    /// Cross-validation: into how many folds rows or users are dealt, each held out once. With --by
    /// rows (5 by default) or --by user.
    #[arg(long, value_name = "K")]
    pub folds: Option<usize>,
    /// What everything random comes from.
    #[arg(long, default_value_t = SplitOptions::default().seed, value_name = "N")]
    pub seed: u64,
    /// Take rows with a value of at least X only.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub positive_at: Option<f32>,
    /// Users with fewer rows are left out.
    #[arg(long, default_value_t = SplitOptions::default().min_rows, value_name = "N")]
    pub min_rows: usize,
    /// Write valid.csv too, to choose settings by. By time and global-time it is the end of
    /// train.csv and stays in it, for the last fit; by leave-last and user it is apart.
    #[arg(long)]
    pub valid: bool,
    /// What becomes of several rows of one user and item: the last counts, or values are summed.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub duplicates: Duplicates,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
}

impl SplitArgs {
    /// Defaults for these two paths.
    pub fn new(interactions: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        let options = SplitOptions::default();
        Self {
            interactions: interactions.into(),
            out: out.into(),
            by: options.by,
            share: options.share,
            target_share: options.target_share,
            folds: options.folds,
            seed: options.seed,
            positive_at: None,
            min_rows: options.min_rows,
            valid: options.valid,
            duplicates: Duplicates::default(),
            skip_bad_rows: false,
            columns: ColumnArgs::default(),
        }
    }

    /// The options of the cut.
    pub fn options(&self) -> SplitOptions {
        SplitOptions {
            by: self.by,
            share: self.share,
            target_share: self.target_share,
            folds: self.folds,
            seed: self.seed,
            min_rows: self.min_rows,
            valid: self.valid,
        }
    }

    /// Checks that every option is within its bounds.
    ///
    /// # Errors
    /// The first flag that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.options().validate()?;
        check_positive_at(self.positive_at)
    }
}
