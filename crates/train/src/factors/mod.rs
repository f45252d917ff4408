//! Factors that were trained elsewhere: ids and vectors from `.npy` or Parquet.
//!
//! [`read_factors`] gives a [`FactorTable`] that is safe to publish: ids within bounds and each once,
//! one rank, every number finite. What NumPy writes is in [`npy`]; what Spark's ALSModel writes, in
//! [`columns`].

mod columns;
mod ids;
mod npy;
mod table;

pub use table::FactorTable;

use crate::error::TrainError;
use marquee_bundle::open_input;
use std::io::Read;
use std::path::Path;

/// Reads the factors at a path: a `.npy` with an optional file of ids (row numbers from 0 without),
/// a Parquet file with columns id and features, a directory of such as Spark writes, or the directory of a saved ALSModel, which
/// has one of those for users and one for items.
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
    let inside = path.join(format!("{what}Factors"));
    let path = if inside.is_dir() { inside.as_path() } else { path };
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
    table.check(path, what)
}

fn is_npy(path: &Path) -> Result<bool, TrainError> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut magic = Vec::new();
    let file = open_input(path).map_err(TrainError::io(path))?;
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
