//! What a command did, as text (`Display`) and for scripts (`Serialize`).

use crate::catalogue::CatalogueReport;
use crate::choice::{FallbackChoice, SettingsSearch};
use crate::eval::Metrics;
use crate::phases::Phase;
use crate::read::{ReadReport, UsersFile};
use marquee_bundle::ForgottenUpTo;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What a training run did.
#[derive(Clone, Debug, Serialize)]
pub struct TrainSummary {
    /// The model's name, under which its versions are published.
    pub model: String,
    /// The family that was trained.
    pub kind: String,
    /// The bundle's directory.
    pub out: PathBuf,
    /// Users of the bundle.
    pub users: usize,
    /// Items of the bundle.
    pub items: usize,
    /// Interactions that were trained on.
    pub interactions: usize,
    /// Shards of the bundle.
    pub shards: u32,
    /// How reading the interactions went.
    pub read: ReadReport,
    /// How the items file fitted, where there was one.
    pub catalogue: Option<CatalogueReport>,
    /// What the users file said, where there was one.
    pub users_file: Option<UsersFile>,
    /// Whom the training left out, where it was told.
    pub forgotten: Option<LeftOutUsers>,
    /// How the settings were searched, one search a family; none where all were given or fixed.
    pub searches: Vec<SettingsSearch>,
    /// What users get of whom nothing is known; none where that was not searched: the items that are the most popular of all time.
    pub fallback: Option<FallbackChoice>,
    /// How good it is; none where that was not asked for, or no user has enough interactions.
    pub evaluation: Option<Evaluation>,
    /// What is to be known of the model, in sentences.
    pub notes: Vec<String>,
    /// The parameters that the manifest notes.
    pub parameters: BTreeMap<String, String>,
    /// What the phases took.
    pub phases: Vec<Phase>,
}

/// Users who were left out because a cluster forgets them.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOutUsers {
    /// How many users the interactions had of them.
    pub users: usize,
    /// How many rows these users had.
    pub rows: usize,
    /// Up to which tombstone of which list.
    pub list: ForgottenUpTo,
}

/// How good a model is on held-out interactions, beside recommending what is popular.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Whether settings were chosen on the same interactions: the metrics are then a little too good.
    pub chosen_on: bool,
    /// Metrics of the model.
    pub model: Metrics,
    /// The baseline on the same users.
    pub popularity: Metrics,
    /// Whether the last by time were held out, or some at random.
    pub held_out_by_time: bool,
    /// Users with interactions enough to take part, of whom a sample may have been evaluated.
    pub users: usize,
    /// Interactions that the evaluated model was trained on.
    pub train_rows: usize,
    /// Interactions held out.
    pub test_rows: usize,
}

/// What an import did.
#[derive(Clone, Debug, Serialize)]
pub struct ImportSummary {
    /// The model's name, under which its versions are published.
    pub model: String,
    /// The bundle's directory.
    pub out: PathBuf,
    /// Users of the bundle.
    pub users: usize,
    /// Items of the bundle.
    pub items: usize,
    /// Components of a factor vector.
    pub rank: usize,
    /// Shards of the bundle.
    pub shards: u32,
    /// Whose factors were left out, where the import was told.
    pub forgotten: Option<LeftOutFactors>,
    /// How the interactions fitted, where there were any.
    pub interactions: Option<ImportedInteractions>,
    /// How the items file fitted, where there was one.
    pub catalogue: Option<CatalogueReport>,
    /// What the phases took.
    pub phases: Vec<Phase>,
}

/// Users whose imported factors were left out because a cluster forgets them.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOutFactors {
    /// How many users had factors.
    pub users: usize,
    /// Up to which tombstone of which list.
    pub list: ForgottenUpTo,
}

/// How interactions met imported factors.
#[derive(Clone, Debug, Serialize)]
pub struct ImportedInteractions {
    /// How reading them went.
    pub read: ReadReport,
    /// Rows that became history.
    pub used: usize,
    /// Rows left out, since their user has no factors.
    pub rows_of_unknown_users: usize,
    /// Rows left out, since their item has no factors (and their user has).
    pub rows_of_unknown_items: usize,
}

impl TrainSummary {
    /// Whether the model was measured and is better than popularity.
    pub fn beats_popularity(&self) -> bool {
        self.evaluation.as_ref().is_some_and(|e| e.model.recall > e.popularity.recall)
    }
}

/// `1 shard` or `4 shards`.
fn shards_in_words(shards: u32) -> String {
    format!("{shards} shard{}", if shards == 1 { "" } else { "s" })
}

