//! Measuring a graph: recall against the exact scan, and rows that no path leads to.

use super::build::shuffled;
use crate::graph::{DefaultWidth, GraphParts, GraphView, NONE};
use crate::input::{BundleInput, DenseInput, Entity};
use crate::kernels::dot_rows;
use crate::manifest::{GraphInfo, Recall};
use crate::search::CancelFlag;
use crate::search::beam::Beam;
use crate::search::scan::Vectors;

/// Queries that a graph is measured with: of 200 × 100 results, a recall of 0.95 is known to about
/// half a hundredth.
const MAX_QUERIES: usize = 200;
/// Widths of search that are tried, from narrow to wide; each costs about a half more than the last.
const WIDTHS: [usize; 15] =
    [12, 16, 24, 32, 48, 64, 100, 128, 192, 256, 384, 512, 768, 1_024, 1_536];
/// Added to the recall that is looked for, since other queries than those measured will come.
const MARGIN: f64 = 0.01;
/// The order in which queries are drawn; any number does.
const QUERY_SEED: u64 = 0x71_75_65_72_79;

/// Query vectors of one matrix.
pub(crate) struct Queries {
    values: Vec<f32>,
}

/// Draws the queries that a matrix's graphs are measured with: users' vectors where the bundle has
/// some of the same rank (they are what will be asked), else rows of the matrix itself. None for a
/// matrix without an index.
pub(crate) fn sample_queries(input: &BundleInput, matrix: &DenseInput) -> Option<Queries> {
    matrix.index.as_ref()?;
    let users = input.dense.iter().find(|other| {
        other.entity == Entity::User && other.rank == matrix.rank && !other.data.is_empty()
    });
    let source = users.unwrap_or(matrix);
    let rows = source.data.len() / source.rank;
    let mut values = Vec::new();
    for row in shuffled(rows, QUERY_SEED).into_iter().take(MAX_QUERIES) {
        values.extend_from_slice(&source.data[row as usize * source.rank..][..source.rank]);
    }
    Some(Queries { values })
}

/// Measures a graph and finds the narrowest widths of search that reach the recall asked for, or
/// else the widest tried.
pub(super) fn audit(
    parts: &GraphParts,
    values: &[f32],
    rank: usize,
    queries: &Queries,
    target: f64,
) -> (DefaultWidth, GraphInfo) {
    let vectors = Vectors { values, rank };
    let rows = values.len() / rank;
    // A query of zeros finds everything equally good, and says nothing.
    let queries: Vec<&[f32]> = queries
        .values
        .chunks_exact(rank)
        .filter(|query| query.iter().any(|&value| value != 0.0))
        .collect();
    let truth: Vec<Vec<f32>> =
        queries.iter().map(|query| best_scores(vectors, query, 100)).collect();
    let mut beam = Beam::default();
    let (at_10, recall_10) =
        narrowest(parts.view(), vectors, &queries, &truth, 10, target, &mut beam);
    let (at_100, recall_100) =
        narrowest(parts.view(), vectors, &queries, &truth, 100, target, &mut beam);
    let unreachable = unreachable(parts.view()) as f64 / rows as f64;
    let info = GraphInfo {
        recall: Recall { at_10: recall_10, at_100: recall_100, queries: queries.len() as u64 },
        ef_at_10: at_10 as u32,
        ef_at_100: at_100 as u32,
        unreachable_before_repair: unreachable,
        unreachable,
    };
    (DefaultWidth { at_10: at_10 as u32, at_100: at_100 as u32 }, info)
}

/// The narrowest width with a recall of the best `count` above the target, and its recall.
fn narrowest(
    graph: GraphView<'_>,
    vectors: Vectors<'_>,
    queries: &[&[f32]],
    truth: &[Vec<f32>],
    count: usize,
    target: f64,
    beam: &mut Beam,
) -> (usize, f64) {
    let mut measured = (count, 0.0);
    for width in WIDTHS.into_iter().filter(|&width| width >= count) {
        measured = (width, recall(graph, vectors, queries, truth, count, width, beam));
        if measured.1 >= (target + MARGIN).min(1.0) {
            break;
        }
    }
    measured
}

/// The share of the best `count` rows that walks of this width find. Rows that tie with the last of
/// them are as good, so it is scores that are compared.
fn recall(
    graph: GraphView<'_>,
    vectors: Vectors<'_>,
    queries: &[&[f32]],
    truth: &[Vec<f32>],
    count: usize,
    width: usize,
    beam: &mut Beam,
) -> f64 {
    let never = CancelFlag::new();
    let (mut found, mut wanted) = (0, 0);
    for (query, truth) in queries.iter().zip(truth) {
        let truth = &truth[..count.min(truth.len())];
        wanted += truth.len();
        let Some(&last) = truth.last() else { continue };
        // A walk whose scores leave f32 finds nothing: searches then scan, too.
        if beam.walk(graph, vectors, query, width, &never).is_ok() {
            found += beam.scores().take(truth.len()).filter(|&score| score >= last).count();
        }
    }
    if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 }
}

/// The best `count` scores of all rows, best first.
fn best_scores(vectors: Vectors<'_>, query: &[f32], count: usize) -> Vec<f32> {
    let mut scores = vec![0f32; vectors.values.len() / vectors.rank];
    dot_rows(query, vectors.values, &mut scores);
    let count = count.min(scores.len());
    if count < scores.len() {
        scores.select_nth_unstable_by(count, |a, b| b.total_cmp(a));
        scores.truncate(count);
    }
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores
}

/// How many rows no path over layer 0 leads to from where searches begin.
fn unreachable(graph: GraphView<'_>) -> usize {
    let rows = graph.shape.rows;
    let mut place = graph.shape.entry;
    for layer in (1..graph.layers()).rev() {
        place = graph.upper(layer).down[place as usize];
    }
    let mut reached = vec![false; rows];
    reached[place as usize] = true;
    let (mut open, mut count) = (vec![place], 1);
    while let Some(row) = open.pop() {
        for &link in graph.links(row).iter().take_while(|&&link| link != NONE) {
            if !std::mem::replace(&mut reached[link as usize], true) {
                count += 1;
                open.push(link);
            }
        }
    }
    rows - count
}
