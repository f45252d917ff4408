//! Counts and sums by group of users.

use super::group::GROUPS;

/// Counts and sums of values, by group of users.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupedSum {
    /// How many values there were, by group: [`GROUPS`] numbers.
    pub count: Vec<u64>,
    /// What they add up to, by group: [`GROUPS`] numbers.
    pub sum: Vec<f64>,
}

impl Default for GroupedSum {
    fn default() -> Self {
        Self { count: vec![0; GROUPS], sum: vec![0.0; GROUPS] }
    }
}

impl GroupedSum {
    /// Adds one value.
    pub fn add(&mut self, group: usize, value: f64) {
        self.count[group] += 1;
        self.sum[group] += value;
    }

    /// Adds the counts and sums of another.
    pub fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.count.iter_mut().zip(&other.count) {
            *mine += theirs;
        }
        for (mine, theirs) in self.sum.iter_mut().zip(&other.sum) {
            *mine += theirs;
        }
    }

    /// How many values there were.
    pub fn total(&self) -> u64 {
        self.count.iter().sum()
    }

    /// Whether there is neither a value nor a sum. Of another router's answers there may be a sum without values.
    pub fn is_empty(&self) -> bool {
        self.total() == 0 && self.sum.iter().all(|&sum| sum == 0.0)
    }

    /// The mean of the values; none if there were none.
    pub fn mean(&self) -> Option<f64> {
        match self.total() {
            0 => None,
            total => Some(self.sum.iter().sum::<f64>() / total as f64),
        }
    }

    /// How many groups have a value.
    pub fn filled(&self) -> usize {
        self.count.iter().filter(|&&count| count > 0).count()
    }
}
