//! A data file as a stream of records, whatever its form.

use super::columns::Format;
use super::delimited::Delimited;
use super::fields::Problem;
use super::json_lines::JsonLines;
use super::lines::{Place, TextCounts};
use super::parquet::ParquetTable;
use super::source::{Source, TextSource};
use crate::error::TrainError;
use csv::ByteRecord;
use std::path::{Path, PathBuf};

/// What to do about bad rows, and which there were.
#[derive(Debug, Default)]
pub(crate) struct BadRows {
    /// Count and go on, rather than stop.
    pub(crate) skip: bool,
    /// How many there were.
    pub(crate) count: u64,
    /// The first few, in words.
    pub(crate) first: Vec<String>,
}

/// How many bad rows a report spells out; the rest are a number.
const BAD_ROWS_SHOWN: usize = 5;

impl BadRows {
    pub(crate) fn new(skip: bool) -> Self {
        Self { skip, ..Self::default() }
    }

    fn take(&mut self, place: String, problem: String) -> Result<(), TrainError> {
        if !self.skip {
            return Err(TrainError::BadRow { place, problem });
        }
        self.count += 1;
        if self.first.len() < BAD_ROWS_SHOWN {
            self.first.push(format!("{place}: {problem}"));
        }
        Ok(())
    }
}

/// One open file, its first record already seen.
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    /// The first row's cells: a header, or data. A Parquet file's columns.
    pub(crate) first: Vec<String>,
    records: Records,
}

enum Records {
    Delimited(Box<Delimited>),
    JsonLines(Box<JsonLines>),
    Parquet(Box<ParquetTable>),
}

/// What became of the records of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visited {
    /// How many records were good.
    pub(crate) good: u64,
    /// How many lines a text has; 0 for Parquet.
    pub(crate) lines: u64,
    /// How many of them are blank.
    pub(crate) blank_lines: u64,
    /// How many records repeat the header.
    pub(crate) repeated_headers: u64,
}

impl Table {
    /// Opens the file and reads its first record; the format is found out where it isn't given.
    pub(crate) fn open(path: &Path, format: Option<Format>) -> Result<Self, TrainError> {
        let (format, first, records) = match (Source::open(path)?, format) {
            (Source::Parquet, None | Some(Format::Parquet)) => {
                let table = ParquetTable::open(path)?;
                (Format::Parquet, table.columns(), Records::Parquet(Box::new(table)))
            }
            (Source::Parquet, Some(other)) => {
                let problem = format!("the file is Parquet, and not {}", other.name());
                return Err(TrainError::format(path, problem));
            }
            (Source::Text(_), Some(Format::Parquet)) => {
                return Err(TrainError::format(path, "the file is text, and not Parquet"));
            }
            (Source::Text(TextSource { head, reader }), given) => {
                let format = match given {
                    Some(format) => format,
                    None => detect(path, &head)?,
                };
                if format == Format::JsonLines {
                    let table = JsonLines::open(path, reader)?;
                    (format, table.names().to_vec(), Records::JsonLines(Box::new(table)))
                } else {
                    let mut table = Delimited::open(path, reader, format);
                    (format, table.first(path)?, Records::Delimited(Box::new(table)))
                }
            }
        };
        Ok(Self { path: path.into(), format, first, records })
    }

    /// Whether the file says by itself that it has a header; delimited text doesn't.
    pub(crate) fn has_own_header(&self) -> bool {
        !matches!(self.records, Records::Delimited(_))
    }

