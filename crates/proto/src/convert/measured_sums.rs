//! Counts and sums by measure ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result};
use crate::generated::control::v1 as pb;
use marquee_core::rollout::window::{GROUPS, GroupedSum, Measure, MeasuredSums};

/// The largest count in one window. More is a fault and no count of requests: control adds windows up, and
/// the sums must not overflow in the lifetime of a cluster.
pub(super) const MAX_COUNT: u64 = 1 << 40;

/// Refuses a count that is none of a window.
pub(super) fn check_count(field: &str, count: u64) -> Result<()> {
    match count {
        0..=MAX_COUNT => Ok(()),
        _ => Err(ConvertError::invalid(field, format!("a count of {count} is beyond {MAX_COUNT}"))),
    }
}

/// The wire form of the sums of an arm.
pub(super) fn measures_to_pb(measures: &MeasuredSums) -> Vec<pb::MeasureSum> {
    let sum = |(&measure, sums): (&Measure, &GroupedSum)| pb::MeasureSum {
        measure: measure_to_pb(measure) as i32,
        sums: Some(sums_to_pb(sums)),
    };
    measures.iter().map(sum).collect()
}

/// Reads the sums of an arm from their wire form, each measure once.
pub(super) fn measures_from_pb(measures: Vec<pb::MeasureSum>) -> Result<MeasuredSums> {
    let mut known = MeasuredSums::new();
    for pb::MeasureSum { measure, sums } in measures {
        let sums = sums_from_pb(sums.unwrap_or_default())?;
        if known.insert(measure_from_pb(measure)?, sums).is_some() {
            let key = measure.to_string();
            return Err(ConvertError::DuplicateKey { field: "arms.measures".into(), key });
        }
    }
    Ok(known)
}

/// The wire form of counts and sums by group; empty lists where all are zero.
pub(crate) fn sums_to_pb(sums: &GroupedSum) -> pb::GroupedSum {
    let GroupedSum { count, sum } = sums;
    // Most measures of most windows are all zeros: faults are rare, and so are rewards.
    let counts = if count.iter().all(|&count| count == 0) { Vec::new() } else { count.clone() };
    let sums = if sum.iter().all(|&sum| sum == 0.0) { Vec::new() } else { sum.clone() };
    pb::GroupedSum { counts, sums }
}

/// Reads counts and sums by group from their wire form: [`GROUPS`] of each, or none.
pub(crate) fn sums_from_pb(sums: pb::GroupedSum) -> Result<GroupedSum> {
    let pb::GroupedSum { counts, sums } = sums;
    let nothing = GroupedSum::default();
    let counts = if counts.is_empty() { nothing.count } else { counts };
    let sums = if sums.is_empty() { nothing.sum } else { sums };
    if counts.len() != GROUPS || sums.len() != GROUPS {
        return Err(ConvertError::invalid(
            "sums",
            format!("{GROUPS} counts and sums, or none, are allowed"),
        ));
    }
    if let Some(sum) = sums.iter().find(|sum| !sum.is_finite() || sum.abs() > MAX_COUNT as f64) {
        return Err(ConvertError::invalid("sums", format!("{sum} is no sum of a window")));
    }
    for &count in &counts {
        check_count("sums", count)?;
    }
    Ok(GroupedSum { count: counts, sum: sums })
}

/// The wire form of a measure.
pub fn measure_to_pb(measure: Measure) -> pb::Measure {
    match measure {
        Measure::Failed => pb::Measure::Failed,
        Measure::Empty => pb::Measure::Empty,
        Measure::Partial => pb::Measure::Partial,
        Measure::Fallback => pb::Measure::Fallback,
        Measure::LogLatency => pb::Measure::LogLatency,
        Measure::SlowP50 => pb::Measure::SlowP50,
        Measure::SlowP95 => pb::Measure::SlowP95,
        Measure::SlowP99 => pb::Measure::SlowP99,
        Measure::ListSimilarity => pb::Measure::ListSimilarity,
        Measure::Personalisation => pb::Measure::Personalisation,
        Measure::Score => pb::Measure::Score,
        Measure::Clicks => pb::Measure::Clicks,
        Measure::PlaySeconds => pb::Measure::PlaySeconds,
        Measure::Purchases => pb::Measure::Purchases,
        Measure::ClicksBefore => pb::Measure::ClicksBefore,
        Measure::PlaySecondsBefore => pb::Measure::PlaySecondsBefore,
        Measure::PurchasesBefore => pb::Measure::PurchasesBefore,
        Measure::Users => pb::Measure::Users,
    }
}

/// Reads a measure from its wire form.
pub fn measure_from_pb(value: i32) -> Result<Measure> {
    let measure =
        pb::Measure::try_from(value).map_err(|_| ConvertError::unknown("measure", value))?;
    let found = Measure::ALL.into_iter().find(|&it| measure_to_pb(it) == measure);
    found.ok_or_else(|| ConvertError::unknown("measure", value))
}
