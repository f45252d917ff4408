//! What a gate is judged by ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result};
use super::measured_sums::{sums_from_pb, sums_to_pb};
use super::window::cells_from_pb;
use crate::generated::control::v1 as pb;
use marquee_core::rollout::judge::{
    Comparison, FirstTimes, GateComparison, MAX_RESTARTS, OpenStratum, Restart, Sums,
};
use marquee_core::rollout::sequential::{ShareTest, Stratified};
use marquee_core::rollout::window::GROUPS;

/// The wire form of what a gate is judged by.
pub(crate) fn gate_comparison_to_pb(comparison: &GateComparison) -> pb::GateComparison {
    let GateComparison { live, mirrored } = comparison;
    pb::GateComparison {
        live: Some(comparison_to_pb(live)),
        mirrored: Some(comparison_to_pb(mirrored)),
    }
}

/// Reads what a gate is judged by from its wire form.
pub(crate) fn gate_comparison_from_pb(comparison: pb::GateComparison) -> Result<GateComparison> {
    let pb::GateComparison { live, mirrored } = comparison;
    Ok(GateComparison {
        live: comparison_from_pb(live.unwrap_or_default())?,
        mirrored: comparison_from_pb(mirrored.unwrap_or_default())?,
    })
}

fn comparison_to_pb(comparison: &Comparison) -> pb::Comparison {
    let Comparison {
        windows,
        closed,
        open,
        share_began,
        restarts,
        first_times,
        first_times_at_share,
    } = comparison;
    pb::Comparison {
        windows: *windows,
        closed: Some(comparison_sums_to_pb(closed)),
        open: Some(open_to_pb(open)),
        share_began: Some(comparison_sums_to_pb(share_began)),
        restarts: restarts
            .iter()
            .map(|Restart { at_window, closed }| pb::ComparisonRestart {
                at_window: *at_window,
                closed: Some(comparison_sums_to_pb(closed)),
            })
            .collect(),
        first_times: Some(first_times_to_pb(first_times)),
        first_times_at_share: Some(first_times_to_pb(first_times_at_share)),
    }
}

fn comparison_from_pb(comparison: pb::Comparison) -> Result<Comparison> {
    let pb::Comparison {
        windows,
        closed,
        open,
        share_began,
        restarts,
        first_times,
        first_times_at_share,
    } = comparison;
    if restarts.len() > MAX_RESTARTS {
        let what = format!("{} given: at most {MAX_RESTARTS}", restarts.len());
        return Err(ConvertError::invalid("comparison.restarts", what));
    }
    Ok(Comparison {
        windows,
        closed: comparison_sums_from_pb(closed.unwrap_or_default())?,
        open: open_from_pb(open.unwrap_or_default())?,
        share_began: comparison_sums_from_pb(share_began.unwrap_or_default())?,
        restarts: restarts
            .into_iter()
            .map(|pb::ComparisonRestart { at_window, closed }| {
                let closed = comparison_sums_from_pb(closed.unwrap_or_default())?;
                Ok(Restart { at_window, closed })
            })
            .collect::<Result<_>>()?,
        first_times: first_times_from_pb(first_times.unwrap_or_default())?,
        first_times_at_share: first_times_from_pb(first_times_at_share.unwrap_or_default())?,
    })
}

fn comparison_sums_to_pb(sums: &Sums) -> pb::ComparisonSums {
    let Sums { metric, covariate } = sums;
    pb::ComparisonSums {
        metric: Some(stratified_to_pb(metric)),
        covariate: covariate.as_ref().map(stratified_to_pb),
    }
}

fn comparison_sums_from_pb(sums: pb::ComparisonSums) -> Result<Sums> {
    let pb::ComparisonSums { metric, covariate } = sums;
    Ok(Sums {
        metric: stratified_from_pb(metric.unwrap_or_default())?,
        covariate: covariate.map(stratified_from_pb).transpose()?,
    })
}

fn stratified_to_pb(sums: &Stratified) -> pb::StratifiedSums {
    let Stratified { candidate, baseline, weight, residual } = sums;
    let numbers = |values: &Vec<f64>| {
        if values.iter().all(|&value| value == 0.0) { Vec::new() } else { values.clone() }
    };
    pb::StratifiedSums {
        candidate: numbers(candidate),
        baseline: numbers(baseline),
        weight: numbers(weight),
        residual: numbers(residual),
    }
}

fn stratified_from_pb(sums: pb::StratifiedSums) -> Result<Stratified> {
    let pb::StratifiedSums { candidate, baseline, weight, residual } = sums;
    let numbers = |values: Vec<f64>, wanted: usize| match values.len() {
        0 => Ok(vec![0.0; wanted]),
        given if given == wanted && values.iter().all(|value| value.is_finite()) => Ok(values),
        given => {
            let what = format!("{given} given: {wanted} finite numbers, or none, are allowed");
            Err(ConvertError::invalid("comparison.sums", what))
        }
    };
    Ok(Stratified {
        candidate: numbers(candidate, GROUPS)?,
        baseline: numbers(baseline, GROUPS)?,
        weight: numbers(weight, GROUPS)?,
        residual: numbers(residual, 2 * GROUPS)?,
    })
}

fn open_to_pb(open: &OpenStratum) -> pb::OpenStratum {
    let OpenStratum { weight_basis_points, is_paired, windows, values, before } = open;
    let [baseline, candidate] = values;
    let before = before.as_ref();
    pb::OpenStratum {
        weight_basis_points: *weight_basis_points,
        windows: *windows,
        baseline: Some(sums_to_pb(baseline)),
        candidate: Some(sums_to_pb(candidate)),
        baseline_before: before.map(|[baseline, _]| sums_to_pb(baseline)),
        candidate_before: before.map(|[_, candidate]| sums_to_pb(candidate)),
        is_paired: *is_paired,
    }
}

fn open_from_pb(open: pb::OpenStratum) -> Result<OpenStratum> {
    let pb::OpenStratum {
        weight_basis_points,
        windows,
        baseline,
        candidate,
        baseline_before,
        candidate_before,
        is_paired,
    } = open;
    let before = match baseline_before.zip(candidate_before) {
        Some((baseline, candidate)) => Some([sums_from_pb(baseline)?, sums_from_pb(candidate)?]),
        None => None,
    };
    Ok(OpenStratum {
        weight_basis_points,
        is_paired,
        windows,
        values: [
            sums_from_pb(baseline.unwrap_or_default())?,
            sums_from_pb(candidate.unwrap_or_default())?,
        ],
        before,
    })
}

fn first_times_to_pb(first_times: &FirstTimes) -> pb::FirstTimes {
    let FirstTimes { seen, test: ShareTest { above } } = first_times;
    pb::FirstTimes { cells: seen.iter().map(u32::from).collect(), log_ratios: above.clone() }
}

fn first_times_from_pb(first_times: pb::FirstTimes) -> Result<FirstTimes> {
    let pb::FirstTimes { cells, log_ratios } = first_times;
    Ok(FirstTimes { seen: cells_from_pb(&cells)?, test: ShareTest { above: log_ratios } })
}
