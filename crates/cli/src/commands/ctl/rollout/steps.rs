//! The steps of a rollout as one argument of the command line: `1%:60s,10%:5m:500,50%:10m!,100%:0s`.

use crate::commands::ctl::units::{parse_seconds, parse_share, parse_whole};
use crate::output::percent;
use marquee_core::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_ROLLOUT_STEPS};
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::{InterleaveStage, RolloutStep, Shadow, StepsError, check_steps};

/// The form of steps, as messages print it.
const FORM: &str = "share:hold,share:hold,… such as 1%:60s,10%:5m,100%:0s";
/// Steps of an exponential schedule are at least this many times as large as the one before.
const MIN_FACTOR: f64 = 1.1;

/// Reads `share:hold,…`: shares in percent with at most two decimals (`0.25%`) or in basis points
/// (`25bp`), growing; holds with their unit (`90s`, `5m`, `2h`, `1d`). After a further colon, the requests
/// that the candidate must have answered; a `!` at the end requires approval before the step.
pub(super) fn parse_steps(text: &str) -> Result<Vec<RolloutStep>, String> {
    let mut steps = Vec::new();
    for step in text.split(',') {
        steps.push(parse_step(step)?);
    }
    check_steps(&steps).map_err(|error| in_words(&error))?;
    Ok(steps)
}

/// What is wrong with steps, as the command line has them: counted from 1, shares in percent.
fn in_words(error: &StepsError) -> String {
    match *error {
        StepsError::Count { count } => {
            format!("{count} steps: a rollout has 1 to {MAX_ROLLOUT_STEPS}")
        }
        StepsError::Weight { step, weight } => format!(
            "step {}: {} is not above the step before and at most 100 %",
            step + 1,
            percent(weight)
        ),
        StepsError::Hold { step, hold } => {
            format!("step {}: a hold of {hold} s is longer than 30 days", step + 1)
        }
    }
}

/// Reads one step, `share:hold[:samples][!]`.
fn parse_step(text: &str) -> Result<RolloutStep, String> {
    let requires_approval = text.trim().ends_with('!');
    let (share, rest) = text
        .trim()
        .trim_end_matches('!')
        .split_once(':')
        .ok_or_else(|| format!("step {text:?} has no hold: write {FORM}"))?;
    let (hold, samples) = rest.split_once(':').unwrap_or((rest, "0"));
    let min_samples = parse_whole(samples)
        .ok_or_else(|| format!("samples {samples:?} are no whole number: write 500"))?;
    Ok(RolloutStep {
        min_samples: u64::from(min_samples),
        requires_approval,
        ..RolloutStep::new(parse_share(share)?, parse_seconds(hold)?)
    })
}

/// Reads `share:factor:hold`, such as `1%:3:10m`: each step is that many times the one before, until all
/// traffic is reached.
pub(super) fn parse_exponential(text: &str) -> Result<Vec<RolloutStep>, String> {
    let wrong_form = || format!("{text:?} is not of the form share:factor:hold, such as 1%:3:10m");
    let (share, rest) = text.split_once(':').ok_or_else(wrong_form)?;
    let (factor, hold) = rest.split_once(':').ok_or_else(wrong_form)?;
    let (first, hold) = (parse_share(share)?, parse_seconds(hold)?);
    let factor: f64 = factor.parse().map_err(|_| wrong_form())?;
    if !(factor >= MIN_FACTOR && factor <= f64::from(FULL_WEIGHT_BASIS_POINTS)) {
        return Err(format!("factor {factor} is not from {MIN_FACTOR} to 10000"));
    }
    let mut steps = Vec::new();
    let mut share = f64::from(first);
    loop {
        let rounded = share.round().min(f64::from(FULL_WEIGHT_BASIS_POINTS)) as u32;
        // Small shares may round to the same.
        if steps.last().is_none_or(|last: &RolloutStep| last.weight_basis_points < rounded) {
            steps.push(RolloutStep::new(rounded, hold));
        }
        if rounded == FULL_WEIGHT_BASIS_POINTS {
            break;
        }
        share *= factor;
    }
    check_steps(&steps).map_err(|error| in_words(&error))?;
    Ok(steps)
}

