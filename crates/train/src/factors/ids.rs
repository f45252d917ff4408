//! Ids beside a `.npy`: one a line, in the order of its rows.

use crate::error::TrainError;
use crate::read::check_field_id;
use marquee_bundle::open_input;
use std::io::{BufRead, BufReader};
use std::path::Path;

pub(super) fn read(
    path: &Path,
    rows: usize,
    factors: &Path,
    what: &str,
) -> Result<Vec<String>, TrainError> {
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
