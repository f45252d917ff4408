//! What callers ask, checked: `marquee.v1` requests become plain types whose every bound holds.
//!
//! Each refusal names the field as the caller wrote it (`requests[3].filter.ranges[0].min`), what
//! was found there and what is allowed. Past this module nobody checks a request again: a count
//! is in its range, a filter's numbers are no NaN, and absent values have their defaults.
//!
//! What is deliberately missing: whether a surface, user or item exists. The plan and the shards
//! know that.

use crate::v1;
use marquee_core::bounds::{
    DEFAULT_COUNT, MAX_BATCH, MAX_COUNT, MAX_FILTER_TERMS, MAX_ID_BYTES, MAX_NAME_BYTES,
    MAX_QUERY_TEXT_BYTES, MAX_QUERY_WORDS, MAX_RANK_ITEMS, MAX_RECENT_ITEMS, MAX_USER_ATTRIBUTES,
};
use marquee_core::id::{IdError, check_id};
use marquee_core::model::term::{check_attribute, of_attribute, of_word, words};
use marquee_core::plan::DEFAULT_SURFACE;
use std::collections::{BTreeSet, HashMap};

/// Why a request is refused. Every message begins with the field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallerError {
    /// An id, tag or attribute name that is empty or too long.
    #[error(transparent)]
    Id(#[from] IdError),
    /// More than can be asked for.
    #[error("{field} is {count}: 1 to {max} are allowed, and 0 means {DEFAULT_COUNT}")]
    Count {
        /// Which field.
        field: String,
        /// What it says.
        count: u32,
        /// The most that is allowed.
        max: u32,
    },
    /// A list with too many entries.
    #[error("{field} has {length} entries: at most {max} are allowed")]
    TooMany {
        /// Which field.
        field: String,
        /// How many it has.
        length: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A list with none where there must be one.
    #[error("{field} is empty: give 1 to {max} entries")]
    Nothing {
        /// Which field.
        field: String,
        /// The most that is allowed.
        max: usize,
    },
    /// Not a number.
    #[error("{field} is NaN: give a number, or leave it out")]
    NotANumber {
        /// Which field.
        field: String,
    },
    /// A range that nothing can be in.
    #[error("{field} is {max}, below min, which is {min}: nothing can be in such a range")]
    EmptyRange {
        /// The range's `max`.
        field: String,
        /// Its lower bound.
        min: f64,
        /// Its upper bound.
        max: f64,
    },
    /// A share that is not one.
    #[error("{field} is {value}: a share from 0 to 1 is allowed")]
    Share {
        /// Which field.
        field: String,
        /// What it says.
        value: f64,
    },
}

/// A checked [`v1::RecommendRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct Recommend {
    /// Whom for.
    pub user_id: String,
    /// 1..=[`MAX_COUNT`].
    pub count: u32,
    /// The place that asks, never empty.
    pub surface: String,
    /// What may be in the answer.
    pub filter: Filter,
    /// What the user has just seen, newest last.
    pub recent_item_ids: Vec<String>,
    /// Whether to say why each item is there.
    pub explain: bool,
    /// Least share of shards that must have answered, 0..=1.
    pub min_coverage: f64,
    /// The terms of what is known of the user, ascending, each once.
    pub attributes: Vec<String>,
}

/// A checked [`v1::SearchItemsRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct SearchItems {
    /// As it was given.
    pub text: String,
    /// The terms of its first words, ascending, each once: at most [`MAX_QUERY_WORDS`].
    pub words: Vec<String>,
    /// 1..=[`MAX_COUNT`].
    pub count: u32,
    /// The place that asks, never empty.
    pub surface: String,
    /// What may be in the answer.
    pub filter: Filter,
}

/// A checked [`v1::SimilarItemsRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarItems {
    /// What they shall be like.
    pub item_id: String,
    /// 1..=[`MAX_COUNT`].
    pub count: u32,
    /// The place that asks, never empty.
    pub surface: String,
    /// What may be in the answer.
    pub filter: Filter,
}

