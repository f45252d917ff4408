//! gRPC statuses with details that clients of all languages decode: the messages of `google.rpc` in the trailer
//! `grpc-status-details-bin`.
//!
//! - `BadRequest`, on INVALID_ARGUMENT: the path of the field that is wrong, as the caller wrote it.
//! - `RetryInfo`, on RESOURCE_EXHAUSTED and UNAVAILABLE: after how long the call may succeed. Where it is missing, the
//!   same call will not succeed later either.
//! - `ErrorInfo`: a reason that programs can tell apart, in the domain [`ERROR_DOMAIN`].
//!
//! Each component has one place that makes a [`DetailedStatus`] of its typed errors.

use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The trailer by which gRPC clients with a retry policy are told how long to wait (gRFC A6). It goes with RESOURCE_EXHAUSTED.
pub const PUSHBACK_TRAILER: &str = "grpc-retry-pushback-ms";
/// The domain of the reasons in `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "marquee";
/// After how long to call again where too much is under way: some answers later there is room.
pub const RETRY_OVERLOAD: Duration = Duration::from_millis(100);
/// After how long to call again where something is missing that comes back by itself: a leader, a plan, a shard.
pub const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);

/// A status with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetailedStatus {
    code: Code,
    message: String,
    reason: &'static str,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl DetailedStatus {
    /// A status with this message, and with a reason in capitals, such as `OVER_QUOTA`.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reason, field: None, retry_after: None }
    }

    /// A refusal of the field at this path.
    pub fn of_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(Code::InvalidArgument, "INVALID_FIELD", message)
        }
    }

    /// The same, for a call that may succeed after this time.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..self }
    }
}

impl From<DetailedStatus> for Status {
    fn from(status: DetailedStatus) -> Self {
        let DetailedStatus { code, message, reason, field, retry_after } = status;
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, ERROR_DOMAIN, []);
        if let Some(field) = field {
            details.add_bad_request_violation(field, &message);
        }
        if let Some(delay) = retry_after {
            details.set_retry_info(Some(delay));
        }
        let mut metadata = MetadataMap::new();
        if let Some(delay) = retry_after.filter(|_| code == Code::ResourceExhausted) {
            let milliseconds = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
            metadata.insert(PUSHBACK_TRAILER, MetadataValue::from(milliseconds));
        }
        Self::with_error_details_and_metadata(code, message, details, metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_there_on_the_other_side() {
        let refused = DetailedStatus::of_field("requests[3].count", "requests[3].count is 0");
        let status = Status::from(refused);
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "requests[3].count is 0")
        );
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("a bad request").field_violations;
        assert_eq!(violations[0].field, "requests[3].count");
        assert_eq!(violations[0].description, "requests[3].count is 0");
        assert!(details.retry_info().is_none());

        let full = DetailedStatus::new(Code::ResourceExhausted, "OVERLOAD", "too much")
            .retry_after(RETRY_OVERLOAD);
        let status = Status::from(full);
        let details = status.get_error_details();
        let info = details.error_info().expect("an info");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OVERLOAD", ERROR_DOMAIN));
        assert_eq!(details.retry_info().and_then(|it| it.retry_delay), Some(RETRY_OVERLOAD));
        assert!(details.bad_request().is_none());
    }
}
