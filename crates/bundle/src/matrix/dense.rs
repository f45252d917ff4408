//! Dense matrices: the factors, embeddings or topics of a shard's users or items.
//!
//! ```text
//! section   elements          what
//! meta      u64 × 4           rows, rank, 0 for users, 1 for items or 2 for terms, rows of a block (128)
//! rows      f32 × rows·rank   the values, row after row, finite
//! inorms    f32 × rows        1 / length of each row; 0 for a row of zeros; infinite for a length
//!                             outside 1e-30..1e30, whose cosine is computed in double precision
//! blockmax  f32 × blocks      no row of a block is longer than this; infinite if beyond f32
//! ```
//!
//! Users and items lie by falling length of their rows in their first dense matrix, and `blockmax`
//! bounds each block of rows: an exact scan by inner product skips a block when even its longest
//! row, pointing straight along the query, could not reach the results (|⟨q, r⟩| ≤ |q|·|r|, the
//! bound of Cauchy and Schwarz). Factors trained on interactions have very unlike lengths, so
//! most blocks are skipped.

use crate::error::{BundleError, FileDefect};
use crate::format::{
    FileBuilder, FileInfo, FileKind, LoadOptions, RowsInOrder, Section, SectionFile,
};
use crate::kernels::dot_f64;
use crate::matrix::cells::Cells;
use crate::matrix::coarse::{CoarseRows, CoarseView};
use crate::matrix::graph::FrozenGraph;
use marquee_core::model::recipe::Entity;
use std::path::Path;

/// Rows of a block, the unit that a scan scores or skips: its scores fit into the first-level cache.
pub(crate) const BLOCK_ROWS: usize = 128;
/// Lengths in this range have an inverse, and squares, well within `f32`.
const PLAIN_LENGTHS: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// One shard's rows of a dense matrix.
pub struct DenseMatrix {
    name: String,
    entity: Entity,
    rank: usize,
    values: Section<f32>,
    inverse_norms: Section<f32>,
    block_norms: Section<f32>,
    graph: Option<FrozenGraph>,
    cells: Option<Cells>,
    coarse: Option<CoarseRows>,
    bytes: u64,
}

/// The arrays of a matrix, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct DenseView<'a> {
    /// The name of the matrix.
    pub(crate) name: &'a str,
    /// All values, row after row.
    pub(crate) values: &'a [f32],
    /// The number of columns.
    pub(crate) rank: usize,
    /// 1 / length of each row; see the module for the special ones.
    pub(crate) inverse_norms: &'a [f32],
    /// The rows in fewer bits, if there are any.
    pub(crate) coarse: Option<CoarseView<'a>>,
}

impl<'a> DenseView<'a> {
    /// How many rows there are.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.inverse_norms.len()
    }

    /// The values of one row: `rank` of them.
    #[inline]
    pub(crate) fn row(&self, row: u32) -> &'a [f32] {
        &self.values[row as usize * self.rank..][..self.rank]
    }
}

impl DenseMatrix {
    /// The name of the matrix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose rows these are.
    pub fn entity(&self) -> Entity {
        self.entity
    }

    /// How many rows the shard has.
    pub fn rows(&self) -> usize {
        self.inverse_norms.len()
    }

    /// The number of columns.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The values of one row: `rank` of them.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.rank..][..self.rank]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The graph over the rows, if there is one.
    pub fn graph(&self) -> Option<&FrozenGraph> {
        self.graph.as_ref()
    }

    /// The cells over the rows, if there are any.
    pub fn cells(&self) -> Option<&Cells> {
        self.cells.as_ref()
    }

