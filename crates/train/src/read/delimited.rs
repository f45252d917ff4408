//! Delimited text: comma, semicolon, tab and pipe through the csv crate; `::` by hand, since that
//! crate's delimiters are single bytes.
//!
//! Quotes mean something in comma- and semicolon-separated files only: tab, pipe and `::` files are
//! written without, and a title that begins with a quote would swallow the rows below it.

use super::columns::Format;
use crate::error::TrainError;
use csv::ByteRecord;
use marquee_bundle::open_input;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Read buffer: large enough that system calls do not show in a profile.
const BUFFER_BYTES: usize = 1 << 20;
/// Longest line of a `::` file, so that a binary file given by mistake is refused, not loaded whole.
const MAX_LINE_BYTES: usize = 1 << 20;

pub(super) struct Delimited {
    lines: Lines,
    /// The first record, held back until it is known whether it is a header.
    first: ByteRecord,
    first_line: u64,
}

enum Lines {
    Csv(csv::Reader<fs_err::File>),
    DoubleColon { reader: BufReader<fs_err::File>, buffer: Vec<u8>, line: u64 },
}

impl Delimited {
    pub(super) fn open(path: &Path, format: Format) -> Result<Self, TrainError> {
        let file = open_input(path).map_err(TrainError::io(path))?;
        let (delimiter, quoting) = match format {
            Format::Csv => (b',', true),
            Format::Semicolon => (b';', true),
            Format::Tsv => (b'\t', false),
            Format::Pipe => (b'|', false),
            Format::DoubleColon | Format::Parquet => {
                let reader = BufReader::with_capacity(BUFFER_BYTES, file);
                let lines = Lines::DoubleColon { reader, buffer: Vec::new(), line: 0 };
                return Ok(Self { lines, first: ByteRecord::new(), first_line: 0 });
            }
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .quoting(quoting)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(file);
        Ok(Self { lines: Lines::Csv(reader), first: ByteRecord::new(), first_line: 0 })
    }

    /// Reads the first record; its cells as text.
    pub(super) fn first(&mut self, path: &Path) -> Result<Vec<String>, TrainError> {
        match self.lines.next(path, &mut self.first)? {
            Some(line) => self.first_line = line,
            None => return Err(TrainError::Empty { path: path.into() }),
        }
        Ok(self.first.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_string()).collect())
    }

    pub(super) fn visit(
        mut self,
        path: &Path,
        header: bool,
        take: &mut impl FnMut(u64, &ByteRecord) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        if !header {
            take(self.first_line, &self.first)?;
        }
        let mut record = self.first;
        while let Some(line) = self.lines.next(path, &mut record)? {
            take(line, &record)?;
        }
        Ok(())
    }
}

impl Lines {
    /// The next record that isn't blank, and its line counted from 1.
    fn next(&mut self, path: &Path, record: &mut ByteRecord) -> Result<Option<u64>, TrainError> {
        match self {
            Self::Csv(reader) => loop {
                let more = reader.read_byte_record(record).map_err(|e| csv_error(path, e))?;
                if !more {
                    return Ok(None);
                }
                let blank = record.len() == 1 && record[0].trim_ascii().is_empty();
                if !blank {
                    return Ok(Some(record.position().map_or(0, csv::Position::line)));
                }
            },
            Self::DoubleColon { reader, buffer, line } => loop {
                buffer.clear();
                let mut limited = std::io::Read::take(&mut *reader, MAX_LINE_BYTES as u64);
                if limited.read_until(b'\n', buffer).map_err(TrainError::io(path))? == 0 {
                    return Ok(None);
                }
                *line += 1;
                if buffer.len() == MAX_LINE_BYTES && buffer.last() != Some(&b'\n') {
                    let problem = format!(
                        "line {line} is longer than {MAX_LINE_BYTES} bytes: is this a text file?"
                    );
                    return Err(TrainError::format(path, problem));
                }
                if *line == 1 && buffer.starts_with(b"\xef\xbb\xbf") {
                    buffer.drain(..3);
                }
                let text = buffer.trim_ascii_end();
                if !text.is_empty() {
                    split_double_colon(text, record);
                    return Ok(Some(*line));
                }
            },
        }
    }
}

fn split_double_colon(text: &[u8], record: &mut ByteRecord) {
    record.clear();
    let (mut start, mut at) = (0, 0);
    while at + 1 < text.len() {
        if text[at] == b':' && text[at + 1] == b':' {
            record.push_field(&text[start..at]);
            start = at + 2;
            at = start;
        } else {
            at += 1;
        }
    }
    record.push_field(&text[start..]);
}

fn csv_error(path: &Path, error: csv::Error) -> TrainError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => TrainError::Io { path: path.into(), source },
        _ => TrainError::format(path, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn double_colons_split_as_fields() {
        let split = |text: &str| {
            let mut record = ByteRecord::new();
            split_double_colon(text.as_bytes(), &mut record);
            record.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(split("1::2::5::9"), ["1", "2", "5", "9"]);
        assert_eq!(split("1::A: B (1990)::"), ["1", "A: B (1990)", ""]);
        assert_eq!(split("alone"), ["alone"]);
    }
}