    /// Gives every data record to `row`. `columns` are those that `row` will look at; others may be
    /// empty. `header` says whether the first record of delimited text is one; where it is repeated, that is no record.
    pub(crate) fn visit(
        self,
        header: bool,
        columns: &[usize],
        bad: &mut BadRows,
        mut row: impl FnMut(&ByteRecord) -> Result<(), Problem>,
    ) -> Result<Visited, TrainError> {
        let named = header || self.has_own_header();
        let Self { path, first, records, .. } = self;
        let names = if named { first.as_slice() } else { &[] };
        let is_parquet = matches!(records, Records::Parquet(_));
        let unit = if is_parquet { "row" } else { "line" };
        let mut visited = Visited::default();
        let mut take = |place: &Place, record: &ByteRecord| {
            let number = place.line;
            if header && repeats(record, &first) {
                visited.repeated_headers += 1;
                return Ok(());
            }
            let outcome = if let Some(problem) = &place.problem {
                Err(Problem { column: None, text: problem.clone() })
            } else if record.len() == first.len() || is_parquet {
                row(record)
            } else {
                let text = format!("{} columns where {} are expected", record.len(), first.len());
                Err(Problem { column: None, text })
            };
            match outcome {
                Ok(()) => {
                    visited.good += 1;
                    Ok(())
                }
                Err(problem) => {
                    let record = format!("{} {unit} {number}", path.display());
                    bad.take(place_of(record, problem.column, names), problem.text)
                }
            }
        };
        let counts = match records {
            Records::Delimited(table) => table.visit(header, columns, &mut take)?,
            Records::JsonLines(table) => table.visit(&mut take)?,
            Records::Parquet(table) => {
                table.visit(&path, columns, &mut |row, record| take(&Place::of(row), record))?;
                TextCounts::default()
            }
        };
        let TextCounts { lines, blank_lines } = counts;
        Ok(Visited { lines, blank_lines, ..visited })
    }
}

/// Whether a record has the cells of the header, as where files were put one behind the other.
fn repeats(record: &ByteRecord, header: &[String]) -> bool {
    record.len() == header.len()
        && record.iter().zip(header).all(|(cell, name)| cell.trim_ascii() == name.as_bytes())
}

/// Where a problem is: a record, and its column with its name, as far as they are known.
fn place_of(record: String, column: Option<usize>, names: &[String]) -> String {
    let Some(column) = column else { return record };
    match names.get(column) {
        Some(name) => format!("{record} column {} ({name})", column + 1),
        None => format!("{record} column {}", column + 1),
    }
}

/// The form of a text that begins like this.
fn detect(path: &Path, head: &[u8]) -> Result<Format, TrainError> {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(TrainError::format(path, "the file is UTF-16: save it as UTF-8"));
    }
    if head.contains(&b'\r') && !head.contains(&b'\n') {
        let problem =
            "the lines end with carriage returns alone: convert them with `tr '\\r' '\\n'`";
        return Err(TrainError::format(path, problem));
    }
    let mut lines = head.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let Some(line) = lines.next() else {
        return Err(TrainError::Empty { path: path.into() });
    };
    if line.contains(&0) {
        return Err(TrainError::format(path, "the file is binary, neither text nor Parquet"));
    }
    match line.trim_ascii() {
        [b'{', ..] => return Ok(Format::JsonLines),
        [b'[', ..] if !line.contains(&b',') || line.contains(&b'{') => {
            let problem =
                "the file is one JSON value: write an object on each line, as `jq -c '.[]'` does";
            return Err(TrainError::format(path, problem));
        }
        // What Excel writes above the header.
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => {
            return format_of_delimiter(*delimiter).ok_or_else(|| {
                let problem = format!(
                    "the columns are separated by {:?}, which is not read: save the file with commas",
                    char::from(*delimiter)
                );
                TrainError::format(path, problem)
            });
        }
        _ => {}
    }
    let count = |byte: u8| line.iter().filter(|&&b| b == byte).count();
    let (tabs, commas, pipes, semicolons) = (count(b'\t'), count(b','), count(b'|'), count(b';'));
    let is_csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    Ok(if tabs > 0 {
        Format::Tsv
    } else if !is_csv && line.windows(2).any(|pair| pair == b"::") {
        Format::DoubleColon
    } else if !is_csv && pipes > 1 && pipes > 2 * commas {
        Format::Pipe
    } else if semicolons > commas {
        Format::Semicolon
    } else if commas > 0 {
        Format::Csv
    } else if words > 1 {
        Format::Spaces
    } else {
        let problem = "the first line has no tab, comma, semicolon, |, :: or space between columns: \
                       say how columns are separated with --format";
        return Err(TrainError::format(path, problem));
    })
}

fn format_of_delimiter(delimiter: u8) -> Option<Format> {
    match delimiter {
        b',' => Some(Format::Csv),
        b';' => Some(Format::Semicolon),
        b'\t' => Some(Format::Tsv),
        b'|' => Some(Format::Pipe),
        _ => None,
    }
}
