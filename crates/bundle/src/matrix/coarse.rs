//! Coarse rows: the rows of a dense matrix in 8 bits a column, to tell which of the exact ones matter.
//!
//! ```text
//! section   elements          what
//! meta      u64 × 2           rows, rank
//! codes     i8 × rows·rank    each value divided by its row's scale, rounded; -127 to 127
//! scales    f32 × rows·2      the scale of each row; what its codes lose: |r − scale · codes|
//! ```
//!
//! A search scores the coarse rows, adds what they may have lost (|⟨q, r − r̂⟩| ≤ |q|·|r − r̂|, by Cauchy
//! and Schwarz), and reads the exact row only where that could reach the results. So answers are those
//! of the exact rows, bit for bit, while hardly more than the rows in the answers are read: the exact
//! rows may stay on disk, and what has to be in memory is a quarter of them.
//!
//! The query is rounded too, to 16 bits, and what that may lose is added likewise.

use crate::error::{BundleError, FileDefect};
use crate::format::{FileBuilder, FileInfo, FileKind, LoadOptions, Section, SectionFile};
use crate::kernels::{dot_gather_int8, largest_query_value};
use std::path::Path;

/// Numbers that go with a row.
const SCALE_FIELDS: usize = 2;
/// The greatest code of a value.
const MAX_CODE: f32 = i8::MAX as f32;

/// The coarse rows of one matrix of one shard.
pub(crate) struct CoarseRows {
    codes: Section<i8>,
    scales: Section<f32>,
    bytes: u64,
}

impl CoarseRows {
    /// Opens and checks the coarse rows of a matrix of `rows × rank`.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        (rows, rank): (usize, usize),
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Coarse, options)?;
        let meta: [u64; 2] = file.numbers("meta")?;
        file.check(meta == [rows as u64, rank as u64], "its shape is not that of its matrix")?;
        let Some(length) = rows.checked_mul(rank) else {
            return Err(file.wrong(FileDefect::ShapeBeyondMemory));
        };
        let codes = file.section::<i8>("codes", length)?;
        file.check(codes.iter().all(|&code| code != i8::MIN), "a code is not in range")?;
        let scales = file.section::<f32>("scales", rows * SCALE_FIELDS)?;
        let sound = scales.iter().all(|value| value.is_finite() && *value >= 0.0);
        file.check(sound, "a scale is not in range")?;
        Ok(Self { codes, scales, bytes: file.bytes() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The arrays, for searching.
    #[inline]
    pub(crate) fn view(&self) -> CoarseView<'_> {
        CoarseView { codes: &self.codes, scales: &self.scales }
    }
}

/// The arrays of coarse rows, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct CoarseView<'a> {
    codes: &'a [i8],
    scales: &'a [f32],
}

/// A query as coarse rows are scored with, and what is reused from one to the next.
#[derive(Default)]
pub(crate) struct CoarseQuery {
    values: Vec<i16>,
    products: Vec<i32>,
    step: f64,
    /// What rounding the query may add or take off, per length of a row.
    lost: f64,
}

/// What `f32` may round in an exact score, relative to |q|·|r|, and some more.
const SLACK: f64 = 1e-5;

impl CoarseQuery {
    /// Takes a query of length 1.
    pub(crate) fn set(&mut self, unit: &[f32]) {
        let largest = unit.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        self.step =
            f64::from(largest.max(f32::MIN_POSITIVE)) / f64::from(largest_query_value(unit.len()));
        self.values.clear();
        self.values.extend(unit.iter().map(|&value| (f64::from(value) / self.step).round() as i16));
        let lost = |(&value, &whole): (&f32, &i16)| {
            (f64::from(value) - f64::from(whole) * self.step).powi(2)
        };
        self.lost = unit.iter().zip(&self.values).map(lost).sum::<f64>().sqrt();
    }

