//! Who is forgotten, and for how long the cluster must remember that.

use super::user_hash::Pseudonym;
use std::collections::BTreeMap;

/// Users who are forgotten at once, at most: some 150 kB of every plan. They age, so it is a rate: so many in the
/// time between two trainings of every model, or in [`TOMBSTONE_MS`], whichever is longer.
pub const MAX_TOMBSTONES: usize = 4_096;
/// How long a tombstone is kept at least, in ms: 30 days. Events may be a week late, and routers that were away for
/// less than this erase what they have once they are back.
pub const TOMBSTONE_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// That a user is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its number: 1, 2 and so on. No number is given twice.
    pub number: u64,
    /// When it was made, in ms since the Unix epoch.
    pub made_at_ms: u64,
}

/// The users who are forgotten, at most [`MAX_TOMBSTONES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    users: BTreeMap<Pseudonym, Tombstone>,
    /// The newest number that was ever given; 0 before the first.
    newest: u64,
}

impl Tombstones {
    /// These tombstones; `newest` is the newest number that was ever given.
    pub fn of(users: impl IntoIterator<Item = (Pseudonym, Tombstone)>, newest: u64) -> Self {
        let users: BTreeMap<_, _> = users.into_iter().take(MAX_TOMBSTONES).collect();
        let given = users.values().map(|tombstone| tombstone.number).max().unwrap_or(0);
        Self { users, newest: newest.max(given) }
    }

    /// Whether nobody is forgotten.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// How many users are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether this user is.
    pub fn contains(&self, user: &Pseudonym) -> bool {
        self.users.contains_key(user)
    }

    /// The tombstone of a user.
    pub fn get(&self, user: &Pseudonym) -> Option<&Tombstone> {
        self.users.get(user)
    }

    /// The users, with their tombstones.
    pub fn iter(&self) -> impl Iterator<Item = (&Pseudonym, &Tombstone)> {
        self.users.iter()
    }

    /// The newest number that was ever given: a training that leaves all of these users out is one up to it.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds a tombstone, unless the user has one. False: there is no room.
    pub(crate) fn add(&mut self, user: Pseudonym, now_ms: u64) -> bool {
        if self.contains(&user) {
            return true;
        }
        if self.users.len() >= MAX_TOMBSTONES {
            return false;
        }
        self.newest += 1;
        self.users.insert(user, Tombstone { number: self.newest, made_at_ms: now_ms });
        true
    }

    /// Drops the tombstones that nothing needs any more: those that are old enough, and up to which all versions
    /// were trained. `trained_up_to` is the least number that a version was trained up to; none without versions.
    pub(crate) fn age(&mut self, trained_up_to: Option<u64>, now_ms: u64) {
        let all_trained = trained_up_to.unwrap_or(u64::MAX);
        self.users.retain(|_, tombstone| {
            let is_young = now_ms < tombstone.made_at_ms.saturating_add(TOMBSTONE_MS);
            is_young || tombstone.number > all_trained
        });
    }
}
