//! What `marquee train` and `marquee import` can be asked: flags, defaults, bounds.
//!
//! The structs are flags and settings at once: the command line flattens them in, and code fills
//! them by hand from their `Default`. `validate()` checks what the types can't.

use crate::als::{AlsOptions, RegularizationScaling};
use crate::error::TrainError;
use crate::interactions::Duplicates;
use crate::read::Format;
use crate::weight::Weight;
use clap::{Args, ValueEnum};
use marquee_bundle::{IndexKind, IndexMode, IndexOptions, RowFormat};
use marquee_core::bounds::{MAX_RANK, MAX_SHARDS};
use marquee_core::id::check_name;
use serde::Serialize;
use std::path::PathBuf;

/// Where the columns of an interactions file are.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Columns of the interactions")]
pub struct ColumnArgs {
    /// How the interactions are written; found out from the file when not given.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Column of the user: its header, or its place counted from 1. Recognised when not given:
    /// userId, user_id, user, uid and the like.
    #[arg(long, value_name = "NAME|N")]
    pub user_column: Option<String>,
    /// Column of the item: movieId, item_id, item and the like.
    #[arg(long, value_name = "NAME|N")]
    pub item_column: Option<String>,
    /// Column of the value: rating, value, hours, score and the like. Optional.
    #[arg(long, value_name = "NAME|N")]
    pub value_column: Option<String>,
    /// Column of the time, numbers or ISO 8601 dates: timestamp, time, date. Optional.
    #[arg(long, value_name = "NAME|N")]
    pub time_column: Option<String>,
}

/// Where the columns of an items file are.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Columns of the items")]
pub struct ItemColumnArgs {
    /// How the items are written; found out from the file when not given.
    #[arg(long, value_name = "FORMAT")]
    pub items_format: Option<Format>,
    /// Column of the item's id: its header, or its place counted from 1. Recognised when not given.
    #[arg(long, value_name = "NAME|N")]
    pub items_id_column: Option<String>,
    /// Column of the title: title, movie_title, name and the like.
    #[arg(long, value_name = "NAME|N")]
    pub title_column: Option<String>,
    /// Columns of tags, split at |; several with commas between. By default genres, class, tags,
    /// category and the like, all that are there.
    #[arg(long, value_name = "NAME|N,…")]
    pub tags_column: Option<String>,
    /// Column of the year. By default year or release_year; else the year of "Title (1995)".
    #[arg(long, value_name = "NAME|N")]
    pub year_column: Option<String>,
}

/// What to train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Matrix factorisation: implicit-feedback ALS.
    #[default]
    Mf,
    /// The most popular items for everybody.
    Popularity,
}

impl ModelKind {
    /// As on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mf => "mf",
            Self::Popularity => "popularity",
        }
    }
}

/// Whether and how to build an index for fast searches over the item factors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Index {
    /// Where a shard has items enough that the index beats scanning them all.
    #[default]
    Auto,
    /// Cells in every shard: rows grouped by direction, in four-bit codes.
    #[value(alias = "always")]
    Cells,
    /// A navigable small-world graph in every shard, built with hnsw_rs: slower in all, for comparison.
    Hnsw,
    /// Never: every search scans.
    Never,
}

/// What of the factors is kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// The factors themselves: four bytes a factor.
    #[default]
    F32,
    /// One byte a factor; the factors themselves are read from disk where they matter. Answers are
    /// the same.
    Int8,
}

impl From<Rows> for RowFormat {
    fn from(rows: Rows) -> Self {
        match rows {
            Rows::F32 => Self::F32,
            Rows::Int8 => Self::Int8,
        }
    }
}

impl From<Index> for IndexOptions {
    fn from(index: Index) -> Self {
        let (mode, kind) = match index {
            Index::Auto => (IndexMode::Auto, IndexKind::Cells),
            Index::Cells => (IndexMode::Always, IndexKind::Cells),
            Index::Hnsw => (IndexMode::Always, IndexKind::Hnsw),
            Index::Never => (IndexMode::Never, IndexKind::Cells),
        };
        Self { mode, kind, ..Self::default() }
    }
}

/// Examples below `marquee train --help`.
pub const TRAIN_EXAMPLES: &str = "\
Examples:
  marquee train --interactions ratings.csv --items movies.csv --positive-at 4 --out films-v1 --shards 4
  marquee train --interactions plays.parquet --value-column hours --weight log --out games-v1
  marquee train --interactions u.data --model mf --factors 128 --regularization 10 --json --out v2";

