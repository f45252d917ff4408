//! Interactions from a file.

use super::args::ColumnArgs;
use super::columns::{ColumnRole, Format, ITEM, TIME, USER, VALUE, list};
use super::fields::{parse_id, parse_time, parse_value};
use super::intern::Interner;
use super::table::{BadRows, Table};
use crate::error::TrainError;
use crate::interactions::{Duplicates, Interactions, RawRow};
use marquee_core::bounds::MAX_ORDINALS;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What reading a file came upon.
#[derive(Clone, Debug, Serialize)]
pub struct ReadReport {
    /// The file of interactions.
    pub path: PathBuf,
    /// The format that it was read in.
    pub format: Format,
    /// Rows that were read.
    pub rows: u64,
    /// Bad rows that were skipped; 0 unless skipping was asked for.
    pub bad_rows: u64,
    /// The first few of them, with place and reason.
    pub first_bad_rows: Vec<String>,
    /// Rows folded into others of the same user and item.
    pub duplicates: u64,
    /// What was assumed, in sentences.
    pub notes: Vec<String>,
}

/// The columns that hold what we need, from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
struct InteractionColumns {
    header: bool,
    user: usize,
    item: usize,
    value: Option<usize>,
    time: Option<usize>,
}

/// Reads interactions from a CSV, TSV, `::`-separated or Parquet file.
///
/// Columns are recognised by the header or given in `columns`; files without a header are taken as
/// user, item, value, timestamp. See [`ReadReport::notes`] for what was assumed.
///
/// # Errors
/// The first bad row with its place, unless `skip_bad_rows`; an empty file; columns that can't be
/// told apart.
pub fn read_interactions(
    path: &Path,
    columns: &ColumnArgs,
    duplicates: Duplicates,
    skip_bad_rows: bool,
) -> Result<(Interactions, ReadReport), TrainError> {
    let table = Table::open(path, columns.format)?;
    let mut notes = Vec::new();
    let layout = find_layout(&table, columns, &mut notes)?;
    let format = table.format;
    let (mut users, mut items) = (Interner::default(), Interner::default());
    let mut rows: Vec<RawRow> = Vec::new();
    let mut bad = BadRows::new(skip_bad_rows);
    let wanted: Vec<usize> = [Some(layout.user), Some(layout.item), layout.value, layout.time]
        .into_iter()
        .flatten()
        .collect();
    let good = table.visit(layout.header, &wanted, &mut bad, |record| {
        let user = parse_id("user", layout.user, &record[layout.user])?;
        let item = parse_id("item", layout.item, &record[layout.item])?;
        let value = layout.value.map_or(Ok(1.0), |column| parse_value(column, &record[column]))?;
        let time = layout.time.map_or(Ok(0.0), |column| parse_time(column, &record[column]))?;
        rows.push(RawRow { user: users.intern(user), item: items.intern(item), value, time });
        Ok(())
    })?;
    if good == 0 {
        return Err(match bad.first.first() {
            Some(first) => TrainError::format(
                path,
                format!("all {} rows are bad; the first: {first}", bad.count),
            ),
            None => TrainError::Empty { path: path.into() },
        });
    }
    if users.len().max(items.len()) > MAX_ORDINALS {
        return Err(TrainError::format(
            path,
            format!("more than {MAX_ORDINALS} users or items: split the catalogue"),
        ));
    }
    let (user_ids, item_ids) = (users.ids().collect::<Vec<_>>(), items.ids().collect::<Vec<_>>());
    let (has_values, has_times) = (layout.value.is_some(), layout.time.is_some());
    let (interactions, folded) =
        Interactions::from_rows(&user_ids, &item_ids, &rows, has_values, has_times, duplicates);
    let report = ReadReport {
        path: path.into(),
        format,
        rows: good,
        bad_rows: bad.count,
        first_bad_rows: bad.first,
        duplicates: folded,
        notes,
    };
    Ok((interactions, report))
}

