//! Filters of an operation: checked once, made into rows once for each shard, shared by queries.

use crate::error::RequestError;
use marquee_bundle::{
    AttributeRange, BundleShard, FilterSpec, RowBitmap, SearchError, filter_rows,
};
use marquee_core::bounds::{
    MAX_BATCH, MAX_DENIED_ITEMS, MAX_FILTER_TERMS, MAX_ID_BYTES, MAX_RANK_ITEMS,
};
use marquee_proto::shard::v1::DenyList;
use marquee_proto::v1;
use std::sync::OnceLock;

/// Filters of one operation: one for each request of a batch, were they all unlike. Each takes a
/// bit for each of the shard's items.
const MAX_FILTERS: usize = MAX_BATCH;

/// A filter, and the rows that it allows in each shard of the operation, once they are known.
#[derive(Debug)]
pub(super) struct SharedFilter {
    spec: FilterSpec,
    rows: Vec<OnceLock<Result<Option<RowBitmap>, SearchError>>>,
}

impl SharedFilter {
    /// Checks an operation's filters; `field` names it.
    pub(super) fn check(
        field: &str,
        filters: Vec<v1::Filter>,
        shards: usize,
    ) -> Result<Vec<Self>, RequestError> {
        if filters.len() > MAX_FILTERS {
            let reason = format!("{}: at most {MAX_FILTERS} are allowed", filters.len());
            return Err(RequestError::invalid(format!("{field}.filters"), reason));
        }
        let check = |(number, filter)| {
            let spec = check_filter(&format!("{field}.filters[{number}]"), filter)?;
            Ok(Self { spec, rows: (0..shards).map(|_| OnceLock::new()).collect() })
        };
        filters.into_iter().enumerate().map(check).collect()
    }

    /// What it allows.
    pub(super) fn spec(&self) -> &FilterSpec {
        &self.spec
    }

    /// The rows of the operation's shard number `place` that it allows; none for all of them.
    pub(super) fn rows(
        &self,
        place: usize,
        shard: &BundleShard,
    ) -> Result<Option<&RowBitmap>, SearchError> {
        let rows = self.rows[place].get_or_init(|| filter_rows(shard, &self.spec));
        rows.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

/// A deny list, and its rows in each shard of the operation, once they are known.
#[derive(Debug)]
pub(super) struct SharedDenials {
    item_ids: Vec<String>,
    rows: Vec<OnceLock<Vec<u32>>>,
}

impl SharedDenials {
    /// Checks an operation's deny lists; `field` names it.
    pub(super) fn check(
        field: &str,
        lists: Vec<DenyList>,
        shards: usize,
    ) -> Result<Vec<Self>, RequestError> {
        if lists.len() > MAX_FILTERS {
            let reason = format!("{}: at most {MAX_FILTERS} are allowed", lists.len());
            return Err(RequestError::invalid(format!("{field}.deny_lists"), reason));
        }
        let check = |(number, DenyList { item_ids }): (usize, DenyList)| {
            if item_ids.len() > MAX_DENIED_ITEMS {
                let field = format!("{field}.deny_lists[{number}].item_ids");
                let reason = format!("{}: at most {MAX_DENIED_ITEMS} are allowed", item_ids.len());
                return Err(RequestError::invalid(field, reason));
            }
            Ok(Self { item_ids, rows: (0..shards).map(|_| OnceLock::new()).collect() })
        };
        lists.into_iter().enumerate().map(check).collect()
    }

    /// How many items it denies.
    pub(super) fn len(&self) -> usize {
        self.item_ids.len()
    }

    /// Its rows in the operation's shard number `place`.
    pub(super) fn rows(&self, place: usize, shard: &BundleShard) -> &[u32] {
        self.rows[place].get_or_init(|| {
            let known = self.item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
            known.filter_map(|id| shard.items().find(id)).collect()
        })
    }
}

fn check_filter(field: &str, filter: v1::Filter) -> Result<FilterSpec, RequestError> {
    let v1::Filter {
        include_item_ids,
        exclude_item_ids,
        include_tags,
        exclude_tags,
        ranges,
        // Whether seen items are excluded is the router's business: it sends them, or doesn't.
        include_seen: _,
    } = filter;
    for (part, terms, bound) in [
        // RankItems puts the items to rank here.
        ("include_item_ids", include_item_ids.len(), MAX_RANK_ITEMS),
        ("exclude_item_ids", exclude_item_ids.len(), MAX_FILTER_TERMS),
        ("include_tags", include_tags.len(), MAX_FILTER_TERMS),
        ("exclude_tags", exclude_tags.len(), MAX_FILTER_TERMS),
        ("ranges", ranges.len(), MAX_FILTER_TERMS),
    ] {
        if terms > bound {
            let reason = format!("{terms} terms: at most {bound} are allowed");
            return Err(RequestError::invalid(format!("{field}.{part}"), reason));
        }
    }
    let check = |(number, range): (usize, v1::AttributeRange)| {
        let v1::AttributeRange { attribute, min, max } = range;
        let wrong = |bound: &str, reason: &str| {
            Err(RequestError::invalid(format!("{field}.ranges[{number}].{bound}"), reason))
        };
        if min.is_some_and(f64::is_nan) {
            return wrong("min", "it is NaN: give a number, or leave it out");
        }
        if max.is_some_and(f64::is_nan) {
            return wrong("max", "it is NaN: give a number, or leave it out");
        }
        if let (Some(low), Some(high)) = (min, max)
            && low > high
        {
            return wrong("max", &format!("{high} is below min, {low}"));
        }
        Ok(AttributeRange { attribute, min, max })
    };
    Ok(FilterSpec {
        include_ids: include_item_ids,
        exclude_ids: exclude_item_ids,
        include_tags,
        exclude_tags,
        ranges: ranges.into_iter().enumerate().map(check).collect::<Result<_, _>>()?,
    })
}
