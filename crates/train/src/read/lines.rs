//! Lines of text with their numbers, as an editor counts them.

use crate::error::TrainError;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Read buffer: large enough that system calls do not show in a profile.
const BUFFER_BYTES: usize = 1 << 20;
/// Longest line, so that a binary file given by mistake is refused, not loaded whole.
const MAX_LINE_BYTES: usize = 4 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a record of a text is.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The number of its first line, from 1.
    pub(super) line: u64,
    /// The lines of it below the first.
    pub(super) below: Vec<Vec<u8>>,
    /// Why the line is no record.
    pub(super) problem: Option<String>,
}

impl Place {
    /// The place of a record of one line.
    pub(super) fn of(line: u64) -> Self {
        Self { line, ..Self::default() }
    }
}

/// How many lines of a text were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextCounts {
    /// All of them.
    pub(super) lines: u64,
    /// Those without text, or with what names the delimiter.
    pub(super) blank_lines: u64,
}

/// The lines of a text; some may be given back to be read again.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read>>,
    /// Lines that were given back, next first.
    again: VecDeque<Vec<u8>>,
    /// The number of the last line that was read, from 1.
    number: u64,
}

impl Lines {
    pub(super) fn new(path: &Path, reader: Box<dyn Read>) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Self { path: path.into(), reader, again: VecDeque::new(), number: 0 }
    }

    /// Reads the next line without its end; its number, or none at the end of the text.
    ///
    /// # Errors
    /// What cannot be read; a line beyond [`MAX_LINE_BYTES`].
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<u64>, TrainError> {
        if let Some(again) = self.again.pop_front() {
            *line = again;
            self.number += 1;
            return Ok(Some(self.number));
        }
        line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE_BYTES as u64);
        let read = limited.read_until(b'\n', line).map_err(TrainError::io(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            let problem = format!(
                "line {} is longer than {MAX_LINE_BYTES} bytes: is this a text file?",
                self.number
            );
            return Err(TrainError::format(&self.path, problem));
        }
        for end in [b'\n', b'\r'] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some(self.number))
    }

    /// Gives back the last lines that were read, in the order in which they were.
    pub(super) fn give_back(&mut self, lines: Vec<Vec<u8>>) {
        self.number -= lines.len() as u64;
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }

    /// How many lines were read.
    pub(super) fn count(&self) -> u64 {
        self.number
    }
}
