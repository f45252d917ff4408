//! Effects of arms and variants, as tables: of experiments, of holdouts and of segments.

use crate::output;
use marquee_proto::control::v1::{Effect, Measure};

/// The largest effect that is shown as a number, as a part of the mean of arm 0: 1,000 %.
const MAX_SHOWN_EFFECT: f64 = 10.0;

/// The effects of arms, as a table.
pub(super) fn effects_in_words(effects: &[Effect], arms: &[&str]) -> String {
    let mut table = output::table(&["MEASURE", "ARM", "ANSWERS", "MEAN", "EFFECT", "95 %", "P"]);
    for found in effects {
        let mut row = vec![measure_name(found.measure()).to_owned()];
        row.extend(effect_columns(found, arms));
        table.add_row(row);
    }
    output::lines_of(&table)
}

/// An effect as columns: the arm, how many answers, their mean, the effect, its interval and its p-value.
pub(super) fn effect_columns(found: &Effect, arms: &[&str]) -> [String; 6] {
    let arm = arms.get(found.arm as usize).copied().unwrap_or("?");
    [
        arm.to_owned(),
        output::thousands(found.samples),
        format!("{:.4}", found.mean),
        percent(found.effect),
        interval(found),
        found.p_value.map_or_else(|| "-".into(), |p| format!("{p:.4}")),
    ]
}

/// The interval of an effect; "-" if one of its ends is missing or too far to be shown.
fn interval(found: &Effect) -> String {
    match (found.low, found.high) {
        (Some(low), Some(high)) if low.abs().max(high.abs()) <= MAX_SHOWN_EFFECT => {
            format!("{} to {}", percent(Some(low)), percent(Some(high)))
        }
        _ => "-".into(),
    }
}

/// An effect as a part of the mean of arm 0, in percent; "-" if there is none, or if it is so large that the
/// means are not of one scale, as the scores of two kinds of models are not.
fn percent(share: Option<f64>) -> String {
    match share {
        Some(share) if share.abs() <= MAX_SHOWN_EFFECT => format!("{:+.1} %", 100.0 * share),
        Some(_) | None => "-".into(),
    }
}

/// The name of a measure in the table of effects.
pub(super) fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Unspecified => "?",
        Measure::Failed => "failed",
        Measure::Empty => "empty",
        Measure::Partial => "partial",
        Measure::Fallback => "fallback",
        Measure::LogLatency => "log latency",
        Measure::SlowP50 => "slower than p50",
        Measure::SlowP95 => "slower than p95",
        Measure::SlowP99 => "slower than p99",
        Measure::ListSimilarity => "list similarity",
        Measure::Personalisation => "personalisation",
        Measure::Score => "score",
        Measure::Clicks => "clicks",
        Measure::PlaySeconds => "play seconds",
        Measure::Purchases => "purchases",
        Measure::ClicksBefore => "clicks before",
        Measure::PlaySecondsBefore => "play seconds before",
        Measure::PurchasesBefore => "purchases before",
        Measure::Users => "users",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_beyond_a_thousand_percent_are_not_shown_as_numbers() {
        let found = |low, high| Effect { low: Some(low), high: Some(high), ..Effect::default() };
        assert_eq!(percent(Some(-0.05)), "-5.0 %");
        assert_eq!(percent(Some(10.0)), "+1000.0 %");
        assert_eq!(percent(Some(1e120)), "-");
        assert_eq!(percent(Some(f64::NAN)), "-");
        assert_eq!(interval(&found(-0.1, 0.2)), "-10.0 % to +20.0 %");
        assert_eq!(interval(&found(-1e120, 1e120)), "-");
        assert_eq!(interval(&found(0.1, f64::INFINITY)), "-");
    }
}
