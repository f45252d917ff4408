//! What searches cost: the model that the planner compares ways by.
//!
//! A cost is about the processor time, in nanoseconds, that the operations of a search take on a machine
//! of 2020 with 256-bit registers: estimates, not fitted to measurements yet. How many operations a
//! search takes is measured when an index is built, on the queries that it will meet. Only ratios
//! matter, and they are constants rather than measured at start, so that every replica chooses the same
//! way: answers must not depend on which machine was asked.

use super::cells::Work;

/// Scoring a row of the matrix that comes after the last one: for the row, and for each column.
const ROW: (f64, f64) = (2.0, 0.09);
/// Scoring a row anywhere in the matrix, and offering it.
const SCATTERED_ROW: (f64, f64) = (14.0, 0.12);
/// Scoring and ordering a cell.
const CELL: (f64, f64) = (14.0, 0.09);
/// Summing up a block's codes.
const BLOCK: (f64, f64) = (14.0, 0.32);
/// Taking a row into the pool.
const PASSED: f64 = 6.0;
/// Visiting a row of a graph.
const WALKED_ROW: (f64, f64) = (22.0, 0.25);

fn each((fixed, by_column): (f64, f64), rank: usize) -> f64 {
    fixed + by_column * rank as f64
}

/// What a search in cells cost.
pub(crate) fn of_cells(work: &Work, rank: usize) -> f64 {
    work.cells as f64 * each(CELL, rank)
        + work.blocks as f64 * each(BLOCK, rank)
        + work.passed as f64 * PASSED
        + work.scored as f64 * each(SCATTERED_ROW, rank)
}

/// What a scan of so many rows costs, of which `allowed` may be in the result.
pub(crate) fn of_scan(rows: usize, allowed: usize, rank: usize) -> f64 {
    if allowed == rows {
        rows as f64 * each(ROW, rank)
    } else {
        allowed as f64 * each(SCATTERED_ROW, rank)
    }
}

/// What a walk of this width costs, over a graph of so many links a row.
pub(crate) fn of_walk(width: usize, links: usize, rank: usize) -> f64 {
    // About a third of the links that a walk meets are new to it.
    (width * links) as f64 / 3.0 * each(WALKED_ROW, rank)
}