    /// No exact inner product of the unit query with these rows is greater than `out` says.
    pub(crate) fn bounds(&mut self, rows: CoarseView<'_>, ids: &[u32], out: &mut Vec<f32>) {
        self.products.clear();
        self.products.resize(ids.len(), 0);
        dot_gather_int8(&self.values, rows.codes, ids, &mut self.products);
        out.clear();
        out.reserve(ids.len());
        let scales = rows.scales.as_chunks::<SCALE_FIELDS>().0;
        for (&row, &product) in ids.iter().zip(&self.products) {
            let [scale, error] = scales[row as usize];
            out.push(self.bound(product, f64::from(scale), f64::from(error)));
        }
    }

    /// An upper bound of the inner product with a row, given the product of the codes, and the scale and the
    /// rounding error of the row's codes.
    fn bound(&self, product: i32, scale: f64, error: f64) -> f32 {
        // The codes' own length is at most this.
        let length = scale * f64::from(MAX_CODE) * (self.values.len() as f64).sqrt();
        let bound =
            f64::from(product) * self.step * scale + error + (self.lost + SLACK) * (length + error);
        (bound as f32).next_up()
    }
}

/// Writes the coarse rows of a matrix of whole rows.
pub(crate) fn write_coarse(
    root: &Path,
    path: String,
    rank: usize,
    values: &[f32],
) -> Result<FileInfo, BundleError> {
    let rows = values.len() / rank;
    let (mut codes, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(2 * rows));
    for row in values.chunks_exact(rank) {
        let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / MAX_CODE;
        let mut lost = 0f64;
        for &value in row {
            let code =
                if scale > 0.0 { (value / scale).round().clamp(-MAX_CODE, MAX_CODE) } else { 0.0 };
            codes.push(code as i8);
            lost += (f64::from(value) - f64::from(code) * f64::from(scale)).powi(2);
        }
        scales.extend([scale, (lost.sqrt() as f32).next_up()]);
    }
    FileBuilder::new(FileKind::Coarse)
        .numbers("meta", &[rows as u64, rank as u64])
        .section("codes", &codes)
        .section("scales", &scales)
        .write(root, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{dot_f64, dot_int8};
    use proptest::prelude::*;

    proptest! {
        /// The upper bound of a coarse row is never less than the exact score, and hardly more.
        #[test]
        fn bounds_hold_and_are_tight(
            rank in 1usize..200,
            values in prop::collection::vec(-1f32..1.0, 400),
            scale in -30f32..30.0,
        ) {
            let query = &values[..rank];
            let row: Vec<f32> = values[200..200 + rank].iter().map(|v| v * scale.exp()).collect();
            let length = dot_f64(query, query).sqrt();
            prop_assume!(length > 1e-3);
            let unit: Vec<f32> = query.iter().map(|v| (f64::from(*v) / length) as f32).collect();
            let dir = tempfile::tempdir().expect("temporary directory");
            let info = write_coarse(dir.path(), "rows".into(), rank, &row).expect("written");
            let options = LoadOptions::default();
            let rows = CoarseRows::open(dir.path(), &info, (1, rank), &options).expect("opened");
            let (mut coarse, mut bounds) = (CoarseQuery::default(), Vec::new());
            coarse.set(&unit);
            coarse.bounds(rows.view(), &[0], &mut bounds);
            let (exact, size) = (dot_f64(&unit, &row), dot_f64(&row, &row).sqrt());
            prop_assert!(f64::from(bounds[0]) >= exact, "{} < {exact}", bounds[0]);
            prop_assert!(f64::from(bounds[0]) <= exact + 0.03 * size + 1e-30, "{} > {exact}", bounds[0]);
        }
    }

    #[test]
    fn a_query_of_the_largest_values_does_not_wrap() {
        for rank in [1, 64, 1_024, 4_096] {
            let query = vec![largest_query_value(rank); rank];
            let row = vec![i8::MAX; rank];
            let expected = i64::from(query[0]) * i64::from(i8::MAX) * rank as i64;
            assert_eq!(i64::from(dot_int8(&query, &row)), expected);
        }
    }
}
