//! The users of a training, as [`score`](super::score) answers them.

use super::part::TrainedPart;
use super::score::{KnownUser, Ranker};
use crate::history::history_of;
use crate::interactions::Interactions;
use crate::weight::Weight;

impl TrainedPart {
    /// Users of the training, each with its row and its history.
    pub(crate) fn known_users(
        &self,
        rows: &Interactions,
        users: &[u32],
        weight: Weight,
    ) -> Vec<KnownUser> {
        let mut known = Vec::with_capacity(users.len());
        for user in users.iter().map(|&user| user as usize) {
            known.push(KnownUser {
                row: Some(user),
                history: history_of(rows, user, |row| self.counts(rows, weight, row)),
                ..KnownUser::default()
            });
        }
        known
    }

    /// What the part recommends to these users of the interactions that it was fitted to: the `count` best items of each.
    pub(crate) fn lists(
        &self,
        rows: &Interactions,
        users: &[u32],
        weight: Weight,
        count: usize,
    ) -> Vec<Vec<u32>> {
        let popularity: Vec<f32> =
            rows.item_counts().into_iter().map(|count| count as f32).collect();
        Ranker::new(self, &popularity).lists(&self.known_users(rows, users, weight), count)
    }
}
