//! Latent semantic analysis of items' texts: words, how rare they are, and a truncated singular value decomposition
//! by randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4).

use crate::csr::Csr;
use crate::error::TrainError;
use crate::random::Random;
use crate::settings::choice_value;
use clap::ValueEnum;
use faer::{Mat, MatRef, Side};
use marquee_bundle::ItemRecord;
use marquee_core::model::term::words;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Items that a term must have: a term of one item makes nothing similar.
const MIN_ITEMS: usize = 2;
/// Vectors beyond the wanted ones that the iteration takes along, so that the last wanted are right. Singular values of
/// texts fall slowly, and with 10 the last of 50 topics depended on the start.
const OVERSAMPLING: usize = 30;
/// Times that the matrix and its transpose are applied: with more the topics of titles and tags of films stay the same.
const SUBSPACE_ITERATIONS: usize = 8;
/// A singular value below this share of the largest is rounding.
const RANK_TOLERANCE: f64 = 1e-7;

/// What a term counts that an item has several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TermWeight {
    /// As often as it is there.
    Count,
    /// 1 + ln(count): more each time, but less and less.
    Log,
}
choice_value!(TermWeight);

impl TermWeight {
    fn of(self, count: u32) -> f64 {
        match self {
            Self::Count => f64::from(count),
            Self::Log => 1.0 + f64::from(count).ln(),
        }
    }
}

/// Whether anything is known of these items.
pub(super) fn is_described(items: &[ItemRecord]) -> bool {
    items.iter().any(|item| !item.title.is_empty() || !item.tags.is_empty())
}

/// The terms of one item, with how often it has each.
fn terms_of(item: &ItemRecord) -> BTreeMap<String, u32> {
    let mut terms = BTreeMap::new();
    for text in std::iter::once(&item.title).chain(&item.tags) {
        for term in words(text) {
            *terms.entry(term).or_insert(0) += 1;
        }
    }
    terms
}

/// What items are described by.
pub(super) struct Texts {
    /// Words that at least two items have, in alphabetical order.
    pub(super) words: Vec<String>,
    /// What each weighs by how rare it is.
    pub(super) rarity: Vec<f64>,
    /// Items × words: what each counts by how often the item has it, times that.
    pub(super) matrix: Csr,
}

impl Texts {
    pub(super) fn of(items: &[ItemRecord], weight: TermWeight) -> Self {
        let terms_of_items: Vec<BTreeMap<String, u32>> = items.par_iter().map(terms_of).collect();
        let mut having: BTreeMap<&str, usize> = BTreeMap::new();
        for term in terms_of_items.iter().flat_map(BTreeMap::keys) {
            *having.entry(term).or_insert(0) += 1;
        }
        having.retain(|_, count| *count >= MIN_ITEMS);
        let rarity: Vec<f64> = having
            .values()
            .map(|&count| 1.0 + ((1 + items.len()) as f64 / (1 + count) as f64).ln())
            .collect();
        let number: BTreeMap<&str, usize> = having.keys().copied().zip(0..).collect();
        let mut matrix = Csr { columns: having.len(), offsets: vec![0], ..Csr::default() };
        for terms in &terms_of_items {
            let known = terms.iter().filter_map(|(term, &count)| {
                let &n = number.get(term.as_str())?;
                Some((n as u32, (weight.of(count) * rarity[n]) as f32))
            });
            let (terms, weights): (Vec<u32>, Vec<f32>) = known.unzip();
            matrix.indices.extend(terms);
            matrix.values.extend(weights);
            matrix.offsets.push(matrix.indices.len());
        }
        Self { words: having.into_keys().map(str::to_string).collect(), rarity, matrix }
    }
}

/// A truncated singular value decomposition.
pub(super) struct TopicVectors {
    pub(super) rank: usize,
    /// rank: singular values, largest first.
    singular: Vec<f64>,
    /// rows × rank: left singular vectors.
    left: Vec<f64>,
    /// terms × rank: right singular vectors.
    pub(super) right: Vec<f64>,
}

