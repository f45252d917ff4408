//! A test of rates: how often something happens to one arm and to the other.

use super::log_evidence::join;

/// The alternatives to "at most as often": how many times more often it may happen to the candidate.
pub(super) const RATIOS_ABOVE: [f64; 9] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0];
/// The alternatives to "at least as often": how many times as often it may happen to the candidate.
const RATIOS_BELOW: [f64; 6] = [0.9, 0.8, 0.65, 0.5, 0.25, 0.1];

/// How often something happened to an arm's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrences {
    /// To how many requests it happened.
    pub times: u64,
    /// How many requests there were.
    pub of: u64,
}

impl Occurrences {
    /// The occurrences of both.
    pub fn plus(self, other: Self) -> Self {
        Self { times: self.times + other.times, of: self.of + other.of }
    }

    /// The share of requests that it happened to; none where there were none.
    pub fn rate(self) -> Option<f64> {
        if self.of > 0 { Some(self.times as f64 / self.of as f64) } else { None }
    }
}

/// Tests whether something happens to the candidate more than `ratio` times as often as to the baseline. It
/// keeps one log-likelihood ratio for each alternative, summed over windows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShareTest {
    /// Against "at most `ratio` times", by alternative, in the order of [`RATIOS_ABOVE`].
    pub above: Vec<f64>,
    /// Against "at least `ratio` times", by alternative, in the order of [`RATIOS_BELOW`].
    pub below: Vec<f64>,
}

impl ShareTest {
    /// Adds a window. Without requests of both arms it says nothing.
    pub fn add_window(&mut self, baseline: Occurrences, candidate: Occurrences, ratio: f64) {
        if baseline.of == 0 || candidate.of == 0 {
            return;
        }
        let odds = ratio * candidate.of as f64 / baseline.of as f64;
        for (log_ratios, alternatives) in self.hypotheses() {
            for (log_ratio, times) in log_ratios.iter_mut().zip(alternatives) {
                // Shares odds/(1 + odds) and odds·times/(1 + odds·times).
                let to_baseline = (1.0 + odds).ln() - (1.0 + odds * times).ln();
                let to_candidate = times.ln() + to_baseline;
                *log_ratio += candidate.times as f64 * to_candidate;
                *log_ratio += baseline.times as f64 * to_baseline;
            }
        }
    }

    /// Adds a window of a candidate that something may happen to with a chance of at most `chance`.
    pub fn add_window_against_constant(&mut self, candidate: Occurrences, chance: f64) {
        let Occurrences { times, of } = candidate;
        let chance = chance.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        for (log_ratios, alternatives) in self.hypotheses() {
            for (log_ratio, factor) in log_ratios.iter_mut().zip(alternatives) {
                // By odds, so that every alternative is a chance.
                let odds = factor * chance / (1.0 - chance);
                let other = odds / (1.0 + odds);
                *log_ratio += times as f64 * (other / chance).ln();
                *log_ratio += (of - times) as f64 * ((1.0 - other) / (1.0 - chance)).ln();
            }
        }
    }

    /// Natural logarithm of the evidence that it happens more often than allowed.
    pub fn log_evidence_above(&self) -> f64 {
        join(&self.above)
    }

    /// Natural logarithm of the evidence that it happens less often than allowed.
    pub fn log_evidence_below(&self) -> f64 {
        join(&self.below)
    }

    /// Both hypotheses with their alternatives, as many log-likelihood ratios as alternatives.
    fn hypotheses(&mut self) -> [(&mut Vec<f64>, &'static [f64]); 2] {
        self.above.resize(RATIOS_ABOVE.len(), 0.0);
        self.below.resize(RATIOS_BELOW.len(), 0.0);
        [(&mut self.above, &RATIOS_ABOVE), (&mut self.below, &RATIOS_BELOW)]
    }
}
