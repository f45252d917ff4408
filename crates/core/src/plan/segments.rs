//! Segments: the kinds of requests that trials on a surface are reported by, beside all requests together.
//!
//! An operator lists attributes and their values, such as `region=de,at`. A request is then in the segment `region=de`,
//! `region=at` or, with any other value or none, `region=other`: in one segment of each attribute. Values are taken as users'
//! attributes are ([`crate::model::term::of_attribute`]): case does not matter, and ages are grouped by tens.
//!
//! Segments are known before a variant is chosen, from what the caller sends, so they are alike in all arms.

use crate::bounds::{MAX_ATTRIBUTE_NAME_BYTES, MAX_ATTRIBUTE_VALUE_BYTES, MAX_SEGMENTS};
use crate::hash::{Purpose, stable_hash_of};
use crate::model::term::{ALL_USERS_TERM, of_attribute};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The value of requests whose value of an attribute is not listed.
const OTHER: &str = "other";

/// An attribute whose values are segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentedAttribute {
    /// The attribute's name, in lower case.
    pub name: String,
    /// The values that are segments of their own, in lower case.
    pub values: Vec<String>,
}

/// The segments of a surface. Shared, because every router reads them for every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    attributes: Arc<[SegmentedAttribute]>,
    /// A hash of the names; 0 without segments.
    mark: u16,
}

/// Which segments a request is in, by number: see [`Segments::names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSet {
    bits: u16,
    /// The mark of the segments that the numbers are of.
    mark: u16,
}

/// Why there are no such segments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentsError {
    /// A name or a value that cannot be told from others.
    #[error(
        "{text:?} is no {what}: give 1 to {max} bytes without \"=\" and \",\", and not \"other\", which stands for all \
         other values"
    )]
    Unusable {
        /// The text that was given.
        text: String,
        /// What it should be.
        what: &'static str,
        /// How many bytes are allowed.
        max: usize,
    },
    /// The same twice.
    #[error(
        "{0:?} is listed twice: list it once (case does not matter, and ages are grouped by tens)"
    )]
    Repeated(String),
    /// An attribute without values.
    #[error(
        "attribute {0:?} has no values: list those that are to be segments, as in region=de,at"
    )]
    NoValues(String),
    /// Too many segments.
    #[error(
        "{0} segments, counting one for the other values of each attribute: at most {MAX_SEGMENTS} are allowed; list \
         fewer values"
    )]
    TooMany(usize),
}

impl Segments {
    /// The segments of these attributes.
    ///
    /// # Errors
    /// A name or value that cannot be used, or too many segments.
    pub fn new(attributes: &[SegmentedAttribute]) -> Result<Self, SegmentsError> {
        let mut known_names = BTreeSet::new();
        let mut checked = Vec::with_capacity(attributes.len());
        for SegmentedAttribute { name, values } in attributes {
            let plain_name = plain(name, "name of an attribute", MAX_ATTRIBUTE_NAME_BYTES)?;
            if values.is_empty() {
                return Err(SegmentsError::NoValues(plain_name));
            }
            if !known_names.insert(plain_name.clone()) {
                return Err(SegmentsError::Repeated(plain_name));
            }
            let mut plain_values = Vec::with_capacity(values.len());
            for value in values {
                let short = plain(value, "value of an attribute", MAX_ATTRIBUTE_VALUE_BYTES)?;
                let term = of_attribute(&plain_name, &short).unwrap_or_default();
                let plain_value = value_of(&term, &plain_name).unwrap_or_default().to_owned();
                if plain_values.contains(&plain_value) {
                    return Err(SegmentsError::Repeated(format!("{plain_name}={plain_value}")));
                }
                plain_values.push(plain_value);
            }
            checked.push(SegmentedAttribute { name: plain_name, values: plain_values });
        }
        let count: usize = checked.iter().map(|attribute| attribute.values.len() + 1).sum();
        if count > MAX_SEGMENTS {
            return Err(SegmentsError::TooMany(count));
        }
        let mut segments = Self { attributes: checked.into(), mark: 0 };
        segments.mark = mark_of(&segments.names());
        Ok(segments)
    }

    /// The attributes, in the operator's order.
    pub fn attributes(&self) -> &[SegmentedAttribute] {
        &self.attributes
    }

    /// Whether there are no segments.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// How many segments there are.
    pub fn count(&self) -> usize {
        self.attributes.iter().map(|attribute| attribute.values.len() + 1).sum()
    }

    /// The segments' names, by number: for each attribute `name=value` in the operator's order, then `name=other`.
    pub fn names(&self) -> Vec<String> {
        let of_attribute = |attribute: &SegmentedAttribute| {
            let values = attribute.values.iter().map(String::as_str).chain([OTHER]);
            values.map(|value| format!("{}={value}", attribute.name)).collect::<Vec<_>>()
        };
        self.attributes.iter().flat_map(of_attribute).collect()
    }

    /// A hash of the names, by which sets of these segments are told from sets of others; 0 without segments.
    pub fn mark(&self) -> u16 {
        self.mark
    }

