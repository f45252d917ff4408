//! Evidence as a natural logarithm: how much is required, and evidence of several sources.

/// What the natural logarithm of the evidence must reach, for a chance of false alarm of `alpha`.
pub fn required_log_evidence(alpha: f64) -> f64 {
    -alpha.ln()
}

/// Combines evidence from several sources on one hypothesis: the mean of e-values is an e-value too. Takes
/// and returns natural logarithms; 0 of none.
pub fn join(logs: &[f64]) -> f64 {
    let weight = 1.0 / logs.len().max(1) as f64;
    join_weighted(logs.iter().map(|&log| (weight, log)))
}

/// Combines evidence from several sources by their weights, which add up to at most 1. Takes and returns natural
/// logarithms; 0 of none.
pub fn join_weighted(weighted: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let largest = weighted.clone().map(|(_, log)| log).fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 0.0;
    }
    let sum: f64 = weighted.map(|(weight, log)| weight * (log - largest).exp()).sum();
    largest + sum.ln()
}
