//! Names and ids: external ids of users and items, names that operators give, model versions.

use crate::bounds::{MAX_ID_BYTES, MAX_NAME_BYTES};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Why an id or a name is refused. `field` is the request's or file's name for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("{field} is empty: give 1 to {max} bytes")]
    Empty {
        /// The field's name in the request or file.
        field: String,
        /// Its bound in bytes.
        max: usize,
    },
    /// It is longer than the bound.
    #[error("{field} has {length} bytes: at most {max} are allowed")]
    TooLong {
        /// The field's name in the request or file.
        field: String,
        /// How long it is, in bytes.
        length: usize,
        /// Its bound in bytes.
        max: usize,
    },
    /// White space is around it, which training takes off: online it would be another user or item.
    #[error("{field} {id:?} begins or ends with white space: send it without")]
    OuterSpace {
        /// The field's name in the request or file.
        field: String,
        /// The whole id.
        id: String,
    },
    /// It has a character that would break a file name, a table or a shell line.
    #[error(
        "{field} {name:?} has a character that names may not have: use letters, digits, '-', '_' and '.', \
         and begin with a letter or digit"
    )]
    Character {
        /// The field's name in the request or file.
        field: String,
        /// The whole name.
        name: String,
    },
    /// It is not of the form `model@version`.
    #[error("{text:?} is not a model version: write it as model@version, such as films@3")]
    Version {
        /// The text that was given.
        text: String,
    },
}

impl IdError {
    /// The field that is wrong, by its path; none where the text is not of a field.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Empty { field, .. }
            | Self::TooLong { field, .. }
            | Self::OuterSpace { field, .. }
            | Self::Character { field, .. } => {
                // Some say which part of it is wrong.
                Some(field.split_once(": ").map_or(field.as_str(), |(path, _)| path))
            }
            Self::Version { .. } => None,
        }
    }
}

/// Checks an external id of a user or an item: 1..=256 bytes of any UTF-8, with no ASCII white space around it, as ids
/// are in training.
pub fn check_id(field: &str, id: &str) -> Result<(), IdError> {
    check_length(field, id, MAX_ID_BYTES)?;
    if has_outer_space(id) {
        return Err(IdError::OuterSpace { field: field.into(), id: id.into() });
    }
    Ok(())
}

/// Whether an id begins or ends with ASCII white space.
pub fn has_outer_space(id: &str) -> bool {
    id.trim_ascii().len() < id.len()
}

/// Checks a name that an operator gives (model, ensemble, surface, node): 1..=128 bytes of
/// `[A-Za-z0-9._-]`, beginning with a letter or digit.
pub fn check_name(field: &str, name: &str) -> Result<(), IdError> {
    check_length(field, name, MAX_NAME_BYTES)?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(is_allowed) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(IdError::Character { field: field.into(), name: name.into() });
    }
    Ok(())
}

fn check_length(field: &str, text: &str, max: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty { field: field.into(), max }),
        length if length > max => Err(IdError::TooLong { field: field.into(), length, max }),
        _ => Ok(()),
    }
}

/// The canonical order of external ids, in which ordinals are numbered and ties are broken: decimal
/// numbers without leading zeros first, by value; then all other ids, bytewise.
pub fn compare_ids(a: &str, b: &str) -> Ordering {
    match (is_number(a), is_number(b)) {
        (true, true) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

fn is_number(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && (id == "0" || !id.starts_with('0'))
}

/// One published bundle: a model's name and the number it was given at publish, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// The number given at publish, from 1.
    pub version: u64,
}

impl ModelVersion {
    /// A model version of these parts, unchecked.
    pub fn new(model: impl Into<String>, version: u64) -> Self {
        Self { model: model.into(), version }
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.model, self.version)
    }
}

impl FromStr for ModelVersion {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Version { text: text.into() };
        let (model, version) = text.rsplit_once('@').ok_or_else(wrong)?;
        check_name("model", model)?;
        let version: u64 = version.parse().map_err(|_| wrong())?;
        if version == 0 {
            return Err(wrong());
        }
        Ok(Self::new(model, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value_and_before_words() {
        let mut ids = ["b", "10", "9", "a", "007", "0", "2"];
        ids.sort_by(|a, b| compare_ids(a, b));
        assert_eq!(ids, ["0", "2", "9", "10", "007", "a", "b"]);
    }

    #[test]
    fn names_are_fit_for_files_and_shells() {
        assert!(check_name("model", "films-v2.1_x").is_ok());
        for bad in ["", "-x", ".hidden", "a/b", "a b", "ü", &"x".repeat(129)] {
            assert!(check_name("model", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_have_no_white_space_around_them() {
        for good in ["7", "the thing", "ü", "\u{a0}", &"x".repeat(256)] {
            assert!(check_id("user_id", good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", " 7", "7 ", "7\n", "\t7", &"x".repeat(257)] {
            assert!(check_id("user_id", bad).is_err(), "{bad:?}");
        }
        let error = check_id("user_id", " 7 ").expect_err("spaces");
        assert_eq!(error.field(), Some("user_id"));
    }

    #[test]
    fn versions_read_back() {
        let version: ModelVersion = "films@3".parse().expect("valid");
        assert_eq!(version.to_string(), "films@3");
        for bad in ["films", "films@", "films@0", "@1", "films@-1", "films@x"] {
            assert!(bad.parse::<ModelVersion>().is_err(), "{bad:?}");
        }
    }
}