/// Interactions in, a bundle out.
#[derive(Args, Clone, Debug, Serialize)]
#[command(after_help = TRAIN_EXAMPLES)]
pub struct TrainArgs {
    /// Interactions: CSV, TSV, ::-separated, RecBole .inter or Parquet, with or without a header.
    #[arg(long, value_name = "FILE")]
    pub interactions: PathBuf,
    /// Titles, tags and years of items: movies.csv, movies.dat, u.item, RecBole .item or alike.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// What to train.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub model: ModelKind,
    /// The model's name, under which its bundles are published as versions [default: the kind].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The bundle's directory, which must not exist yet or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Into how many shards the bundle is cut.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub shards: u32,

    /// Components of a factor vector.
    #[arg(long, default_value_t = 64, value_name = "N", help_heading = "Model")]
    pub factors: usize,
    /// How strongly factors are held near zero; as in PyPI implicit.
    #[arg(long, default_value_t = DEFAULT_REGULARIZATION, value_name = "X", help_heading = "Model")]
    pub regularization: f32,
    /// How regularization is spread: the same for all, or in proportion to how often a user or an
    /// item occurs.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "Model")]
    pub regularization_scaling: RegularizationScaling,
    /// Confidence in an observed pair of weight 1, where an unobserved one has 1; as in PyPI implicit.
    #[arg(long, default_value_t = DEFAULT_ALPHA, value_name = "X", help_heading = "Model")]
    pub alpha: f32,
    /// Sweeps over users and items.
    #[arg(long, default_value_t = 15, value_name = "N", help_heading = "Model")]
    pub iterations: usize,
    /// Decides everything random: the same seed and data give the same bundle.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Model")]
    pub seed: u64,

    /// Learn from rows with a value of at least X only; others still count as seen.
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Interactions")]
    pub positive_at: Option<f32>,
    /// What a row weighs: 1, its value, or ln(1 + value).
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "Interactions")]
    pub weight: Weight,
    /// What becomes of several rows of one user and item: the last counts, or values are summed.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "Interactions")]
    pub duplicates: Duplicates,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long, help_heading = "Interactions")]
    pub skip_bad_rows: bool,

    /// Users to evaluate on held-out interactions, drawn by the seed; 0 skips the evaluation. By
    /// default all, or as many as fit about a CPU second, and at least 10,000.
    #[arg(long, value_name = "N", help_heading = "Evaluation")]
    pub evaluate_users: Option<usize>,

    /// Whether and how to build an index for fast searches.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub index: Index,
    /// What of the item factors is kept in memory.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub rows: Rows,
    /// Threads; 0 is one a core. The result does not depend on it.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,

    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Where the items' columns are.
    #[command(flatten)]
    pub item_columns: ItemColumnArgs,
}

/// Default λ.
pub const DEFAULT_REGULARIZATION: f32 = 10.0;
/// Default confidence of an observed pair of weight 1.
pub const DEFAULT_ALPHA: f32 = 1.0;
/// Most iterations: ALS is done long before.
const MAX_ITERATIONS: usize = 10_000;

impl TrainArgs {
    /// Defaults for these two paths.
    pub fn new(interactions: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            interactions: interactions.into(),
            items: None,
            model: ModelKind::default(),
            name: None,
            out: out.into(),
            shards: 1,
            factors: 64,
            regularization: DEFAULT_REGULARIZATION,
            regularization_scaling: RegularizationScaling::default(),
            alpha: DEFAULT_ALPHA,
            iterations: 15,
            seed: 1,
            positive_at: None,
            weight: Weight::default(),
            duplicates: Duplicates::default(),
            skip_bad_rows: false,
            evaluate_users: None,
            index: Index::default(),
            rows: Rows::default(),
            threads: 0,
            columns: ColumnArgs::default(),
            item_columns: ItemColumnArgs::default(),
        }
    }

    /// The model's name: as given, or the kind's.
    pub fn model_name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.model.name())
    }

    /// Settings of the factorisation.
    pub fn als(&self) -> AlsOptions {
        AlsOptions {
            factors: self.factors,
            regularization: self.regularization,
            scaling: self.regularization_scaling,
            iterations: self.iterations,
            seed: self.seed,
        }
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first flag that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_model("--name", self.model_name())?;
        check_shards(self.shards)?;
        if !(1..=MAX_RANK).contains(&self.factors) {
            return Err(TrainError::option(
                "--factors",
                format!("{} is not in 1 to {MAX_RANK}", self.factors),
            ));
        }
        if !(1..=MAX_ITERATIONS).contains(&self.iterations) {
            let problem = format!("{} is not in 1 to {MAX_ITERATIONS}", self.iterations);
            return Err(TrainError::option("--iterations", problem));
        }
        if !(self.regularization.is_finite() && self.regularization >= 0.0) {
            let problem = format!("{} is not a finite number of at least 0", self.regularization);
            return Err(TrainError::option("--regularization", problem));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(TrainError::option(
                "--alpha",
                format!("{} is not a finite number above 0", self.alpha),
            ));
        }
        check_positive_at(self.positive_at)
    }
}

