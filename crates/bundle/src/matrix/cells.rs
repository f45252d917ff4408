//! Cells: the rows of a dense matrix by direction, in short codes that are scored many at a time.
//!
//! ```text
//! section   elements              what
//! meta      u64 × 4               rows; rank; cells; blocks
//! starts    u64 × cells + 1       the first block of each cell, and where the last ends
//! means     f32 × groups·rank·32  m: the mean direction of a cell's rows; see below
//! extents   f32 × 4·cells         how far a cell's directions lie from m: root mean square a column, at
//!                                 most; its longest row; its shortest; one after another
//! blocks    f32 × blocks·5        scale s; longest and shortest row; share c of m; error e
//! rows      u32 × blocks·32       the row in each place, then NONE
//! codes     u8 × blocks·pairs·32  four bits for each column of each row; see below
//! levels    f32 × rank·16         the values that the codes of each column stand for, rising
//! tuning    f32 × 2·3·6·4         by measure; usual, with a filter, with the best excluded; 10 to 3,000
//!                                 rows deep: reach; pool; what such a search costs; what an exact one
//!                                 costs; a pool of 0 stands for no effort that suffices. Of 2·2·3·4 in
//!                                 older files: with and without a filter, for 10, 100, 1,000 results
//! ```
//!
//! Rows are put into cells by their direction u = r / |r|, and lie by falling length within a cell,
//! in blocks of 32. So one structure serves both measures: by cosine, directions are searched, and by inner
//! product long rows of good directions, which are the first blocks of some cells. A block stands
//! for each of its rows as
//!
//! ```text
//! r ≈ s · (c · m + level[0][code 0], level[1][code 1], …)        s = the length of its longest row
//! ```
//!
//! so a query's inner products with 32 rows are 32 sums of table look-ups, one table of 16 values a
//! column, which is one byte shuffle a column for all of them ("fast scan" of André, Kermarrec and
//! Le Scouarnec 2015, with the four-bit codes of a scalar quantiser: 16 levels a column, chosen by
//! Lloyd's algorithm). What they say is approximate; the best are re-scored from the rows themselves.
//! `e` bounds the length of what the codes lose of a row, divided by s, which makes exact searches
//! possible, too.
//!
//! Codes lie in pairs of columns: 32 bytes a pair, of which the first 16 are for the even column and
//! the others for the odd one. The low half of byte i is for row i of the block, the high half for
//! row i + 16. An odd rank is filled up with a column of zeros, which the search counts as 0.
//!
//! Means lie in groups of 32 cells, of which the last is filled up with zeros: first the first column of
//! all 32, then the second. So 16 cells are scored by one instruction a column.

use crate::bitmap::RowBitmap;
use crate::effort::Effort;
use crate::error::{BundleError, FileDefect};
use crate::format::{FileBuilder, FileInfo, FileKind, LoadOptions, Section, SectionFile};
use crate::kernels::{BLOCK_PLACES, DOT_LANES, LEVELS, NONE};
use crate::matrix::tuning::{AT_100, CARES, Care, MEASURES, TUNED_DEPTHS, Tuned, Tuning};
use marquee_core::model::interpreter::VectorMeasure;
use std::path::Path;

/// Numbers that describe a block.
const BLOCK_FIELDS: usize = 5;
/// Numbers that describe how a cell's rows lie.
const EXTENT_FIELDS: usize = 4;
/// Numbers of a [`Tuned`].
const TUNED_FIELDS: usize = 4;
/// Numbers of the tuning of older files: with and without a filter, for three counts of results.
const OLDER_TUNING: usize = MEASURES * 2 * 3 * TUNED_FIELDS;

/// The cells over the rows of one matrix of one shard.
pub struct Cells {
    shape: CellsShape,
    starts: Section<u64>,
    means: Section<f32>,
    extents: Section<f32>,
    blocks: Section<f32>,
    rows: Section<u32>,
    codes: Section<u8>,
    levels: Section<f32>,
    tuning: Tuning,
    bytes: u64,
}

/// The numbers that say how the arrays are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellsShape {
    pub(crate) rows: usize,
    pub(crate) rank: usize,
    pub(crate) cells: usize,
    pub(crate) blocks: usize,
}

impl CellsShape {
    /// Bytes of one block's codes.
    #[inline]
    pub(crate) fn block_bytes(&self) -> usize {
        self.rank.div_ceil(2) * BLOCK_PLACES
    }
}

/// What is known of a block's rows r.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    /// What the codes are relative to; positive.
    pub(crate) scale: f32,
    /// No row is longer.
    pub(crate) longest: f32,
    /// No row is shorter.
    pub(crate) shortest: f32,
    /// The share of the cell's mean that the codes are relative to.
    pub(crate) centre: f32,
    /// |r / scale − what the codes stand for| is no greater.
    pub(crate) error: f32,
}

impl Block {
    pub(crate) fn fields(self) -> [f32; BLOCK_FIELDS] {
        [self.scale, self.longest, self.shortest, self.centre, self.error]
    }

