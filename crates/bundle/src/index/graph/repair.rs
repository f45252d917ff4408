//! Extra links to the rows that no path leads to.
//!
//! A graph over inner products links everything to long rows and hardly anything to short ones. Each
//! row that can't be reached is hung below a row near it that can: the walk for the row itself, over
//! what is reachable so far, says which. Long rows come first, so that short ones find near parents
//! among them, and each parent takes a few children only, so that no list grows long.

use crate::matrix::dense::{DenseView, norm_f64};
use crate::matrix::graph::{GraphParts, GraphView, NONE};
use crate::search::CancelFlag;
use crate::search::beam::{Beam, Reach};

/// Extra links of a row: half as many as the builder's, one cache line.
const EXTRA_WIDTH: usize = 16;
/// Width of the walk for a parent: most children find a free place in it.
const PARENT_WALK: usize = 48;

/// Makes every row reachable by thorough walks; returns how many were not.
pub(super) fn link_unreachable(parts: &mut GraphParts, dense: DenseView<'_>) -> usize {
    let rows = parts.shape.rows;
    parts.shape.extra_width = EXTRA_WIDTH;
    parts.extra = vec![NONE; rows * EXTRA_WIDTH];
    let mut reached = vec![false; rows];
    let start = bottom_of_entry(parts.view());
    reach(parts.view(), start, &mut reached);

    let norms: Vec<f64> = dense.values.chunks_exact(dense.rank).map(norm_f64).collect();
    let mut order: Vec<u32> = (0..rows as u32).filter(|&row| !reached[row as usize]).collect();
    order.sort_by(|&a, &b| norms[b as usize].total_cmp(&norms[a as usize]));
    let missing = order.len();

    let (mut beam, never) = (Beam::default(), CancelFlag::new());
    let mut children = vec![0usize; rows];
    // Where no near row has a free place, rows hang below those hung before, breadth first.
    let (mut hung, mut next) = (vec![start], 0);
    for row in order {
        if reached[row as usize] {
            continue;
        }
        let walked =
            beam.walk(parts.view(), dense, dense.row(row), (PARENT_WALK, Reach::Thorough), &never);
        // Upper layers may lead the walk to rows that layer 0 doesn't: no parents yet.
        let fit = |row: u32| reached[row as usize] && children[row as usize] < EXTRA_WIDTH;
        let near = walked.ok().and_then(|()| beam.rows().find(|&near| fit(near)));
        let parent = near.unwrap_or_else(|| {
            while children[hung[next] as usize] == EXTRA_WIDTH {
                next += 1;
            }
            hung[next]
        });
        parts.extra[parent as usize * EXTRA_WIDTH + children[parent as usize]] = row;
        children[parent as usize] += 1;
        hung.push(row);
        reach(parts.view(), row, &mut reached);
    }
    missing
}

/// How many rows no path leads to.
pub(super) fn unreachable(graph: GraphView<'_>) -> usize {
    let mut reached = vec![false; graph.shape.rows];
    reach(graph, bottom_of_entry(graph), &mut reached);
    reached.iter().filter(|&&reached| !reached).count()
}

/// The row on layer 0 below the entry.
fn bottom_of_entry(graph: GraphView<'_>) -> u32 {
    let mut place = graph.shape.entry;
    for layer in (1..graph.layers()).rev() {
        place = graph.upper(layer).down[place as usize];
    }
    place
}

/// Marks what can be reached from a row.
fn reach(graph: GraphView<'_>, from: u32, reached: &mut [bool]) {
    reached[from as usize] = true;
    let mut open = vec![from];
    while let Some(row) = open.pop() {
        for links in [graph.links(row), graph.extra(row)] {
            for &link in links.iter().take_while(|&&link| link != NONE) {
                if !std::mem::replace(&mut reached[link as usize], true) {
                    open.push(link);
                }
            }
        }
    }
}
