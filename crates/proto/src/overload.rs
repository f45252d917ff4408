//! How an overload is told: what a server refuses because it has too much to do, and what a request is worth.

use crate::status::DetailedStatus;
use marquee_core::overload::Priority;
use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// The metadata by which a call says that nobody waits for it, or only a job: the name of a [`Priority`].
pub const PRIORITY_HEADER: &str = "marquee-priority";

/// RESOURCE_EXHAUSTED with the time after which to try again, twice: as `google.rpc.RetryInfo` in the details, and in
/// the trailer that retry policies of gRPC clients obey.
pub fn overloaded(message: impl Into<String>, retry_after: Duration) -> Status {
    let status = DetailedStatus::new(Code::ResourceExhausted, "OVERLOAD", message);
    status.retry_after(retry_after).into()
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
    use crate::status::PUSHBACK_TRAILER;
    use tonic_types::StatusExt as _;

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