impl TopicVectors {
    pub(super) fn of(matrix: &Csr, wanted: usize, seed: u64) -> Result<Self, TrainError> {
        let (rows, columns) = (matrix.rows(), matrix.columns);
        let width = (wanted + OVERSAMPLING).min(rows).min(columns);
        let transposed = matrix.transpose();
        let mut random = Random::new(seed);
        // Uniform numbers around 0 serve as normal ones do: any start that favours no direction.
        let start: Vec<f64> =
            (0..columns * width).map(|_| f64::from(random.uniform()) - 0.5).collect();
        let mut basis = orthonormal(&times(matrix, &start, width), width);
        for _ in 0..SUBSPACE_ITERATIONS {
            let back = orthonormal(&times(&transposed, &basis, width), width);
            basis = orthonormal(&times(matrix, &back, width), width);
        }
        // A ≈ Q QᵀA: the small matrix's eigenvectors turn Q into the left singular vectors.
        let small = times(&transposed, &basis, width);
        let b = Mat::from_fn(columns, width, |row, column| small[row * width + column]);
        let gram = b.transpose() * &b;
        let eigen = gram.self_adjoint_eigen(Side::Lower).map_err(|_| {
            TrainError::Diverged("the topics can't be told apart: give other --factors".into())
        })?;
        let (values, vectors) = (eigen.S(), eigen.U());
        // Ascending: the last are the largest.
        let largest = values[width - 1].max(0.0).sqrt();
        let singular: Vec<(usize, f64)> = (0..width)
            .rev()
            .map(|n| (n, values[n].max(0.0).sqrt()))
            .filter(|(_, value)| *value > largest * RANK_TOLERANCE)
            .take(wanted)
            .collect();
        let rank = singular.len();
        // Both times the eigenvectors; rows of the small matrix are longer by the singular values.
        let kept: Vec<usize> = singular.iter().map(|(n, _)| *n).collect();
        let singular: Vec<f64> = singular.into_iter().map(|(_, value)| value).collect();
        let left = rotated(&basis, width, vectors, &kept);
        let mut right = rotated(&small, width, vectors, &kept);
        for row in right.chunks_exact_mut(rank) {
            row.iter_mut().zip(&singular).for_each(|(x, value)| *x /= value);
        }
        Ok(Self { rank, singular, left, right })
    }

    /// rows × rank: left singular vectors times singular values to a power. At 1 the inner products of
    /// rows are those of the matrix's rows, nearly; below it the strongest topics count less.
    pub(super) fn items(&self, power: f64) -> Vec<f64> {
        self.scaled(&self.left, power)
    }

    /// terms × rank: what the rows of the matrix are to be multiplied with to be [`Self::items`].
    pub(super) fn terms(&self, power: f64) -> Vec<f64> {
        self.scaled(&self.right, power - 1.0)
    }

    fn scaled(&self, vectors: &[f64], power: f64) -> Vec<f64> {
        let scales: Vec<f64> = self.singular.iter().map(|value| value.powf(power)).collect();
        let rows = vectors.chunks_exact(self.rank);
        rows.flat_map(|row| row.iter().zip(&scales).map(|(x, scale)| x * scale)).collect()
    }
}

/// The rows of a matrix of `width` columns times the kept columns of `vectors`, row-major.
fn rotated(matrix: &[f64], width: usize, vectors: MatRef<'_, f64>, kept: &[usize]) -> Vec<f64> {
    let rows = matrix.par_chunks(width).map(|row| {
        let mut products: Vec<f64> = Vec::with_capacity(kept.len());
        for &column in kept {
            products.push(row.iter().enumerate().map(|(n, x)| x * vectors[(n, column)]).sum());
        }
        products
    });
    rows.collect::<Vec<_>>().concat()
}

/// Of each of the first topics the terms that weigh most in it, heaviest first, with their weights.
pub(crate) fn top_terms<'a>(
    terms: &[f64],
    rank: usize,
    names: &'a [String],
    topics: usize,
    listed: usize,
) -> Vec<Vec<(&'a str, f64)>> {
    let mut tops = Vec::with_capacity(topics.min(rank));
    for topic in 0..topics.min(rank) {
        let rows = terms.chunks_exact(rank).zip(names);
        let mut weights: Vec<(&str, f64)> =
            rows.map(|(row, name)| (name.as_str(), row[topic])).collect();
        // The sign of a topic means nothing: what weighs most is positive.
        let mut extreme = 0f64;
        for (_, weight) in &weights {
            if weight.abs() > extreme.abs() {
                extreme = *weight;
            }
        }
        weights.iter_mut().for_each(|(_, x)| *x *= extreme.signum());
        weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        weights.truncate(listed);
        tops.push(weights);
    }
    tops
}

/// matrix × dense, both row-major; each row is summed alone.
fn times(matrix: &Csr, dense: &[f64], width: usize) -> Vec<f64> {
    let rows = (0..matrix.rows()).into_par_iter();
    rows.map(|row| row_times(matrix, row, dense, width)).collect::<Vec<_>>().concat()
}

/// A row of the matrix × dense: `width` numbers.
fn row_times(matrix: &Csr, row: usize, dense: &[f64], width: usize) -> Vec<f64> {
    let mut out = vec![0f64; width];
    let (columns, values) = matrix.row(row);
    for (&column, &value) in columns.iter().zip(values) {
        let from = &dense[column as usize * width..(column as usize + 1) * width];
        out.iter_mut().zip(from).for_each(|(out, x)| *out += f64::from(value) * x);
    }
    out
}

/// An orthonormal basis of the columns.
fn orthonormal(dense: &[f64], width: usize) -> Vec<f64> {
    let rows = dense.len() / width;
    let q =
        Mat::from_fn(rows, width, |row, column| dense[row * width + column]).qr().compute_thin_Q();
    let mut out = Vec::with_capacity(dense.len());
    for row in 0..rows {
        out.extend((0..width).map(|column| q[(row, column)]));
    }
    out
}
