//! What `marquee train` and `marquee import` can be asked: flags, defaults, bounds.
//!
//! The structs are flags and settings at once: the command line flattens them in, and code fills
//! them by hand from their `Default`. `validate()` checks what the types can't.

use crate::als::RegularizationScaling;
use crate::config::ModelConfig;
use crate::error::TrainError;
use crate::interactions::Duplicates;
use crate::read::Format;
use crate::weight::Weight;
use clap::{Args, ValueEnum};
use marquee_bundle::{IndexKind, IndexMode, IndexOptions, RowFormat};
use marquee_core::bounds::MAX_SHARDS;
use marquee_core::id::check_name;
use serde::{Deserialize, Serialize};
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

/// Where the columns of a users file are.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Columns of the users")]
pub struct UserColumnArgs {
    /// How the users are written; found out from the file when not given.
    #[arg(long, value_name = "FORMAT")]
    pub users_format: Option<Format>,
    /// Names of all columns, for a file without a header: user,gender,age,occupation.
    #[arg(long, value_name = "NAME,…")]
    pub users_header: Option<String>,
    /// Column of the user's id: its header, or its place counted from 1. Recognised when not given.
    #[arg(long, value_name = "NAME|N")]
    pub users_id_column: Option<String>,
    /// Columns of attributes; several with commas between. By default all but the id.
    #[arg(long, value_name = "NAME|N,…")]
    pub attributes: Option<String>,
}

/// What to train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Matrix factorisation: implicit-feedback ALS.
    #[default]
    Mf,
    /// Matrix factorisation of values (ratings) by gradient descent, with biases.
    MfSgd,
    /// Matrix factorisation by Bayesian personalised ranking.
    Bpr,
    /// Items that the same people like.
    ItemKnn,
    /// What people of like taste like.
    UserKnn,
    /// A linear model of items by items, in closed form (EASE).
    Ease,
    /// Random walks of three steps, less what is popular anyway.
    Rp3beta,
    /// What people go on to after an item: a Markov chain. Needs times.
    Transitions,
    /// Items whose titles and tags are of the same topics (LSA). Needs --items.
    Content,
    /// The most popular items for everybody.
    Popularity,
    /// What is popular of late, for everybody. Needs times.
    Trending,
    /// A blend of the others, whose weights are fitted on held-out interactions.
    Hybrid,
}

impl ModelKind {
    /// As on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mf => "mf",
            Self::MfSgd => "mf-sgd",
            Self::Bpr => "bpr",
            Self::ItemKnn => "item-knn",
            Self::UserKnn => "user-knn",
            Self::Ease => "ease",
            Self::Rp3beta => "rp3beta",
            Self::Transitions => "transitions",
            Self::Content => "content",
            Self::Popularity => "popularity",
            Self::Trending => "trending",
            Self::Hybrid => "hybrid",
        }
    }
}

/// What makes two items, or two users, similar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// The angle between the two rows of interactions.
    Cosine,
    /// What the two have in common, as a share of what either has. Items only.
    Jaccard,
    /// Interactions weighed as words are in search: of busy users less, of popular items bounded. Items only.
    Bm25,
    /// Cosine with interactions of busy users weighing less. Items only.
    TfIdf,
    /// Correlation of values: who likes the same more than usual. Users only.
    Pearson,
}

impl Similarity {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Jaccard => "jaccard",
            Self::Bm25 => "bm25",
            Self::TfIdf => "tf-idf",
            Self::Pearson => "pearson",
        }
    }
}

/// How users of like taste are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeighboursBy {
    /// By their histories, exactly.
    #[default]
    Histories,
    /// By their vectors from ALS: quicker where users are many.
    Vectors,
}

impl NeighboursBy {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Histories => "histories",
            Self::Vectors => "vectors",
        }
    }
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Each step as long as its gradient.
    Sgd,
    /// Steps scaled by what gradients were like so far (Kingma and Ba 2015).
    #[default]
    Adam,
}

impl Optimizer {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Adam => "adam",
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
  marquee train --interactions u.data --model mf --factors 128 --regularization 10 --json --out v2
  marquee train --interactions ratings.csv --items movies.csv --positive-at 4 --model hybrid --out films-v2
  marquee train --interactions ratings.dat --users users.dat --users-header user,gender,age,occupation,zip \\
      --attributes gender,age,occupation --positive-at 4 --out films-v3";

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
    /// Attributes of users (age, region, language, …), a column each: who is described here, or by
    /// user_attributes in a request, and has no taste yet gets what such people like.
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Recommend items of --items that nobody has interacted with too, by vectors predicted from their
    /// texts. For mf, and mf in a hybrid; content lists such items anyway.
    #[arg(long, requires = "items")]
    pub cold_items: bool,
    /// What to train.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub model: ModelKind,
    /// A model and its settings, as `marquee tune` writes them; flags given beside it overrule it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The members of a hybrid with their settings, of a `--config`; none: all families, with their defaults.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ModelConfig>,
    /// The model's name, under which its bundles are published as versions [default: the kind].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The bundle's directory, which must not exist yet or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Into how many shards the bundle is cut.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub shards: u32,

