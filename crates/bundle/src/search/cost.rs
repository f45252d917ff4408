//! The cost of searches: the model that the planner compares strategies by.
//!
//! A cost is about the processor time, in nanoseconds, that the operations of a search take. The
//! constants were fitted on 2026-11-26 on an Intel Xeon (model 207, AVX-512, two shared cores, no
//! LTO) by `costs fit`, an example of this crate: lines through what searches of ranks 16 to 256
//! over 20,000 and 80,000 rows took, the mean of two runs (one run of what searches in cells do,
//! which got faster since). tests/bench/README.md has the figures, and what the choices lose. How
//! many operations a search takes is measured when an index is built, on the queries that it will
//! meet. Mostly ratios matter, and they are constants rather than measured at start, so that every
//! replica chooses the same strategy: answers must not depend on which replica answers.

use super::cells::CellsWork;
use crate::matrix::dense::BLOCK_ROWS;

/// Scoring a row of the matrix that comes after the last one: for the row, and for each column.
pub const ROW: Line = Line { fixed: 1.2, by_column: 0.155 };
/// Scoring a row anywhere in the matrix, and offering it.
pub const SCATTERED_ROW: Line = Line { fixed: 9.3, by_column: 0.175 };
/// Applying a filter to a block of rows of a scan.
pub const FILTERED_BLOCK: f64 = 19.0;
/// Keeping a row of a scan among the best so far: what scans for 1,000 results take beyond scoring
/// their rows.
pub const KEPT_ROW: f64 = 40.0;
/// Scoring and ordering a cell.
pub const CELL: Line = Line { fixed: 7.5, by_column: 0.045 };
/// Summing up a block's codes.
pub const BLOCK: Line = Line { fixed: 22.0, by_column: 0.56 };
/// Taking a row into the pool.
pub const PASSED: f64 = 6.7;
/// Visiting a row of a graph.
pub const WALKED_ROW: Line = Line { fixed: 31.0, by_column: 0.31 };

/// The cost of an operation on a row: a line over the number of columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Nanoseconds, whatever the rank.
    pub fixed: f64,
    /// Nanoseconds for each column.
    pub by_column: f64,
}

impl Line {
    /// Nanoseconds at this rank.
    pub fn at(self, rank: usize) -> f64 {
        self.fixed + self.by_column * rank as f64
    }
}

/// The cost of a search in cells, in nanoseconds.
pub fn of_cells(work: &CellsWork, rank: usize) -> f64 {
    work.cells as f64 * CELL.at(rank)
        + work.blocks as f64 * BLOCK.at(rank)
        + work.passed as f64 * PASSED
        + work.scored as f64 * SCATTERED_ROW.at(rank)
}

/// The cost of a scan of so many rows for the best `count`, of which `allowed` may be in the result, in
/// nanoseconds.
pub fn of_scan(rows: usize, allowed: usize, count: usize, rank: usize) -> f64 {
    let scored = if allowed == rows {
        rows as f64 * ROW.at(rank)
    } else {
        rows.div_ceil(BLOCK_ROWS) as f64 * FILTERED_BLOCK + allowed as f64 * SCATTERED_ROW.at(rank)
    };
    scored + rows_kept(allowed, count) * KEPT_ROW
}

/// How many of these rows, in any order, are among the best `count` of those before them.
fn rows_kept(rows: usize, count: usize) -> f64 {
    let (rows, kept) = (rows.max(1) as f64, count.min(rows) as f64);
    if kept == 0.0 { 0.0 } else { kept * (1.0 + (rows / kept).ln()) }
}

/// The cost of a walk of this width over a graph of so many links a row, in nanoseconds.
pub fn of_walk(width: usize, links: usize, rank: usize) -> f64 {
    walked_rows(width, links) * WALKED_ROW.at(rank)
}

/// How many rows a walk visits: about a quarter of the links that it meets are new to it.
pub fn walked_rows(width: usize, links: usize) -> f64 {
    (width * links) as f64 / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_keeps_more_rows_the_more_are_wanted_and_no_more_than_there_are() {
        assert_eq!(rows_kept(0, 10), 0.0);
        assert_eq!(rows_kept(100, 0), 0.0);
        assert_eq!(rows_kept(100, 1_000), 100.0);
        let some = rows_kept(10_000, 100);
        assert!((500.0..600.0).contains(&some), "{some}");
        assert!(of_scan(10_000, 10_000, 1_000, 64) > of_scan(10_000, 10_000, 10, 64));
    }
}
