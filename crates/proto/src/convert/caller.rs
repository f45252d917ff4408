//! Requests of callers, checked: `marquee.v1` requests become plain types whose every bound holds.
//!
//! Each refusal names the field as the caller wrote it (`requests[3].filter.ranges[0].min`), what
//! was found there and what is allowed. Past this module no code checks a request again: a count
//! is in its range, a filter's numbers are no NaN, and absent values have their defaults.
//!
//! What is deliberately missing: whether a surface, user or item exists. The plan and the shards
//! know that.

use super::caller_error::{CallerError, check_ids, check_length};
use super::filter::Filter;
use crate::generated::v1;
use marquee_core::bounds::{
    DEFAULT_COUNT, MAX_BATCH_REQUESTS, MAX_COUNT, MAX_NAME_BYTES, MAX_QUERY_TEXT_BYTES,
    MAX_QUERY_WORDS, MAX_RANK_ITEMS, MAX_RECENT_ITEMS, MAX_USER_ATTRIBUTES,
};
use marquee_core::id::{IdError, check_id};
use marquee_core::model::term::{check_attribute, of_attribute, of_word, words};
use marquee_core::plan::DEFAULT_SURFACE;
use std::collections::{BTreeSet, HashMap};

/// A checked [`v1::RecommendRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct Recommend {
    /// The id of the user.
    pub user_id: String,
    /// How many items to return, 1..=[`MAX_COUNT`].
    pub count: u32,
    /// The surface, never empty.
    pub surface: String,
    /// Which items may be in the answer.
    pub filter: Filter,
    /// Items that the user has just seen, newest last.
    pub recent_item_ids: Vec<String>,
    /// Whether to explain the answer.
    pub explain: bool,
    /// The least share of shards that must have answered, 0..=1.
    pub min_coverage: f64,
    /// The terms of the user's attributes, ascending, each once.
    pub attributes: Vec<String>,
    /// The terms of what the request is like, ascending, each once.
    pub context: Vec<String>,
}

/// A checked [`v1::SearchItemsRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct SearchItems {
    /// The text as it was given.
    pub text: String,
    /// The terms of its first words, ascending, each once: at most [`MAX_QUERY_WORDS`].
    pub words: Vec<String>,
    /// How many items to return, 1..=[`MAX_COUNT`].
    pub count: u32,
    /// The surface, never empty.
    pub surface: String,
    /// Which items may be in the answer.
    pub filter: Filter,
}

/// A checked [`v1::SimilarItemsRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarItems {
    /// The id of the item that they are similar to.
    pub item_id: String,
    /// How many items to return, 1..=[`MAX_COUNT`].
    pub count: u32,
    /// The surface, never empty.
    pub surface: String,
    /// Which items may be in the answer.
    pub filter: Filter,
}

/// A checked [`v1::RankItemsRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct RankItems {
    /// The id of the user.
    pub user_id: String,
    /// 1..=[`MAX_RANK_ITEMS`] ids as they were given; some may repeat.
    pub item_ids: Vec<String>,
    /// The surface, never empty.
    pub surface: String,
}

impl Recommend {
    /// Checks a request.
    pub fn from_wire(request: v1::RecommendRequest) -> Result<Self, CallerError> {
        Self::under("", request)
    }

    /// Checks a request whose fields are called `{path}user_id` and so on.
    fn under(path: &str, request: v1::RecommendRequest) -> Result<Self, CallerError> {
        let v1::RecommendRequest {
            user_id,
            count,
            surface,
            filter,
            recent_item_ids,
            explain,
            min_coverage,
            user_attributes,
            context,
        } = request;
        check_id(&format!("{path}user_id"), &user_id)?;
        check_ids(&format!("{path}recent_item_ids"), &recent_item_ids, MAX_RECENT_ITEMS)?;
        if !(0.0..=1.0).contains(&min_coverage) {
            return Err(CallerError::Share {
                field: format!("{path}min_coverage"),
                value: min_coverage,
            });
        }
        Ok(Self {
            user_id,
            count: count_or_default(path, count)?,
            surface: surface_or_default(path, surface)?,
            filter: Filter::from_wire(&format!("{path}filter"), filter.unwrap_or_default())?,
            recent_item_ids,
            explain,
            min_coverage,
            attributes: attributes(&format!("{path}user_attributes"), user_attributes)?,
            context: attributes(&format!("{path}context"), context)?,
        })
    }

