//! Filters: which of a shard's items may be in an answer, as a set of rows.

use crate::bitmap::RowBitmap;
use crate::error::SearchError;
use crate::shard::BundleShard;

/// Which items may be in an answer. Parts are joined by AND; an empty part allows all. The same
/// meaning as the public API's filter, exact at any selectivity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterSpec {
    /// Only these items; ids that the shard doesn't know are of other shards, or of none.
    pub include_ids: Vec<String>,
    /// None of these items.
    pub exclude_ids: Vec<String>,
    /// Items with at least one of these tags.
    pub include_tags: Vec<String>,
    /// No items with any of these tags.
    pub exclude_tags: Vec<String>,
    /// Ranges of attributes, each of which an item must be in.
    pub ranges: Vec<AttributeRange>,
}

/// `min <= attribute <= max`, a bound left out being open. An item without the attribute fails it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRange {
    /// A numeric attribute of items, such as `year`.
    pub attribute: String,
    /// The least value that is allowed, not NaN; none: no bound.
    pub min: Option<f64>,
    /// Not NaN, not below `min`.
    pub max: Option<f64>,
}

impl AttributeRange {
    /// Whether some number satisfies it.
    fn check(&self) -> Result<(), SearchError> {
        let reason = match (self.min, self.max) {
            (Some(min), _) if min.is_nan() => "a bound is not a number",
            (_, Some(max)) if max.is_nan() => "a bound is not a number",
            (Some(min), Some(max)) if min > max => "min is above max",
            _ => return Ok(()),
        };
        Err(SearchError::Range { attribute: self.attribute.clone(), reason })
    }
}

impl FilterSpec {
    /// Whether it allows everything.
    pub fn is_empty(&self) -> bool {
        let Self { include_ids, exclude_ids, include_tags, exclude_tags, ranges } = self;
        include_ids.is_empty()
            && exclude_ids.is_empty()
            && include_tags.is_empty()
            && exclude_tags.is_empty()
            && ranges.is_empty()
    }
}

/// The rows of the shard's items that a filter allows; none where it allows everything.
///
/// # Errors
/// For a range with a NaN, or with its least bound above its greatest.
pub fn filter_rows(
    shard: &BundleShard,
    filter: &FilterSpec,
) -> Result<Option<RowBitmap>, SearchError> {
    for range in &filter.ranges {
        range.check()?;
    }
    if filter.is_empty() {
        return Ok(None);
    }
    let (items, labels) = (shard.items(), shard.labels());
    let rows = items.len();
    let mut allowed = match filter.include_ids.as_slice() {
        [] => RowBitmap::all(rows),
        ids => RowBitmap::of(rows, ids.iter().filter_map(|id| items.find(id))),
    };
    if !filter.include_tags.is_empty() {
        let tagged =
            filter.include_tags.iter().flat_map(|tag| labels.rows_with_tag(tag).iter().copied());
        allowed.intersect(&RowBitmap::of(rows, tagged));
    }
    for range in &filter.ranges {
        let (min, max) =
            (range.min.unwrap_or(f64::NEG_INFINITY), range.max.unwrap_or(f64::INFINITY));
        let values = labels.attribute(&range.attribute).unwrap_or(&[]);
        // A missing value is NaN, which no comparison holds for.
        let fits = values.iter().enumerate().filter(|&(_, &value)| min <= value && value <= max);
        allowed.intersect(&RowBitmap::of(rows, fits.map(|(row, _)| row as u32)));
    }
    for tag in &filter.exclude_tags {
        for &row in labels.rows_with_tag(tag) {
            allowed.remove(row);
        }
    }
    for row in filter.exclude_ids.iter().filter_map(|id| items.find(id)) {
        allowed.remove(row);
    }
    Ok(Some(allowed))
}
