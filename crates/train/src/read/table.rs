//! A data file as a stream of records, whatever its form.

use super::columns::Format;
use super::delimited::Delimited;
use super::fields::Problem;
use super::parquet::ParquetTable;
use crate::error::TrainError;
use csv::ByteRecord;
use marquee_bundle::open_input;
use std::io::Read;
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
    source: Source,
}

enum Source {
    Delimited(Box<Delimited>),
    Parquet(Box<ParquetTable>),
}

impl Table {
    /// Opens the file and reads its first record; the format is found out where it isn't given.
    pub(crate) fn open(path: &Path, format: Option<Format>) -> Result<Self, TrainError> {
        let format = match format {
            Some(format) => format,
            None => detect(path)?,
        };
        let (first, source) = if format == Format::Parquet {
            let table = ParquetTable::open(path)?;
            (table.columns(), Source::Parquet(Box::new(table)))
        } else {
            let mut table = Delimited::open(path, format)?;
            (table.first(path)?, Source::Delimited(Box::new(table)))
        };
        Ok(Self { path: path.into(), format, first, source })
    }

    /// Whether the file says by itself that it has a header; text files don't.
    pub(crate) fn has_own_header(&self) -> bool {
        matches!(self.source, Source::Parquet(_))
    }

    /// Gives every data record to `row`. `columns` are those that `row` will look at; others may be
    /// empty. `header` says whether the first record of a text file is one. Returns the number of
    /// records that were good.
    pub(crate) fn visit(
        self,
        header: bool,
        columns: &[usize],
        bad: &mut BadRows,
        mut row: impl FnMut(&ByteRecord) -> Result<(), Problem>,
    ) -> Result<u64, TrainError> {
        let Self { path, first, source, .. } = self;
        let named = header || matches!(source, Source::Parquet(_));
        let names = if named { first.as_slice() } else { &[] };
        let unit = if matches!(source, Source::Parquet(_)) { "row" } else { "line" };
        let mut good = 0;
        let mut take = |number: u64, record: &ByteRecord| {
            let outcome = if record.len() == first.len() || unit == "row" {
                row(record)
            } else {
                let text = format!("{} columns where {} are expected", record.len(), first.len());
                Err(Problem { column: None, text })
            };
            match outcome {
                Ok(()) => {
                    good += 1;
                    Ok(())
                }
                Err(problem) => {
                    let record = format!("{} {unit} {number}", path.display());
                    bad.take(place_of(record, problem.column, names), problem.text)
                }
            }
        };
        match source {
            Source::Delimited(table) => table.visit(&path, header, &mut take)?,
            Source::Parquet(table) => table.visit(&path, columns, &mut take)?,
        }
        Ok(good)
    }
}

/// Where a problem is: a record, and its column with its name, as far as they are known.
fn place_of(record: String, column: Option<usize>, names: &[String]) -> String {
    let Some(column) = column else { return record };
    match names.get(column) {
        Some(name) => format!("{record} column {} ({name})", column + 1),
        None => format!("{record} column {}", column + 1),
    }
}

/// How many bytes are looked at to find a file's form: more than any sensible first line.
const SNIFFED_BYTES: u64 = 64 << 10;

fn detect(path: &Path) -> Result<Format, TrainError> {
    let mut head = Vec::new();
    let file = open_input(path).map_err(TrainError::io(path))?;
    file.take(SNIFFED_BYTES).read_to_end(&mut head).map_err(TrainError::io(path))?;
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if head.starts_with(&[0x1f, 0x8b])
        || head.starts_with(b"PK\x03\x04")
        || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        return Err(TrainError::format(path, "the file is compressed: unpack it first"));
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(TrainError::format(path, "the file is UTF-16: save it as UTF-8"));
    }
    let Some(line) = head.split(|&b| b == b'\n').find(|line| !line.trim_ascii().is_empty()) else {
        return Err(TrainError::Empty { path: path.into() });
    };
    if line.contains(&0) {
        return Err(TrainError::format(path, "the file is binary, neither text nor Parquet"));
    }
    let count = |byte: u8| line.iter().filter(|&&b| b == byte).count();
    let (tabs, commas, pipes, semicolons) = (count(b'\t'), count(b','), count(b'|'), count(b';'));
    let is_csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
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
    } else {
        let problem = "the first line has no tab, comma, semicolon, | or :: between columns: \
                       say how columns are separated with --format";
        return Err(TrainError::format(path, problem));
    })
}
