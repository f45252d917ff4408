//! Latencies and how often each was seen.

use std::collections::BTreeMap;

/// The latencies that were seen, in µs, and how often each. Routers round them to two digits with an HDR
/// histogram, so that there are few different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies(pub BTreeMap<u64, u64>);

impl Latencies {
    /// Adds `count` latencies of `micros`.
    pub fn add(&mut self, micros: u64, count: u64) {
        *self.0.entry(micros).or_insert(0) += count;
    }

    /// Adds the latencies of another.
    pub fn absorb(&mut self, other: &Self) {
        for (&micros, &count) in &other.0 {
            self.add(micros, count);
        }
    }

    /// How many latencies there are.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many latencies are above `micros`.
    pub fn above(&self, micros: u64) -> u64 {
        self.0.range(micros.saturating_add(1)..).map(|(_, count)| count).sum()
    }

    /// The least latency, in µs, that at least `share` (0..=1) of all do not exceed; none if there are none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (share * self.total() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        self.0.iter().find_map(|(&micros, &count)| {
            below += count;
            (below >= wanted).then_some(micros)
        })
    }
}
