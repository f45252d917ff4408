//! The steps of a rollout as one word of the command line: `1%:60s,10%:5m,50%:10m,100%:0s`.

use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_HOLD_SECONDS};
use marquee_core::rollout::{RolloutStep, check_steps};

/// What the help says of the form.
pub const FORM: &str = "share:hold,share:hold,… such as 1%:60s,10%:5m,100%:0s";

/// Reads `share:hold,…`: shares in percent with at most two decimals (`0.25%`) or in basis points
/// (`25bp`), growing; holds with their unit (`90s`, `5m`, `2h`, `1d`).
pub fn parse(text: &str) -> Result<Vec<RolloutStep>, String> {
    let steps = text
        .split(',')
        .map(|step| {
            let (share, hold) = step
                .trim()
                .split_once(':')
                .ok_or_else(|| format!("step {step:?} has no hold: write {FORM}"))?;
            Ok(RolloutStep { weight_basis_points: weight(share)?, hold_seconds: seconds(hold)? })
        })
        .collect::<Result<Vec<_>, String>>()?;
    check_steps(&steps).map_err(|e| e.to_string())?;
    Ok(steps)
}

fn weight(text: &str) -> Result<u32, String> {
    let wrong = || {
        format!(
            "share {text:?} is not above 0% and up to 100% with at most two decimals: write 1%, 0.25% or 25bp"
        )
    };
    let points: Option<u32> = if let Some(points) = text.strip_suffix("bp") {
        digits(points)
    } else if let Some(percent) = text.strip_suffix('%') {
        let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
        let part = match part.len() {
            1 => digits(part).map(|tenths| tenths * 10),
            2 => digits(part),
            _ => None,
        };
        digits(whole).zip(part).and_then(|(whole, part)| whole.checked_mul(100)?.checked_add(part))
    } else {
        None
    };
    points.filter(|points| (1..=FULL_WEIGHT_BASIS_POINTS).contains(points)).ok_or_else(wrong)
}

fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("hold {text:?} is not a time of up to 30 days: write 90s, 5m, 2h or 1d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    digits(&text[..text.len() - 1])
        .and_then(|n| u64::from(n).checked_mul(unit))
        .filter(|seconds| *seconds <= MAX_HOLD_SECONDS)
        .ok_or_else(wrong)
}

/// Digits alone: `parse` would take a sign too.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let step =
            |weight_basis_points, hold_seconds| RolloutStep { weight_basis_points, hold_seconds };
        assert_eq!(
            parse("1%:60s,10%:5m, 50%:2h,100%:0s"),
            Ok(vec![step(100, 60), step(1_000, 300), step(5_000, 7_200), step(10_000, 0)])
        );
        assert_eq!(parse("0.25%:1d"), Ok(vec![step(25, 86_400)]));
        assert_eq!(parse("0.5%:1s,75bp:30d"), Ok(vec![step(50, 1), step(75, 2_592_000)]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "has no hold"),
            ("1%", "has no hold"),
            ("1:60s", "share \"1\""),
            ("%:1s", "share \"%\""),
            ("0%:1s", "share \"0%\""),
            ("101%:1s", "share \"101%\""),
            ("1.234%:1s", "share \"1.234%\""),
            ("+1%:1s", "share \"+1%\""),
            ("99999999999%:1s", "share"),
            ("1%:", "hold \"\""),
            ("1%:60", "hold \"60\""),
            ("1%:-1s", "hold \"-1s\""),
            ("1%:31d", "hold \"31d\""),
            ("1%:1é", "hold"),
            ("10%:1s,10%:1s", "steps[1].weight_basis_points"),
            ("10%:1s,", "has no hold"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(says), "{text:?}: {said:?} does not say {says:?}");
        }
    }
}
