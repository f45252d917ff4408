//! Why a caller's request is refused, and the checks of lists and ids that requests share.

use crate::status::DetailedStatus;
use marquee_core::bounds::{DEFAULT_COUNT, MAX_ID_BYTES};
use marquee_core::id::{IdError, check_id, has_outer_space};

/// Why a request is refused. Every message begins with the field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallerError {
    /// An id, tag or attribute name that is empty or too long.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A count beyond its bound.
    #[error("{field} is {count}: 1 to {max} are allowed, and 0 means {DEFAULT_COUNT}")]
    Count {
        /// The field's name in the request.
        field: String,
        /// The count that was given.
        count: u32,
        /// The most that is allowed.
        max: u32,
    },
    /// A list with too many entries.
    #[error("{field} has {length} entries: at most {max} are allowed")]
    TooMany {
        /// The field's name in the request.
        field: String,
        /// How many it has.
        length: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A list without an entry where one is required.
    #[error("{field} is empty: give 1 to {max} entries")]
    Nothing {
        /// The field's name in the request.
        field: String,
        /// The most that is allowed.
        max: usize,
    },
    /// A bound that is NaN.
    #[error("{field} is NaN: give a number, or leave it out")]
    NotANumber {
        /// The field's name in the request.
        field: String,
    },
    /// A range whose upper bound is below its lower bound.
    #[error("{field} is {max}, below min, which is {min}: nothing can be in such a range")]
    EmptyRange {
        /// The range's `max`.
        field: String,
        /// Its lower bound.
        min: f64,
        /// Its upper bound.
        max: f64,
    },
    /// A share outside 0 to 1.
    #[error("{field} is {value}: a share from 0 to 1 is allowed")]
    Share {
        /// The field's name in the request.
        field: String,
        /// The value that was given.
        value: f64,
    },
}

impl CallerError {
    /// The path of the field, as the caller wrote it.
    pub fn field(&self) -> &str {
        match self {
            Self::Id(error) => error.field().unwrap_or_default(),
            Self::Count { field, .. }
            | Self::TooMany { field, .. }
            | Self::Nothing { field, .. }
            | Self::NotANumber { field }
            | Self::EmptyRange { field, .. }
            | Self::Share { field, .. } => field,
        }
    }
}

impl From<&CallerError> for DetailedStatus {
    fn from(error: &CallerError) -> Self {
        Self::of_field(error.field(), error.to_string())
    }
}

/// Refuses a list of more than `max` entries.
pub(crate) fn check_length(field: &str, length: usize, max: usize) -> Result<(), CallerError> {
    if length > max {
        return Err(CallerError::TooMany { field: field.into(), length, max });
    }
    Ok(())
}

/// Checks a list of at most `max` ids, and names the first that is wrong as `field[n]`.
pub(crate) fn check_ids(field: &str, ids: &[String], max: usize) -> Result<(), CallerError> {
    check_length(field, ids.len(), max)?;
    // The name of an entry is made only for the one that is wrong.
    let is_wrong = |id: &String| id.is_empty() || id.len() > MAX_ID_BYTES || has_outer_space(id);
    match ids.iter().position(is_wrong) {
        Some(n) => Ok(check_id(&format!("{field}[{n}]"), &ids[n])?),
        None => Ok(()),
    }
}