    /// The segments of a request with attributes of these terms, as [`of_attribute`] gives them.
    pub fn of_terms(&self, terms: &[String]) -> SegmentSet {
        let mut bits = 0;
        let mut first = 0;
        for SegmentedAttribute { name, values } in self.attributes.iter() {
            let given = terms.iter().find_map(|term| value_of(term, name));
            let listed = given.and_then(|given| values.iter().position(|value| value == given));
            bits |= 1 << (first + listed.unwrap_or(values.len()));
            first += values.len() + 1;
        }
        SegmentSet::new(bits, self.mark)
    }
}

impl SegmentSet {
    /// The set with these bits of the segments with this mark.
    pub fn new(bits: u16, mark: u16) -> Self {
        Self { bits, mark }
    }

    /// One bit for each segment, the first one's the lowest.
    pub fn bits(self) -> u16 {
        self.bits
    }

    /// The mark of the segments that it is of.
    pub fn mark(self) -> u16 {
        self.mark
    }

    /// Whether the segment with this number is among them.
    pub fn has(self, number: usize) -> bool {
        number < MAX_SEGMENTS && self.bits & (1 << number) != 0
    }

    /// The numbers of its segments, ascending.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..MAX_SEGMENTS).filter(move |&number| self.has(number))
    }
}

/// A hash of names of segments; 0 without any.
fn mark_of(names: &[String]) -> u16 {
    if names.is_empty() {
        return 0;
    }
    stable_hash_of(Purpose::Segments, &names.join(",")) as u16
}

/// A name or value in lower case, checked.
fn plain(text: &str, what: &'static str, max: usize) -> Result<String, SegmentsError> {
    let lower = text.trim().to_lowercase();
    let is_usable =
        (1..=max).contains(&lower.len()) && !lower.contains(['=', ',']) && lower != OTHER;
    if is_usable {
        Ok(lower)
    } else {
        Err(SegmentsError::Unusable { text: text.chars().take(max).collect(), what, max })
    }
}

/// The value in a term of the attribute of this name; none in another term.
fn value_of<'a>(term: &'a str, name: &str) -> Option<&'a str> {
    term.strip_prefix(ALL_USERS_TERM)?.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, values: &[&str]) -> SegmentedAttribute {
        let values = values.iter().map(|&value| value.into()).collect();
        SegmentedAttribute { name: name.into(), values }
    }

    fn terms(given: &[(&str, &str)]) -> Vec<String> {
        given.iter().filter_map(|(name, value)| of_attribute(name, value)).collect()
    }

    #[test]
    fn a_request_is_in_one_segment_of_each_attribute() {
        let given = [attribute("Region", &["DE", "at"]), attribute("age", &["34"])];
        let segments = Segments::new(&given).expect("usable");
        let names = segments.names();
        assert_eq!(names, ["region=de", "region=at", "region=other", "age=30", "age=other"]);
        let found = |given: &[(&str, &str)]| -> Vec<String> {
            let set = segments.of_terms(&terms(given));
            set.numbers().map(|number| names[number].clone()).collect()
        };
        assert_eq!(found(&[("age", "39"), ("region", " AT ")]), ["region=at", "age=30"]);
        assert_eq!(found(&[("region", "ch")]), ["region=other", "age=other"]);
        assert_eq!(found(&[("regions", "de"), ("reg", "de")]), ["region=other", "age=other"]);
        let fewer = Segments::new(&given[..1]).expect("usable");
        assert_ne!(fewer.mark(), segments.mark(), "numbers of one mean nothing to the other");
        assert_eq!(segments.of_terms(&[]).mark(), segments.mark());
    }

    #[test]
    fn there_is_room_for_so_many_segments() {
        let most: Vec<String> = (1..MAX_SEGMENTS).map(|value| value.to_string()).collect();
        let full = SegmentedAttribute { name: "a".into(), values: most };
        let segments = Segments::new(&[full]).expect("as many as there may be");
        let last = segments.of_terms(&terms(&[("a", "x")]));
        assert_eq!(last.numbers().collect::<Vec<_>>(), [MAX_SEGMENTS - 1]);
        assert_eq!(SegmentSet::new(u16::MAX, 0).numbers().count(), MAX_SEGMENTS);
        assert_eq!(Segments::default().of_terms(&terms(&[("a", "1")])).bits(), 0);
    }

    #[test]
    fn segments_that_cannot_be_told_apart_are_refused() {
        let long = "x".repeat(MAX_ATTRIBUTE_NAME_BYTES + 1);
        let many: Vec<String> = (0..MAX_SEGMENTS).map(|value| value.to_string()).collect();
        let many = SegmentedAttribute { name: "a".into(), values: many };
        for (given, says) in [
            (vec![attribute("", &["1"])], "\"\" is no name of an attribute: give 1 to 64 bytes"),
            (vec![attribute(&long, &["1"])], "give 1 to 64 bytes"),
            (vec![attribute("a=b", &["1"])], "\"a=b\" is no name"),
            (vec![attribute("a", &["Other"])], "\"Other\" is no value"),
            (vec![attribute("a", &["1,2"])], "\"1,2\" is no value"),
            (vec![attribute("a", &[])], "\"a\" has no values"),
            (vec![attribute("a", &["x", "X "])], "\"a=x\" is listed twice"),
            (vec![attribute("age", &["31", "34"])], "\"age=30\" is listed twice"),
            (vec![attribute("a", &["1"]), attribute("A", &["2"])], "\"a\" is listed twice"),
            (vec![many], "17 segments, counting one for the other values"),
        ] {
            let refused = Segments::new(&given).expect_err(says).to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
