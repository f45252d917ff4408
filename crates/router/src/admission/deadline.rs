//! Until when a call is to be answered.

use marquee_core::bounds::MAX_BATCH_REQUESTS;
use marquee_net::{InvalidTimeout, timeout_of};
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// What each request of a batch adds to the default deadline: the cost of an exact search over some
/// hundred thousand items that has a processor to itself. So large batches without a deadline get whole answers.
pub(crate) const BATCH_ALLOWANCE: Duration = Duration::from_millis(20);
/// No call may hold a place for longer than this, whatever its caller says.
pub(crate) const MAX_DEADLINE: Duration = Duration::from_secs(30);

/// The deadline of a call of so many requests: the caller's, or the default with an allowance for a batch.
///
/// # Errors
/// The call has a `grpc-timeout` that is none.
pub(crate) fn deadline_of(
    metadata: &MetadataMap,
    requests: usize,
    default_deadline: Duration,
) -> Result<Instant, InvalidTimeout> {
    let timeout = timeout_of(metadata)?.unwrap_or_else(|| {
        // A batch that is larger will be refused.
        let counted = requests.clamp(1, MAX_BATCH_REQUESTS) as u32;
        default_deadline + BATCH_ALLOWANCE * (counted - 1)
    });
    Ok(Instant::now() + timeout.min(MAX_DEADLINE))
}

/// The time until a deadline; zero once it has passed.
pub(crate) fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
