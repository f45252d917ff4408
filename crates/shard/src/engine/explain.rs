//! What a search says of its answer when it is asked to: which rows carried a result, and what was left out.

use super::filter::SharedDenials;
use marquee_bundle::{
    AttributeRange, BundleShard, FilterSpec, IdTable, RowBitmap, SearchError, SparseMatrix,
    filter_rows,
};
use marquee_core::bounds::MAX_ID_BYTES;
use marquee_core::ranking::merge::best_first;
use marquee_proto::shard::v1::{Carried, LeftOut, Query, RowName};
use marquee_proto::v1::{LeftOutCount, LeftOutReason};

/// Which of the query's rows carried a column of the matrix: at most as many as it asks for.
pub(super) fn carried(matrix: &SparseMatrix, query: &Query, column: u32) -> Carried {
    let mut carried = Carried::default();
    let mut parts: Vec<(f32, u32)> = Vec::new();
    for (&row, &weight) in query.rows.iter().zip(&query.weights) {
        let (columns, values) = matrix.row(row);
        if let Ok(at) = columns.binary_search(&column) {
            carried.rows += 1;
            carried.weight += f64::from(weight);
            parts.push((weight * values[at], row));
        }
    }
    parts.sort_unstable_by(|a, b| best_first(*a, *b));
    parts.truncate(query.carriers as usize);
    (carried.parts, carried.top_rows) = parts.into_iter().unzip();
    carried
}

/// The names of those among the query's rows that are items of this shard.
pub(super) fn row_names<'a>(
    items: &'a IdTable,
    query: &'a Query,
) -> impl Iterator<Item = RowName> + 'a {
    query.rows.iter().filter_map(|&ordinal| {
        let row = items.row_of_ordinal(ordinal)?;
        let (item_id, title) = (items.id(row).to_owned(), items.title(row).to_owned());
        Some(RowName { ordinal, item_id, title })
    })
}

/// How many items of the shard at this place a query leaves out, by the first reason for each.
pub(super) fn left_out(
    shard: &BundleShard,
    place: usize,
    query: &Query,
    filter: Option<&FilterSpec>,
    denials: Option<&SharedDenials>,
) -> Result<LeftOut, SearchError> {
    let items = shard.items();
    let mut rest = RowBitmap::all(items.len());
    let mut counts = Vec::new();
    let mut count = |reason: LeftOutReason, before: usize, after: usize| {
        if before > after {
            let items = (before - after) as u64;
            counts.push(LeftOutCount { reason: reason.into(), items });
        }
    };
    let nothing = FilterSpec::default();
    let FilterSpec { include_ids, exclude_ids, include_tags, exclude_tags, ranges } =
        filter.unwrap_or(&nothing);
    let ranges: Vec<AttributeRange> = ranges.clone();
    for (reason, part) in [
        (
            LeftOutReason::NotIncluded,
            FilterSpec { include_ids: include_ids.clone(), ..FilterSpec::default() },
        ),
        (
            LeftOutReason::Excluded,
            FilterSpec { exclude_ids: exclude_ids.clone(), ..FilterSpec::default() },
        ),
        (
            LeftOutReason::WithoutTag,
            FilterSpec { include_tags: include_tags.clone(), ..FilterSpec::default() },
        ),
        (
            LeftOutReason::WithTag,
            FilterSpec { exclude_tags: exclude_tags.clone(), ..FilterSpec::default() },
        ),
        (LeftOutReason::OutOfRange, FilterSpec { ranges, ..FilterSpec::default() }),
    ] {
        let before = rest.count();
        if let Some(allowed) = filter_rows(shard, &part)? {
            rest.intersect(&allowed);
        }
        count(reason, before, rest.count());
    }
    let denied = denials.map_or(&[][..], |denials| denials.rows(place, shard));
    let known = query.exclude_item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
    let recent = known.filter_map(|id| items.find(id)).collect::<Vec<u32>>();
    let seen = query.exclude_ordinals.iter().filter_map(|&ordinal| items.row_of_ordinal(ordinal));
    let seen = seen.collect::<Vec<u32>>();
    for (reason, rows) in [
        (LeftOutReason::Denied, denied),
        (LeftOutReason::Recent, recent.as_slice()),
        (LeftOutReason::Seen, seen.as_slice()),
    ] {
        let before = rest.count();
        for &row in rows {
            rest.remove(row);
        }
        count(reason, before, rest.count());
    }
    Ok(LeftOut { shard: shard.shard(), items: items.len() as u64, counts })
}
