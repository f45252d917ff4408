//! Warming: a shard answers a few real queries before any caller depends on it.
//!
//! The queries are those that routers send: vectors of the shard's own users against every item
//! matrix of their rank, vectors of items by cosine, rows of sparse matrices, lookups by id. They
//! bring the mapped pages and the paths through them into the caches, and a shard that can't answer
//! them is refused before it is AVAILABLE, and not when the first caller needs it.

use marquee_bundle::{
    BundleShard, CancelFlag, DenseMatrix, Entity, Manifest, MatrixLayout, Partition, SearchError,
    SearchParams, SearchScratch, VectorMeasure, dense_top_k, sparse_row_sum,
};

/// Queries for each matrix: enough to walk its graph from many sides, within a few milliseconds.
const QUERIES: usize = 16;
/// Results of each: what a page of recommendations asks for, with room for seen items.
const COUNT: usize = 100;

/// Why a shard can't be trusted to answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WarmError {
    #[error("the shard verifies but doesn't answer a query over matrix {matrix:?}: {error}")]
    Search { matrix: String, error: SearchError },
    #[error(
        "the shard verifies but doesn't find its own {entity} {id:?}: train and publish it again"
    )]
    Lookup { entity: &'static str, id: String },
}

/// Lets the shard answer queries over each of its matrices.
pub(super) fn warm(shard: &BundleShard, manifest: &Manifest) -> Result<(), WarmError> {
    let cancel = CancelFlag::new();
    let params = SearchParams::new(COUNT, &cancel);
    let mut scratch = SearchScratch::new();
    for entity in [Entity::User, Entity::Item, Entity::Term] {
        let ids = shard.ids(entity);
        for row in sample(ids.len()) {
            if ids.find(ids.id(row)) != Some(row)
                || ids.row_of_ordinal(ids.ordinal(row)) != Some(row)
            {
                let id = ids.id(row).to_owned();
                return Err(WarmError::Lookup { entity: entity.plural(), id });
            }
        }
    }
    for matrix in &manifest.matrices {
        let name = matrix.name.as_str();
        let failed = |error| WarmError::Search { matrix: name.into(), error };
        match &matrix.layout {
            MatrixLayout::Dense { entity, .. } => {
                let searched = shard.dense(name).map_err(failed)?;
                let users = match entity {
                    Entity::Item => users_of_rank(shard, manifest, searched.rank()),
                    Entity::User | Entity::Term => None,
                };
                let queries = users.unwrap_or(searched);
                for (measure, from) in
                    [(VectorMeasure::InnerProduct, queries), (VectorMeasure::Cosine, searched)]
                {
                    for row in sample(from.rows()) {
                        dense_top_k(shard, name, from.row(row), measure, &params, &mut scratch)
                            .map_err(failed)?;
                    }
                }
            }
            MatrixLayout::SparseByRow { .. } | MatrixLayout::SparseByColumn { .. } => {
                let sparse = shard.sparse(name).map_err(failed)?;
                for row in sample(sparse.rows()) {
                    if sparse.partition() == Partition::ByColumn {
                        sparse_row_sum(shard, name, &[row], &[1.0], &params, &mut scratch)
                            .map_err(failed)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// A matrix of users with this rank, whose rows can be queries.
fn users_of_rank<'a>(
    shard: &'a BundleShard,
    manifest: &Manifest,
    rank: usize,
) -> Option<&'a DenseMatrix> {
    let dense = manifest.matrices.iter().filter_map(|matrix| shard.dense(&matrix.name).ok());
    dense.into_iter().find(|matrix| {
        matrix.entity() == Entity::User && matrix.rank() == rank && matrix.rows() > 0
    })
}

/// The numbers of up to [`QUERIES`] of so many rows, evenly spread.
fn sample(rows: usize) -> impl Iterator<Item = u32> {
    let taken = rows.min(QUERIES);
    // Rows are numbered in 32 bits.
    (0..taken).map(move |step| (step * rows / taken) as u32)
}
