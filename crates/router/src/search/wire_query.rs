//! A search of one matrix, as shards understand it.

use bytes::Bytes;
use marquee_core::model::interpreter::{MatrixSearch, VectorMeasure};
use marquee_proto::shard::v1::{Operation, Query};
use marquee_proto::v1;

/// A matrix and the operation by which it is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SearchedMatrix<'a> {
    /// The version's number in the shard map.
    pub(crate) version: usize,
    /// The matrix's name.
    pub(crate) name: &'a str,
    /// Dense top-k, or sparse row-sum.
    pub(crate) operation: Operation,
}

/// A search as shards understand it.
pub(crate) struct WireQuery<'a> {
    pub(crate) matrix: SearchedMatrix<'a>,
    pub(crate) query: Query,
    pub(crate) filter: Option<v1::Filter>,
}

impl<'a> WireQuery<'a> {
    /// A search of a version, by its number in the shard map, for no results yet: its count and all else is set
    /// afterwards.
    pub(super) fn new(version: usize, search: &MatrixSearch<'a>) -> Self {
        let mut query = Query::default();
        let operation = match search {
            MatrixSearch::DenseTopK { matrix: _, vector, measure } => {
                query.vector = vector_to_wire(vector);
                match measure {
                    VectorMeasure::InnerProduct => Operation::DenseInnerProduct,
                    VectorMeasure::Cosine => Operation::DenseCosine,
                }
            }
            MatrixSearch::RowSum { matrix: _, rows, weights } => {
                query.rows.clone_from(rows);
                query.weights.clone_from(weights);
                Operation::SparseRowSum
            }
        };
        let matrix = SearchedMatrix { version, name: search.matrix(), operation };
        Self { matrix, query, filter: None }
    }

    /// Lets only these items pass, by id.
    pub(super) fn set_only(&mut self, item_ids: &[String]) {
        let include_item_ids = item_ids.to_vec();
        self.filter = Some(v1::Filter { include_item_ids, ..v1::Filter::default() });
    }
}

/// A vector as little-endian `f32`s.
fn vector_to_wire(vector: &[f32]) -> Bytes {
    let mut bytes = Vec::with_capacity(size_of_val(vector));
    for component in vector {
        bytes.extend_from_slice(&component.to_le_bytes());
    }
    bytes.into()
}