    /// The arrays, for searching.
    #[inline]
    pub(crate) fn view(&self) -> DenseView<'_> {
        DenseView {
            name: &self.name,
            values: &self.values,
            rank: self.rank,
            inverse_norms: &self.inverse_norms,
            coarse: self.coarse.as_ref().map(CoarseRows::view),
        }
    }

    /// An upper bound of the lengths in each block of [`BLOCK_ROWS`].
    #[inline]
    pub(crate) fn block_norms(&self) -> &[f32] {
        &self.block_norms
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
            + self.graph.as_ref().map_or(0, FrozenGraph::bytes)
            + self.cells.as_ref().map_or(0, Cells::bytes)
            + self.coarse.as_ref().map_or(0, CoarseRows::bytes)
    }

    /// From now on these say which rows are read; those that were read to check them are given back.
    pub(crate) fn with_coarse(mut self, coarse: CoarseRows) -> Self {
        self.values.give_back();
        self.coarse = Some(coarse);
        self
    }

    pub(crate) fn with_cells(mut self, cells: Cells) -> Self {
        self.cells = Some(cells);
        self
    }

    pub(crate) fn with_graph(mut self, graph: FrozenGraph) -> Self {
        self.graph = Some(graph);
        self
    }

    /// Opens and checks a matrix of `rows × rank`.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        name: &str,
        entity: Entity,
        (rows, rank): (usize, usize),
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Dense, options)?;
        let [found_rows, found_rank, found_entity, block] = file.numbers("meta")?;
        let is_same = found_rows == rows as u64 && found_rank == rank as u64;
        file.check(is_same, "its shape is not that of the id table and the manifest")?;
        file.check(found_entity == entity as u64, "its rows are not what the manifest says")?;
        file.check(block == BLOCK_ROWS as u64, "its blocks have another number of rows")?;
        let Some(length) = rows.checked_mul(rank) else {
            return Err(file.wrong(FileDefect::ShapeBeyondMemory));
        };
        let values = file.section::<f32>("rows", length)?;
        file.check(all_finite(&values), "a value is not a finite number")?;
        let inverse_norms = file.section::<f32>("inorms", rows)?;
        file.check(inverse_norms.iter().all(|&norm| norm >= 0.0), "an inverse length is negative")?;
        let block_norms = file.section::<f32>("blockmax", rows.div_ceil(BLOCK_ROWS))?;
        file.check(block_norms.iter().all(|&norm| norm >= 0.0), "a length is negative")?;
        let bytes = file.bytes();
        Ok(Self {
            name: name.into(),
            entity,
            rank,
            values,
            inverse_norms,
            block_norms,
            graph: None,
            cells: None,
            coarse: None,
            bytes,
        })
    }
}

/// Whether all values are finite, in a form that vectorises: a sum of zeros unless one is not.
fn all_finite(values: &[f32]) -> bool {
    values.chunks(4_096).all(|chunk| {
        // 0 × finite is 0; 0 × infinite and 0 × NaN are NaN, which stays.
        let mut sums = [0f32; 16];
        let (blocks, tail) = chunk.as_chunks::<16>();
        for block in blocks {
            for lane in 0..16 {
                sums[lane] += block[lane] * 0.0;
            }
        }
        sums.iter().sum::<f32>() == 0.0 && tail.iter().all(|value| value.is_finite())
    })
}

/// The length of a row, in double precision.
pub(crate) fn norm_f64(row: &[f32]) -> f64 {
    dot_f64(row, row).sqrt()
}

/// 1 / length; see the module for the special ones.
fn inverse_norm(norm: f64) -> f32 {
    match norm {
        0.0 => 0.0,
        norm if PLAIN_LENGTHS.contains(&norm) => (1.0 / norm) as f32,
        _ => f32::INFINITY,
    }
}

/// Writes a matrix of whole rows.
pub(crate) fn write_dense(
    root: &Path,
    path: String,
    entity: Entity,
    rows: RowsInOrder<'_>,
) -> Result<FileInfo, BundleError> {
    let norms: Vec<f64> = rows.iter().map(norm_f64).collect();
    let inverse: Vec<f32> = norms.iter().copied().map(inverse_norm).collect();
    // The next number up, so that rounding to f32 never makes the bound too small.
    let longest = |block: &[f64]| (block.iter().copied().fold(0.0, f64::max) as f32).next_up();
    let blocks: Vec<f32> = norms.chunks(BLOCK_ROWS).map(longest).collect();
    let meta = [norms.len() as u64, rows.rank as u64, entity as u64, BLOCK_ROWS as u64];
    FileBuilder::new(FileKind::Dense)
        .numbers("meta", &meta)
        .rows("rows", rows)
        .section("inorms", &inverse)
        .section("blockmax", &blocks)
        .write(root, path)
}
