//! Evidence as a natural logarithm: how much is required, and evidence of several sources.

/// What the natural logarithm of the evidence must reach, for a chance of false alarm of `alpha`.
pub fn required_log_evidence(alpha: f64) -> f64 {
    -alpha.ln()
}

/// Combines evidence from several sources on one hypothesis: the mean of e-values is an e-value too. Takes
/// and returns natural logarithms; 0 of none.
pub fn join(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 0.0;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}
