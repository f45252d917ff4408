//! Interactions from a file.

use super::args::ColumnArgs;
use super::columns::{ColumnRole, EVENT_TYPE, Format, ITEM, TIME, USER, VALUE, list};
use super::event_types::EventTypes;
use super::fields::{parse_id, parse_time, parse_value, whole_number};
use super::intern::Interner;
use super::source::files_of;
use super::table::{BadRows, Table, Visited};
use super::times::TimeUnits;
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
    /// Rows that were read, those that are folded into others included.
    pub rows: u64,
    /// Lines of the text; 0 for Parquet. They are the rows, the bad rows, the headers, the blank lines, the impressions, and lines within
    /// quoted fields.
    pub lines: u64,
    /// Lines without text.
    pub blank_lines: u64,
    /// Headers, also where they are repeated.
    pub headers: u64,
    /// Rows that say that an item was shown, which is no interaction.
    pub impressions: u64,
    /// Rows without a time, which are taken as the oldest.
    pub rows_without_time: u64,
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
    event_type: Option<usize>,
}

/// Reads interactions from a file or pipe of text, which may be compressed, or from Parquet; of a directory, from all of its files.
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
    let mut reading = Reading::new(skip_bad_rows);
    for file in files_of(path)? {
        reading.read(&file, columns)?;
    }
    reading.finish(path, duplicates)
}

/// Interactions while they are read.
struct Reading {
    users: Interner,
    items: Interner,
    rows: Vec<RawRow>,
    /// The columns of the first file, and its form.
    first: Option<(InteractionColumns, Format)>,
    bad: BadRows,
    visited: Visited,
    headers: u64,
    /// The rows, by number, that have no time.
    untimed: Vec<usize>,
    event_types: EventTypes,
    times: TimeUnits,
    notes: Vec<String>,
}

impl Reading {
    fn new(skip_bad_rows: bool) -> Self {
        Self {
            users: Interner::default(),
            items: Interner::default(),
            rows: Vec::new(),
            first: None,
            bad: BadRows::new(skip_bad_rows),
            visited: Visited::default(),
            headers: 0,
            untimed: Vec::new(),
            event_types: EventTypes::default(),
            times: TimeUnits::default(),
            notes: Vec::new(),
        }
    }

    /// Reads one file.
    fn read(&mut self, path: &Path, args: &ColumnArgs) -> Result<(), TrainError> {
        let table = match Table::open(path, args.format) {
            // One part of several may be empty; whether all are is seen in the end.
            Err(TrainError::Empty { .. }) => return Ok(()),
            opened => opened?,
        };
        let mut notes = Vec::new();
        let layout = find_layout(&table, args, &mut notes)?;
        let (first, _) = *self.first.get_or_insert((layout, table.format));
        let has = |layout: InteractionColumns| (layout.value.is_some(), layout.time.is_some());
        if has(layout) != has(first) {
            let problem = "the file has other columns than the files before it: the value and the time are in all of them, or \
                           in none";
            return Err(TrainError::columns(path, problem));
        }
        for note in notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        self.headers += u64::from(layout.header);
        let wanted: Vec<usize> =
            [Some(layout.user), Some(layout.item), layout.value, layout.time, layout.event_type]
                .into_iter()
                .flatten()
                .collect();
        let Self { users, items, rows, bad, untimed, event_types, times, .. } = self;
        let visited = table.visit(layout.header, &wanted, bad, |record| {
            let user = parse_id("user", layout.user, &record[layout.user])?;
            let item = parse_id("item", layout.item, &record[layout.item])?;
            if let Some(column) = layout.event_type
                && event_types.is_impression(&record[column])
            {
                return Ok(());
            }
            let value =
                layout.value.map_or(Ok(1.0), |column| parse_value(column, &record[column]))?;
            let time = match layout.time {
                Some(column) if is_missing(&record[column]) => {
                    untimed.push(rows.len());
                    0.0
                }
                Some(column) => {
                    let time = parse_time(column, &record[column])?;
                    times.add(time);
                    time
                }
                None => 0.0,
            };
            rows.push(RawRow { user: users.intern(user), item: items.intern(item), value, time });
            Ok(())
        })?;
        self.headers += visited.repeated_headers;
        self.visited.lines += visited.lines;
        self.visited.blank_lines += visited.blank_lines;
        if visited.repeated_headers > 0 {
            self.notes.push(format!(
                "{}: the header is repeated {} times within the file, and skipped",
                path.display(),
                visited.repeated_headers
            ));
        }
        Ok(())
    }