    fn of([scale, longest, shortest, centre, error]: [f32; BLOCK_FIELDS]) -> Self {
        Self { scale, longest, shortest, centre, error }
    }

    /// Whether a search can rely on it, whatever its rows are.
    fn is_sound(self) -> bool {
        self.fields().iter().all(|value| value.is_finite())
            && self.scale > 0.0
            && self.shortest >= 0.0
            && self.longest >= self.shortest
            && self.error >= 0.0
    }
}

impl Cells {
    /// How many cells there are.
    pub fn count(&self) -> usize {
        self.shape.cells
    }

    /// The effort of a search for the best 100 rows; none where none reaches the recall that was
    /// asked for.
    pub fn effort_at_100(&self, measure: VectorMeasure) -> Option<Effort> {
        self.tuning.of(measure, Care::Usual)[AT_100].effort
    }

    /// What searches of them cost and need.
    pub(crate) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The arrays, for searching.
    #[inline]
    pub(crate) fn view(&self) -> CellsView<'_> {
        CellsView {
            shape: self.shape,
            starts: &self.starts,
            means: &self.means,
            extents: &self.extents,
            blocks: &self.blocks,
            rows: &self.rows,
            codes: &self.codes,
            levels: &self.levels,
        }
    }

    /// Opens and checks the cells of `rows` rows of `rank` columns.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        (rows, rank): (usize, usize),
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Cells, options)?;
        let [found_rows, found_rank, found_cells, found_blocks] = file.numbers("meta")?;
        let is_same = found_rows == rows as u64 && found_rank == rank as u64;
        file.check(is_same && rank > 0 && rows > 0, "its shape is not that of its matrix")?;
        let cells = file.length("the number of cells", found_cells, rows)?;
        let blocks = file.length("the number of blocks", found_blocks, rows)?;
        let shape = CellsShape { rows, rank, cells, blocks };
        let product = |a: usize, b: usize| {
            let length = a.checked_mul(b);
            length.ok_or_else(|| file.wrong(FileDefect::ShapeBeyondMemory))
        };
        let found = Self {
            shape,
            starts: file.section("starts", cells + 1)?,
            means: file.section("means", product(cells.next_multiple_of(DOT_LANES), rank)?)?,
            extents: file.section("extents", product(cells, EXTENT_FIELDS)?)?,
            blocks: file.section("blocks", product(blocks, BLOCK_FIELDS)?)?,
            rows: file.section("rows", product(blocks, BLOCK_PLACES)?)?,
            codes: file.section("codes", product(blocks, shape.block_bytes())?)?,
            levels: file.section("levels", product(rank, LEVELS)?)?,
            tuning: tuning_of(&file.section_of_any_length("tuning")?)
                .ok_or_else(|| file.wrong(FileDefect::Content("its tuning is not in range")))?,
            bytes: file.bytes(),
        };
        file.check_offsets("starts", &found.starts, blocks)?;
        match found.view().defect() {
            None => Ok(found),
            Some(defect) => Err(file.wrong(FileDefect::Content(defect))),
        }
    }
}

/// Greatest reach and pool of an effort: far beyond what any tuning tries.
const MAX_EFFORT: f32 = 1e6;

fn tuning_of(numbers: &[f32]) -> Option<Tuning> {
    if !numbers.iter().all(|value| value.is_finite() && *value >= 0.0) {
        return None;
    }
    let (fields, _) = numbers.as_chunks::<TUNED_FIELDS>();
    let mut tuning = Tuning::default();
    if numbers.len() == OLDER_TUNING {
        let mut three = [[[Tuned::default(); 3]; 2]; MEASURES];
        for (tuned, fields) in three.iter_mut().flatten().flatten().zip(fields) {
            *tuned = tuned_of(*fields)?;
        }
        return Some(Tuning::of_three_depths(&three));
    }
    let all = tuning.0.iter_mut().flatten().flatten();
    if numbers.len() != MEASURES * CARES.len() * TUNED_DEPTHS.len() * TUNED_FIELDS {
        return None;
    }
    for (tuned, fields) in all.zip(fields) {
        *tuned = tuned_of(*fields)?;
    }
    Some(tuning)
}

fn tuned_of([reach, pool, cost, exact_cost]: [f32; TUNED_FIELDS]) -> Option<Tuned> {
    if reach > MAX_EFFORT || pool > MAX_EFFORT {
        return None;
    }
    let effort = (pool > 0.0).then_some(Effort { reach, pool });
    Some(Tuned { effort, cost: cost.into(), exact_cost: exact_cost.into() })
}

/// Cells in memory, before they are written.
pub(crate) struct CellsParts {
    pub(crate) shape: CellsShape,
    pub(crate) starts: Vec<u64>,
    pub(crate) means: Vec<f32>,
    pub(crate) extents: Vec<f32>,
    pub(crate) blocks: Vec<f32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) codes: Vec<u8>,
    pub(crate) levels: Vec<f32>,
}

