//! JSON lines: an object on each line, as dumps of Amazon, Yelp and Steam have it.

use super::lines::{Lines, Place, TextCounts};
use crate::error::TrainError;
use csv::ByteRecord;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, VecDeque};
use std::io::Read;
use std::path::Path;

/// How many objects are looked at for the names of the columns.
const OBJECTS_WITH_NAMES: usize = 1_000;
/// Most names of columns.
const MAX_NAMES: usize = 1_000;
/// What stands between the elements of a list, as between tags.
const LIST_SEPARATOR: u8 = b'|';

/// The objects of a text as records; a column for each name that the first objects have.
pub(super) struct JsonLines {
    lines: Lines,
    names: Vec<String>,
    /// The lines that were read for the names, with their numbers.
    first: VecDeque<(u64, Vec<u8>)>,
    blank_lines: u64,
}

impl JsonLines {
    /// Reads the first objects.
    ///
    /// # Errors
    /// What cannot be read; no objects; too many names.
    pub(super) fn open(path: &Path, reader: Box<dyn Read>) -> Result<Self, TrainError> {
        let mut json = Self {
            lines: Lines::new(path, reader),
            names: Vec::new(),
            first: VecDeque::new(),
            blank_lines: 0,
        };
        let mut names = BTreeSet::new();
        while json.first.len() < OBJECTS_WITH_NAMES {
            let mut text = Vec::new();
            let Some(line) = json.next_line(&mut text)? else { break };
            if let Ok(object) = serde_json::from_slice::<Map<String, Value>>(&text) {
                names.extend(object.into_iter().map(|(name, _)| name));
            }
            json.first.push_back((line, text));
        }
        if json.first.is_empty() {
            return Err(TrainError::Empty { path: path.into() });
        }
        if names.is_empty() || names.len() > MAX_NAMES {
            let problem = format!(
                "the lines begin like JSON, and {} names were found in the first of them: write an object with 1 to \
                 {MAX_NAMES} names on each line, as `jq -c '.[]'` does (Python's dictionaries are no JSON)",
                names.len()
            );
            return Err(TrainError::format(path, problem));
        }
        json.names = names.into_iter().collect();
        Ok(json)
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Gives every object to `take`.
    pub(super) fn visit(
        mut self,
        take: &mut impl FnMut(&Place, &ByteRecord) -> Result<(), TrainError>,
    ) -> Result<TextCounts, TrainError> {
        let (mut record, mut cell) = (ByteRecord::new(), Vec::new());
        let mut text = Vec::new();
        loop {
            let line = match self.first.pop_front() {
                Some((line, first)) => {
                    text = first;
                    line
                }
                None => match self.next_line(&mut text)? {
                    Some(line) => line,
                    None => break,
                },
            };
            record.clear();
            let mut place = Place::of(line);
            match serde_json::from_slice::<Map<String, Value>>(&text) {
                Ok(object) => {
                    for name in &self.names {
                        cell.clear();
                        write_value(object.get(name), &mut cell);
                        record.push_field(&cell);
                    }
                }
                Err(error) => place.problem = Some(format!("not a JSON object: {error}")),
            }
            take(&place, &record)?;
        }
        Ok(TextCounts { lines: self.lines.count(), blank_lines: self.blank_lines })
    }

    /// The next line that isn't blank.
    fn next_line(&mut self, text: &mut Vec<u8>) -> Result<Option<u64>, TrainError> {
        while let Some(line) = self.lines.next(text)? {
            if !text.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
            self.blank_lines += 1;
        }
        Ok(None)
    }
}

/// Writes a value as a cell of a table has it: nothing for null and for what is not there, lists with `|` between the elements.
fn write_value(value: Option<&Value>, cell: &mut Vec<u8>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Bool(is_true)) => cell.push(b'0' + u8::from(*is_true)),
        Some(Value::Number(number)) => cell.extend_from_slice(number.to_string().as_bytes()),
        Some(Value::String(text)) => cell.extend_from_slice(text.as_bytes()),
        Some(Value::Array(elements)) => {
            for (number, element) in elements.iter().enumerate() {
                if number > 0 {
                    cell.push(LIST_SEPARATOR);
                }
                write_value(Some(element), cell);
            }
        }
        Some(Value::Object(object)) => {
            let text = serde_json::to_string(object).unwrap_or_default();
            cell.extend_from_slice(text.as_bytes());
        }
    }
}