impl fmt::Display for TrainSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.read)?;
        write_catalogue(f, self.catalogue.as_ref())?;
        if let Some(file) = &self.users_file {
            writeln!(f, "attributes of users: {}", file.attributes.join(", "))?;
            write_bad_rows(f, file.bad_rows, &file.first_bad_rows)?;
        }
        if let Some(LeftOutUsers { users, rows, list }) = &self.forgotten {
            writeln!(
                f,
                "left out {rows} interactions of {users} users who are forgotten, up to tombstone {}",
                list.number
            )?;
        }
        writeln!(
            f,
            "trained on {} interactions of {} users with {} items",
            self.interactions, self.users, self.items
        )?;
        self.searches.iter().try_for_each(|search| writeln!(f, "{search}"))?;
        self.fallback.iter().try_for_each(|fallback| writeln!(f, "{fallback}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        match &self.evaluation {
            Some(evaluation) => write!(f, "{evaluation}")?,
            None => writeln!(
                f,
                "not evaluated: no user has five interactions, or --evaluate-users 0 was given"
            )?,
        }
        write_phases(f, &self.phases)?;
        write!(
            f,
            "{} is a bundle of {:?} in {}",
            self.out.display(),
            self.model,
            shards_in_words(self.shards)
        )
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.held_out_by_time {
            "the last fifth of each user's interactions by time"
        } else {
            "a random fifth of each user's interactions (there are no timestamps)"
        };
        writeln!(f, "held out {how}: {} of {}", self.test_rows, self.train_rows + self.test_rows)?;
        let sample = if self.model.users < self.users {
            format!(" drawn from {}", self.users)
        } else {
            String::new()
        };
        writeln!(
            f,
            "{:<12} {:>9} {:>9} {:>9}",
            format!("@{}", self.model.cutoff),
            "recall",
            "ndcg",
            "coverage"
        )?;
        for (name, metrics) in [("model", &self.model), ("popularity", &self.popularity)] {
            let Metrics { recall, ndcg, coverage, .. } = metrics;
            writeln!(f, "{name:<12} {recall:>9.4} {ndcg:>9.4} {coverage:>9.3}")?;
        }
        let Metrics { users, recall_standard_error, .. } = &self.model;
        writeln!(
            f,
            "over {users} users{sample}; standard error of recall {recall_standard_error:.4}"
        )?;
        if self.chosen_on {
            writeln!(
                f,
                "settings were chosen on the same interactions: take the figures for a little too good"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "factors of {} users and {} items, rank {}",
            self.users, self.items, self.rank
        )?;
        if let Some(LeftOutFactors { users, list }) = &self.forgotten {
            writeln!(
                f,
                "left out the factors of {users} users who are forgotten, up to tombstone {}",
                list.number
            )?;
        }
        if let Some(interactions) = &self.interactions {
            write!(f, "{}", interactions.read)?;
            writeln!(
                f,
                "histories from {} rows; left out {} of users and {} of items without factors",
                interactions.used,
                interactions.rows_of_unknown_users,
                interactions.rows_of_unknown_items
            )?;
        } else {
            writeln!(
                f,
                "without --interactions nothing is known to be seen, and users without factors get items in the order of their ids"
            )?;
        }
        write_catalogue(f, self.catalogue.as_ref())?;
        write_phases(f, &self.phases)?;
        write!(
            f,
            "{} is a bundle of {:?} in {}",
            self.out.display(),
            self.model,
            shards_in_words(self.shards)
        )
    }
}

impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        write!(f, "read {} rows", self.rows)?;
        if self.lines > 0 {
            let Self { lines, headers, blank_lines, .. } = self;
            write!(f, " of {lines} lines ({headers} of headers, {blank_lines} blank")?;
            for (count, what) in [(self.impressions, "impressions"), (self.bad_rows, "bad")] {
                if count > 0 {
                    write!(f, ", {count} {what}")?;
                }
            }
            write!(f, ")")?;
        }
        if self.duplicates > 0 {
            write!(f, ", {} of which repeat a user and item", self.duplicates)?;
        }
        writeln!(f)?;
        write_bad_rows(f, self.bad_rows, &self.first_bad_rows)
    }
}

fn write_bad_rows(f: &mut fmt::Formatter<'_>, count: u64, first: &[String]) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    writeln!(f, "skipped {count} bad rows; the first:")?;
    first.iter().try_for_each(|row| writeln!(f, "  {row}"))
}

fn write_catalogue(f: &mut fmt::Formatter<'_>, catalogue: Option<&CatalogueReport>) -> fmt::Result {
    let Some(catalogue) = catalogue else {
        return Ok(());
    };
    catalogue.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
    writeln!(
        f,
        "titles and tags: {} items described, {} without a description; {} of the items file are in no interaction \
         and left out",
        catalogue.described, catalogue.without_description, catalogue.left_out
    )?;
    write_bad_rows(f, catalogue.bad_rows, &catalogue.first_bad_rows)
}

fn write_phases(f: &mut fmt::Formatter<'_>, phases: &[Phase]) -> fmt::Result {
    let total: f64 = phases.iter().map(|phase| phase.cpu_seconds).sum();
    write!(f, "CPU seconds: {total:.2} (")?;
    for (n, phase) in phases.iter().enumerate() {
        write!(f, "{}{} {:.2}", if n == 0 { "" } else { ", " }, phase.name, phase.cpu_seconds)?;
    }
    writeln!(f, ")")
}
