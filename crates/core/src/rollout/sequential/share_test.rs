//! A test of how often something happens to users of the candidate and of the baseline.

use super::log_evidence::join_weighted;

/// The alternatives to "at most as often": how many times more often it may happen to the candidate.
pub(super) const RATIOS_ABOVE: [f64; 9] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0];
/// The weights of the alternatives: the larger a ratio is, the sooner it is found with little weight.
const WEIGHTS: [f64; 9] = [0.15, 0.2, 0.2, 0.15, 0.1, 0.08, 0.05, 0.04, 0.03];

/// Tests whether something happens to the candidate more often than allowed, given that each time it happens the
/// chance that it happens to the candidate is known. It keeps one log-likelihood ratio for each alternative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareTest {
    /// By alternative, in the order of `RATIOS_ABOVE`.
    pub above: Vec<f64>,
}

impl ShareTest {
    /// Adds how many times it happened to the baseline and to the candidate. `odds`: of the candidate against the baseline, at
    /// the most that is allowed.
    pub fn add(&mut self, baseline: u64, candidate: u64, odds: f64) {
        self.above.resize(RATIOS_ABOVE.len(), 0.0);
        for (log_ratio, times) in self.above.iter_mut().zip(RATIOS_ABOVE) {
            // Shares odds/(1 + odds) and odds·times/(1 + odds·times).
            let to_baseline = (1.0 + odds).ln() - (1.0 + odds * times).ln();
            let to_candidate = times.ln() + to_baseline;
            *log_ratio += candidate as f64 * to_candidate;
            *log_ratio += baseline as f64 * to_baseline;
        }
    }

    /// Natural logarithm of the evidence that it happens more often than allowed.
    pub fn log_evidence_above(&self) -> f64 {
        join_weighted(WEIGHTS.into_iter().zip(self.above.iter().copied()))
    }
}
