//! What is made of dense rows that are on disk already: coarse rows and indexes.
//!
//! The rows are mapped from the file that was just written, so that the trainer's copy of them, and all
//! else that it handed over, is gone before an index is built.

use crate::error::BundleError;
use crate::format::{FileInfo, FileKind, LoadOptions};
use crate::index::{self, Built, BuiltCells, BuiltGraph, Queries};
use crate::input::{BundleInput, DenseInput};
use crate::manifest::ShardIndexInfo;
use crate::manifest::names::file_path;
use crate::matrix::coarse::write_coarse;
use crate::matrix::dense::DenseMatrix;
use crate::options::{IndexOptions, RowFormat};
use marquee_core::model::recipe::Entity;
use std::path::Path;

/// These very files were hashed as they were written, a moment ago.
const JUST_WRITTEN: LoadOptions = LoadOptions { verify: false, populate: false };

/// What is to be made of the rows of one dense matrix, without the rows.
pub(super) struct Derived {
    name: String,
    entity: Entity,
    rank: usize,
    format: RowFormat,
    index: Option<(IndexOptions, Queries)>,
    /// The rows of each shard.
    rows: Vec<usize>,
}

impl Derived {
    pub(super) fn new(input: &BundleInput, matrix: &DenseInput, rows: Vec<usize>) -> Self {
        let queries = index::sample_queries(input, matrix);
        Self {
            name: matrix.name.clone(),
            entity: matrix.entity,
            rank: matrix.rank,
            format: matrix.rows,
            index: matrix.index.clone().zip(queries),
            rows,
        }
    }

    /// How to build the index of a shard, and the queries to measure it with, if it is to have one.
    fn wanted(&self, shard: u32) -> Option<&(IndexOptions, Queries)> {
        let rows = self.rows[shard as usize];
        self.index.as_ref().filter(|(options, _)| index::wanted(options, rows))
    }

    /// How many rows its indexes together will take in.
    pub(super) fn rows_to_insert(&self) -> u64 {
        let mut sum = 0;
        for (shard, &rows) in (0..).zip(&self.rows) {
            if self.wanted(shard).is_some() {
                sum += rows as u64;
            }
        }
        sum
    }

    /// Writes what is made of one shard's rows, which are in the file `dense`.
    pub(super) fn write(
        &self,
        shard: u32,
        (dir, dense): (&Path, &FileInfo),
        on_rows: &(dyn Fn(u64) + Sync),
    ) -> Result<(Vec<FileInfo>, ShardIndexInfo), BundleError> {
        let rows = self.rows[shard as usize];
        let mut files = Vec::new();
        let mut info = ShardIndexInfo { rows: rows as u64, graph: None, cells: None };
        let wanted = self.wanted(shard);
        if wanted.is_none() && self.format == RowFormat::F32 {
            return Ok((files, info));
        }
        let shape = (rows, self.rank);
        let matrix = DenseMatrix::open(dir, dense, &self.name, self.entity, shape, &JUST_WRITTEN)?;
        let path = |kind| file_path(shard, &self.name, kind);
        if self.format == RowFormat::Int8 {
            files.push(write_coarse(dir, path(FileKind::Coarse), self.rank, matrix.values())?);
        }
        let built = wanted
            .and_then(|(options, queries)| index::build(matrix.view(), options, queries, on_rows));
        match built {
            Some(Built::Graph(built_graph)) => {
                let BuiltGraph { parts, widths, info: graph } = *built_graph;
                files.push(parts.write(dir, path(FileKind::Graph), &widths)?);
                info.graph = Some(graph);
            }
            Some(Built::Cells(built_cells)) => {
                let BuiltCells { parts, tuning, info: cells } = *built_cells;
                files.push(parts.write(dir, path(FileKind::Cells), &tuning)?);
                info.cells = Some(cells);
            }
            None => {}
        }
        Ok((files, info))
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> u32 {
        self.rows.len() as u32
    }

    /// The path of the file with one shard's rows.
    pub(super) fn dense_path(&self, shard: u32) -> String {
        file_path(shard, &self.name, FileKind::Dense)
    }
}
