//! Factors that were trained elsewhere: ids and vectors from `.npy` or Parquet.
//!
//! [`read_factors`] gives a [`FactorTable`] that is safe to publish: ids within bounds and each once,
//! one rank, every number finite. What NumPy writes is in [`npy`]; what Spark's ALSModel writes, in
//! [`columns`].

mod columns;
mod ids;
mod npy;

use crate::error::TrainError;
use marquee_core::bounds::{MAX_ORDINALS, MAX_RANK};
use std::collections::HashSet;
use std::io::Read;
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

/// Reads the factors at a path: a `.npy` with an optional file of ids (row numbers from 0 without),
/// a Parquet file with columns id and features, or a directory of such as Spark writes.
///
/// `what` is "user" or "item", for messages.
///
/// # Errors
/// Anything that is not so: the file and the row are named.
pub fn read_factors(
    path: &Path,
    ids: Option<&Path>,
    what: &str,
) -> Result<FactorTable, TrainError> {
    let table = if is_npy(path)? {
        let (rows, rank, data) = npy::read(path)?;
        let ids = match ids {
            Some(ids) => ids::read(ids, rows, path, what)?,
            None => (0..rows).map(|row| row.to_string()).collect(),
        };
        FactorTable { ids, rank, data }
    } else {
        if let Some(ids) = ids {
            let problem = format!(
                "ids are given for a .npy only, and {} is Parquet with its own",
                path.display()
            );
            return Err(TrainError::format(ids, problem));
        }
        columns::read(path, what)?
    };
    check(path, table, what)
}

fn is_npy(path: &Path) -> Result<bool, TrainError> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut magic = Vec::new();
    let file = fs_err::File::open(path).map_err(TrainError::io(path))?;
    file.take(npy::MAGIC.len() as u64).read_to_end(&mut magic).map_err(TrainError::io(path))?;
    match magic.as_slice() {
        magic if magic == npy::MAGIC => Ok(true),
        magic if magic.starts_with(b"PAR1") => Ok(false),
        magic if magic.starts_with(b"PK\x03\x04") => Err(TrainError::format(
            path,
            "the file is a .npz archive: save each array with numpy.save",
        )),
        _ => Err(TrainError::format(
            path,
            "the file is neither .npy nor Parquet: save it with numpy.save",
        )),
    }
}

fn check(path: &Path, table: FactorTable, what: &str) -> Result<FactorTable, TrainError> {
    let FactorTable { ids, rank, data } = &table;
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
    Ok(table)
}
