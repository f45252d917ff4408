//! The users of a training, as [`score`](super::score) answers them.

use super::part::Part;
use super::score::KnownUser;
use crate::history::history_of;
use crate::interactions::Interactions;
use crate::weight::Weight;

impl Part {
    /// Users of the training, each with its row and its history.
    pub(crate) fn askers(
        &self,
        rows: &Interactions,
        users: &[u32],
        weight: Weight,
    ) -> Vec<KnownUser> {
        let asker = |&user: &u32| KnownUser {
            row: Some(user as usize),
            history: history_of(rows, user as usize, |row| self.counts(rows, weight, row)),
            ..KnownUser::default()
        };
        users.iter().map(asker).collect()
    }
}
