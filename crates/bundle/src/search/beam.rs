//! Walking the frozen graph: greedily down the upper layers, then widely on the lowest.
//!
//! The walk keeps its best `width` rows in one sorted array and always expands the best one that it
//! hasn't yet (algorithm 2 of Malkov and Yashunin 2016, with the array in place of the two heaps). A
//! row's links are scored together, so that the next rows are fetched while one is multiplied.

use super::hits::Hit;
use super::query::{CancelFlag, SearchParams};
use super::top::{ordered, score_of, sort_hits};
use crate::kernels::{dot, dot_gather, prefetch};
use crate::matrix::dense::DenseView;
use crate::matrix::graph::{GraphView, NONE};

/// Expansions between two looks at the cancel flag: some tens of microseconds.
const EXPANSIONS_A_CHECK: usize = 64;

/// Which links a walk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those that the builder made: enough for the best few of all rows.
    Common,
    /// The extra ones too, which lead to every row.
    Thorough,
}

/// Why a walk ended without results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The caller gave up.
    Cancelled,
    /// A score left the range of `f32`.
    NotFinite,
}

/// A row in the array: its score in the upper half, the row and whether it was expanded below.
#[derive(Clone, Copy)]
struct BeamEntry(u64);

impl BeamEntry {
    #[inline]
    fn new(score: f32, row: u32) -> Self {
        Self(u64::from(ordered(score)) << 32 | u64::from(row) << 1)
    }

