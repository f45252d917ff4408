//! The users of a training, as [`score`](super::score) answers them.

use super::part::TrainedPart;
use super::score::KnownUser;
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
}