    /// The interactions, and what was come upon.
    fn finish(
        mut self,
        path: &Path,
        duplicates: Duplicates,
    ) -> Result<(Interactions, ReadReport), TrainError> {
        let impressions = self.event_types.impressions();
        let (Some((layout, format)), false) = (self.first, self.rows.is_empty()) else {
            return Err(match self.bad.first.first() {
                Some(first) => TrainError::format(
                    path,
                    format!("all {} rows are bad; the first: {first}", self.bad.count),
                ),
                None if impressions > 0 => TrainError::format(
                    path,
                    format!(
                        "all {impressions} rows are impressions, which say that an item was shown: no user had any"
                    ),
                ),
                None => TrainError::Empty { path: path.into() },
            });
        };
        if self.users.len().max(self.items.len()) > MAX_ORDINALS {
            return Err(TrainError::format(
                path,
                format!("more than {MAX_ORDINALS} users or items: split the catalogue"),
            ));
        }
        self.take_untimed_as_oldest(path);
        let user_ids = plain_ids(&self.users, "users", path, &mut self.notes);
        let item_ids = plain_ids(&self.items, "items", path, &mut self.notes);
        self.notes.extend(self.times.warning(path));
        self.notes.extend(self.event_types.note(path));
        self.notes.extend(constant_value(&self.rows, layout.value.is_some(), path));
        let has_values = layout.value.is_some();
        let has_times = layout.time.is_some() && self.untimed.len() < self.rows.len();
        let (interactions, folded) = Interactions::from_rows(
            &user_ids, &item_ids, &self.rows, has_values, has_times, duplicates,
        );
        let report = ReadReport {
            path: path.into(),
            format,
            rows: self.rows.len() as u64,
            lines: self.visited.lines,
            blank_lines: self.visited.blank_lines,
            headers: self.headers,
            impressions,
            rows_without_time: self.untimed.len() as u64,
            bad_rows: self.bad.count,
            first_bad_rows: self.bad.first,
            duplicates: folded,
            notes: self.notes,
        };
        Ok((interactions, report))
    }

    /// Gives rows without a time that of the oldest row.
    fn take_untimed_as_oldest(&mut self, path: &Path) {
        if self.untimed.is_empty() {
            return;
        }
        let oldest = self.times.oldest().unwrap_or(0.0);
        for &row in &self.untimed {
            self.rows[row].time = oldest;
        }
        self.notes.push(format!(
            "{}: {} rows have no time, and are taken as the oldest",
            path.display(),
            self.untimed.len()
        ));
    }
}

/// Whether a cell says that there is nothing.
fn is_missing(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    cell.is_empty()
        || ["null", "none", "nat"].iter().any(|it| cell.eq_ignore_ascii_case(it.as_bytes()))
}

/// The ids, whole numbers without the `.0` that pandas writes behind them where a column has gaps.
fn plain_ids<'a>(
    ids: &'a Interner,
    what: &str,
    path: &Path,
    notes: &mut Vec<String>,
) -> Vec<&'a str> {
    let all: Vec<&str> = ids.ids().collect();
    let whole: Vec<Option<&str>> = all.iter().map(|id| whole_number(id)).collect();
    let count = whole.iter().flatten().count();
    if count == 0 {
        return all;
    }
    if count == all.len() {
        notes.push(format!(
            "{}: the ids of the {what} are whole numbers with .0, and are read without it: {} as {}",
            path.display(),
            all[0],
            whole[0].unwrap_or_default()
        ));
        return whole.into_iter().flatten().collect();
    }
    let known: std::collections::HashSet<&str> = all.iter().copied().collect();
    let twice = whole.iter().flatten().filter(|id| known.contains(**id)).count();
    if twice > 0 {
        notes.push(format!(
            "{}: {twice} ids of {what} are there as 27 and as 27.0, which are two: write them alike",
            path.display()
        ));
    }
    all
}

/// A warning where all values are the same.
fn constant_value(rows: &[RawRow], has_values: bool, path: &Path) -> Option<String> {
    let first = rows.first().filter(|_| has_values && rows.len() > 1)?.value;
    let is_constant = rows.iter().all(|row| row.value == first);
    is_constant
        .then(|| format!("{}: the value is {first} in every row: it says nothing", path.display()))
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
    let header = table.has_own_header()
        || args.header
        || !args.no_header && (known || named || !looks_like_data(first, args));
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
        event_type: cells.and_then(|cells| EVENT_TYPE.find(cells)),
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
/// order), there are numbers or dates.
fn looks_like_data(first: &[String], args: &ColumnArgs) -> bool {
    let is_number = |column: usize| {
        first.get(column).is_some_and(|cell| parse_time(0, cell.as_bytes()).is_ok())
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
    notes.push("no header: the columns are taken in the usual order, the first row is data; --header says otherwise".into());
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
