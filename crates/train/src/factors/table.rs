//! The table that all readers of factors fill.

use crate::error::TrainError;
use marquee_core::bounds::{MAX_ORDINALS, MAX_RANK};
use std::collections::HashSet;
use std::path::Path;

/// Ids and their vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FactorTable {
    /// External ids, each once, in the file's order.
    pub ids: Vec<String>,
    /// Components of a vector.
    pub rank: usize,
    /// ids × rank, all finite.
    pub data: Vec<f32>,
}

impl FactorTable {
    /// The table, once ids are known to be there once each, and numbers to be finite.
    pub(super) fn check(self, path: &Path, what: &str) -> Result<Self, TrainError> {
        let Self { ids, rank, data } = &self;
        if ids.is_empty() {
            return Err(TrainError::Empty { path: path.into() });
        }
        if ids.len() > MAX_ORDINALS {
            return Err(TrainError::format(
                path,
                format!("{} {what}s: at most {MAX_ORDINALS} are allowed", ids.len()),
            ));
        }
        if !(1..=MAX_RANK).contains(rank) {
            return Err(TrainError::format(
                path,
                format!("vectors have {rank} components: 1 to {MAX_RANK} are allowed"),
            ));
        }
        if let Some(at) = data.iter().position(|value| !value.is_finite()) {
            let (row, column) = (at / rank, at % rank);
            let problem = format!(
                "row {row} (from 0; {what} {:?}) column {column} is {}: factors must be finite numbers, train them anew",
                ids[row], data[at]
            );
            return Err(TrainError::format(path, problem));
        }
        let mut seen = HashSet::with_capacity(ids.len());
        if let Some(twice) = ids.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(TrainError::format(
                path,
                format!("{what} {twice:?} is there twice: give each id once"),
            ));
        }
        Ok(self)
    }
}
