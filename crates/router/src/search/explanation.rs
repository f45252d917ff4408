//! Searches that say why a list is as it is, and what shards answer them.

use super::wire_query::WireQuery;
use marquee_core::bounds::MAX_ATTRIBUTIONS;
use marquee_core::model::interpreter::MatrixSearch;
use marquee_proto::convert::filter::Filter;
use marquee_proto::shard::v1::{LeftOut, RowContributions};
use marquee_proto::v1;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A search that explains a list and finds no items.
pub(crate) struct ExplainingSearch<'a> {
    /// The version's number in the shard map.
    pub(crate) version: usize,
    /// The search to be explained.
    pub(crate) search: MatrixSearch<'a>,
    /// What shards are to say of it.
    pub(crate) subject: ExplainedSubject,
    /// The items that no list on this surface may have.
    pub(crate) denied: Arc<[String]>,
}

/// What shards are to say of a search.
pub(crate) enum ExplainedSubject {
    /// How many items each reason leaves out of the catalogue.
    LeftOutItems {
        filter: Filter,
        /// Items that the user has seen, by ordinal.
        exclude_ordinals: Vec<u32>,
        /// Items that the list leaves out besides.
        exclude_item_ids: Vec<String>,
    },
    /// The rows that contributed most to each of these items.
    Contributors {
        item_ids: Vec<String>,
        /// Whether rows are items, whose ids and titles are wanted.
        are_rows_named: bool,
    },
}

/// How a list came about.
#[derive(Debug, Default)]
pub(crate) struct SearchExplanation {
    /// The rows that contributed to each item, by its id.
    pub(crate) contributions: HashMap<String, SummedRows>,
    /// By the number of a row: its item's id and title.
    pub(crate) names: HashMap<u32, (String, String)>,
    /// What was left out of the catalogue, by shard.
    pub(crate) left_out: BTreeMap<u32, LeftOutOfShard>,
}

/// The rows of a sum that have an entry for one item.
#[derive(Debug)]
pub(crate) struct SummedRows {
    /// The item's score: the sum of what all rows contributed.
    pub(crate) score: f64,
    /// How many rows have an entry for the item.
    pub(crate) count: u32,
    /// The sum of the weights of these rows.
    pub(crate) weight: f64,
    /// The rows that contributed most, by ordinal, each with its part of the score; greatest first.
    pub(crate) greatest: Vec<(u32, f32)>,
}

/// The items that one shard leaves out.
#[derive(Debug)]
pub(crate) struct LeftOutOfShard {
    /// How many items the shard has.
    pub(crate) items: u64,
    /// How many items each reason leaves out.
    pub(crate) counts: Vec<(LeftOutReason, u64)>,
}

/// Why an item cannot be recommended, in the order in which reasons are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOutReason {
    /// It is not among the items that the filter includes.
    NotIncluded,
    /// It is among the items that the filter excludes.
    Excluded,
    /// It has none of the tags that the filter wants.
    WithoutTag,
    /// It has a tag that the filter excludes.
    WithTag,
    /// An attribute of it is outside a range of the filter, or missing.
    OutOfRange,
    /// The surface's deny list has it.
    Denied,
    /// It is among the recent items.
    Recent,
    /// It is in the user's history.
    Seen,
    /// A reason of a later release, by its number on the wire.
    Later(i32),
}

impl<'a> ExplainingSearch<'a> {
    /// The query to shards that it comes to.
    pub(crate) fn wire_query(&self) -> WireQuery<'a> {
        let mut wire = WireQuery::new(self.version, &self.search);
        match &self.subject {
            ExplainedSubject::LeftOutItems { filter, exclude_ordinals, exclude_item_ids } => {
                wire.query.count = 1;
                wire.query.exclude_ordinals.clone_from(exclude_ordinals);
                wire.query.exclude_item_ids.clone_from(exclude_item_ids);
                wire.query.count_left_out = true;
                wire.filter = (!filter.lets_all_pass()).then(|| filter.to_shard());
            }
            ExplainedSubject::Contributors { item_ids, are_rows_named } => {
                wire.query.count = item_ids.len() as u32;
                wire.query.contributors = MAX_ATTRIBUTIONS;
                wire.query.name_rows = *are_rows_named;
                wire.set_only(item_ids);
            }
        }
        wire
    }
}

impl SummedRows {
    /// What a shard says of an item with this score.
    pub(super) fn from_wire(score: f32, contributions: RowContributions) -> Self {
        let RowContributions { rows, weight, top_rows, parts } = contributions;
        let greatest = top_rows.into_iter().zip(parts).collect();
        Self { score: f64::from(score), count: rows, weight, greatest }
    }
}

impl LeftOutOfShard {
    /// What a shard says, with the shard's number in its version.
    pub(super) fn from_wire(left_out: LeftOut) -> (u32, Self) {
        let LeftOut { shard, items, counts: wire_counts } = left_out;
        let mut counts = Vec::with_capacity(wire_counts.len());
        for v1::LeftOutCount { reason, items } in wire_counts {
            counts.push((LeftOutReason::from_wire(reason), items));
        }
        (shard, Self { items, counts })
    }
}

impl LeftOutReason {
    fn from_wire(number: i32) -> Self {
        match v1::LeftOutReason::try_from(number) {
            Ok(v1::LeftOutReason::NotIncluded) => Self::NotIncluded,
            Ok(v1::LeftOutReason::Excluded) => Self::Excluded,
            Ok(v1::LeftOutReason::WithoutTag) => Self::WithoutTag,
            Ok(v1::LeftOutReason::WithTag) => Self::WithTag,
            Ok(v1::LeftOutReason::OutOfRange) => Self::OutOfRange,
            Ok(v1::LeftOutReason::Denied) => Self::Denied,
            Ok(v1::LeftOutReason::Recent) => Self::Recent,
            Ok(v1::LeftOutReason::Seen) => Self::Seen,
            Ok(v1::LeftOutReason::Unspecified) | Err(_) => Self::Later(number),
        }
    }
}
