//! How long a certificate is valid, found by verifying it at other times: that counts its root and what is between, too.

use rustls::CertificateError as Why;
use rustls::Error::InvalidCertificate;

/// No certificate is looked at further away than so many seconds: forty years.
const FURTHEST_SECONDS: u64 = 40 * 365 * 24 * 3_600;

/// When a certificate is valid, as seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is valid.
    Valid {
        /// Seconds until it expires.
        seconds_left: u64,
        /// Seconds for which it is valid in all.
        life_seconds: u64,
    },
    /// It has expired, or is not valid yet.
    Invalid,
}

impl Validity {
    /// Finds the ends of the time in which `verify`, given a time in seconds, accepts a certificate. None where it is
    /// refused for another reason than the time.
    pub(super) fn search(
        now: u64,
        verify: impl Fn(u64) -> Result<(), rustls::Error>,
    ) -> Option<Self> {
        match verify(now) {
            Ok(()) => {}
            Err(InvalidCertificate(
                Why::Expired
                | Why::ExpiredContext { .. }
                | Why::NotValidYet
                | Why::NotValidYetContext { .. },
            )) => return Some(Self::Invalid),
            Err(_) => return None,
        }
        let is_valid = |at| verify(at).is_ok();
        let seconds_left = furthest(|seconds| is_valid(now.saturating_add(seconds)));
        let seconds_before = furthest(|seconds| is_valid(now.saturating_sub(seconds)));
        Some(Self::Valid { seconds_left, life_seconds: seconds_left + seconds_before })
    }
}

/// The largest distance at which `holds`, which does at 0 and at no distance after the first at which it does not.
fn furthest(holds: impl Fn(u64) -> bool) -> u64 {
    let (mut near, mut far) = (0, FURTHEST_SECONDS);
    while near < far {
        let middle = near + (far - near).div_ceil(2);
        if holds(middle) { near = middle } else { far = middle - 1 }
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_found_to_the_second() {
        let now = 2_000_000_000;
        let verify = |at: u64| match at {
            1_999_000_000..=2_000_123_456 => Ok(()),
            0..1_999_000_000 => Err(InvalidCertificate(Why::NotValidYet)),
            _ => Err(InvalidCertificate(Why::Expired)),
        };
        let valid = Validity::Valid { seconds_left: 123_456, life_seconds: 1_123_456 };
        assert_eq!(Validity::search(now, verify), Some(valid));
        assert_eq!(Validity::search(1, verify), Some(Validity::Invalid));
        assert_eq!(Validity::search(3_000_000_000, verify), Some(Validity::Invalid));
        let of_others = |_| Err(InvalidCertificate(Why::UnknownIssuer));
        assert_eq!(Validity::search(now, of_others), None);
    }
}
