//! Delimited text: comma, semicolon, tab, pipe, `::` and spaces between the columns.
//!
//! Lines are split here and not by a library, because what is wrong with a row must cost that row alone and have its
//! place: a stray quote swallows no rows ([`super::quotes`]), and lines are numbered as an editor does.
//!
//! Quotes mean something in comma- and semicolon-separated files only: tab, pipe and `::` files are
//! written without, and a title that begins with a quote would swallow the rows below it.

use super::columns::Format;
use super::lines::{Lines, Place, TextCounts};
use super::quotes::{Escape, QuoteState, split_quoted};
use crate::error::TrainError;
use csv::ByteRecord;
use std::io::Read;
use std::path::Path;

/// Most lines of one record: a description of some paragraphs.
const MAX_LINES_OF_A_RECORD: usize = 1_000;
/// Most bytes of one record.
const MAX_RECORD_BYTES: usize = 4 << 20;
/// What Excel writes above the header, with the delimiter.
const SEPARATOR_LINE: &[u8] = b"sep=";

/// The ways in which quotes are written, the usual one first.
const ESCAPES: [Escape; 2] = [Escape::Doubled, Escape::Backslash];

/// What stands between two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    Byte(u8),
    DoubleColon,
    /// Any number of spaces.
    Spaces,
}

pub(super) struct Delimited {
    lines: Lines,
    delimiter: Delimiter,
    has_quotes: bool,
    /// The first record, held back until it is known whether it is a header.
    first: ByteRecord,
    first_place: Place,
    /// How many columns it has; 0 before it is read.
    width: usize,
    blank_lines: u64,
    /// The line that is read.
    text: Vec<u8>,
}

impl Delimited {
    pub(super) fn open(path: &Path, reader: Box<dyn Read>, format: Format) -> Self {
        let (delimiter, has_quotes) = match format {
            Format::Csv => (Delimiter::Byte(b','), true),
            Format::Semicolon => (Delimiter::Byte(b';'), true),
            Format::Tsv => (Delimiter::Byte(b'\t'), false),
            Format::Pipe => (Delimiter::Byte(b'|'), false),
            Format::Spaces => (Delimiter::Spaces, false),
            Format::DoubleColon | Format::JsonLines | Format::Parquet => {
                (Delimiter::DoubleColon, false)
            }
        };
        Self {
            lines: Lines::new(path, reader),
            delimiter,
            has_quotes,
            first: ByteRecord::new(),
            first_place: Place::default(),
            width: 0,
            blank_lines: 0,
            text: Vec::new(),
        }
    }

