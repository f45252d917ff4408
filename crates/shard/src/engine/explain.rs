//! What a search says of its results when it is asked to: which rows contributed, and what was left out.

use super::filter::SharedDenyList;
use super::query::{ItemName, LeftOutItems, LeftOutReason, RowContributions, SearchQuery};
use marquee_bundle::{
    BundleShard, FilterSpec, IdTable, RowBitmap, SearchError, SparseMatrix, filter_rows,
};
use marquee_core::bounds::MAX_ID_BYTES;
use marquee_core::ranking::merge::best_first;

/// What the query's rows contributed to a column of the matrix; at most as many rows are named as the
/// query asks for.
pub(super) fn contributions(
    matrix: &SparseMatrix,
    query: &SearchQuery,
    column: u32,
) -> RowContributions {
    let mut contributions = RowContributions::default();
    let mut parts: Vec<(f32, u32)> = Vec::new();
    let (rows, weights) = query.operand.rows();
    for (&row, &weight) in rows.iter().zip(weights) {
        let (columns, values) = matrix.row(row);
        if let Ok(at) = columns.binary_search(&column) {
            contributions.rows += 1;
            contributions.weight += f64::from(weight);
            parts.push((weight * values[at], row));
        }
    }
    parts.sort_unstable_by(|a, b| best_first(*a, *b));
    parts.truncate(query.contributors);
    (contributions.parts, contributions.top_rows) = parts.into_iter().unzip();
    contributions
}

/// The names of those of the query's rows that are items of this shard.
pub(super) fn row_names(items: &IdTable, query: &SearchQuery) -> Vec<ItemName> {
    let (rows, _) = query.operand.rows();
    let mut names = Vec::new();
    for &ordinal in rows {
        if let Some(row) = items.row_of_ordinal(ordinal) {
            let (id, title) = (items.id(row).to_owned(), items.title(row).to_owned());
            names.push(ItemName { ordinal, id, title });
        }
    }
    names
}

/// How many items of the shard at this place a query leaves out, by the first reason for each.
pub(super) fn left_out(
    shard: &BundleShard,
    place: usize,
    query: &SearchQuery,
    filter: Option<&FilterSpec>,
    deny_list: Option<&SharedDenyList>,
) -> Result<LeftOutItems, SearchError> {
    let items = shard.items();
    let mut counter = LeftOutCounter::new(items.len());
    if let Some(filter) = filter {
        for (reason, part) in parts_of(filter) {
            if let Some(allowed) = filter_rows(shard, &part)? {
                counter.keep(reason, &allowed);
            }
        }
    }
    if let Some(deny_list) = deny_list {
        counter.remove(LeftOutReason::Denied, deny_list.rows(place, shard).iter().copied());
    }
    let plausible = query.exclude_item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
    counter.remove(LeftOutReason::Recent, plausible.filter_map(|id| items.find(id)));
    let seen = query.exclude_ordinals.iter().filter_map(|&ordinal| items.row_of_ordinal(ordinal));
    counter.remove(LeftOutReason::Seen, seen);
    Ok(LeftOutItems { shard: shard.shard(), items: items.len(), counts: counter.counts })
}

/// The conditions of a filter, each as a filter of its own, with the reason that it gives.
fn parts_of(filter: &FilterSpec) -> [(LeftOutReason, FilterSpec); 5] {
    let FilterSpec { include_ids, exclude_ids, include_tags, exclude_tags, ranges } =
        filter.clone();
    [
        (LeftOutReason::NotIncluded, FilterSpec { include_ids, ..FilterSpec::default() }),
        (LeftOutReason::Excluded, FilterSpec { exclude_ids, ..FilterSpec::default() }),
        (LeftOutReason::WithoutTag, FilterSpec { include_tags, ..FilterSpec::default() }),
        (LeftOutReason::WithTag, FilterSpec { exclude_tags, ..FilterSpec::default() }),
        (LeftOutReason::OutOfRange, FilterSpec { ranges, ..FilterSpec::default() }),
    ]
}

/// Rows that nothing has left out yet, and how many each reason left out.
struct LeftOutCounter {
    rest: RowBitmap,
    counts: Vec<(LeftOutReason, usize)>,
}

impl LeftOutCounter {
    /// All of so many rows.
    fn new(rows: usize) -> Self {
        Self { rest: RowBitmap::all(rows), counts: Vec::new() }
    }

    /// Leaves out what is not allowed.
    fn keep(&mut self, reason: LeftOutReason, allowed: &RowBitmap) {
        let before = self.rest.count();
        self.rest.intersect(allowed);
        self.note(reason, before);
    }

    /// Leaves these rows out.
    fn remove(&mut self, reason: LeftOutReason, rows: impl Iterator<Item = u32>) {
        let before = self.rest.count();
        for row in rows {
            self.rest.remove(row);
        }
        self.note(reason, before);
    }

    fn note(&mut self, reason: LeftOutReason, before: usize) {
        let after = self.rest.count();
        if before > after {
            self.counts.push((reason, before - after));
        }
    }
}