    #[inline]
    fn ordered_score(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn row(self) -> u32 {
        self.0 as u32 >> 1
    }

    #[inline]
    fn expanded(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The memory of walks.
#[derive(Default)]
pub(crate) struct Beam {
    /// The best rows so far, best first.
    best: Vec<BeamEntry>,
    /// One bit a row: whether it was scored.
    visited: Vec<u64>,
    /// The rows whose bits are set, to clear them after.
    touched: Vec<u32>,
    ids: Vec<u32>,
    scores: Vec<f32>,
    /// Rows that the last walk scored on the lowest layer.
    walked: usize,
}

impl Beam {
    /// Walks for the best `width` rows, at least one; [`Self::hits`] then tells them.
    pub(crate) fn walk(
        &mut self,
        graph: GraphView<'_>,
        vectors: DenseView<'_>,
        query: &[f32],
        (width, reach): (usize, Reach),
        cancel: &CancelFlag,
    ) -> Result<(), Stop> {
        self.best.clear();
        self.best.reserve(width + 1);
        let words = graph.shape.rows.div_ceil(64);
        if self.visited.len() < words {
            self.visited.resize(words, 0);
        }
        let outcome = self.descend(graph, vectors, query).and_then(|(row, score)| {
            self.visit(row);
            self.best.push(BeamEntry::new(score, row));
            self.spread(graph, vectors, query, (width, reach), cancel)
        });
        self.walked = self.touched.len();
        for row in self.touched.drain(..) {
            self.visited[row as usize / 64] = 0;
        }
        outcome
    }

    /// The results of the last walk that `params` allow, at most `params.count`, best first; none if
    /// the worst of them tie with rows that the walk may have missed: then ordinals must decide.
    pub(crate) fn hits(&self, params: &SearchParams<'_>, ordinals: &[u32]) -> Option<Vec<Hit>> {
        let mut hits: Vec<Hit> = Vec::with_capacity(params.count.min(self.best.len()));
        for entry in &self.best {
            let (row, score) = (entry.row(), score_of(entry.ordered_score()));
            // Rows that tie with the last place go along.
            if hits.len() >= params.count && hits[params.count - 1].score > score {
                break;
            }
            if params.admits(row) {
                hits.push(Hit { ordinal: ordinals[row as usize], row, score });
            }
        }
        if let (Some(last), [.., second, worst]) = (hits.last(), self.best.as_slice())
            && ordered(last.score) == worst.ordered_score()
            && ordered(last.score) == second.ordered_score()
        {
            return None;
        }
        sort_hits(&mut hits);
        hits.truncate(params.count);
        Some(hits)
    }

    /// How many of the best rows that the last walk found are no worse than the last of these hits.
    pub(crate) fn depth_of(&self, hits: &[Hit]) -> usize {
        let Some(last) = hits.last() else { return 0 };
        self.best.partition_point(|entry| entry.ordered_score() >= ordered(last.score))
    }

    /// How many rows the last walk scored on the lowest layer.
    pub(crate) fn walked(&self) -> usize {
        self.walked
    }

    /// The rows that the last walk found, best first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.best.iter().map(|entry| entry.row())
    }

    /// The scores of the rows that were kept.
    pub(crate) fn scores(&self) -> impl Iterator<Item = f32> + '_ {
        self.best.iter().map(|entry| score_of(entry.ordered_score()))
    }

    /// The row, and its score, that the upper layers lead to.
    fn descend(
        &mut self,
        graph: GraphView<'_>,
        vectors: DenseView<'_>,
        query: &[f32],
    ) -> Result<(u32, f32), Stop> {
        let DenseView { values, rank, .. } = vectors;
        let mut place = graph.shape.entry;
        let mut score = f32::NAN;
        for layer in (1..graph.layers()).rev() {
            let upper = graph.upper(layer);
            let row = upper.rows[place as usize];
            score = finite(dot(query, &values[row as usize * rank..][..rank]))?;
            loop {
                let links = cut(upper.links(place));
                self.ids.clear();
                self.ids.extend(links.iter().map(|&place| upper.rows[place as usize]));
                self.scores.resize(self.ids.len(), 0.0);
                dot_gather(query, values, &self.ids, &mut self.scores);
                let before = place;
                for (&link, &other) in links.iter().zip(&self.scores) {
                    if finite(other)? > score {
                        (place, score) = (link, other);
                    }
                }
                if place == before {
                    break;
                }
            }
            place = upper.down[place as usize];
        }
        if graph.layers() == 1 {
            score = finite(dot(query, &values[place as usize * rank..][..rank]))?;
        }
        Ok((place, score))
    }

    fn spread(
        &mut self,
        graph: GraphView<'_>,
        vectors: DenseView<'_>,
        query: &[f32],
        (width, reach): (usize, Reach),
        cancel: &CancelFlag,
    ) -> Result<(), Stop> {
        let (mut at, mut expansions) = (0, 0);
        while at < self.best.len() {
            if self.best[at].expanded() {
                at += 1;
                continue;
            }
            if expansions % EXPANSIONS_A_CHECK == 0 && cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            expansions += 1;
            self.best[at].0 |= 1;
            let row = self.best[at].row();
            if let Some(next) = self.best.get(at + 1) {
                prefetch(graph.links(next.row()));
            }
            self.ids.clear();
            self.gather(graph.links(row));
            if reach == Reach::Thorough {
                self.gather(graph.extra(row));
            }
            self.scores.resize(self.ids.len(), 0.0);
            dot_gather(query, vectors.values, &self.ids, &mut self.scores);
            let mut next = at + 1;
            for (&row, &score) in self.ids.iter().zip(&self.scores) {
                let entry = BeamEntry::new(finite(score)?, row);
                let key = entry.ordered_score();
                if self.best.len() == width {
                    if key <= self.best[width - 1].ordered_score() {
                        continue;
                    }
                    self.best.pop();
                }
                let to = self.best.partition_point(|other| other.ordered_score() >= key);
                self.best.insert(to, entry);
                next = next.min(to);
            }
            at = next;
        }
        Ok(())
    }

    /// Takes the links that weren't visited yet.
    #[inline]
    fn gather(&mut self, links: &[u32]) {
        for &link in links {
            if link == NONE {
                break;
            }
            if self.visit(link) {
                self.ids.push(link);
            }
        }
    }

    /// Marks a row as scored; says whether it is new.
    #[inline]
    fn visit(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.visited[row as usize / 64], 1 << (row % 64));
        let new = *word & bit == 0;
        if new {
            *word |= bit;
            self.touched.push(row);
        }
        new
    }
}

/// The links before the first [`NONE`].
#[inline]
fn cut(links: &[u32]) -> &[u32] {
    &links[..links.iter().position(|&link| link == NONE).unwrap_or(links.len())]
}

#[inline]
fn finite(score: f32) -> Result<f32, Stop> {
    if score.is_finite() { Ok(score) } else { Err(Stop::NotFinite) }
}
