//! The arguments of `marquee train` and `marquee import`: flags, defaults, bounds. Settings of models are made
//! from the families instead, see `flags`.
//!
//! The structs are flags and settings at once: the command line flattens them in, and code fills
//! them by hand from their `Default`. `validate()` checks what the types can't.

use crate::error::TrainError;
use crate::family::{ModelConfig, ModelKind, TrainingOptions};
use crate::interactions::Duplicates;
use crate::read::{ColumnArgs, ItemColumnArgs, UserColumnArgs};
use crate::settings::ModelSettings;
use crate::weight::Weight;
use clap::{Args, ValueEnum};
use marquee_bundle::{IndexKind, IndexMode, IndexOptions, RowFormat};
use marquee_core::bounds::MAX_SHARDS;
use marquee_core::id::check_name;
use serde::Serialize;
use std::path::PathBuf;

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
    /// A navigable small-world graph in every shard, built with hnsw_rs: slower, for comparison.
    Hnsw,
    /// Never: every search scans.
    Never,
}

/// What of the factors is kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowStorage {
    /// The factors themselves: four bytes a factor.
    #[default]
    F32,
    /// One byte a factor; the factors themselves are read from disk where they matter. Answers are
    /// the same.
    Int8,
}

impl From<RowStorage> for RowFormat {
    fn from(rows: RowStorage) -> Self {
        match rows {
            RowStorage::F32 => Self::F32,
            RowStorage::Int8 => Self::Int8,
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

/// Rows of a shard from which on a trained bundle has an index unless told otherwise.
///
/// An exact scan of fewer costs below 0.1 ms, while building and measuring cells costs a CPU second:
/// more than the training itself. `--index cells` builds one all the same.
const INDEX_MIN_ROWS: usize = 20_000;
/// Components that a vector is taken to have, of a family that has no such setting.
const USUAL_RANK: usize = 64;

/// Examples below `marquee train --help`.
pub const TRAIN_EXAMPLES: &str = "\
Examples:
  marquee train --interactions ratings.csv --items movies.csv --positive-at 4 --out films-v1 --shards 4
  marquee train --interactions plays.parquet --value-column hours --weight log --out games-v1
  marquee train --interactions u.data --model mf --factors 128 --regularization 10 --json --out v2
  marquee train --interactions ratings.csv --items movies.csv --positive-at 4 --model hybrid --out films-v2
  marquee train --interactions ratings.dat --users users.dat --users-header user,gender,age,occupation,zip \\
      --attributes gender,age,occupation --positive-at 4 --out films-v3
  marquee train --interactions train.parquet --forgotten users.json --name films --out films-v4";

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
    /// Attributes of users (age, region, language, …), a column each: users who are described here, or by
    /// user_attributes in a request, and have no history yet get what users with the same attributes like.
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Leave out the users whom a cluster forgets: a file of `marquee ctl users keys`. The bundle notes up to whom.
    #[arg(long, value_name = "FILE")]
    pub forgotten: Option<PathBuf>,
    /// Recommend items of --items without interactions too, by vectors predicted from their
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

    /// The settings of the model.
    #[command(flatten)]
    #[serde(flatten)]
    pub settings: ModelSettings,
    /// Take the fixed settings where none are given, rather than those that suit the interactions held out best; with
    /// --config that is so anyway.
    #[arg(long, help_heading = "Model")]
    pub no_search: bool,
    /// Decides everything random: the same seed and data give the same bundle.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Model")]
    pub seed: u64,

    /// Train on rows with a value of at least X only; others still count as seen.
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
    pub rows: RowStorage,
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
            forgotten: None,
            cold_items: false,
            model: ModelKind::default(),
            config: None,
            members: Vec::new(),
            name: None,
            out: out.into(),
            shards: 1,
            settings: ModelSettings::default(),
            no_search: false,
            seed: 1,
            positive_at: None,
            weight: Weight::default(),
            duplicates: Duplicates::default(),
            skip_bad_rows: false,
            evaluate_users: None,
            index: Index::default(),
            rows: RowStorage::default(),
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
        self.model_config().check()?;
        let family = self.model.family();
        if self.users.is_some() && !family.is_personal() {
            let problem =
                format!("--model {} answers all users alike: leave it out", family.name());
            return Err(TrainError::option("--users", problem));
        }
        if self.cold_items && !family.predicts_cold_items() {
            let able = ModelKind::ALL.iter().filter(|kind| kind.family().predicts_cold_items());
            let names: Vec<&str> = able.map(|kind| kind.name()).collect();
            let problem = format!("it goes with --model {}: leave it out", names.join(" or "));
            return Err(TrainError::option("--cold-items", problem));
        }
        check_positive_at(self.positive_at)
    }

    /// The model and its settings.
    pub fn model_config(&self) -> ModelConfig {
        ModelConfig {
            model: self.model,
            settings: self.settings.clone(),
            members: self.members.clone(),
            weight: None,
        }
    }

    /// These arguments with the model of a config, and with its settings where they have none themselves.
    pub fn or_config(&self, config: &ModelConfig) -> Self {
        Self {
            model: config.model,
            settings: self.settings.or(&config.settings),
            members: match self.members.as_slice() {
                [] => config.members.clone(),
                given => given.to_vec(),
            },
            ..self.clone()
        }
    }

    /// These arguments with the settings of their `--config`, which flags overrule.
    ///
    /// # Errors
    /// As [`ModelConfig::read`]; another model than `--model` says.
    pub(crate) fn with_config_file(&self) -> Result<Self, TrainError> {
        let Some(path) = &self.config else { return Ok(self.clone()) };
        let config = ModelConfig::read(path)?;
        // The default is no choice.
        if self.model != ModelKind::default() && self.model != config.model {
            let (given, there) = (self.model.name(), config.model.name());
            let problem = format!("it is of {there}, and --model says {given}: leave one out");
            return Err(TrainError::option("--config", problem));
        }
        // What a file has was chosen, its omissions too.
        Ok(Self { no_search: true, ..self.or_config(&config) })
    }

    /// The options of a training that do not depend on the family.
    pub(crate) fn training_options(&self) -> TrainingOptions {
        TrainingOptions {
            weight: self.weight,
            seed: self.seed,
            index: IndexOptions { seed: self.seed, min_rows: INDEX_MIN_ROWS, ..self.index.into() },
            row_format: self.rows.into(),
            predict_cold_items: self.cold_items,
        }
    }

    /// Whether the model recommends items of the items file without interactions.
    pub(crate) fn recommends_unseen_items(&self) -> bool {
        // Only what is described has topics; nothing else can rank an item without interactions.
        self.cold_items || self.model.family().recommends_unseen_items()
    }

    /// Components of a vector, by which the cost of an evaluation is estimated.
    pub(crate) fn estimated_rank(&self) -> usize {
        let given = self.settings.value("factors").map(ToString::to_string);
        let table = self.model.family().settings();
        let default = table.into_iter().find(|it| it.name == "factors").map(|it| it.default);
        given.or(default).and_then(|rank| rank.parse().ok()).unwrap_or(USUAL_RANK)
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
    /// Leave out the users whom a cluster forgets: a file of `marquee ctl users keys`. The bundle notes up to whom.
    #[arg(long, value_name = "FILE")]
    pub forgotten: Option<PathBuf>,
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
    pub rows: RowStorage,
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
            forgotten: None,
            out: out.into(),
            shards: 1,
            positive_at: None,
            duplicates: Duplicates::default(),
            skip_bad_rows: false,
            index: Index::default(),
            rows: RowStorage::default(),
            columns: ColumnArgs::default(),
            item_columns: ItemColumnArgs::default(),
        }
    }

    /// Checks that every option is within its bounds.
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
    if (1..=MAX_SHARDS).contains(&shards) {
        Ok(())
    } else {
        Err(TrainError::option("--shards", format!("{shards} is not in 1 to {MAX_SHARDS}")))
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
