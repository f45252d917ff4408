//! The gates of a rollout as arguments of the command line: `error_rate<=1.2x,pause,samples=500`.

use crate::commands::ctl::units::parse_seconds;
use marquee_core::rollout::gate::{Bound, Gate, Metric, OnBreach, OnNoData, check_gates};

/// The form of a gate, as messages print it.
const FORM: &str =
    "metric<=bound or metric>=bound, the bound a number or a multiple of the baseline such as 1.2x";

/// Reads `metric<=bound[,option…]`. Options: `pause` (instead of rolling back), `ignore-no-data` (instead of
/// holding the step), `samples=N`, `breaches=N` (windows in a row), `alpha=P` (probability of a false alarm), and for
/// rewards `mature=T` (how long answers have time for them, such as `5m`).
pub(super) fn parse(text: &str) -> Result<Gate, String> {
    let mut parts = text.split(',').map(str::trim);
    let compared = parts.next().unwrap_or_default();
    let (metric, is_upper, bound) = match (compared.split_once("<="), compared.split_once(">=")) {
        (Some((metric, bound)), None) => (metric, true, bound),
        (None, Some((metric, bound))) => (metric, false, bound),
        _ => return Err(format!("gate {compared:?} has no comparison: write {FORM}")),
    };
    let mut gate = Gate::new(metric_named(metric.trim())?, bound_of(bound.trim(), is_upper)?);
    for option in parts {
        apply(&mut gate, option)?;
    }
    check_gates(std::slice::from_ref(&gate)).map_err(|e| e.to_string())?;
    Ok(gate)
}

/// The metric of this name.
fn metric_named(name: &str) -> Result<Metric, String> {
    Metric::named(name).ok_or_else(|| {
        let all: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        format!("there is no metric {name:?}: the metrics are {}", all.join(", "))
    })
}

/// Reads a bound: a number, `50ms` or `1.2x`.
fn bound_of(text: &str, is_upper: bool) -> Result<Bound, String> {
    let (digits, is_ratio) = match text.strip_suffix('x') {
        Some(digits) => (digits, true),
        None => (text.strip_suffix("ms").unwrap_or(text), false),
    };
    let value: f64 = digits
        .parse()
        .map_err(|_| format!("bound {text:?} is no number: write 0.01, 50ms or 1.2x"))?;
    Ok(match (is_upper, is_ratio) {
        (true, true) => Bound::MaxRatio(value),
        (true, false) => Bound::Max(value),
        (false, true) => Bound::MinRatio(value),
        (false, false) => Bound::Min(value),
    })
}

/// Applies one option to a gate.
fn apply(gate: &mut Gate, option: &str) -> Result<(), String> {
    match option.split_once('=') {
        None if option == "pause" => gate.on_breach = OnBreach::Pause,
        None if option == "ignore-no-data" => gate.on_no_data = OnNoData::Ignore,
        Some(("samples", text)) => gate.min_samples = whole(option, text)?,
        Some(("breaches", text)) => {
            gate.consecutive_breaches = u32::try_from(whole(option, text)?).unwrap_or(u32::MAX);
        }
        Some(("alpha", text)) => {
            let chance = text.parse().map_err(|_| format!("{option:?}: {text:?} is no number"))?;
            gate.false_alarm = Some(chance);
        }
        Some(("mature", text)) => {
            gate.maturity_seconds = Some(u32::try_from(parse_seconds(text)?).unwrap_or(u32::MAX));
        }
        _ => {
            return Err(format!(
                "unknown option {option:?}: the options are pause, ignore-no-data, samples=N, breaches=N, alpha=P, mature=T"
            ));
        }
    }
    Ok(())
}

/// Reads the whole number of an option.
fn whole(option: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{option:?}: {text:?} is no whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read() {
        let plain = Gate::new(Metric::ErrorRate, Bound::MaxRatio(1.2));
        assert_eq!(parse("error_rate<=1.2x"), Ok(plain));
        assert_eq!(
            parse(" latency_p99 <= 50ms , pause, samples=500, breaches=3, alpha=0.001"),
            Ok(Gate {
                on_breach: OnBreach::Pause,
                min_samples: 500,
                consecutive_breaches: 3,
                false_alarm: Some(0.001),
                ..Gate::new(Metric::LatencyP99, Bound::Max(50.0))
            })
        );
        let rewards = parse("clicks_per_answer>=0.98x,ignore-no-data,mature=5m").expect("valid");
        assert_eq!(rewards.maturity_seconds, Some(300));
        assert_eq!(rewards.bound, Bound::MinRatio(0.98));
        assert_eq!(rewards.on_no_data, OnNoData::Ignore);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "has no comparison"),
            ("error_rate=1", "has no comparison"),
            ("errors<=1", "there is no metric \"errors\": the metrics are error_rate"),
            ("error_rate<=much", "bound \"much\""),
            ("error_rate<=-1", "not a number from 0"),
            ("error_rate<=NaN", "not a number from 0"),
            ("error_rate<=0x", "compares with nothing"),
            ("overlap>=0.9x", "has no ratio"),
            ("latency_p50>=3", "has no lower bound"),
            ("error_rate<=1,samples=many", "no whole number"),
            ("error_rate<=1,breaches=0", "consecutive_breaches"),
            ("error_rate<=1,alpha=0", "false_alarm_probability"),
            ("error_rate<=1,hold", "option \"hold\""),
            ("clicks_per_answer>=1x,mature=soon", "\"soon\""),
            ("clicks_per_answer>=1x,mature=0s", "maturity_seconds"),
            ("clicks_per_answer>=1x,mature=2h", "maturity_seconds"),
            ("error_rate<=1,mature=5m", "no reward"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(says), "{text:?}: {said:?} does not say {says:?}");
        }
    }
}
