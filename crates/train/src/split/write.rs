//! `marquee split`: a file in, files out, and a note of how they were made.

use super::args::SplitArgs;
use super::options::SplitOptions;
use super::parts::{Parts, in_order, split};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::read::{ReadReport, read_interactions};
use crate::weight::{Weight, positives};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What was written and how, beside the files, so that they can be made again.
const NOTE: &str = "split.json";

/// What a split did.
#[derive(Clone, Debug, Serialize)]
pub struct SplitSummary {
    /// How reading the interactions went.
    pub read: ReadReport,
    /// How they were cut.
    #[serde(flatten)]
    pub options: SplitOptions,
    /// The bound that values had to reach, if any.
    pub positive_at: Option<f32>,
    /// Whether "last" was by time; otherwise rows were drawn by the seed.
    pub by_time: bool,
    /// Users with rows enough.
    pub users: usize,
    /// Interactions of these users.
    pub rows: usize,
    /// The single split, or one a fold.
    pub folds: Vec<FoldSummary>,
}

/// The files of one split.
#[derive(Clone, Debug, Serialize)]
pub struct FoldSummary {
    /// The directory of the files.
    pub dir: PathBuf,
    /// The files, each with what it holds.
    pub parts: Vec<PartSummary>,
    /// Rows of the test part whose user has no row in the train part.
    pub test_rows_of_new_users: usize,
    /// Rows of the test part whose item has no row in the train part: no collaborative model finds them.
    pub test_rows_of_new_items: usize,
    /// Users of whom a row to find has the time of one to train on: the order of the file decided between them.
    pub tied_users: usize,
}

/// A file of one part.
#[derive(Clone, Debug, Serialize)]
pub struct PartSummary {
    /// Name of the file.
    pub file: String,
    /// Rows of the file.
    pub rows: usize,
    /// Users with a row in it.
    pub users: usize,
    /// Items with a row in it.
    pub items: usize,
}

/// Cuts a file of interactions and writes the parts as CSV: user, item, value and timestamp where
/// there are any, by user and within a user by time.
///
/// # Errors
/// What reading and [`split`] refuse; a directory that holds something already.
pub fn write_split(args: &SplitArgs) -> Result<SplitSummary, TrainError> {
    args.validate()?;
    refuse_occupied(&args.out)?;
    let (all, read) =
        read_interactions(&args.interactions, &args.columns, args.duplicates, args.skip_bad_rows)?;
    let rows = positives(&all, args.positive_at, Weight::None)?;
    let options = args.options();
    let (folds, by_time) = split(&rows, &options)?;
    let first = &folds[0].train;
    let mut summary = SplitSummary {
        read,
        positive_at: args.positive_at,
        by_time,
        users: first.users.len(),
        rows: (0..rows.users.len())
            .map(|user| rows.rows_of(user).len())
            .filter(|&count| count >= args.min_rows)
            .sum(),
        folds: Vec::with_capacity(folds.len()),
        options,
    };
    for (number, parts) in (1..).zip(&folds) {
        let dir = match folds.len() {
            1 => args.out.clone(),
            _ => args.out.join(format!("fold-{number}")),
        };
        summary.folds.push(write_parts(&dir, parts, args.seed)?);
    }
    let path = args.out.join(NOTE);
    let note = serde_json::to_vec_pretty(&summary)
        .map_err(|error| TrainError::format(&path, error.to_string()))?;
    fs_err::write(&path, note).map_err(TrainError::write(&path))?;
    Ok(summary)
}

fn refuse_occupied(dir: &Path) -> Result<(), TrainError> {
    let occupied = match fs_err::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        // It can be made; where it can't, that is said then.
        Err(_) => dir.exists(),
    };
    if occupied {
        Err(TrainError::option(
            "--out",
            format!("{} is there already: give a new or empty directory", dir.display()),
        ))
    } else {
        Ok(())
    }
}