/// Reads a share and how long it is held: `5%:10m` or, with samples, `5%:10m:1000`.
pub(super) fn parse_shadow(text: &str) -> Result<Shadow, String> {
    let step = parse_one(text)?;
    Ok(Shadow {
        mirror_basis_points: step.weight_basis_points,
        hold_seconds: step.hold_seconds,
        min_samples: step.min_samples,
    })
}

/// Reads a share and how long it is held as [`parse_shadow`] does, and after a further colon how lists are made:
/// `5%:30m:balanced`.
pub(super) fn parse_interleave(text: &str) -> Result<InterleaveStage, String> {
    let (step, how) = match text.strip_suffix(":balanced") {
        Some(step) => (step, Interleaving::Balanced),
        None => (text, Interleaving::TeamDraft),
    };
    let step = parse_one(step)?;
    Ok(InterleaveStage {
        share_basis_points: step.weight_basis_points,
        hold_seconds: step.hold_seconds,
        min_samples: step.min_samples,
        how,
    })
}

fn parse_one(text: &str) -> Result<RolloutStep, String> {
    let steps = parse_steps(text)?;
    match steps.as_slice() {
        [step @ RolloutStep { requires_approval: false, .. }] => Ok(*step),
        _ => Err(format!("{text:?} is not one share and hold, such as 5%:10m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let step = RolloutStep::new;
        assert_eq!(
            parse_steps("1%:60s,10%:5m, 50%:2h,100%:0s"),
            Ok(vec![step(100, 60), step(1_000, 300), step(5_000, 7_200), step(10_000, 0)])
        );
        assert_eq!(parse_steps("0.25%:1d"), Ok(vec![step(25, 86_400)]));
        assert_eq!(
            parse_steps("1%:1m:500!"),
            Ok(vec![RolloutStep { min_samples: 500, requires_approval: true, ..step(100, 60) }])
        );
        assert_eq!(parse_steps("0.5%:1s,75bp:30d"), Ok(vec![step(50, 1), step(75, 2_592_000)]));
    }

    #[test]
    fn a_stage_of_interleaved_answers_is_read() {
        let stage = |min_samples, how| InterleaveStage {
            share_basis_points: 500,
            hold_seconds: 1_800,
            min_samples,
            how,
        };
        for (text, expected) in [
            ("5%:30m", stage(0, Interleaving::TeamDraft)),
            ("5%:30m:200", stage(200, Interleaving::TeamDraft)),
            ("5%:30m:balanced", stage(0, Interleaving::Balanced)),
            ("5%:30m:200:balanced", stage(200, Interleaving::Balanced)),
        ] {
            assert_eq!(parse_interleave(text), Ok(expected), "{text}");
        }
        for bad in ["", "5%", "5%:30m!", "5%:30m,6%:1m", "5%:30m:fair", ":balanced"] {
            assert!(parse_interleave(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exponential_schedules_end_at_all_traffic() {
        let weights = |text: &str| -> Vec<u32> {
            parse_exponential(text).expect(text).iter().map(|s| s.weight_basis_points).collect()
        };
        assert_eq!(weights("1%:3:10m"), [100, 300, 900, 2_700, 8_100, 10_000]);
        assert_eq!(weights("50%:2:1s"), [5_000, 10_000]);
        assert_eq!(weights("100%:2:1s"), [10_000]);
        assert_eq!(weights("1bp:1.5:1s")[..4], [1, 2, 3, 5], "steps that round alike are one");
        for bad in ["1%:1:1m", "1%:3", "1%:x:1m", "1%:NaN:1m", "1bp:1.1:1s"] {
            assert!(parse_exponential(bad).is_err(), "{bad}");
        }
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
            ("10%:1s,10%:1s", "step 2: 10 % is not above the step before"),
            ("10%:1s,", "has no hold"),
            ("10%:1s:some", "samples \"some\""),
        ] {
            let said = parse_steps(text).expect_err(text);
            assert!(said.contains(says), "{text:?}: {said:?} does not say {says:?}");
        }
    }
}
