//! What the engine is asked for and what it answers, whatever carried the request here.
//!
//! A specification is checked for everything that can be told without the replicas: its counts, bounds
//! and indexes. What needs a matrix is checked when the specification is placed on the replicas of this
//! node ([`super::lookup::Lookup::place`], [`super::search::Search::place`]).

use bytes::Bytes;
use marquee_bundle::{Entity, FilterSpec, VectorMeasure};
use marquee_core::id::ModelVersion;
use marquee_core::ranking::strategy::SearchStrategy;
use std::collections::BTreeSet;

/// Rows of one entity to look up in one version.
#[derive(Clone, Debug)]
pub(crate) struct LookupSpec {
    /// The request's field that it came in, such as `ops[0]`.
    pub(crate) field: String,
    pub(crate) version: ModelVersion,
    pub(crate) entity: Entity,
    /// Rows by external id, each in the shard that holds it.
    pub(crate) keys: Vec<RowKey>,
    /// Rows of items by ordinal, wherever among `ordinal_shards` they are.
    pub(crate) ordinals: Vec<u32>,
    pub(crate) ordinal_shards: Vec<u32>,
    /// The dense matrix to take vectors from; empty: none.
    pub(crate) dense_matrix: String,
    /// The row-partitioned sparse matrix to take rows from; empty: none.
    pub(crate) sparse_matrix: String,
    /// Whether to give the tags of items.
    pub(crate) tags: bool,
}

/// An external id and the shard that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct RowKey {
    pub(crate) shard: u32,
    pub(crate) id: String,
}

/// A row that was found. What was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StoredRow {
    /// The bundle-wide number of the row's user, item or term.
    pub(crate) ordinal: u32,
    /// `rank` values as little-endian `f32`.
    pub(crate) vector: Vec<u8>,
    /// Column ordinals of the sparse row, ascending.
    pub(crate) columns: Vec<u32>,
    /// As many values as columns.
    pub(crate) values: Vec<f32>,
    /// The tags of the item, ascending.
    pub(crate) tags: Vec<String>,
}

/// What an item is called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemName {
    pub(crate) ordinal: u32,
    pub(crate) id: String,
    pub(crate) title: String,
}

/// The rows of one [`LookupSpec`].
#[derive(Clone, Debug, Default)]
pub(crate) struct LookupRows {
    /// One for each key, in order; none where the shard has no such id.
    pub(crate) by_key: Vec<Option<StoredRow>>,
    /// Those of the ordinals that the shards have, in order, and their names.
    pub(crate) by_ordinal: Vec<(StoredRow, ItemName)>,
}

/// One operation over one matrix of one version, for a batch of queries.
#[derive(Debug)]
pub(crate) struct SearchSpec {
    /// The request's field that it came in, such as `ops[0]`.
    pub(crate) field: String,
    pub(crate) version: ModelVersion,
    /// The shards of the version to search here.
    pub(crate) shards: Vec<u32>,
    pub(crate) matrix: String,
    pub(crate) operation: Operation,
    pub(crate) queries: Vec<SearchQuery>,
    /// Filters that queries name by index.
    pub(crate) filters: Vec<FilterSpec>,
    /// Lists of item ids that queries name by index.
    pub(crate) deny_lists: Vec<Vec<String>>,
}

/// What a search does with a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The best rows of a dense matrix for a vector.
    DenseTopK(VectorMeasure),
    /// The best columns of a weighted sum of sparse rows.
    RowSum,
}

/// One query of a search.
#[derive(Clone, Debug)]
pub(crate) struct SearchQuery {
    /// Results wanted, 1 to [`MAX_SEARCH_COUNT`](marquee_bundle::MAX_SEARCH_COUNT).
    pub(crate) count: usize,
    pub(crate) operand: Operand,
    /// Ordinals that must not be in the result (seen items), in any order.
    pub(crate) exclude_ordinals: Vec<u32>,
    /// Item ids that must not be in the result.
    pub(crate) exclude_item_ids: Vec<String>,
    /// Index of its filter.
    pub(crate) filter: Option<usize>,
    /// Index of its deny list.
    pub(crate) deny_list: Option<usize>,
    /// How many contributing rows to name for each result; 0: none, and nothing of contributions.
    pub(crate) contributors: usize,
    /// Whether to name those of its rows that are items.
    pub(crate) name_rows: bool,
    /// Whether to count what it leaves out of each shard.
    pub(crate) count_left_out: bool,
}

/// What a query brings to its operation.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// `rank` values as little-endian `f32`, for [`Operation::DenseTopK`].
    Vector(Bytes),
    /// Row ordinals and as many weights, for [`Operation::RowSum`].
    Rows { rows: Vec<u32>, weights: Vec<f32> },
}

impl Operand {
    /// The rows to sum and their weights; none for a vector.
    pub(crate) fn rows(&self) -> (&[u32], &[f32]) {
        match self {
            Self::Vector(_) => (&[], &[]),
            Self::Rows { rows, weights } => (rows, weights),
        }
    }

    /// The values of the vector; none for rows.
    pub(crate) fn vector(&self) -> Vec<f32> {
        match self {
            Self::Vector(bytes) => {
                let (values, _) = bytes.as_chunks::<4>();
                values.iter().map(|&value| f32::from_le_bytes(value)).collect()
            }
            Self::Rows { .. } => Vec::new(),
        }
    }
}

/// The results of one query, best first: score descending, then ordinal ascending. The first four
/// lists are equally long.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SearchResults {
    pub(crate) ordinals: Vec<u32>,
    pub(crate) scores: Vec<f32>,
    pub(crate) ids: Vec<String>,
    pub(crate) titles: Vec<String>,
    /// The strategies that the shards used; none where no row could be in the result.
    pub(crate) strategies: BTreeSet<SearchStrategy>,
    /// One for each result, if asked for.
    pub(crate) contributions: Vec<RowContributions>,
    /// The names of those of the query's rows that are items of the shards searched here, if asked for.
    pub(crate) row_names: Vec<ItemName>,
    /// One for each shard, if asked for.
    pub(crate) left_out: Vec<LeftOutItems>,
}

/// What the rows of a query contributed to one result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowContributions {
    /// How many of the query's rows have an entry for the result.
    pub(crate) rows: u32,
    /// The sum of the weights of those rows.
    pub(crate) weight: f64,
    /// The rows that contributed most, greatest first.
    pub(crate) top_rows: Vec<u32>,
    /// What each of them contributed: weight times value.
    pub(crate) parts: Vec<f32>,
}

/// How many items of one shard a query leaves out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeftOutItems {
    pub(crate) shard: u32,
    /// Items of the shard.
    pub(crate) items: usize,
    /// Items by the first reason that leaves them out, without reasons that leave out none.
    pub(crate) counts: Vec<(LeftOutReason, usize)>,
}

/// Why a query leaves an item out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOutReason {
    /// The filter names items to include, and this is none of them.
    NotIncluded,
    /// The filter excludes it by id.
    Excluded,
    /// It has none of the tags that the filter includes.
    WithoutTag,
    /// It has a tag that the filter excludes.
    WithTag,
    /// An attribute of it is missing or out of the filter's range.
    OutOfRange,
    /// It is on the query's deny list.
    Denied,
    /// It is among the query's excluded item ids.
    Recent,
    /// It is among the query's excluded ordinals.
    Seen,
}
