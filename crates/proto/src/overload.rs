//! How an overload is told: what a server refuses because it has too much to do, and what a request is worth.

use marquee_core::overload::Priority;
use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The metadata by which a call says that nobody waits for it, or only a job: the name of a [`Priority`].
pub const PRIORITY_HEADER: &str = "marquee-priority";
/// The trailer by which gRPC clients with a retry policy are told how long to wait (gRFC A6).
pub const PUSHBACK_TRAILER: &str = "grpc-retry-pushback-ms";

/// RESOURCE_EXHAUSTED with the time after which to try again, twice: as `google.rpc.RetryInfo` in the details, and in
/// the trailer that retry policies of gRPC clients obey.
pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Status {
    let mut metadata = MetadataMap::with_capacity(1);
    let milliseconds = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
    metadata.insert(PUSHBACK_TRAILER, MetadataValue::from(milliseconds));
    let details = ErrorDetails::with_retry_info(Some(retry_after));
    Status::with_error_details_and_metadata(Code::ResourceExhausted, message, details, metadata)
}

/// The priority that a call has by its metadata; that of a caller who waits, if it says nothing that is known.
pub fn priority_of(metadata: &MetadataMap) -> Priority {
    let name = metadata.get(PRIORITY_HEADER).and_then(|value| value.to_str().ok());
    name.and_then(Priority::of_name).unwrap_or(Priority::Interactive)
}

/// Says in the metadata of a call what it is worth.
pub fn set_priority(metadata: &mut MetadataMap, priority: Priority) {
    // What is not said is interactive, and most calls are.
    if priority != Priority::Interactive {
        metadata.insert(PRIORITY_HEADER, MetadataValue::from_static(priority.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_twice_when_to_come_again() {
        let status = overloaded("full", Duration::from_millis(250));
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "full"));
        let pushback = status.metadata().get(PUSHBACK_TRAILER).expect("the trailer");
        assert_eq!(pushback, "250");
        let retry = status.get_error_details().retry_info().cloned().expect("the detail");
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_priority_travels_and_an_unknown_one_is_a_callers() {
        let mut metadata = MetadataMap::new();
        assert_eq!(priority_of(&metadata), Priority::Interactive);
        for priority in [Priority::Batch, Priority::Mirrored] {
            set_priority(&mut metadata, priority);
            assert_eq!(priority_of(&metadata), priority);
        }
        metadata.insert(PRIORITY_HEADER, MetadataValue::from_static("urgent"));
        assert_eq!(priority_of(&metadata), Priority::Interactive);
    }
}