/// A checked [`v1::RankItemsRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct RankItems {
    /// Whom for.
    pub user_id: String,
    /// 1..=[`MAX_RANK_ITEMS`] ids as they were given; some may repeat.
    pub item_ids: Vec<String>,
    /// The place that asks, never empty.
    pub surface: String,
}

/// A checked [`v1::Filter`]; the default lets everything pass but what was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only these; empty: all.
    pub include_item_ids: Vec<String>,
    /// None of these.
    pub exclude_item_ids: Vec<String>,
    /// Items with at least one of these; empty: all.
    pub include_tags: Vec<String>,
    /// No items with any of these.
    pub exclude_tags: Vec<String>,
    /// Each must hold.
    pub ranges: Vec<AttributeRange>,
    /// Recommend what the user has already seen too.
    pub include_seen: bool,
}

/// A checked [`v1::AttributeRange`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRange {
    /// Which attribute of items.
    pub attribute: String,
    /// No NaN.
    pub min: Option<f64>,
    /// No NaN and not below `min`.
    pub max: Option<f64>,
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
        })
    }

    /// Checks the requests of a batch, naming what is wrong as `requests[i].field`.
    pub fn batch_from_wire(batch: v1::BatchRecommendRequest) -> Result<Vec<Self>, CallerError> {
        let v1::BatchRecommendRequest { requests } = batch;
        check_length("requests", requests.len(), MAX_BATCH)?;
        if requests.is_empty() {
            return Err(CallerError::Nothing { field: "requests".into(), max: MAX_BATCH });
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

    /// The filter as a shard gets it: without `include_seen`, which only a router understands.
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

pub(crate) fn check_length(field: &str, length: usize, max: usize) -> Result<(), CallerError> {
    match length > max {
        true => Err(CallerError::TooMany { field: field.into(), length, max }),
        false => Ok(()),
    }
}

fn check_ids(field: &str, ids: &[String], max: usize) -> Result<(), CallerError> {
    check_length(field, ids.len(), max)?;
    // The name of an entry is made only for the one that is wrong.
    match ids.iter().position(|id| id.is_empty() || id.len() > MAX_ID_BYTES) {
        Some(n) => Ok(check_id(&format!("{field}[{n}]"), &ids[n])?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> v1::RecommendRequest {
        v1::RecommendRequest { user_id: id.into(), ..Default::default() }
    }

    fn filtered(filter: v1::Filter) -> v1::RecommendRequest {
        v1::RecommendRequest { filter: Some(filter), ..user("u") }
    }

    fn range(min: Option<f64>, max: Option<f64>) -> v1::Filter {
        let range = v1::AttributeRange { attribute: "year".into(), min, max };
        v1::Filter { ranges: vec![range], ..Default::default() }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    fn refusal(request: v1::RecommendRequest) -> String {
        Recommend::from_wire(request).expect_err("must be refused").to_string()
    }

    #[test]
    fn absent_values_have_their_defaults() {
        let checked = Recommend::from_wire(user("u")).expect("valid");
        assert_eq!((checked.count, checked.surface.as_str()), (10, "default"));
        assert_eq!(checked.min_coverage, 0.0);
        assert!(checked.filter.lets_all_pass() && !checked.filter.include_seen);
    }

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let longest = "x".repeat(256);
        let filter = v1::Filter {
            include_item_ids: names(1_000),
            exclude_item_ids: names(1_000),
            include_tags: vec![longest.clone(); 1_000],
            exclude_tags: names(1_000),
            ranges: vec![range(Some(1.0), Some(1.0)).ranges[0].clone(); 1_000],
            include_seen: true,
        };
        let request = v1::RecommendRequest {
            user_id: longest.clone(),
            count: 1_000,
            surface: "s".repeat(128),
            recent_item_ids: names(1_000),
            min_coverage: 1.0,
            ..filtered(filter)
        };
        let checked = Recommend::from_wire(request.clone()).expect("valid");
        assert_eq!(checked.count, 1_000);
        let shard = checked.filter.to_shard();
        assert!(!shard.include_seen);
        assert_eq!(v1::Filter { include_seen: true, ..shard }, request.filter.expect("was given"));
        let open = range(Some(f64::NEG_INFINITY), None);
        assert!(Recommend::from_wire(filtered(open)).is_ok());
    }

    #[test]
    fn every_refusal_names_the_field_and_its_bound() {
        let filter = |change: fn(&mut v1::Filter)| {
            let mut filter = v1::Filter::default();
            change(&mut filter);
            filtered(filter)
        };
        for (request, says) in [
            (user(""), "user_id is empty: give 1 to 256 bytes"),
            (user(&"x".repeat(10_240)), "user_id has 10240 bytes: at most 256 are allowed"),
            (
                v1::RecommendRequest { count: 1_001, ..user("u") },
                "count is 1001: 1 to 1000 are allowed, and 0 means 10",
            ),
            (
                v1::RecommendRequest { surface: "s".repeat(129), ..user("u") },
                "surface has 129 bytes: at most 128 are allowed",
            ),
            (
                v1::RecommendRequest { recent_item_ids: names(1_001), ..user("u") },
                "recent_item_ids has 1001 entries: at most 1000 are allowed",
            ),
            (
                v1::RecommendRequest {
                    recent_item_ids: vec!["a".into(), String::new()],
                    ..user("u")
                },
                "recent_item_ids[1] is empty: give 1 to 256 bytes",
            ),
            (
                v1::RecommendRequest {
                    user_attributes: names(33).into_iter().map(|n| (n, "x".into())).collect(),
                    ..user("u")
                },
                "user_attributes has 33 entries: at most 32 are allowed",
            ),
            (
                v1::RecommendRequest {
                    user_attributes: [("zip".into(), "1".repeat(129))].into(),
                    ..user("u")
                },
                "user_attributes[\"zip\"] has 129 bytes: at most 128 are allowed",
            ),
            (
                v1::RecommendRequest { min_coverage: f64::NAN, ..user("u") },
                "min_coverage is NaN: a share from 0 to 1 is allowed",
            ),
            (
                v1::RecommendRequest { min_coverage: 1.5, ..user("u") },
                "min_coverage is 1.5: a share from 0 to 1 is allowed",
            ),
            (
                v1::RecommendRequest { min_coverage: -0.1, ..user("u") },
                "min_coverage is -0.1: a share from 0 to 1 is allowed",
            ),
            (
                filtered(range(Some(f64::NAN), None)),
                "filter.ranges[0].min is NaN: give a number, or leave it out",
            ),
            (
                filtered(range(Some(1.0), Some(f64::NAN))),
                "filter.ranges[0].max is NaN: give a number, or leave it out",
            ),
            (
                filtered(range(Some(2_000.0), Some(1_990.0))),
                "filter.ranges[0].max is 1990, below min, which is 2000: nothing can be in such a range",
            ),
            (
                filter(|f| f.ranges = vec![v1::AttributeRange::default()]),
                "filter.ranges[0].attribute is empty: give 1 to 256 bytes",
            ),
            (
                filter(|f| f.ranges = vec![v1::AttributeRange::default(); 1_001]),
                "filter.ranges has 1001 entries: at most 1000 are allowed",
            ),
            (
                filter(|f| f.include_item_ids = names(1_001)),
                "filter.include_item_ids has 1001 entries: at most 1000 are allowed",
            ),
            (
                filter(|f| f.exclude_item_ids = vec!["x".repeat(257)]),
                "filter.exclude_item_ids[0] has 257 bytes: at most 256 are allowed",
            ),
            (
                filter(|f| f.include_tags = vec![String::new()]),
                "filter.include_tags[0] is empty: give 1 to 256 bytes",
            ),
            (
                filter(|f| f.exclude_tags = names(1_001)),
                "filter.exclude_tags has 1001 entries: at most 1000 are allowed",
            ),
        ] {
            assert_eq!(refusal(request), says);
        }
    }

    #[test]
    fn a_batch_names_the_request() {
        let check = |requests| Recommend::batch_from_wire(v1::BatchRecommendRequest { requests });
        let says = |requests| check(requests).expect_err("must be refused").to_string();
        assert_eq!(check(vec![user("a"), user("b")]).expect("valid").len(), 2);
        assert_eq!(check(vec![user("a"); 1_000]).expect("valid").len(), 1_000);
        assert_eq!(says(vec![]), "requests is empty: give 1 to 1000 entries");
        assert_eq!(
            says(vec![user("a"); 1_001]),
            "requests has 1001 entries: at most 1000 are allowed"
        );
        assert_eq!(
            says(vec![user("a"), user("")]),
            "requests[1].user_id is empty: give 1 to 256 bytes"
        );
        assert_eq!(
            says(vec![filtered(range(Some(2.0), Some(1.0)))]),
            "requests[0].filter.ranges[0].max is 1, below min, which is 2: nothing can be in such a range"
        );
    }

    #[test]
    fn attributes_and_texts_become_terms() {
        let given = [("Region", "North"), ("age", "34"), ("region", "north "), ("empty", "")];
        let user_attributes = given.map(|(name, value)| (name.into(), value.into())).into();
        let request = v1::RecommendRequest { user_attributes, ..user("u") };
        let checked = Recommend::from_wire(request).expect("valid");
        assert_eq!(checked.attributes, ["user:age=30", "user:region=north"]);

        let search = |text: &str| {
            let request = v1::SearchItemsRequest { text: text.into(), ..Default::default() };
            SearchItems::from_wire(request).map_err(|error| error.to_string())
        };
        let found = search("Toy story, a TOY").expect("valid");
        assert_eq!((found.words, found.count), (vec!["word:story".into(), "word:toy".into()], 10));
        assert_eq!(search("?!").expect("valid").words, Vec::<String>::new());
        assert_eq!(search(""), Err("text is empty: give 1 to 1024 bytes".into()));
        let long = "x ".repeat(513);
        assert_eq!(search(&long), Err("text has 1026 bytes: at most 1024 are allowed".into()));
        let many: Vec<String> = (10..110).map(|n| n.to_string()).collect();
        assert_eq!(search(&many.join(" ")).expect("valid").words.len(), 64);
    }

    #[test]
    fn items_are_checked_as_well() {
        let similar = |item_id: &str, count| {
            let request =
                v1::SimilarItemsRequest { item_id: item_id.into(), count, ..Default::default() };
            SimilarItems::from_wire(request).map_err(|error| error.to_string())
        };
        assert_eq!(similar("i", 0).map(|s| (s.count, s.surface)), Ok((10, "default".into())));
        assert_eq!(similar("", 0), Err("item_id is empty: give 1 to 256 bytes".into()));
        assert!(similar("i", 1_001).is_err());

        let rank = |item_ids| {
            let request =
                v1::RankItemsRequest { user_id: "u".into(), item_ids, ..Default::default() };
            RankItems::from_wire(request).map_err(|error| error.to_string())
        };
        assert!(rank(names(10_000)).is_ok());
        assert_eq!(rank(vec![]), Err("item_ids is empty: give 1 to 10000 entries".into()));
        assert_eq!(
            rank(names(10_001)),
            Err("item_ids has 10001 entries: at most 10000 are allowed".into())
        );
        assert_eq!(
            rank(vec![String::new()]),
            Err("item_ids[0] is empty: give 1 to 256 bytes".into())
        );
        assert!(RankItems::from_wire(v1::RankItemsRequest::default()).is_err());
    }
}
