//! What `marquee export` writes: items that were shown, and what users did with them.

use super::columns::list;
use super::fields::{Problem, parse_time, quote};
use super::table::{BadRows, Table};
use crate::error::TrainError;
use csv::ByteRecord;
use std::path::Path;

/// The columns of exposures that are read.
const EXPOSURE_COLUMNS: [&str; 10] = [
    "recommendation_id",
    "time",
    "user_hash",
    "surface",
    "asked_for",
    "filtered",
    "rank",
    "item_id",
    "propensity",
    "drawn",
];
/// The columns of events that are read.
const EVENT_COLUMNS: [&str; 7] =
    ["recommendation_id", "time", "user_id", "item_id", "type", "value", "event_id"];

/// An item that an answer showed, or an answer that showed none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExposedItem<'a> {
    /// The id of the answer that was shown.
    pub recommendation_id: &'a str,
    /// When it was given, seconds since 1970.
    pub time_seconds: f64,
    /// The hash of its user, 16 hexadecimal digits.
    pub user_hash: &'a str,
    /// The surface that was asked.
    pub surface: &'a str,
    /// What was asked for, such as `recommendations`; empty where it is not known.
    pub asked_for: &'a str,
    /// Whether the request had a filter.
    pub is_filtered: bool,
    /// The rank of the item, from 1; 0 where the answer has none.
    pub rank: u32,
    /// The item; empty where the answer has none.
    pub item_id: &'a str,
    /// The propensity of the item to be shown at its rank, above 0 and at most 1.
    pub propensity: f64,
    /// Whether the item was drawn.
    pub is_drawn: bool,
}

/// What a user did with an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedEvent<'a> {
    /// The answer that it came from; empty for none.
    pub recommendation_id: &'a str,
    /// When it happened, seconds since 1970.
    pub time_seconds: f64,
    /// The id of the user whose event it is.
    pub user_id: &'a str,
    /// The id of the item that it is about.
    pub item_id: &'a str,
    /// Its type, such as `click`.
    pub event_type: &'a str,
    /// Seconds, money or a rating.
    pub value: f64,
    /// The event's id.
    pub event_id: &'a str,
}

/// Reads exposures, as `marquee export --exposures` writes them, row by row.
///
/// # Errors
/// The first bad row with its place; a missing column.
pub fn read_exposures(
    path: &Path,
    mut take: impl FnMut(ExposedItem<'_>),
) -> Result<(), TrainError> {
    let advice = "export it with `marquee export --exposures`";
    read(path, EXPOSURE_COLUMNS, advice, |columns, record| {
        let [id, time, user, surface, asked_for, filtered, rank, item, propensity, drawn] = columns;
        let chance = parse_time(propensity, &record[propensity])?;
        if !(chance > 0.0 && chance <= 1.0) {
            let problem = format!("{} is no propensity above 0", quote(&record[propensity]));
            return Err(Problem::at(propensity, problem));
        }
        take(ExposedItem {
            recommendation_id: text(id, record)?,
            time_seconds: parse_time(time, &record[time])?,
            user_hash: text(user, record)?,
            surface: text(surface, record)?,
            asked_for: text(asked_for, record)?,
            is_filtered: number(filtered, record)? != 0,
            rank: number(rank, record)?,
            item_id: text(item, record)?,
            propensity: chance,
            is_drawn: number(drawn, record)? != 0,
        });
        Ok(())
    })
}

/// Reads events, as `marquee export` writes them, row by row.
///
/// # Errors
/// The first bad row with its place; a missing column.
pub fn read_events(path: &Path, mut take: impl FnMut(RecordedEvent<'_>)) -> Result<(), TrainError> {
    read(path, EVENT_COLUMNS, "export it with `marquee export`", |columns, record| {
        let [id, time, user, item, event_type, value, event] = columns;
        take(RecordedEvent {
            recommendation_id: text(id, record)?,
            time_seconds: parse_time(time, &record[time])?,
            user_id: text(user, record)?,
            item_id: text(item, record)?,
            event_type: text(event_type, record)?,
            value: parse_time(value, &record[value])?,
            event_id: text(event, record)?,
        });
        Ok(())
    })
}

/// Gives each record to `row`, with the places of these columns.
fn read<const N: usize>(
    path: &Path,
    names: [&str; N],
    advice: &str,
    mut row: impl FnMut([usize; N], &ByteRecord) -> Result<(), Problem>,
) -> Result<(), TrainError> {
    let table = Table::open(path, None)?;
    let mut columns = [0; N];
    for (column, name) in columns.iter_mut().zip(names) {
        *column = table.first.iter().position(|there| there.trim() == name).ok_or_else(|| {
            let there = list(&table.first);
            TrainError::columns(path, format!("no column {name:?} among {there}: {advice}"))
        })?;
    }
    let has_header = !table.has_own_header();
    table.visit(has_header, &columns, &mut BadRows::new(false), |record| row(columns, record))?;
    Ok(())
}

fn text(column: usize, record: &ByteRecord) -> Result<&str, Problem> {
    let field = &record[column];
    std::str::from_utf8(field)
        .map_err(|_| Problem::at(column, format!("{} is not UTF-8", quote(field))))
}

fn number(column: usize, record: &ByteRecord) -> Result<u32, Problem> {
    let parsed = text(column, record)?.trim().parse();
    parsed
        .map_err(|_| Problem::at(column, format!("{} is no whole number", quote(&record[column]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rows.csv");
        std::fs::write(&path, text).expect("written");
        (dir, path)
    }

    const HEADER: &str = "recommendation_id,time,user_hash,surface,asked_for,filtered,rank,item_id,propensity,drawn\n";

    #[test]
    fn exposures_are_read_as_they_are_exported() {
        let (_dir, path) = file(&format!("{HEADER}r,1.5,0a,home,recommendations,0,2,i,0.998,1\n"));
        let mut rows = 0;
        let expected = ExposedItem {
            recommendation_id: "r",
            time_seconds: 1.5,
            user_hash: "0a",
            surface: "home",
            asked_for: "recommendations",
            is_filtered: false,
            rank: 2,
            item_id: "i",
            propensity: 0.998,
            is_drawn: true,
        };
        read_exposures(&path, |row| {
            assert_eq!(row, expected);
            rows += 1;
        })
        .expect("read");
        assert_eq!(rows, 1);
    }

    #[test]
    fn what_is_no_exposure_is_refused_with_its_place() {
        for (rows, says) in [
            ("r,1,0a,home,,0,1,i,0,0\n", "\"0\" is no propensity above 0"),
            ("r,1,0a,home,,0,1,i,1.5,0\n", "\"1.5\" is no propensity above 0"),
            ("r,1,0a,home,,0,-1,i,1,0\n", "\"-1\" is no whole number"),
            ("r,1,0a,home,,0,1,i,,0\n", "propensity"),
        ] {
            let (_dir, path) = file(&format!("{HEADER}{rows}"));
            let error = read_exposures(&path, |_| {}).expect_err("refused").to_string();
            assert!(error.contains(says) && error.contains("line 2"), "{rows}: {error}");
        }
        let (_dir, path) = file("recommendation_id,time\nr,1\n");
        let error = read_exposures(&path, |_| {}).expect_err("refused").to_string();
        assert!(error.contains("no column \"user_hash\"") && error.contains("marquee export"));
        let error = read_events(&path, |_| {}).expect_err("refused").to_string();
        assert!(error.contains("no column \"user_id\""), "{error}");
    }
}