fn find_layout(
    table: &Table,
    args: &ColumnArgs,
    notes: &mut Vec<String>,
) -> Result<InteractionColumns, TrainError> {
    let (path, first) = (&table.path, &table.first);
    let flags = [&args.user_column, &args.item_column, &args.value_column, &args.time_column];
    let known = USER.find(first).is_some() && ITEM.find(first).is_some();
    // A flag that is no number names a header's cell.
    let named =
        flags.iter().any(|flag| flag.as_ref().is_some_and(|flag| flag.parse::<usize>().is_err()));
    let header = table.has_own_header() || known || named || !looks_like_data(first, args);
    let cells = header.then_some(first.as_slice());
    let find = |role: &ColumnRole, flag: &Option<String>| match flag {
        Some(flag) => role.flagged(path, flag, cells, first.len()).map(Some),
        None => Ok(cells.and_then(|cells| role.find(cells))),
    };
    let (mut user, mut item) = (find(&USER, &args.user_column)?, find(&ITEM, &args.item_column)?);
    let (mut value, mut time) =
        (find(&VALUE, &args.value_column)?, find(&TIME, &args.time_column)?);
    if !header && user.is_none() && item.is_none() {
        assume_usual_order(first, &mut user, &mut item, &mut value, &mut time, notes)
            .map_err(|problem| TrainError::columns(path, problem))?;
    }
    let layout = InteractionColumns {
        header: header && !table.has_own_header(),
        user: user.ok_or_else(|| no_column(&USER, table, header))?,
        item: item.ok_or_else(|| no_column(&ITEM, table, header))?,
        value,
        time,
    };
    if layout.user == layout.item {
        return Err(TrainError::columns(
            path,
            "--user-column and --item-column are the same column",
        ));
    }
    note_layout(table, &layout, header, notes);
    Ok(layout)
}

/// The error that a file has no column for a role; `header` says whether its first row names the columns.
fn no_column(role: &ColumnRole, table: &Table, header: bool) -> TrainError {
    let there = if header {
        format!("the columns are {}", list(&table.first))
    } else {
        format!("the file has no header; its first row is {}", list(&table.first))
    };
    let problem = format!(
        "no column for the {}: name it with {}, or give its place; {there}",
        role.name, role.flag
    );
    TrainError::columns(&table.path, problem)
}

/// Whether a first row is data: where the value and the time would stand (by flag, or by the usual
/// order), there are numbers.
fn looks_like_data(first: &[String], args: &ColumnArgs) -> bool {
    let is_number = |column: usize| {
        first.get(column).is_some_and(|cell| parse_value(0, cell.as_bytes()).is_ok())
    };
    let flagged: Vec<usize> = [&args.value_column, &args.time_column]
        .into_iter()
        .flatten()
        .filter_map(|flag| flag.parse::<usize>().ok()?.checked_sub(1))
        .collect();
    if !flagged.is_empty() {
        flagged.into_iter().any(is_number)
    } else if first.len() > 2 {
        (2..first.len().min(4)).all(is_number)
    } else {
        // Two columns of ids: data when they are numbers, since no header is called 17.
        (0..first.len()).all(is_number) || args.user_column.is_some() && args.item_column.is_some()
    }
}

/// Unix seconds of 1973: no rating, count or number of hours is as large, and no time of a real
/// interaction is smaller.
const SMALLEST_LIKELY_TIME: f64 = 1e8;

/// user, item, value, timestamp, as MovieLens' u.data and ratings.dat have it; of a third and last
/// column that is as large as a time, the time.
fn assume_usual_order(
    first: &[String],
    user: &mut Option<usize>,
    item: &mut Option<usize>,
    value: &mut Option<usize>,
    time: &mut Option<usize>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    if !(2..=4).contains(&first.len()) {
        return Err(format!(
            "the file has no header and {} columns: say where the user, the item, the value and the time are \
             with --user-column 1 --item-column 2 --value-column 3 --time-column 4; its first row is {}",
            first.len(),
            list(first)
        ));
    }
    (*user, *item) = (Some(0), Some(1));
    let third_is_time =
        first.len() == 3 && first[2].parse().is_ok_and(|t: f64| t >= SMALLEST_LIKELY_TIME);
    if third_is_time {
        *time = time.or(Some(2));
    } else if first.len() > 2 {
        *value = value.or(Some(2));
        *time = time.or((first.len() > 3).then_some(3));
    }
    notes.push("no header: the columns are taken in the usual order".into());
    Ok(())
}

fn note_layout(table: &Table, layout: &InteractionColumns, header: bool, notes: &mut Vec<String>) {
    let column =
        |n: usize| if header { format!("{:?}", table.first[n]) } else { format!("{}", n + 1) };
    let optional = |n: Option<usize>, without: &str| n.map_or_else(|| without.to_string(), column);
    let note = format!(
        "{}: {}, user = column {}, item = {}, value = {}, timestamp = {}",
        table.path.display(),
        table.format.name(),
        column(layout.user),
        column(layout.item),
        optional(layout.value, "none (every row counts 1)"),
        optional(layout.time, "none"),
    );
    tracing::debug!("{note}");
    notes.push(note);
}
