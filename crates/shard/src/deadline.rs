//! How long a request may take: what the caller's `grpc-timeout` leaves.

use crate::error::RequestError;
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;

/// The time of a request that doesn't say: no caller of ours waits longer, and work without an end
/// would hold its place in the queue.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that a request may take, whatever it says.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);

const HEADER: &str = "grpc-timeout";

/// When the request's time is up. The header is the same whether the request came over a network or
/// from a router in this process (`tonic::Request::set_timeout` writes it).
pub(crate) fn deadline_of(metadata: &MetadataMap, now: Instant) -> Result<Instant, RequestError> {
    let timeout = match metadata.get(HEADER) {
        None => DEFAULT_TIMEOUT,
        Some(value) => value.to_str().ok().and_then(parse).ok_or_else(|| {
            let reason = "it is one to eight digits and one of the units H, M, S, m, u and n";
            RequestError::invalid(HEADER, reason)
        })?,
    };
    Ok(now + timeout.min(MAX_TIMEOUT))
}

/// A timeout as gRPC's wire format spells it: one to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_spells_them() {
        assert_eq!(parse("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for bad in ["", "m", "100", "100x", "123456789m", "-1m", "+1m", "1 m", "1é", "é"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn requests_without_a_deadline_get_one_and_none_is_endless() {
        let (now, mut metadata) = (Instant::now(), MetadataMap::new());
        assert_eq!(deadline_of(&metadata, now), Ok(now + DEFAULT_TIMEOUT));
        metadata.insert(HEADER, "99999999H".parse().expect("a header"));
        assert_eq!(deadline_of(&metadata, now), Ok(now + MAX_TIMEOUT));
        let mut request = tonic::Request::new(());
        request.set_timeout(Duration::from_millis(30));
        assert_eq!(deadline_of(request.metadata(), now), Ok(now + Duration::from_millis(30)));
        metadata.insert(HEADER, "soon".parse().expect("a header"));
        let error = deadline_of(&metadata, now).expect_err("no timeout").to_string();
        assert!(error.starts_with("grpc-timeout: "), "{error}");
    }
}
