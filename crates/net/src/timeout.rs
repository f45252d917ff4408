//! The timeout of a call, as gRPC's wire format spells it.

use std::time::Duration;
use tonic::metadata::MetadataMap;

/// The header in which a call says how long its caller waits.
pub const TIMEOUT_HEADER: &str = "grpc-timeout";

/// A timeout header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is one to eight digits and one of the units H, M, S, m, u and n")]
pub struct InvalidTimeout;

/// How long the caller of a request with this metadata waits; none if it does not say.
///
/// # Errors
/// For a header that is no timeout: a guess would be as wrong as no deadline at all.
pub fn timeout_of(metadata: &MetadataMap) -> Result<Option<Duration>, InvalidTimeout> {
    metadata.get(TIMEOUT_HEADER).map(|header| read(header.as_bytes())).transpose()
}

/// The same of a request whose metadata are headers still.
///
/// # Errors
/// As [`timeout_of`].
pub fn timeout_in(headers: &http::HeaderMap) -> Result<Option<Duration>, InvalidTimeout> {
    headers.get(TIMEOUT_HEADER).map(|header| read(header.as_bytes())).transpose()
}

fn read(header: &[u8]) -> Result<Duration, InvalidTimeout> {
    let text = std::str::from_utf8(header).map_err(|_| InvalidTimeout)?;
    parse(text).ok_or(InvalidTimeout)
}

/// Reads one to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
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
    fn a_header_that_is_no_timeout_is_an_error_and_none_is_none() {
        let mut metadata = MetadataMap::new();
        assert_eq!(timeout_of(&metadata), Ok(None));
        metadata.insert(TIMEOUT_HEADER, "30m".parse().expect("a header"));
        assert_eq!(timeout_of(&metadata), Ok(Some(Duration::from_millis(30))));
        metadata.insert(TIMEOUT_HEADER, "soon".parse().expect("a header"));
        assert_eq!(timeout_of(&metadata), Err(InvalidTimeout));
    }
}
