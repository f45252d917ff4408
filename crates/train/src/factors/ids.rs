//! Ids beside a `.npy`, in the order of its rows: one a line, or another `.npy` of whole numbers or text.

use super::npy;
use crate::error::TrainError;
use crate::read::check_field_id;
use marquee_bundle::open_input;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Reads as many ids as the factors have rows.
pub(super) fn read(
    path: &Path,
    rows: usize,
    factors: &Path,
    what: &str,
) -> Result<Vec<String>, TrainError> {
    let ids = if npy::has_magic(path)? { from_npy(path, what)? } else { from_lines(path, what)? };
    if ids.len() != rows {
        let problem = format!(
            "{} ids for the {rows} rows of {}: give one a row",
            ids.len(),
            factors.display()
        );
        return Err(TrainError::format(path, problem));
    }
    Ok(ids)
}

fn from_npy(path: &Path, what: &str) -> Result<Vec<String>, TrainError> {
    let mut ids = Vec::new();
    for id in npy::read_ids(path)? {
        let id = id.trim_ascii();
        check_field_id(what, id).map_err(|problem| {
            TrainError::format(path, format!("entry {}: {problem}", ids.len()))
        })?;
        ids.push(id.to_owned());
    }
    Ok(ids)
}

fn from_lines(path: &Path, what: &str) -> Result<Vec<String>, TrainError> {
    let file = open_input(path).map_err(TrainError::io(path))?;
    let mut ids = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => TrainError::format(
                path,
                format!("line {} is not UTF-8: save the ids as UTF-8", ids.len() + 1),
            ),
            _ => TrainError::Io { path: path.into(), source: error },
        })?;
        let id = line.trim().trim_start_matches('\u{feff}');
        check_field_id(what, id).map_err(|problem| {
            TrainError::format(path, format!("line {}: {problem}", ids.len() + 1))
        })?;
        ids.push(id.to_string());
    }
    Ok(ids)
}
