//! Re-scoring: the exact scores of rows, and which rows are read for them. Every search ends here.

use super::score::{exact_score, score_of_product};
use super::top::{Top, ordered};
use crate::error::SearchError;
use crate::kernels::dot_gather;
use crate::matrix::coarse::CoarseQuery;
use crate::matrix::dense::{DenseView, norm_f64};
use marquee_core::model::interpreter::VectorMeasure;

/// Rows that are at least scored between two looks at the bar, where that may spare the rest.
const GROUP: usize = 64;

/// What a search is over: a matrix, the ordinals of its rows, and the query.
#[derive(Clone, Copy)]
pub(crate) struct RescoreTarget<'a> {
    pub(crate) dense: DenseView<'a>,
    pub(crate) ordinals: &'a [u32],
    pub(crate) query: &'a [f32],
    pub(crate) measure: VectorMeasure,
}

/// The query as rows are scored with, and the memory for it.
#[derive(Default)]
pub(crate) struct Rescorer {
    /// The query, of length 1; zeros if it has none.
    unit: Vec<f32>,
    length: f64,
    coarse: CoarseQuery,
    bounds: Vec<f32>,
    /// Upper bound and row of each candidate, as integers of that order.
    candidates: Vec<u64>,
    ids: Vec<u32>,
    scores: Vec<f32>,
}

/// The outcome of offering some rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    /// Rows that were read.
    pub(crate) read: u64,
    /// The worst score of all of them; negative infinity if some weren't read.
    pub(crate) worst: f32,
}

impl Rescorer {
    /// Begins with a query, for all calls that follow.
    pub(crate) fn begin(&mut self, target: RescoreTarget<'_>) {
        self.length = norm_f64(target.query);
        self.unit.clear();
        if self.length > 0.0 {
            let unit = |&value: &f32| (f64::from(value) / self.length) as f32;
            self.unit.extend(target.query.iter().map(unit));
        } else {
            self.unit.resize(target.query.len(), 0.0);
        }
        if target.dense.coarse.is_some() {
            self.coarse.set(&self.unit);
        }
    }

    /// The query, of length 1.
    pub(crate) fn unit(&self) -> &[f32] {
        &self.unit
    }

    /// The length |q| of the query.
    pub(crate) fn length(&self) -> f64 {
        self.length
    }

    /// The vector that rows are multiplied by.
    pub(crate) fn vector<'a>(&'a self, target: RescoreTarget<'a>) -> &'a [f32] {
        match target.measure {
            VectorMeasure::InnerProduct => target.query,
            VectorMeasure::Cosine => &self.unit,
        }
    }

    /// The score that a row needs to be among the results, for a query of length 1.
    #[inline]
    pub(crate) fn bar(&self, top: &Top, measure: VectorMeasure) -> f32 {
        match measure {
            VectorMeasure::InnerProduct => (f64::from(top.threshold()) / self.length) as f32,
            VectorMeasure::Cosine => top.threshold(),
        }
    }

    /// Scores these rows and offers them. Where there are coarse rows, those with the greatest upper bounds
    /// come first, and those that can't be among the results are not read.
    pub(crate) fn offer(
        &mut self,
        target: RescoreTarget<'_>,
        ids: &[u32],
        top: &mut Top,
    ) -> Result<Offered, SearchError> {
        if target.dense.coarse.is_none() {
            return Ok(Offered { read: ids.len() as u64, worst: self.read(target, ids, top)? });
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut group = std::mem::take(&mut self.ids);
        self.bound_candidates(target, ids, &mut candidates);
        let mut offered = Offered { read: 0, worst: f32::INFINITY };
        loop {
            let bar = ordered(self.bar(top, target.measure));
            candidates.retain(|&candidate| (candidate >> 32) as u32 >= bar);
            if candidates.is_empty() {
                break;
            }
            let size = top.missing().max(GROUP).min(candidates.len());
            if size < candidates.len() {
                candidates.select_nth_unstable_by(size, |a, b| b.cmp(a));
            }
            group.clear();
            group.extend(candidates.drain(..size).map(|candidate| candidate as u32));
            offered.worst = offered.worst.min(self.read(target, &group, top)?);
            offered.read += size as u64;
        }
        if offered.read < ids.len() as u64 {
            offered.worst = f32::NEG_INFINITY;
        }
        (self.candidates, self.ids) = (candidates, group);
        Ok(offered)
    }

    /// Scores all of these rows and offers them; the worst of their scores.
    fn read(
        &mut self,
        target: RescoreTarget<'_>,
        ids: &[u32],
        top: &mut Top,
    ) -> Result<f32, SearchError> {
        let RescoreTarget { dense, ordinals, query, measure } = target;
        let mut worst = f32::INFINITY;
        let mut scores = std::mem::take(&mut self.scores);
        scores.clear();
        scores.resize(ids.len(), 0.0);
        dot_gather(self.vector(target), dense.values, ids, &mut scores);
        for (&row, score) in ids.iter().zip(&mut scores) {
            *score = score_of_product(dense, row, *score, measure);
            if !score.is_finite() {
                *score = exact_score(dense, row, query, self.length, measure)?;
            }
            worst = worst.min(*score);
        }
        top.offer_all(ids, ordinals, &scores);
        self.scores = scores;
        Ok(worst)
    }

    /// Makes candidates of these rows: the upper bounds by their coarse rows, and the rows.
    fn bound_candidates(
        &mut self,
        target: RescoreTarget<'_>,
        ids: &[u32],
        candidates: &mut Vec<u64>,
    ) {
        let RescoreTarget { dense, measure, .. } = target;
        candidates.clear();
        let Some(coarse) = dense.coarse else { return };
        self.coarse.bounds(coarse, ids, &mut self.bounds);
        candidates.extend(ids.iter().zip(&self.bounds).map(|(&row, &bound)| {
            let score_bound = match measure {
                VectorMeasure::InnerProduct => bound,
                VectorMeasure::Cosine => {
                    let inverse = dense.inverse_norms[row as usize];
                    // A length without an inverse has no bound.
                    if inverse.is_finite() { bound * inverse } else { f32::INFINITY }
                }
            };
            u64::from(ordered(score_bound)) << 32 | u64::from(row)
        }));
    }
}
