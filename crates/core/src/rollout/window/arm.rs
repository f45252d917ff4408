//! What the answers of one arm were like.

use super::cells::UserCells;
use super::grouped_sum::GroupedSum;
use super::latencies::Latencies;
use super::measure::Measure;
use crate::rollout::sketch::{Distinct, Scores};
use std::collections::BTreeMap;

/// What the answers of one arm were like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmStats {
    /// How many requests ended with each gRPC code other than OK. Errors that callers caused do not count.
    pub errors: BTreeMap<u32, u64>,
    /// How long answers took, errors included.
    pub latencies: Latencies,
    /// Counts and sums of each measure that was taken.
    pub measures: BTreeMap<Measure, GroupedSum>,
    /// The users that each fault of [`Measure::FAULTS`] happened to. However often it happens to a user, it is
    /// one user.
    pub users_with: BTreeMap<Measure, UserCells>,
    /// The scores of the best items.
    pub scores: Scores,
    /// The different items among the first [`MAX_DIFF_ITEMS`](super::MAX_DIFF_ITEMS) of all lists: how much
    /// of the catalogue was shown. It grows with the number of answers, so arms of different shares are
    /// compared by [`Measure::ListSimilarity`] instead.
    pub items: Distinct,
}

impl ArmStats {
    /// How many requests there were, errors included.
    pub fn requests(&self) -> u64 {
        self.measures.get(&Measure::Failed).map_or(0, GroupedSum::total)
    }

    /// How many requests ended in an error.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Adds one value of an answer to a user of `group`.
    pub fn measure(&mut self, measure: Measure, group: usize, value: f64) {
        self.measures.entry(measure).or_default().add(group, value);
    }

    /// Adds what came of an answer that is counted elsewhere.
    pub fn reward(&mut self, measure: Measure, group: usize, value: f64) {
        self.measures.entry(measure).or_default().sum[group] += value;
    }

    /// Notes that a fault happened to the user with this [hash](super::hash_user).
    pub fn note_fault(&mut self, fault: Measure, user: u64) {
        self.users_with.entry(fault).or_default().add_user(user);
    }

    /// Adds the answers of another.
    pub fn absorb(&mut self, other: &Self) {
        for (&code, &count) in &other.errors {
            *self.errors.entry(code).or_insert(0) += count;
        }
        self.latencies.absorb(&other.latencies);
        for (&measure, theirs) in &other.measures {
            self.measures.entry(measure).or_default().absorb(theirs);
        }
        for (&fault, theirs) in &other.users_with {
            self.users_with.entry(fault).or_default().absorb(theirs);
        }
        self.scores.absorb(&other.scores);
        self.items.absorb(&other.items);
    }
}
