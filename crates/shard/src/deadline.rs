//! How long a request may take: what the caller's `grpc-timeout` leaves.

use crate::error::RequestError;
use marquee_net::{TIMEOUT_HEADER, timeout_of};
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;

/// The time of a request that doesn't say: no caller of ours waits longer, and work without an end
/// would hold its place in the queue.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that a request may take, whatever it says.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// When the request's time is up. The header is the same whether the request came over a network or
/// from a router in this process (`tonic::Request::set_timeout` writes it).
pub(crate) fn deadline_of(metadata: &MetadataMap, now: Instant) -> Result<Instant, RequestError> {
    let timeout = timeout_of(metadata)
        .map_err(|error| RequestError::invalid(TIMEOUT_HEADER, error.to_string()))?;
    Ok(now + timeout.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_without_a_deadline_get_one_and_none_is_endless() {
        let (now, mut metadata) = (Instant::now(), MetadataMap::new());
        assert_eq!(deadline_of(&metadata, now), Ok(now + DEFAULT_TIMEOUT));
        metadata.insert(TIMEOUT_HEADER, "99999999H".parse().expect("a header"));
        assert_eq!(deadline_of(&metadata, now), Ok(now + MAX_TIMEOUT));
        let mut request = tonic::Request::new(());
        request.set_timeout(Duration::from_millis(30));
        assert_eq!(deadline_of(request.metadata(), now), Ok(now + Duration::from_millis(30)));
        metadata.insert(TIMEOUT_HEADER, "soon".parse().expect("a header"));
        let error = deadline_of(&metadata, now).expect_err("no timeout").to_string();
        assert!(error.starts_with("grpc-timeout: "), "{error}");
    }
}
