//! Filters and deny lists of an operation on the wire and in the engine.

use crate::error::RequestError;
use marquee_bundle::{AttributeRange, FilterSpec};
use marquee_core::bounds::{
    MAX_BATCH_REQUESTS, MAX_DENIED_ITEMS, MAX_FILTER_TERMS, MAX_RANK_ITEMS,
};
use marquee_proto::shard::v1::DenyList;
use marquee_proto::v1;

/// Filters of one operation: one for each request of a batch, were they all unlike. Each takes a
/// bit for each of the shard's items. Deny lists are as many.
const MAX_FILTERS: usize = MAX_BATCH_REQUESTS;

/// The filters of the operation at `field`.
pub(super) fn parse_filters(
    field: &str,
    filters: Vec<v1::Filter>,
) -> Result<Vec<FilterSpec>, RequestError> {
    if filters.len() > MAX_FILTERS {
        let reason = format!("{}: at most {MAX_FILTERS} are allowed", filters.len());
        return Err(RequestError::at(field, "filters", reason));
    }
    let mut specs = Vec::with_capacity(filters.len());
    for (number, filter) in filters.into_iter().enumerate() {
        specs.push(parse_filter(&format!("{field}.filters[{number}]"), filter)?);
    }
    Ok(specs)
}

/// The item ids of each deny list of the operation at `field`.
pub(super) fn parse_deny_lists(
    field: &str,
    lists: Vec<DenyList>,
) -> Result<Vec<Vec<String>>, RequestError> {
    if lists.len() > MAX_FILTERS {
        let reason = format!("{}: at most {MAX_FILTERS} are allowed", lists.len());
        return Err(RequestError::at(field, "deny_lists", reason));
    }
    let mut ids = Vec::with_capacity(lists.len());
    for (number, DenyList { item_ids }) in lists.into_iter().enumerate() {
        if item_ids.len() > MAX_DENIED_ITEMS {
            let part = format!("deny_lists[{number}].item_ids");
            let reason = format!("{}: at most {MAX_DENIED_ITEMS} are allowed", item_ids.len());
            return Err(RequestError::at(field, &part, reason));
        }
        ids.push(item_ids);
    }
    Ok(ids)
}

fn parse_filter(field: &str, filter: v1::Filter) -> Result<FilterSpec, RequestError> {
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
            return Err(RequestError::at(field, part, reason));
        }
    }
    let mut attribute_ranges = Vec::with_capacity(ranges.len());
    for (number, range) in ranges.into_iter().enumerate() {
        attribute_ranges.push(parse_range(&format!("{field}.ranges[{number}]"), range)?);
    }
    Ok(FilterSpec {
        include_ids: include_item_ids,
        exclude_ids: exclude_item_ids,
        include_tags,
        exclude_tags,
        ranges: attribute_ranges,
    })
}

fn parse_range(field: &str, range: v1::AttributeRange) -> Result<AttributeRange, RequestError> {
    let v1::AttributeRange { attribute, min, max } = range;
    for (part, bound) in [("min", min), ("max", max)] {
        if bound.is_some_and(f64::is_nan) {
            return Err(RequestError::at(field, part, "it is NaN: give a number, or leave it out"));
        }
    }
    if let (Some(low), Some(high)) = (min, max)
        && low > high
    {
        return Err(RequestError::at(field, "max", format!("{high} is below min, {low}")));
    }
    Ok(AttributeRange { attribute, min, max })
}