    /// Reads the first record; its cells as text.
    pub(super) fn first(&mut self, path: &Path) -> Result<Vec<String>, TrainError> {
        let mut first = ByteRecord::new();
        loop {
            let Some(place) = self.next(&mut first)? else {
                return Err(TrainError::Empty { path: path.into() });
            };
            if place.line == 1 && is_separator_line(first.as_slice()) {
                self.blank_lines += 1;
                continue;
            }
            if let Some(problem) = place.problem {
                return Err(TrainError::format(path, format!("line {}: {problem}", place.line)));
            }
            self.first_place = place;
            break;
        }
        self.width = first.len();
        self.first = first;
        Ok(self.first.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_string()).collect())
    }

    /// Gives every record to `take`, but a first one that is a header. `columns`: those that are looked at, which have no line
    /// breaks within.
    pub(super) fn visit(
        mut self,
        header: bool,
        columns: &[usize],
        take: &mut impl FnMut(&Place, &ByteRecord) -> Result<(), TrainError>,
    ) -> Result<TextCounts, TrainError> {
        let mut record = std::mem::take(&mut self.first);
        if !header {
            let place = std::mem::take(&mut self.first_place);
            take(&place, &record)?;
        }
        while let Some(mut place) = self.next(&mut record)? {
            let has_break =
                |&column: &usize| record.get(column).is_some_and(|cell| cell.contains(&b'\n'));
            if !place.below.is_empty() && columns.iter().any(has_break) {
                place.problem = Some(swallowed(place.below.len()));
            }
            if place.problem.is_some() {
                self.lines.give_back(std::mem::take(&mut place.below));
            }
            take(&place, &record)?;
        }
        Ok(TextCounts { lines: self.lines.count(), blank_lines: self.blank_lines })
    }

    /// The next record that isn't blank, and its place.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<Place>, TrainError> {
        loop {
            let Some(line) = self.lines.next(&mut self.text)? else { return Ok(None) };
            let text = self.text.as_slice();
            if text.trim_ascii().is_empty() {
                self.blank_lines += 1;
                continue;
            }
            match self.delimiter {
                Delimiter::Byte(delimiter) if self.has_quotes && text.contains(&b'"') => {
                    let text = std::mem::take(&mut self.text);
                    return self.quoted(line, text, delimiter, record).map(Some);
                }
                Delimiter::Byte(delimiter) => split_at(text, delimiter, record),
                Delimiter::DoubleColon => split_double_colon(text.trim_ascii_end(), record),
                Delimiter::Spaces => split_at_spaces(text, record),
            }
            return Ok(Some(Place::of(line)));
        }
    }

    /// A record that begins with a line that has quotes. What turns out not to belong to it is in the place's `below`.
    fn quoted(
        &mut self,
        line: u64,
        mut text: Vec<u8>,
        delimiter: u8,
        record: &mut ByteRecord,
    ) -> Result<Place, TrainError> {
        let mut states = ESCAPES.map(|it| QuoteState::FieldStart.after(&text, delimiter, it));
        let mut below: Vec<Vec<u8>> = Vec::new();
        loop {
            if split_if_complete(&text, delimiter, states, self.width, record) {
                return Ok(Place { line, below, problem: None });
            }
            let goes_on = states.contains(&QuoteState::Quoted)
                && below.len() < MAX_LINES_OF_A_RECORD
                && text.len() < MAX_RECORD_BYTES;
            let mut next = Vec::new();
            if !goes_on || self.lines.next(&mut next)?.is_none() {
                break;
            }
            for (escape, state) in ESCAPES.into_iter().zip(&mut states) {
                *state = state.after(&next, delimiter, escape);
            }
            text.push(b'\n');
            text.extend_from_slice(&next);
            below.push(next);
        }
        let problem = if states.contains(&QuoteState::Quoted) || below.is_empty() {
            unclosed(below.len(), states)
        } else {
            swallowed(below.len())
        };
        record.clear();
        Ok(Place { line, below, problem: Some(problem) })
    }
}

/// Splits a record if its quotes are in order by one way of writing them, rather by the way that gives as many fields as the first
/// record has; `width` is 0 for that one.
fn split_if_complete(
    text: &[u8],
    delimiter: u8,
    states: [QuoteState; 2],
    width: usize,
    record: &mut ByteRecord,
) -> bool {
    for (escape, state) in ESCAPES.into_iter().zip(states) {
        if state.is_end() {
            split_quoted(text, delimiter, escape, record);
            if record.len() == width {
                return true;
            }
        }
    }
    let is_complete = states[0].is_end();
    if is_complete {
        split_quoted(text, delimiter, Escape::Doubled, record);
    }
    is_complete
}

/// Whether a record is Excel's line with the delimiter, such as `sep=;`.
fn is_separator_line(record: &[u8]) -> bool {
    record.to_ascii_lowercase().starts_with(SEPARATOR_LINE)
        && record.len() <= SEPARATOR_LINE.len() + 1
}

fn unclosed(below: usize, states: [QuoteState; 2]) -> String {
    if below == 0 && !states.contains(&QuoteState::Quoted) {
        return "text follows a closing quote: a quote is missing, or one is too many".into();
    }
    if below == 0 {
        return "a quote opens a field that is not closed: a quote is missing, or one is too many"
            .into();
    }
    format!(
        "a quote opens a field that is not closed on the {below} lines below it: a quote is missing, or one is too many"
    )
}

fn swallowed(below: usize) -> String {
    format!(
        "a quote opens a field that swallows {below} lines below it: a quote is missing, or one is too many"
    )
}

fn split_at(text: &[u8], delimiter: u8, record: &mut ByteRecord) {
    record.clear();
    for cell in text.split(|&byte| byte == delimiter) {
        record.push_field(cell);
    }
}

fn split_at_spaces(text: &[u8], record: &mut ByteRecord) {
    record.clear();
    for cell in text.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty()) {
        record.push_field(cell);
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
