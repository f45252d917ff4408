//! Shares and times as arguments of the command line.

use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_HOLD_SECONDS};

/// Bytes of a file of ids that are read: a thousand ids of the longest kind and their line ends are a quarter of it.
pub(super) const MAX_ID_FILE_BYTES: u64 = 1 << 20;

/// Reads a share, `1%`, `0.25%` or `25bp`, as basis points.
pub(super) fn parse_share(text: &str) -> Result<u32, String> {
    let wrong = || {
        format!(
            "share {text:?} is not above 0% and up to 100% with at most two decimals: write 1%, 0.25% or 25bp"
        )
    };
    let points: Option<u32> = if let Some(points) = text.strip_suffix("bp") {
        parse_whole(points)
    } else if let Some(percent) = text.strip_suffix('%') {
        let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
        let part = match part.len() {
            1 => parse_whole(part).map(|tenths| tenths * 10),
            2 => parse_whole(part),
            _ => None,
        };
        parse_whole(whole)
            .zip(part)
            .and_then(|(whole, part)| whole.checked_mul(100)?.checked_add(part))
    } else {
        None
    };
    points.filter(|points| (1..=FULL_WEIGHT_BASIS_POINTS).contains(points)).ok_or_else(wrong)
}

/// Reads a time, `90s`, `5m`, `2h` or `1d`, as seconds.
pub(super) fn parse_seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("hold {text:?} is not a time of up to 30 days: write 90s, 5m, 2h or 1d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    parse_whole(&text[..text.len() - 1])
        .and_then(|n| u64::from(n).checked_mul(unit))
        .filter(|seconds| *seconds <= MAX_HOLD_SECONDS)
        .ok_or_else(wrong)
}

/// A time in its largest whole unit: `90 s`, `2 h`, `14 d`.
pub(super) fn seconds_in_words(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let whole =
        units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    whole
        .map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// Reads a whole number of digits only: `parse` would accept a sign too.
pub(super) fn parse_whole(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
