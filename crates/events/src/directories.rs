//! The directories of a router's logs.

/// Where quarantined events are, under the directory of a router's events.
pub const QUARANTINE_DIRECTORY: &str = "quarantine";
/// Where exposures are, under the directory of a router's events.
pub const EXPOSURES_DIRECTORY: &str = "exposures";
