//! Filters of `marquee.v1`: checked, and as shards get them.

use super::caller_error::{CallerError, check_ids, check_length};
use crate::generated::v1;
use marquee_core::bounds::MAX_FILTER_TERMS;
use marquee_core::id::check_id;

/// A checked [`v1::Filter`]; the default lets everything pass but what was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only items with these ids; empty: all.
    pub include_item_ids: Vec<String>,
    /// No items with these ids.
    pub exclude_item_ids: Vec<String>,
    /// Items with at least one of these; empty: all.
    pub include_tags: Vec<String>,
    /// No items with any of these.
    pub exclude_tags: Vec<String>,
    /// Ranges of attributes, of which each must hold.
    pub ranges: Vec<AttributeRange>,
    /// Whether items that the user has already seen may be recommended too.
    pub include_seen: bool,
}

/// A checked [`v1::AttributeRange`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRange {
    /// The name of the attribute of items.
    pub attribute: String,
    /// The lower bound, no NaN; none: it does not limit.
    pub min: Option<f64>,
    /// The upper bound, no NaN and not below `min`; none: it does not limit.
    pub max: Option<f64>,
}

impl Filter {
    /// Checks a filter whose fields are called `{field}.include_tags` and so on.
    pub fn from_wire(field: &str, filter: v1::Filter) -> Result<Self, CallerError> {
        let v1::Filter {
            include_item_ids,
            exclude_item_ids,
            include_tags,
            exclude_tags,
            ranges,
            include_seen,
        } = filter;
        for (name, terms) in [
            ("include_item_ids", &include_item_ids),
            ("exclude_item_ids", &exclude_item_ids),
            ("include_tags", &include_tags),
            ("exclude_tags", &exclude_tags),
        ] {
            check_ids(&format!("{field}.{name}"), terms, MAX_FILTER_TERMS)?;
        }
        check_length(&format!("{field}.ranges"), ranges.len(), MAX_FILTER_TERMS)?;
        let ranges = (0..)
            .zip(ranges)
            .map(|(n, range): (usize, _)| {
                AttributeRange::from_wire(&format!("{field}.ranges[{n}]"), range)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            include_item_ids,
            exclude_item_ids,
            include_tags,
            exclude_tags,
            ranges,
            include_seen,
        })
    }

    /// The filter as a shard gets it: without `include_seen`, which only routers use.
    pub fn to_shard(&self) -> v1::Filter {
        let Self {
            include_item_ids,
            exclude_item_ids,
            include_tags,
            exclude_tags,
            ranges,
            include_seen: _,
        } = self;
        v1::Filter {
            include_item_ids: include_item_ids.clone(),
            exclude_item_ids: exclude_item_ids.clone(),
            include_tags: include_tags.clone(),
            exclude_tags: exclude_tags.clone(),
            ranges: ranges.iter().map(AttributeRange::to_wire).collect(),
            include_seen: false,
        }
    }

    /// Whether every item passes, seen or not being another matter.
    pub fn lets_all_pass(&self) -> bool {
        let Self {
            include_item_ids,
            exclude_item_ids,
            include_tags,
            exclude_tags,
            ranges,
            include_seen: _,
        } = self;
        include_item_ids.is_empty()
            && exclude_item_ids.is_empty()
            && include_tags.is_empty()
            && exclude_tags.is_empty()
            && ranges.is_empty()
    }
}

impl AttributeRange {
    fn from_wire(field: &str, range: v1::AttributeRange) -> Result<Self, CallerError> {
        let v1::AttributeRange { attribute, min, max } = range;
        check_id(&format!("{field}.attribute"), &attribute)?;
        for (name, bound) in [("min", min), ("max", max)] {
            if bound.is_some_and(f64::is_nan) {
                return Err(CallerError::NotANumber { field: format!("{field}.{name}") });
            }
        }
        match (min, max) {
            (Some(min), Some(max)) if min > max => {
                Err(CallerError::EmptyRange { field: format!("{field}.max"), min, max })
            }
            _ => Ok(Self { attribute, min, max }),
        }
    }

    fn to_wire(&self) -> v1::AttributeRange {
        let Self { attribute, min, max } = self;
        v1::AttributeRange { attribute: attribute.clone(), min: *min, max: *max }
    }
}
