//! The files of one shard.

use super::layout::{EntityLayout, Layouts};
use crate::entities::ids::{IdRow, write_ids};
use crate::entities::labels::{LabelRow, write_labels};
use crate::error::BundleError;
use crate::format::{FileInfo, FileKind};
use crate::input::{BundleInput, CsrInput, DenseInput, ItemRecord, SparseInput, SparseShape};
use crate::manifest::names::file_path;
use crate::matrix::dense::write_dense;
use crate::matrix::sparse::{Partition, SparseParts};
use marquee_core::model::recipe::{Entity, HISTORY_MATRIX, POPULARITY_MATRIX, RowSpace};
use std::path::Path;

/// Writes a shard's rows of a dense matrix into the shard's directory under `dir`.
pub(super) fn write_rows(
    matrix: &DenseInput,
    layouts: &Layouts,
    shard: u32,
    dir: &Path,
) -> Result<FileInfo, BundleError> {
    let rows = layouts.get(matrix.entity).rows_of(matrix, shard);
    write_dense(dir, file_path(shard, &matrix.name, FileKind::Dense), matrix.entity, rows)
}

/// Writes the files of one shard into its directory under `dir`, all but its dense rows and what is made
/// of them.
pub(super) fn write_others(
    input: &BundleInput,
    layouts: &Layouts,
    shard: u32,
    dir: &Path,
) -> Result<Vec<FileInfo>, BundleError> {
    let users = &layouts.users.shards[shard as usize];
    let items = &layouts.items.shards[shard as usize];
    let mut files = vec![
        write_names(dir, shard, Entity::User, &layouts.users, &input.users)?,
        write_items(dir, shard, &layouts.items, &input.items)?,
        write_item_labels(dir, shard, items, &input.items)?,
    ];
    if !input.terms.is_empty() {
        files.push(write_names(dir, shard, Entity::Term, &layouts.terms, &input.terms)?);
    }
    let history = by_row(&layouts.items, input.history.as_ref(), users);
    let history_path = file_path(shard, HISTORY_MATRIX, FileKind::Sparse);
    files.push(history.write(dir, history_path, Partition::ByRow)?);
    let popularity = popularity_of(&input.popularity, items);
    let popularity_path = file_path(shard, POPULARITY_MATRIX, FileKind::Sparse);
    files.push(popularity.write(dir, popularity_path, Partition::ByColumn)?);
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
        files.push(parts.write(dir, file_path(shard, name, FileKind::Sparse), partition)?);
    }
    Ok(files)
}

/// Writes the ids of a shard's users or terms, which have no titles.
fn write_names(
    dir: &Path,
    shard: u32,
    entity: Entity,
    layout: &EntityLayout,
    ids: &[String],
) -> Result<FileInfo, BundleError> {
    let mut rows = Vec::new();
    for &index in &layout.shards[shard as usize] {
        let (id, ordinal) = (ids[index as usize].as_str(), layout.ordinals[index as usize]);
        rows.push(IdRow { id, ordinal, title: "" });
    }
    write_ids(dir, file_path(shard, entity.plural(), FileKind::Ids), &rows, ids.len(), false)
}

/// Writes the ids and titles of a shard's items.
fn write_items(
    dir: &Path,
    shard: u32,
    layout: &EntityLayout,
    items: &[ItemRecord],
) -> Result<FileInfo, BundleError> {
    let mut rows = Vec::new();
    for &index in &layout.shards[shard as usize] {
        let ItemRecord { id, title, .. } = &items[index as usize];
        rows.push(IdRow { id, ordinal: layout.ordinals[index as usize], title });
    }
    write_ids(dir, file_path(shard, Entity::Item.plural(), FileKind::Ids), &rows, items.len(), true)
}

/// Writes the tags and attributes of a shard's items, which are these by input index.
fn write_item_labels(
    dir: &Path,
    shard: u32,
    own: &[u32],
    items: &[ItemRecord],
) -> Result<FileInfo, BundleError> {
    let mut rows = Vec::new();
    for &index in own {
        let ItemRecord { tags, attributes, .. } = &items[index as usize];
        rows.push(LabelRow { tags, attributes });
    }
    write_labels(dir, file_path(shard, Entity::Item.plural(), FileKind::Labels), &rows)
}

/// One row with the popularity of a shard's items, 0 where none is given.
fn popularity_of(popularity: &[f32], items: &[u32]) -> SparseParts {
    let mut row: Vec<(u32, f32)> = Vec::with_capacity(items.len());
    for (column, &index) in (0..).zip(items) {
        row.push((column, popularity.get(index as usize).copied().unwrap_or(0.0)));
    }
    let mut parts = SparseParts::new(items.len());
    parts.push_row(&mut row);
    parts
}

/// The rows of a shard's own users, with ordinals of `columns` as columns; empty ones without a matrix.
fn by_row(columns: &EntityLayout, matrix: Option<&CsrInput>, users: &[u32]) -> SparseParts {
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
