//! Inserting rows with hnsw_rs, and freezing the graph that it made.

use crate::index::shuffle::shuffled;
use crate::kernels::dot;
use crate::matrix::dense::norm_f64;
use crate::matrix::graph::{GraphParts, GraphShape, MAX_LAYERS, NONE};
use crate::options::IndexOptions;
use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

/// `bound − ⟨a, b⟩` of vectors no longer than 1: the nearer, the greater the inner product.
struct InnerProductDistance;

/// No inner product of scaled vectors is greater, with room for rounding.
const BOUND: f32 = 1.0 + 1e-4;
/// Links are laid out in groups of this many: a cache line.
const LINK_GROUP: usize = 16;

impl Distance<f32> for InnerProductDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        // The builder insists on distances that aren't negative.
        (BOUND - dot(a, b)).max(0.0)
    }
}

/// Builds a graph over the rows (at least one) and freezes it.
pub(super) fn build_graph(
    values: &[f32],
    rank: usize,
    options: &IndexOptions,
    on_rows: &(dyn Fn(u64) + Sync),
) -> GraphParts {
    let rows = values.len() / rank;
    let longest = values.chunks_exact(rank).map(norm_f64).fold(0.0, f64::max);
    let scale = if longest > 0.0 { 1.0 / longest } else { 0.0 };
    let mut hnsw = Hnsw::<f32, _>::new(
        options.m,
        rows,
        MAX_LAYERS,
        options.ef_construction,
        InnerProductDistance,
    );
    // Rows of like direction crowd each other out of the lists otherwise.
    hnsw.set_keeping_pruned(true);
    let mut scaled = vec![0f32; rank];
    for row in shuffled(rows, options.seed) {
        let vector = &values[row as usize * rank..][..rank];
        for (scaled, &value) in scaled.iter_mut().zip(vector) {
            *scaled = (f64::from(value) * scale) as f32;
        }
        hnsw.insert_slice((&scaled, row as usize));
        on_rows(1);
    }
    freeze(&hnsw, rows)
}

/// The lists of one row: its neighbours on each layer, nearest first.
type Lists = Vec<Vec<u32>>;

fn freeze(hnsw: &Hnsw<'_, f32, InnerProductDistance>, rows: usize) -> GraphParts {
    let points = hnsw.get_point_indexation();
    let mut levels = vec![0u8; rows];
    let mut lists: Vec<Lists> = vec![Vec::new(); rows];
    for point in points {
        let row = point.get_origin_id();
        levels[row] = point.get_point_id().0;
        let neighbours = point.get_neighborhood_id();
        lists[row] = neighbours[..=usize::from(levels[row])]
            .iter()
            .map(|list| {
                list.iter()
                    .map(|neighbour| neighbour.d_id as u32)
                    .filter(|&to| to as usize != row)
                    .collect()
            })
            .collect();
    }
    let top = points.get_max_level_observed();
    // The first row that reached the top is where the builder begins, and so do we.
    let entry_row = points
        .get_layer_iterator(usize::from(top))
        .next()
        .map_or(0, |point| point.get_origin_id() as u32);

    let longest = |layer: usize| {
        lists.iter().filter_map(|lists| lists.get(layer)).map(Vec::len).max().unwrap_or(0).max(1)
    };
    let width = longest(0).next_multiple_of(LINK_GROUP);
    let upper_width =
        (1..=usize::from(top)).map(longest).max().unwrap_or(1).next_multiple_of(LINK_GROUP);
    let mut links = vec![NONE; rows * width];
    for (row, lists) in lists.iter().enumerate() {
        links[row * width..][..lists[0].len()].copy_from_slice(&lists[0]);
    }

    let (mut starts, mut upper_rows) = (vec![0u64], Vec::new());
    let (mut upper_down, mut upper_links) = (Vec::new(), Vec::new());
    let mut place_below: Vec<u32> = (0..rows as u32).collect();
    for layer in 1..=top {
        let members: Vec<u32> =
            (0..rows as u32).filter(|&row| levels[row as usize] >= layer).collect();
        let mut places = vec![NONE; rows];
        for (place, &row) in members.iter().enumerate() {
            places[row as usize] = place as u32;
        }
        for &row in &members {
            upper_rows.push(row);
            upper_down.push(place_below[row as usize]);
            // A row that is new on top may have been linked to one that isn't up here: left out.
            let list =
                lists[row as usize][usize::from(layer)].iter().map(|&to| places[to as usize]);
            let before = upper_links.len();
            upper_links.extend(list.filter(|&place| place != NONE));
            upper_links.resize(before + upper_width, NONE);
        }
        starts.push(upper_rows.len() as u64);
        place_below = places;
    }
    let entry = if top == 0 { entry_row } else { place_below[entry_row as usize] };
    GraphParts {
        shape: GraphShape { rows, entry, width, upper_width, extra_width: 0 },
        links,
        extra: Vec::new(),
        starts,
        upper_rows,
        upper_down,
        upper_links,
    }
}
