//! Gates ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, required};
use crate::generated::control::v1 as pb;
use marquee_core::rollout::gate::{Bound, DEFAULT_MIN_SAMPLES, Gate, Metric, OnBreach, OnNoData};

/// The wire form of a gate.
pub fn gate_to_pb(gate: &Gate) -> pb::Gate {
    let Gate {
        metric,
        bound,
        min_samples,
        on_breach,
        on_no_data,
        consecutive_breaches,
        false_alarm,
        maturity_seconds,
    } = *gate;
    use pb::gate::Bound as Pb;
    pb::Gate {
        metric: metric_to_pb(metric) as i32,
        bound: Some(match bound {
            Bound::MaxRatio(ratio) => Pb::MaxRatio(ratio),
            Bound::MinRatio(ratio) => Pb::MinRatio(ratio),
            Bound::Max(value) => Pb::Max(value),
            Bound::Min(value) => Pb::Min(value),
        }),
        min_samples: Some(min_samples),
        on_breach: on_breach_to_pb(on_breach) as i32,
        on_no_data: match on_no_data {
            OnNoData::Hold => pb::OnNoData::Hold,
            OnNoData::Ignore => pb::OnNoData::Ignore,
        } as i32,
        consecutive_breaches,
        false_alarm_probability: false_alarm,
        maturity_seconds,
    }
}

/// Reads a gate from its wire form; what is left out has its default. Bounds are the state machine's to
/// check.
pub fn gate_from_pb(gate: pb::Gate) -> Result<Gate> {
    let pb::Gate {
        metric,
        bound,
        min_samples,
        on_breach,
        on_no_data,
        consecutive_breaches,
        false_alarm_probability,
        maturity_seconds,
    } = gate;
    use pb::gate::Bound as Pb;
    Ok(Gate {
        metric: metric_from_pb(metric)?,
        bound: match required(bound, "gates.bound")? {
            Pb::MaxRatio(ratio) => Bound::MaxRatio(ratio),
            Pb::MinRatio(ratio) => Bound::MinRatio(ratio),
            Pb::Max(value) => Bound::Max(value),
            Pb::Min(value) => Bound::Min(value),
        },
        min_samples: min_samples.unwrap_or(DEFAULT_MIN_SAMPLES),
        on_breach: on_breach_from_pb(on_breach, "gates.on_breach")?,
        on_no_data: match pb::OnNoData::try_from(on_no_data) {
            Ok(pb::OnNoData::Unspecified | pb::OnNoData::Hold) => OnNoData::Hold,
            Ok(pb::OnNoData::Ignore) => OnNoData::Ignore,
            Err(_) => return Err(ConvertError::unknown("gates.on_no_data", on_no_data)),
        },
        consecutive_breaches: consecutive_breaches.max(1),
        false_alarm: false_alarm_probability,
        maturity_seconds,
    })
}

/// The wire form of what happens on a breach.
pub(super) fn on_breach_to_pb(on_breach: OnBreach) -> pb::OnBreach {
    match on_breach {
        OnBreach::RollBack => pb::OnBreach::RollBack,
        OnBreach::Pause => pb::OnBreach::Pause,
    }
}

/// Reads what happens on a breach from its wire form.
pub(super) fn on_breach_from_pb(value: i32, field: &str) -> Result<OnBreach> {
    match pb::OnBreach::try_from(value) {
        Ok(pb::OnBreach::Unspecified | pb::OnBreach::RollBack) => Ok(OnBreach::RollBack),
        Ok(pb::OnBreach::Pause) => Ok(OnBreach::Pause),
        Err(_) => Err(ConvertError::unknown(field, value)),
    }
}

/// The wire form of a metric.
pub fn metric_to_pb(metric: Metric) -> pb::Metric {
    match metric {
        Metric::ErrorRate => pb::Metric::ErrorRate,
        Metric::EmptyRate => pb::Metric::EmptyRate,
        Metric::PartialRate => pb::Metric::PartialRate,
        Metric::FallbackRate => pb::Metric::FallbackRate,
        Metric::LatencyP50 => pb::Metric::LatencyP50,
        Metric::LatencyP95 => pb::Metric::LatencyP95,
        Metric::LatencyP99 => pb::Metric::LatencyP99,
        Metric::LatencyMean => pb::Metric::LatencyMean,
        Metric::ListSimilarity => pb::Metric::Sameness,
        Metric::Personalisation => pb::Metric::Personalisation,
        Metric::Score => pb::Metric::Score,
        Metric::Overlap => pb::Metric::Overlap,
        Metric::RankBiasedOverlap => pb::Metric::RankBiasedOverlap,
        Metric::ClicksPerAnswer => pb::Metric::ClicksPerAnswer,
        Metric::PlaySecondsPerAnswer => pb::Metric::PlaySecondsPerAnswer,
        Metric::PurchasesPerAnswer => pb::Metric::PurchasesPerAnswer,
        Metric::Preference => pb::Metric::Preference,
    }
}

/// Reads a metric from its wire form.
pub fn metric_from_pb(value: i32) -> Result<Metric> {
    let metric =
        pb::Metric::try_from(value).map_err(|_| ConvertError::unknown("gates.metric", value))?;
    let found = Metric::ALL.into_iter().find(|&it| metric_to_pb(it) == metric);
    found.ok_or_else(|| ConvertError::unknown("gates.metric", value))
}
