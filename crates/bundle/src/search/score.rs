//! The score of one row, where its inner product is known or where double precision has to decide.

use crate::error::SearchError;
use crate::kernels::dot_f64;
use crate::matrix::dense::{DenseView, norm_f64};
use marquee_core::model::interpreter::VectorMeasure;

/// The score of a row, given its inner product with the query (of length 1, for cosine); not finite
/// where double precision has to decide.
#[inline]
pub(super) fn score_of_product(
    dense: DenseView<'_>,
    row: u32,
    product: f32,
    measure: VectorMeasure,
) -> f32 {
    match measure {
        VectorMeasure::InnerProduct => product,
        VectorMeasure::Cosine => product * dense.inverse_norms[row as usize],
    }
}

/// The score of a row in double precision, for products and lengths beyond `f32`.
#[cold]
pub(super) fn exact_score(
    dense: DenseView<'_>,
    row: u32,
    query: &[f32],
    length: f64,
    measure: VectorMeasure,
) -> Result<f32, SearchError> {
    let vector = dense.row(row);
    let product = dot_f64(query, vector);
    let score = match measure {
        VectorMeasure::InnerProduct => product,
        VectorMeasure::Cosine => {
            let lengths = length * norm_f64(vector);
            if lengths == 0.0 { 0.0 } else { product / lengths }
        }
    } as f32;
    if score.is_finite() {
        Ok(score)
    } else {
        Err(SearchError::ScoreRange { matrix: dense.name.into(), row })
    }
}
