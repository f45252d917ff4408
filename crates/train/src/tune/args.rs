//! The arguments of `marquee tune`.

use crate::eval::Metrics;
use crate::family::ModelKind;
use crate::interactions::Duplicates;
use crate::options::TrainArgs;
use crate::read::{ColumnArgs, ItemColumnArgs};
use crate::weight::Weight;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Examples below `marquee tune --help`.
pub const TUNE_EXAMPLES: &str = "\
Examples:
  marquee tune --interactions train.csv --positive-at 4 --model ease --budget 5m --config-out ease.toml
  marquee train --interactions train.csv --positive-at 4 --config ease.toml --out films-v2
  marquee tune --interactions train.csv --items movies.csv --model item-knn --rounds 3 --config-out knn.toml --json
  marquee tune --interactions train.csv --items movies.csv --model hybrid --budget 30m --config-out hybrid.toml";

/// What the trials are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// nDCG@20: hits further up count more.
    #[default]
    Ndcg,
    /// Recall@20: the share of held-out items that are found.
    Recall,
}

impl Objective {
    pub(super) fn of(self, metrics: &Metrics) -> f64 {
        match self {
            Self::Ndcg => metrics.ndcg,
            Self::Recall => metrics.recall,
        }
    }

    /// The name in reports and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndcg => "ndcg",
            Self::Recall => "recall",
        }
    }
}

/// Interactions in, settings out.
#[derive(Args, Clone, Debug)]
#[command(after_help = TUNE_EXAMPLES)]
pub struct TuneArgs {
    /// Time to search: 90s, 10m, 1h. A training that began before it was up is finished.
    #[arg(long, default_value = "10m", value_parser = parse_time, value_name = "TIME")]
    pub budget: Duration,
    /// Stop after the coarse grid and this many rounds of nine settings, though there is time left: for results that can be
    /// reproduced.
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// What settings are compared by.
    #[arg(long, value_enum, default_value_t, value_name = "METRIC")]
    pub objective: Objective,
    /// Where the best settings go, for `marquee train --config`. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub config_out: PathBuf,
    /// The data and the family.
    #[command(flatten)]
    pub data: TuneDataArgs,
}

/// What is tuned, and on which data.
#[derive(Args, Clone, Debug)]
pub struct TuneDataArgs {
    /// Interactions, as `marquee train` reads them.
    #[arg(long, value_name = "FILE")]
    pub interactions: PathBuf,
    /// Titles and tags of items, for content.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// The family to tune.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub model: ModelKind,
    /// Train on rows with a value of at least X only.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub positive_at: Option<f32>,
    /// What a row weighs: 1, its value, or ln(1 + value).
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub weight: Weight,
    /// What becomes of several rows of one user and item.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub duplicates: Duplicates,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Decides everything random.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Where the items' columns are.
    #[command(flatten)]
    pub item_columns: ItemColumnArgs,
}

impl TuneDataArgs {
    /// As arguments of a training that writes nothing.
    pub(super) fn training(&self) -> TrainArgs {
        TrainArgs {
            items: self.items.clone(),
            model: self.model,
            positive_at: self.positive_at,
            weight: self.weight,
            duplicates: self.duplicates,
            skip_bad_rows: self.skip_bad_rows,
            seed: self.seed,
            columns: self.columns.clone(),
            item_columns: self.item_columns.clone(),
            ..TrainArgs::new(&self.interactions, "")
        }
    }
}

/// A time such as 90s, 10m or 1h.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 90s, 10m or 1h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let total = number.checked_mul(seconds).filter(|total| *total > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total))
}