impl CellsParts {
    /// The arrays, for searching.
    pub(crate) fn view(&self) -> CellsView<'_> {
        CellsView {
            shape: self.shape,
            starts: &self.starts,
            means: &self.means,
            extents: &self.extents,
            blocks: &self.blocks,
            rows: &self.rows,
            codes: &self.codes,
            levels: &self.levels,
        }
    }

    /// Writes them, with what was measured of them.
    pub(crate) fn write(
        &self,
        root: &Path,
        path: String,
        tuning: &Tuning,
    ) -> Result<FileInfo, BundleError> {
        let CellsShape { rows, rank, cells, blocks } = self.shape;
        let tuning: Vec<f32> = tuning
            .0
            .iter()
            .flatten()
            .flatten()
            .flat_map(|tuned| {
                let Effort { reach, pool } =
                    tuned.effort.unwrap_or(Effort { reach: 0.0, pool: 0.0 });
                [reach, pool, tuned.cost as f32, tuned.exact_cost as f32]
            })
            .collect();
        FileBuilder::new(FileKind::Cells)
            .numbers("meta", &[rows as u64, rank as u64, cells as u64, blocks as u64])
            .section("starts", &self.starts)
            .section("means", &self.means)
            .section("extents", &self.extents)
            .section("blocks", &self.blocks)
            .section("rows", &self.rows)
            .section("codes", &self.codes)
            .section("levels", &self.levels)
            .section("tuning", &tuning)
            .write(root, path)
    }
}

/// How the rows of cells lie, by cell.
#[derive(Clone, Copy)]
pub(crate) struct Extents<'a> {
    /// How far directions lie from their mean: the root mean square a column.
    pub(crate) spreads: &'a [f32],
    /// How far at most.
    pub(crate) radii: &'a [f32],
    /// No row is longer.
    pub(crate) longest: &'a [f32],
    /// No row is shorter.
    pub(crate) shortest: &'a [f32],
}

/// The arrays of cells, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct CellsView<'a> {
    pub(crate) shape: CellsShape,
    starts: &'a [u64],
    /// The mean direction of each cell, in groups.
    pub(crate) means: &'a [f32],
    extents: &'a [f32],
    blocks: &'a [f32],
    rows: &'a [u32],
    codes: &'a [u8],
    /// The [`LEVELS`] of each column, one after another.
    pub(crate) levels: &'a [f32],
}

impl<'a> CellsView<'a> {
    /// The blocks of a cell.
    #[inline]
    pub(crate) fn blocks_of(&self, cell: usize) -> std::ops::Range<usize> {
        self.starts[cell] as usize..self.starts[cell + 1] as usize
    }

    /// How the rows of all cells lie.
    #[inline]
    pub(crate) fn extents(&self) -> Extents<'a> {
        let (spreads, rest) = self.extents.split_at(self.shape.cells);
        let (radii, rest) = rest.split_at(self.shape.cells);
        let (longest, shortest) = rest.split_at(self.shape.cells);
        Extents { spreads, radii, longest, shortest }
    }

    /// What is known of a block.
    #[inline]
    pub(crate) fn block(&self, block: usize) -> Block {
        Block::of(self.blocks.as_chunks::<BLOCK_FIELDS>().0[block])
    }

    /// The rows of a block, by place.
    #[inline]
    pub(crate) fn rows_of(&self, block: usize) -> &'a [u32; BLOCK_PLACES] {
        &self.rows.as_chunks::<BLOCK_PLACES>().0[block]
    }

    /// The codes of a block.
    #[inline]
    pub(crate) fn codes_of(&self, block: usize) -> &'a [u8] {
        let bytes = self.shape.block_bytes();
        &self.codes[block * bytes..][..bytes]
    }

    /// The first defect that would make searches wrong, if there is one.
    pub(crate) fn defect(&self) -> Option<&'static str> {
        if (0..self.shape.cells).any(|cell| self.blocks_of(cell).is_empty()) {
            return Some("a cell is empty");
        }
        if !(0..self.shape.blocks).all(|block| self.block(block).is_sound()) {
            return Some("a block's numbers are not in range");
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(self.means) || !finite(self.levels) {
            return Some("a value is not a finite number");
        }
        let (columns, _) = self.levels.as_chunks::<LEVELS>();
        if !columns.iter().all(|levels| levels.is_sorted()) {
            return Some("the levels of a column don't rise");
        }
        if !self.extents.iter().all(|&extent| extent.is_finite() && extent >= 0.0) {
            return Some("a cell's extent is not in range");
        }
        // Every row once: then none is missed, and none is found twice.
        let mut found = RowBitmap::none(self.shape.rows);
        for &row in self.rows {
            if row != NONE && (row as usize >= self.shape.rows || !found.insert(row)) {
                return Some("it names a row that isn't there, or one twice");
            }
        }
        (found.count() != self.shape.rows).then_some("it leaves rows out")
    }
}
