//! Sparse matrices in compressed rows.
//!
//! ```text
//! section   elements          what
//! meta      u64 × 3           rows; columns; 0 partitioned by row, 1 by column
//! rowoffs   u64 × (rows + 1)  where each row's entries begin
//! columns   u32               the column of each entry, ascending within a row
//! values    f32               the value of each entry, finite
//! ```
//!
//! *Partitioned by row*: the rows are the shard's own users, the columns are item ordinals of the
//! bundle. *Partitioned by column*: every shard has all rows, each with the columns of the shard's
//! own items or users, by row of the shard.

use crate::error::BundleError;
use crate::format::{FileBuilder, FileInfo, FileKind, Lists, LoadOptions, Section, SectionFile};
use marquee_core::bounds::MAX_ORDINALS;
use marquee_core::model::recipe::Entity;
use std::path::Path;

/// How a sparse matrix lies over the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Rows are the shard's own users, columns the bundle's item ordinals.
    ByRow,
    /// Rows are the same in every shard, columns are the shard's own items or users, by row of the
    /// shard.
    ByColumn,
}

/// One shard's part of a sparse matrix.
pub struct SparseMatrix {
    name: String,
    partition: Partition,
    columns_of: Entity,
    columns: usize,
    lists: Lists,
    values: Section<f32>,
    bytes: u64,
}

impl SparseMatrix {
    /// The name of the matrix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it lies over the shards.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// What its columns are.
    pub fn columns_of(&self) -> Entity {
        self.columns_of
    }

    pub(crate) fn with_columns_of(self, columns_of: Entity) -> Self {
        Self { columns_of, ..self }
    }

    /// How many rows this shard has of it.
    pub fn rows(&self) -> usize {
        self.lists.len()
    }

    /// How many columns it has here: the bundle's items, or the shard's items or users.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many entries this shard has.
    pub fn entries(&self) -> usize {
        self.values.len()
    }

    /// One row: its columns, ascending, and their values.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn row(&self, row: u32) -> (&[u32], &[f32]) {
        let row = row as usize;
        (self.lists.get(row), &self.values[self.lists.range(row)])
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens and checks a matrix of `rows × columns`.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        name: &str,
        partition: Partition,
        (rows, columns): (usize, usize),
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Sparse, options)?;
        let [found_rows, found_columns, layout] = file.numbers("meta")?;
        let fine = found_rows == rows as u64 && found_columns == columns as u64;
        file.check(fine, "its shape is not that of the id tables")?;
        file.check(
            layout == partition as u64,
            "its partition is not the one that the manifest names",
        )?;
        file.check(columns <= MAX_ORDINALS, "it has too many columns")?;
        let lists = Lists::open(&file, "rowoffs", "columns", rows, columns)?;
        let values = file.section::<f32>("values", lists.values())?;
        file.check(values.iter().all(|value| value.is_finite()), "a value is not a finite number")?;
        Ok(Self {
            name: name.into(),
            partition,
            columns_of: Entity::Item,
            columns,
            lists,
            values,
            bytes: file.bytes(),
        })
    }
}

/// A matrix to be written: rows of entries sorted by column.
pub(crate) struct SparseParts {
    pub(crate) columns_total: usize,
    pub(crate) offsets: Vec<u64>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<f32>,
}

impl SparseParts {
    /// A matrix without rows yet.
    pub(crate) fn new(columns_total: usize) -> Self {
        Self { columns_total, offsets: vec![0], columns: Vec::new(), values: Vec::new() }
    }

    /// Adds a row; its entries come in any order and leave sorted.
    pub(crate) fn push_row(&mut self, entries: &mut [(u32, f32)]) {
        entries.sort_unstable_by_key(|&(column, _)| column);
        self.columns.extend(entries.iter().map(|&(column, _)| column));
        self.values.extend(entries.iter().map(|&(_, value)| value));
        self.offsets.push(self.columns.len() as u64);
    }

    /// Writes the matrix to a file.
    pub(crate) fn write(
        &self,
        root: &Path,
        path: String,
        partition: Partition,
    ) -> Result<FileInfo, BundleError> {
        let rows = self.offsets.len() as u64 - 1;
        FileBuilder::new(FileKind::Sparse)
            .numbers("meta", &[rows, self.columns_total as u64, partition as u64])
            .section("rowoffs", &self.offsets)
            .section("columns", &self.columns)
            .section("values", &self.values)
            .write(root, path)
    }
}
