//! Why a message is refused, and the checks that every conversion shares.

use crate::status::DetailedStatus;
use std::collections::BTreeMap;

/// Why a message cannot become a value of core. Every variant names the field by its path in the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that core requires is not set.
    #[error("{0} is missing")]
    Missing(String),
    /// An enum has a number that this release does not know, or its unspecified zero.
    #[error("{field}: {value} is not one of its values; a newer marquee may have more")]
    UnknownEnumValue {
        /// The field's path.
        field: String,
        /// The number that was given.
        value: i32,
    },
    /// A value is outside what the field means.
    #[error("{field}: {what}")]
    InvalidValue {
        /// The field's path.
        field: String,
        /// What is wrong, and what is allowed.
        what: String,
    },
    /// A list that is keyed has the same key twice.
    #[error("{field}: {key:?} is there twice")]
    DuplicateKey {
        /// The field's path.
        field: String,
        /// The key that repeats.
        key: String,
    },
}

impl ConvertError {
    /// The field at this path has a value that it cannot have.
    pub(crate) fn invalid(field: &str, what: impl Into<String>) -> Self {
        Self::InvalidValue { field: field.into(), what: what.into() }
    }

    /// The path of the field.
    pub fn field(&self) -> &str {
        match self {
            Self::Missing(field)
            | Self::UnknownEnumValue { field, .. }
            | Self::InvalidValue { field, .. }
            | Self::DuplicateKey { field, .. } => field,
        }
    }

    /// The enum at this path has a number that this release does not know.
    pub(crate) fn unknown(field: &str, value: i32) -> Self {
        Self::UnknownEnumValue { field: field.into(), value }
    }
}

pub(crate) type Result<T> = std::result::Result<T, ConvertError>;

impl From<ConvertError> for DetailedStatus {
    fn from(error: ConvertError) -> Self {
        Self::of_field(error.field(), error.to_string())
    }
}

/// The value of a field that must be set; `field` names it in the error.
pub(crate) fn required<T>(value: Option<T>, field: &str) -> Result<T> {
    value.ok_or_else(|| ConvertError::Missing(field.into()))
}

/// None for an empty text: proto3 does not tell an empty text from an absent one.
pub(crate) fn non_empty(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

/// Collects a list of pairs into a map, and refuses a key that is there twice.
pub(crate) fn map_of_unique_keys<K: Ord + ToString, V>(
    field: &str,
    pairs: impl Iterator<Item = Result<(K, V)>>,
) -> Result<BTreeMap<K, V>> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let (key, value) = pair?;
        if map.contains_key(&key) {
            return Err(ConvertError::DuplicateKey { field: field.into(), key: key.to_string() });
        }
        map.insert(key, value);
    }
    Ok(map)
}
