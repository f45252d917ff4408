//! What data files hold, before anything is trained on them.

use crate::error::TrainError;
use crate::interactions::{Duplicates, Interactions};
use crate::read::{
    ColumnArgs, ItemColumnArgs, ReadReport, UserColumnArgs, read_interactions, read_items,
    read_users,
};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A user with more than this share of all items is probably no person.
const SUSPICIOUS_SHARE: f64 = 0.5;
/// Users and items below this are too few to say so.
const FEW: usize = 20;

/// Which files are looked at.
#[derive(clap::Args, Clone, Debug)]
pub struct DataCheckArgs {
    /// The interactions: a file, a directory of parts, or - for standard input
    pub interactions: PathBuf,
    /// The file of items: titles, tags, years
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// The file of users and their attributes
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
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

/// The least, the middle and the greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// The least of the numbers.
    pub min: f64,
    /// Half are below it.
    pub median: f64,
    /// The greatest of the numbers.
    pub max: f64,
}

/// What a file of items or users has in common with the interactions.
#[derive(Clone, Debug, Serialize)]
pub struct Described {
    /// The file that was read.
    pub path: PathBuf,
    /// Ids in the file.
    pub ids: usize,
    /// Of these, those with interactions.
    pub with_interactions: usize,
    /// Ids of the interactions that the file does not have.
    pub missing: usize,
    /// Bad rows, which were skipped.
    pub bad_rows: u64,
    /// The first few of them, with place and reason.
    pub first_bad_rows: Vec<String>,
    /// What was assumed, in sentences.
    pub notes: Vec<String>,
}

/// What data files hold.
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// How reading the interactions went.
    pub read: ReadReport,
    /// Users of the interactions.
    pub users: usize,
    /// Items of the interactions.
    pub items: usize,
    /// Pairs of a user and an item.
    pub pairs: usize,
    /// The share of all pairs that are there.
    pub density: f64,
    /// Rows of a user.
    pub rows_of_a_user: Range,
    /// Rows of an item.
    pub rows_of_an_item: Range,
    /// The values; none where the file has none.
    pub values: Option<Range>,
    /// The times, in the file's unit; none where the file has none.
    pub times: Option<Range>,
    /// The items file, where there is one.
    pub items_file: Option<Described>,
    /// The users file, where there is one.
    pub users_file: Option<Described>,
    /// What is probably wrong, in sentences.
    pub warnings: Vec<String>,
}

/// Reads the files and says what they hold. Bad rows are counted and skipped.
///
/// # Errors
/// A file that cannot be read, or that has no good row.
pub fn check_data(args: &DataCheckArgs) -> Result<DataReport, TrainError> {
    let (all, read) = read_interactions(&args.interactions, &args.columns, Duplicates::Last, true)?;
    let items_file = match &args.items {
        Some(path) => Some(described_items(path, &args.item_columns, &all)?),
        None => None,
    };
    let users_file = match &args.users {
        Some(path) => Some(described_users(path, &args.user_columns, &all)?),
        None => None,
    };
    let (users, items) = (all.users.len(), all.items.len());
    let mut of_items = vec![0usize; items];
    all.item.iter().for_each(|&item| of_items[item as usize] += 1);
    let of_users: Vec<f64> = (0..users).map(|user| all.rows_of(user).len() as f64).collect();
    let mut report = DataReport {
        users,
        items,
        pairs: all.len(),
        density: all.len() as f64 / (users as f64 * items as f64),
        rows_of_a_user: range(of_users),
        rows_of_an_item: range(of_items.iter().map(|&rows| rows as f64).collect()),
        values: all
            .has_values
            .then(|| range(all.value.iter().map(|&value| f64::from(value)).collect())),
        times: all.has_times().then(|| range(all.time.clone())),
        items_file,
        users_file,
        warnings: Vec::new(),
        read,
    };
    report.warnings = warnings(&report, &all);
    Ok(report)
}

