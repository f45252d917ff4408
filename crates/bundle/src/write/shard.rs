//! The files of one shard.

use super::layout::{Layout, Layouts};
use crate::dense::write_dense;
use crate::error::BundleError;
use crate::format::Kind;
use crate::ids::{IdRow, write_ids};
use crate::input::{BundleInput, CsrInput, DenseInput, Entity, RowSpace, SparseInput, SparseShape};
use crate::labels::{LabelRow, write_labels};
use crate::manifest::FileInfo;
use crate::shard::file_path;
use crate::sparse::{Partition, SparseParts};
use marquee_core::model::recipe::{HISTORY_MATRIX, POPULARITY_MATRIX};
use std::path::Path;

/// Writes a shard's rows of a dense matrix into the shard's directory under `dir`.
pub(super) fn write_rows(
    matrix: &DenseInput,
    layouts: &Layouts,
    shard: u32,
    dir: &Path,
) -> Result<FileInfo, BundleError> {
    let rows = layouts.get(matrix.entity).rows_of(matrix, shard);
    write_dense(dir, file_path(shard, &matrix.name, Kind::Dense), matrix.entity, rows)
}

/// Writes the files of one shard into its directory under `dir`, all but its dense rows and what is made
/// of them.
pub(super) fn write_others(
    input: &BundleInput,
    layouts: &Layouts,
    shard: u32,
    dir: &Path,
) -> Result<Vec<FileInfo>, BundleError> {
    let path = |stem: &str, kind| file_path(shard, stem, kind);
    let users = &layouts.users.shards[shard as usize];
    let items = &layouts.items.shards[shard as usize];
    let mut files = Vec::new();

    let rows: Vec<IdRow<'_>> = users
        .iter()
        .map(|&index| IdRow {
            id: &input.users[index as usize],
            ordinal: layouts.users.ordinals[index as usize],
            title: "",
        })
        .collect();
    files.push(write_ids(
        dir,
        path(Entity::User.plural(), Kind::Ids),
        &rows,
        input.users.len(),
        false,
    )?);
    let rows: Vec<IdRow<'_>> = items
        .iter()
        .map(|&index| {
            let item = &input.items[index as usize];
            IdRow {
                id: &item.id,
                ordinal: layouts.items.ordinals[index as usize],
                title: &item.title,
            }
        })
        .collect();
    files.push(write_ids(
        dir,
        path(Entity::Item.plural(), Kind::Ids),
        &rows,
        input.items.len(),
        true,
    )?);
    let rows: Vec<LabelRow<'_>> = items
        .iter()
        .map(|&index| {
            let item = &input.items[index as usize];
            LabelRow { tags: &item.tags, attributes: &item.attributes }
        })
        .collect();
    files.push(write_labels(dir, path(Entity::Item.plural(), Kind::Labels), &rows)?);

    if !input.terms.is_empty() {
        let rows: Vec<IdRow<'_>> = layouts.terms.shards[shard as usize]
            .iter()
            .map(|&index| IdRow {
                id: &input.terms[index as usize],
                ordinal: layouts.terms.ordinals[index as usize],
                title: "",
            })
            .collect();
        let path = path(Entity::Term.plural(), Kind::Ids);
        files.push(write_ids(dir, path, &rows, input.terms.len(), false)?);
    }

    let parts = by_row(&layouts.items, input.history.as_ref(), users);
    files.push(parts.write(dir, path(HISTORY_MATRIX, Kind::Sparse), Partition::ByRow)?);
    let mut popularity = SparseParts::new(items.len());
    let value = |index: u32| input.popularity.get(index as usize).copied().unwrap_or(0.0);
    let mut row: Vec<(u32, f32)> =
        items.iter().zip(0..).map(|(&index, row)| (row, value(index))).collect();
    popularity.push_row(&mut row);
    files.push(popularity.write(
        dir,
        path(POPULARITY_MATRIX, Kind::Sparse),
        Partition::ByColumn,
    )?);
    for SparseInput { name, shape, matrix } in &input.sparse {
        let (parts, partition) = match *shape {
            SparseShape::ByUser => (by_row(&layouts.items, Some(matrix), users), Partition::ByRow),
            SparseShape::TermsByUser => {
                (by_row(&layouts.terms, Some(matrix), users), Partition::ByRow)
            }
            SparseShape::Sums { rows, columns } => {
                (by_column(layouts, matrix, (rows, columns), shard), Partition::ByColumn)
            }
        };
        files.push(parts.write(dir, path(name, Kind::Sparse), partition)?);
    }
    Ok(files)
}

/// The rows of a shard's own users, with ordinals of `columns` as columns; empty ones without a matrix.
fn by_row(columns: &Layout, matrix: Option<&CsrInput>, users: &[u32]) -> SparseParts {
    let mut parts = SparseParts::new(columns.ordinals.len());
    let mut row = Vec::new();
    for &user in users {
        row.clear();
        if let Some(matrix) = matrix {
            let range = matrix.offsets[user as usize]..matrix.offsets[user as usize + 1];
            row.extend(
                range.map(|at| (columns.ordinals[matrix.columns[at] as usize], matrix.values[at])),
            );
        }
        parts.push_row(&mut row);
    }
    parts
}

/// All rows in the order of their ordinals, each with the columns that are the shard's own.
fn by_column(
    layouts: &Layouts,
    matrix: &CsrInput,
    (rows, columns): (RowSpace, Entity),
    shard: u32,
) -> SparseParts {
    let order: Vec<u32> = match rows {
        RowSpace::Single => vec![0],
        RowSpace::Items => by_ordinal(&layouts.items.ordinals),
        RowSpace::Users => by_ordinal(&layouts.users.ordinals),
        RowSpace::Terms => by_ordinal(&layouts.terms.ordinals),
    };
    let layout = layouts.get(columns);
    let mut parts = SparseParts::new(layout.shards[shard as usize].len());
    let mut row = Vec::new();
    for index in order {
        row.clear();
        for at in matrix.offsets[index as usize]..matrix.offsets[index as usize + 1] {
            let column = matrix.columns[at] as usize;
            if layout.shard_of[column] == shard {
                row.push((layout.rows[column], matrix.values[at]));
            }
        }
        parts.push_row(&mut row);
    }
    parts
}

/// The input index of each ordinal.
fn by_ordinal(ordinals: &[u32]) -> Vec<u32> {
    let mut indexes = vec![0u32; ordinals.len()];
    for (index, &ordinal) in (0u32..).zip(ordinals) {
        indexes[ordinal as usize] = index;
    }
    indexes
}
