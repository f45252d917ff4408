//! Lists of recommendations into a file, as `marquee eval --lists` reads them.

use crate::error::TrainError;
use std::io::Write as _;
use std::path::Path;

/// Writes CSV with the columns user, item and rank, a list a user, best first.
///
/// # Errors
/// A place that can't be written.
pub(super) fn write_lists(
    path: &Path,
    users: &[String],
    lists: &[Vec<String>],
) -> Result<(), TrainError> {
    let file = std::fs::File::create(path).map_err(TrainError::write(path))?;
    let mut out = csv::Writer::from_writer(std::io::BufWriter::new(file));
    let failed = |error: csv::Error| TrainError::write(path)(error.into());
    out.write_record(["user", "item", "rank"]).map_err(failed)?;
    for (user, list) in users.iter().zip(lists) {
        for (item, rank) in list.iter().zip(1u32..) {
            out.write_record([user, item, &rank.to_string()]).map_err(failed)?;
        }
    }
    let file = out.into_inner().map_err(|error| TrainError::write(path)(error.into_error()));
    file?.flush().map_err(TrainError::write(path))
}