/// What an items file says of the items of the interactions.
fn described_items(
    path: &Path,
    columns: &ItemColumnArgs,
    all: &Interactions,
) -> Result<Described, TrainError> {
    let file = read_items(path, columns, true)?;
    let found = all.items.iter().filter(|id| file.items.contains_key(*id)).count();
    Ok(Described {
        path: file.path,
        ids: file.items.len(),
        with_interactions: found,
        missing: all.items.len() - found,
        bad_rows: file.bad_rows,
        first_bad_rows: file.first_bad_rows,
        notes: file.notes,
    })
}

/// What a users file says of the users of the interactions.
fn described_users(
    path: &Path,
    columns: &UserColumnArgs,
    all: &Interactions,
) -> Result<Described, TrainError> {
    let file = read_users(path, columns, true)?;
    let found = all.users.iter().filter(|id| file.users.contains_key(*id)).count();
    Ok(Described {
        path: file.path,
        ids: file.users.len(),
        with_interactions: found,
        missing: all.users.len() - found,
        bad_rows: file.bad_rows,
        first_bad_rows: file.first_bad_rows,
        notes: vec![format!("attributes: {}", file.attributes.join(", "))],
    })
}

/// The range of some numbers, of which there is at least one.
fn range(mut numbers: Vec<f64>) -> Range {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len() - 1;
    Range { min: numbers[0], median: numbers[last / 2], max: numbers[last] }
}

/// What is probably wrong.
fn warnings(report: &DataReport, all: &Interactions) -> Vec<String> {
    let mut found = Vec::new();
    let DataReport { users, items, .. } = *report;
    for (what, flag, file) in [
        ("item", "--items-id-column", &report.items_file),
        ("user", "--users-id-column", &report.users_file),
    ] {
        if let Some(file) = file
            && file.with_interactions == 0
        {
            found.push(format!(
                "{}: no {what} of the interactions is in it: are its ids written differently? Its id column is named by {flag}",
                file.path.display()
            ));
        }
    }
    let heaviest = (0..users).max_by_key(|&user| all.rows_of(user).len());
    if let Some(user) = heaviest.filter(|_| items >= FEW) {
        let share = all.rows_of(user).len() as f64 / items as f64;
        if share > SUSPICIOUS_SHARE {
            found.push(format!(
                "user {:?} has {:.0} % of all items: is it a program? Leave it out",
                all.users[user],
                100.0 * share
            ));
        }
    }
    if report.rows_of_a_user.max <= 1.0 && users >= FEW {
        found.push(
            "no user has two items: are the columns of user and item right? No model can be trained on such users".into(),
        );
    }
    found
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.read)?;
        writeln!(
            f,
            "{} users, {} items, {} pairs: {:.4} % of all pairs",
            self.users,
            self.items,
            self.pairs,
            100.0 * self.density
        )?;
        let ranges = [
            ("rows of a user", Some(self.rows_of_a_user)),
            ("rows of an item", Some(self.rows_of_an_item)),
            ("values", self.values),
            ("times", self.times),
        ];
        for (what, range) in ranges {
            match range {
                Some(Range { min, median, max }) => {
                    writeln!(f, "{what}: {min} to {max}, the median {median}")?;
                }
                None => writeln!(f, "{what}: none")?,
            }
        }
        for file in self.items_file.iter().chain(&self.users_file) {
            file.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
            writeln!(
                f,
                "{}: {} ids, {} of them with interactions; {} ids of the interactions are not in it",
                file.path.display(),
                file.ids,
                file.with_interactions,
                file.missing
            )?;
            if file.bad_rows > 0 {
                writeln!(f, "skipped {} bad rows; the first:", file.bad_rows)?;
                file.first_bad_rows.iter().try_for_each(|row| writeln!(f, "  {row}"))?;
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "WARNING: {warning}"))?;
        write!(f, "nothing was trained")
    }
}