    /// Components of a factor vector [default: 64; content: 50 topics].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub factors: Option<usize>,
    /// How strongly a model is held near zero [default: mf and user-knn 10, as in PyPI implicit; ease
    /// a fifth of the users, within 50 to 1000; mf-sgd 0.05; bpr 0.01].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub regularization: Option<f32>,
    /// How regularization is spread: the same for all, or in proportion to how often a user or an
    /// item occurs [default: none].
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Model")]
    pub regularization_scaling: Option<RegularizationScaling>,
    /// Confidence in an observed pair of weight 1, where an unobserved one has 1; as in PyPI implicit
    /// [default: 1].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub alpha: Option<f32>,
    /// Sweeps over users and items, or over interactions [default: mf and user-knn 15, mf-sgd 30, bpr
    /// 100].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub iterations: Option<usize>,
    /// Length of a step of gradient descent [default: mf-sgd with adam 0.005, with sgd 0.01; bpr 0.05].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub learning_rate: Option<f32>,
    /// How gradients become steps [default: adam].
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Model")]
    pub optimizer: Option<Optimizer>,
    /// What makes two items or users similar [default: item-knn bm25, user-knn cosine].
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Model")]
    pub similarity: Option<Similarity>,
    /// Added below the line of a similarity, so that pairs with little in common count less [default: 0].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub shrinkage: Option<f32>,
    /// How soon a popular item's interactions stop adding up under bm25 [default: 0.5].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub bm25_k1: Option<f32>,
    /// How much more slowly those of popular items count under bm25, 0 to 1 [default: 0.25].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub bm25_b: Option<f32>,
    /// Neighbours that are kept of each item, or asked of users [default: item-knn 200; user-knn 100;
    /// ease, rp3beta and transitions 500].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub neighbours: Option<usize>,
    /// How users of like taste are found [default: histories].
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Model")]
    pub by: Option<NeighboursBy>,
    /// What an interaction weighs against the next newer one of the user, above 0 and at most 1, where
    /// there are times [default: ease and transitions 0.8, others 0.9].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub decay: Option<f64>,
    /// Only so many of a user's newest interactions speak for anything [default: transitions 50, others
    /// all].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub newest: Option<u32>,
    /// How many interactions later something still counts as gone on to [default: 20].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub window: Option<usize>,
    /// What going on to something one interaction later weighs against at once [default: 0.9].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub window_decay: Option<f64>,
    /// How much popular items are held back: 0 is not at all [default: 0.3].
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub beta: Option<f32>,
    /// Days after which an interaction counts half for what is trending [default: 21].
    #[arg(long, value_name = "DAYS", help_heading = "Model")]
    pub half_life: Option<f64>,
    /// List so many topics of a content model with the terms they stand for [default: 0].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub topics: Option<usize>,
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
    /// Where the users' columns are.
    #[command(flatten)]
    pub user_columns: UserColumnArgs,
}

impl TrainArgs {
    /// Defaults for these two paths.
    pub fn new(interactions: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            interactions: interactions.into(),
            items: None,
            users: None,
            cold_items: false,
            model: ModelKind::default(),
            config: None,
            members: Vec::new(),
            name: None,
            out: out.into(),
            shards: 1,
            factors: None,
            regularization: None,
            regularization_scaling: None,
            alpha: None,
            iterations: None,
            learning_rate: None,
            optimizer: None,
            similarity: None,
            shrinkage: None,
            bm25_k1: None,
            bm25_b: None,
            neighbours: None,
            by: None,
            decay: None,
            newest: None,
            window: None,
            window_decay: None,
            beta: None,
            half_life: None,
            topics: None,
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
            user_columns: UserColumnArgs::default(),
        }
    }

    /// The model's name: as given, or the kind's.
    pub fn model_name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.model.name())
    }

    /// Checks every bound, and that the model takes the flags it is given.
    ///
    /// # Errors
    /// The first flag that is out of its bounds or not for this model.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_model("--name", self.model_name())?;
        check_shards(self.shards)?;
        self.validate_model()?;
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
