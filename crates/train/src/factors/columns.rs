//! Factors in Parquet: a column `id` and a column `features`, a list of numbers, as Spark's
//! ALSModel writes its userFactors and itemFactors.

use super::table::FactorTable;
use crate::error::TrainError;
use crate::read::parquet::{open, visit_column, visit_lists};
use crate::read::source::files_of;
use crate::read::{check_field_id, quote};
use parquet::file::reader::FileReader;
use std::path::Path;

/// Names of the column of vectors, best first.
const FEATURES: [&str; 5] = ["features", "factors", "vector", "embedding", "values"];

pub(super) fn read(path: &Path, what: &str) -> Result<FactorTable, TrainError> {
    let mut table = FactorTable::default();
    for part in files_of(path)? {
        read_part(&part, what, &mut table)?;
    }
    Ok(table)
}

fn read_part(path: &Path, what: &str, table: &mut FactorTable) -> Result<(), TrainError> {
    let reader = open(path)?;
    // Spark writes empty parts too.
    if reader.metadata().file_metadata().num_rows() == 0 {
        return Ok(());
    }
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns: Vec<String> = (0..schema.num_columns())
        .map(|n| schema.column(n).path().parts().first().cloned().unwrap_or_default())
        .collect();
    let find = |name: &str| columns.iter().position(|column| column.eq_ignore_ascii_case(name));
    let ids = find("id").or_else(|| find(&format!("{what}_id"))).or_else(|| find(what));
    let features = FEATURES.iter().find_map(|name| find(name));
    let (Some(ids), Some(features)) = (ids, features) else {
        let problem = format!(
            "factors need the columns id and features (a list of float), and there are {columns:?}"
        );
        return Err(TrainError::columns(path, problem));
    };
    let first = table.ids.len();
    visit_column(path, &reader, ids, |row, cell| {
        let id = std::str::from_utf8(cell)
            .map_err(|_| format!("the {what} id {} is not UTF-8", quote(cell)));
        let id = id.and_then(|id| check_field_id(what, id).map(|()| id));
        let id = id.map_err(|problem| TrainError::format(path, format!("row {row}: {problem}")))?;
        table.ids.push(id.to_string());
        Ok(())
    })?;
    let mut rows = 0;
    visit_lists(path, &reader, features, |row, list| {
        if table.rank == 0 {
            table.rank = list.len();
        }
        if list.len() != table.rank {
            let problem = format!(
                "row {row} has {} numbers where the rows before have {}",
                list.len(),
                table.rank
            );
            return Err(TrainError::format(path, problem));
        }
        rows += 1;
        table.data.extend_from_slice(list);
        Ok(())
    })?;
    if table.ids.len() - first != rows {
        let problem = format!(
            "{} ids and {rows} lists of numbers: write the file anew",
            table.ids.len() - first
        );
        return Err(TrainError::format(path, problem));
    }
    Ok(())
}