fn write_parts(dir: &Path, parts: &Parts, seed: u64) -> Result<FoldSummary, TrainError> {
    fs_err::create_dir_all(dir).map_err(TrainError::write(dir))?;
    let Parts { train, valid, valid_input, input, test } = parts;
    let files = [
        ("train.csv", Some(train)),
        ("valid.csv", valid.as_ref()),
        ("valid-input.csv", valid_input.as_ref()),
        ("input.csv", input.as_ref()),
        ("test.csv", Some(test)),
    ];
    let mut summaries = Vec::new();
    for (file, rows) in files {
        if let Some(rows) = rows {
            write_csv(&dir.join(file), rows, seed)?;
            let items: HashSet<u32> = rows.item.iter().copied().collect();
            summaries.push(PartSummary {
                file: file.into(),
                rows: rows.len(),
                users: users_of(rows).count(),
                items: items.len(),
            });
        }
    }
    let known: HashSet<u32> = train.item.iter().copied().collect();
    let new_users = users_of(test).filter(|&user| train.rows_of(user).is_empty());
    Ok(FoldSummary {
        dir: dir.into(),
        parts: summaries,
        test_rows_of_new_users: new_users.map(|user| test.rows_of(user).len()).sum(),
        test_rows_of_new_items: test.item.iter().filter(|item| !known.contains(item)).count(),
        tied_users: users_of(test).filter(|&user| is_tied(train, test, user)).count(),
    })
}

/// Whether the newest row to train on of a user is as old as the oldest one to find.
fn is_tied(train: &Interactions, test: &Interactions, user: usize) -> bool {
    if !train.has_times() || !test.has_times() {
        return false;
    }
    let times = |rows: &Interactions| rows.time[rows.rows_of(user)].to_vec();
    let newest = times(train).into_iter().max_by(f64::total_cmp);
    let oldest = times(test).into_iter().min_by(f64::total_cmp);
    newest.is_some() && newest == oldest
}

fn users_of(rows: &Interactions) -> impl Iterator<Item = usize> + '_ {
    (0..rows.users.len()).filter(|&user| !rows.rows_of(user).is_empty())
}

fn write_csv(path: &Path, rows: &Interactions, seed: u64) -> Result<(), TrainError> {
    let file = fs_err::File::create(path).map_err(TrainError::write(path))?;
    let mut out = csv::Writer::from_writer(file);
    let mut header = vec!["user", "item"];
    header.extend(rows.has_values.then_some("value"));
    header.extend(rows.has_times().then_some("timestamp"));
    let failed = |error: csv::Error| TrainError::write(path)(error.into());
    out.write_record(&header).map_err(failed)?;
    let mut record = csv::StringRecord::new();
    for user in users_of(rows) {
        for row in in_order(rows, user, seed) {
            record.clear();
            record.push_field(&rows.users[user]);
            record.push_field(&rows.items[rows.item[row] as usize]);
            if rows.has_values {
                record.push_field(&rows.value[row].to_string());
            }
            if rows.has_times() {
                record.push_field(&rows.time[row].to_string());
            }
            out.write_record(&record).map_err(failed)?;
        }
    }
    let mut file = out
        .into_inner()
        .map_err(|error| TrainError::write(path)(std::io::Error::other(error.to_string())))?;
    file.flush().map_err(TrainError::write(path))
}

impl fmt::Display for SplitSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.read.notes {
            writeln!(f, "{note}")?;
        }
        writeln!(
            f,
            "{} rows of {} users with at least {}, split by {}{}",
            self.rows,
            self.users,
            self.options.min_rows,
            self.options.by.name(),
            match (self.by_time, self.options.by) {
                (true, _) | (false, super::SplitBy::Rows) => "",
                (false, _) => " (there are no timestamps: rows are drawn by the seed)",
            }
        )?;
        writeln!(f, "{:<28} {:>10} {:>9} {:>9}", "file", "rows", "users", "items")?;
        for fold in &self.folds {
            for PartSummary { file, rows, users, items } in &fold.parts {
                let path = fold.dir.join(file);
                writeln!(f, "{:<28} {rows:>10} {users:>9} {items:>9}", path.display().to_string())?;
            }
            if fold.tied_users > 0 {
                writeln!(
                    f,
                    "{} of {} users have rows of one time on both sides of the cut: the order of the file decided",
                    fold.tied_users, self.users
                )?;
            }
            if fold.test_rows_of_new_users + fold.test_rows_of_new_items > 0 {
                writeln!(
                    f,
                    "test rows of users that train doesn't have: {}; of such items: {}",
                    fold.test_rows_of_new_users, fold.test_rows_of_new_items
                )?;
            }
        }
        Ok(())
    }
}