    /// Checks the requests of a batch, naming what is wrong as `requests[i].field`.
    pub fn batch_from_wire(batch: v1::BatchRecommendRequest) -> Result<Vec<Self>, CallerError> {
        let v1::BatchRecommendRequest { requests } = batch;
        check_length("requests", requests.len(), MAX_BATCH_REQUESTS)?;
        if requests.is_empty() {
            return Err(CallerError::Nothing { field: "requests".into(), max: MAX_BATCH_REQUESTS });
        }
        (0..)
            .zip(requests)
            .map(|(n, request): (usize, _)| Self::under(&format!("requests[{n}]."), request))
            .collect()
    }
}

impl SimilarItems {
    /// Checks a request.
    pub fn from_wire(request: v1::SimilarItemsRequest) -> Result<Self, CallerError> {
        let v1::SimilarItemsRequest { item_id, count, surface, filter } = request;
        check_id("item_id", &item_id)?;
        Ok(Self {
            item_id,
            count: count_or_default("", count)?,
            surface: surface_or_default("", surface)?,
            filter: Filter::from_wire("filter", filter.unwrap_or_default())?,
        })
    }
}

impl SearchItems {
    /// Checks a request.
    pub fn from_wire(request: v1::SearchItemsRequest) -> Result<Self, CallerError> {
        let v1::SearchItemsRequest { text, count, surface, filter } = request;
        let (field, length) = (|| "text".into(), text.len());
        match length {
            0 => return Err(IdError::Empty { field: field(), max: MAX_QUERY_TEXT_BYTES }.into()),
            1..=MAX_QUERY_TEXT_BYTES => {}
            _ => {
                let max = MAX_QUERY_TEXT_BYTES;
                return Err(IdError::TooLong { field: field(), length, max }.into());
            }
        }
        let mut different = BTreeSet::new();
        for word in words(&text) {
            if different.len() < MAX_QUERY_WORDS {
                different.insert(of_word(&word));
            }
        }
        Ok(Self {
            words: different.into_iter().collect(),
            text,
            count: count_or_default("", count)?,
            surface: surface_or_default("", surface)?,
            filter: Filter::from_wire("filter", filter.unwrap_or_default())?,
        })
    }
}

impl RankItems {
    /// Checks a request.
    pub fn from_wire(request: v1::RankItemsRequest) -> Result<Self, CallerError> {
        let v1::RankItemsRequest { user_id, item_ids, surface } = request;
        check_id("user_id", &user_id)?;
        check_ids("item_ids", &item_ids, MAX_RANK_ITEMS)?;
        if item_ids.is_empty() {
            return Err(CallerError::Nothing { field: "item_ids".into(), max: MAX_RANK_ITEMS });
        }
        Ok(Self { user_id, item_ids, surface: surface_or_default("", surface)? })
    }
}

/// The terms of a user's attributes.
fn attributes(field: &str, given: HashMap<String, String>) -> Result<Vec<String>, CallerError> {
    check_length(field, given.len(), MAX_USER_ATTRIBUTES)?;
    let mut given: Vec<(String, String)> = given.into_iter().collect();
    given.sort_unstable();
    for (name, value) in &given {
        check_attribute(field, name, value)?;
    }
    let terms: BTreeSet<String> =
        given.iter().filter_map(|(name, value)| of_attribute(name, value)).collect();
    Ok(terms.into_iter().collect())
}

fn count_or_default(path: &str, count: u32) -> Result<u32, CallerError> {
    match count {
        0 => Ok(DEFAULT_COUNT),
        1..=MAX_COUNT => Ok(count),
        _ => Err(CallerError::Count { field: format!("{path}count"), count, max: MAX_COUNT }),
    }
}

/// Any name is let through that could be one by its length: the plan says which exist.
fn surface_or_default(path: &str, surface: String) -> Result<String, CallerError> {
    match surface.len() {
        0 => Ok(DEFAULT_SURFACE.into()),
        1..=MAX_NAME_BYTES => Ok(surface),
        length => {
            let field = format!("{path}surface");
            Err(IdError::TooLong { field, length, max: MAX_NAME_BYTES }.into())
        }
    }
}

#[cfg(test)]
mod tests;