/// Examples below `marquee import --help`.
pub const IMPORT_EXAMPLES: &str = "\
Examples:
  marquee import --model films --item-factors items.npy --item-ids items.txt \\
      --user-factors users.npy --user-ids users.txt --interactions ratings.csv --out films-v1 --shards 4
  marquee import --model films --item-factors als/itemFactors --user-factors als/userFactors --out films-v1";

/// Factors trained elsewhere in, a bundle out.
#[derive(Args, Clone, Debug, Serialize)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct ImportArgs {
    /// The model's name, under which its bundles are published as versions.
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// Items' factors: a .npy of float32, items × rank; or Parquet with columns id and features, one
    /// file or a directory of part-*.parquet as Spark writes them.
    #[arg(long, value_name = "FILE")]
    pub item_factors: PathBuf,
    /// Users' factors, likewise.
    #[arg(long, value_name = "FILE")]
    pub user_factors: PathBuf,
    /// Items' ids for a .npy, one a line in the order of its rows; row numbers from 0 without.
    #[arg(long, value_name = "FILE")]
    pub item_ids: Option<PathBuf>,
    /// Users' ids for a .npy, one a line in the order of its rows; row numbers from 0 without.
    #[arg(long, value_name = "FILE")]
    pub user_ids: Option<PathBuf>,
    /// Titles, tags and years of items.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// Interactions, for histories (what a user has seen is not recommended) and popularity (what
    /// unknown users get).
    #[arg(long, value_name = "FILE")]
    pub interactions: Option<PathBuf>,
    /// The bundle's directory, which must not exist yet or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Into how many shards the bundle is cut.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub shards: u32,
    /// Count rows with a value of at least X only as popularity; others still count as seen.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub positive_at: Option<f32>,
    /// What becomes of several rows of one user and item: the last counts, or values are summed.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub duplicates: Duplicates,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Whether and how to build an index for fast searches.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub index: Index,
    /// What of the item factors is kept in memory.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub rows: Rows,
    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Where the items' columns are.
    #[command(flatten)]
    pub item_columns: ItemColumnArgs,
}

impl ImportArgs {
    /// Defaults for this name and these paths.
    pub fn new(
        model: impl Into<String>,
        item_factors: impl Into<PathBuf>,
        user_factors: impl Into<PathBuf>,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            model: model.into(),
            item_factors: item_factors.into(),
            user_factors: user_factors.into(),
            item_ids: None,
            user_ids: None,
            items: None,
            interactions: None,
            out: out.into(),
            shards: 1,
            positive_at: None,
            duplicates: Duplicates::default(),
            skip_bad_rows: false,
            index: Index::default(),
            rows: Rows::default(),
            columns: ColumnArgs::default(),
            item_columns: ItemColumnArgs::default(),
        }
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first flag that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_model("--model", &self.model)?;
        check_shards(self.shards)?;
        check_positive_at(self.positive_at)
    }
}

fn check_model(flag: &'static str, name: &str) -> Result<(), TrainError> {
    check_name("the model's name", name)
        .map_err(|error| TrainError::option(flag, error.to_string()))
}

fn check_shards(shards: u32) -> Result<(), TrainError> {
    match (1..=MAX_SHARDS).contains(&shards) {
        true => Ok(()),
        false => {
            Err(TrainError::option("--shards", format!("{shards} is not in 1 to {MAX_SHARDS}")))
        }
    }
}

pub(crate) fn check_positive_at(positive_at: Option<f32>) -> Result<(), TrainError> {
    match positive_at {
        Some(x) if !x.is_finite() => {
            Err(TrainError::option("--positive-at", format!("{x} is not a finite number")))
        }
        _ => Ok(()),
    }
}
