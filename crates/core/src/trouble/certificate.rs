//! When a certificate should have been replaced.

/// A certificate with more seconds left than this does not expire soon: a week, in which someone works.
const SOON_SECONDS: u64 = 7 * 24 * 3_600;
/// Nor does one with more than this part of its life left, so that short-lived ones are not always about to expire.
/// Those who renew by themselves do so after two thirds.
const SOON_SHARE: u64 = 5;

/// Whether a certificate that is valid for `life_seconds` in all, with so many seconds left, should have been replaced.
pub fn expires_soon(seconds_left: u64, life_seconds: u64) -> bool {
    seconds_left < SOON_SECONDS.min(life_seconds / SOON_SHARE)
}
