//! What the cluster knows of users themselves: how they are named without their ids, and who is forgotten.
//!
//! ```text
//! user id ── root secret ──▶ pseudonym, 128 bits ── user key n ──▶ hash under n, 64 bits: exposures
//!                                │
//!                                └──▶ tombstones: users whom the cluster forgets
//! ```
//!
//! Both steps are keyed BLAKE3. The root stays, so a tombstone means the same user for as long as it is kept. User
//! keys are made anew with time, so that records of different times cannot be joined once their keys are forgotten.
//! A hash follows from the pseudonym: who knows a tombstone and the keys finds what was recorded of its user, and the
//! plan never has the id.

mod tombstones;
mod user_hash;
mod user_keys;

pub use tombstones::{MAX_TOMBSTONES, TOMBSTONE_MS, Tombstone, Tombstones};
pub use user_hash::{PSEUDONYM_BYTES, Pseudonym, UserHash};
pub use user_keys::{MAX_USER_KEYS, ROTATE_USER_KEY_AFTER_MS, UserKey, UserKeys};

use super::answer_keys::AnswerSecret;

/// The keys that users are named by, and the tombstones of those who are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPrivacy {
    /// What pseudonyms are made with; none before a group's first leader has drawn it. It never changes.
    pub root: Option<AnswerSecret>,
    /// What the hashes of records are made with.
    pub keys: UserKeys,
    /// Who is forgotten.
    pub tombstones: Tombstones,
}

impl UserPrivacy {
    /// Whether a secret should be drawn: for the root, or for the next key.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.root.is_none() || self.keys.is_due(now_ms)
    }

    /// Takes a secret as the root if there is none, or else as the next key if one is due.
    pub fn add(&mut self, secret: AnswerSecret, now_ms: u64) {
        if self.root.is_none() {
            self.root = Some(secret);
        } else {
            self.keys.add(secret, now_ms);
        }
    }

    /// What the user is called in tombstones; none before there is a root.
    pub fn pseudonym(&self, user_id: &str) -> Option<Pseudonym> {
        self.root.as_ref().map(|root| Pseudonym::of(root, user_id))
    }

    /// The pseudonym of a user who is forgotten; none for all others. It costs nothing where nobody is.
    pub fn forgotten(&self, user_id: &str) -> Option<Pseudonym> {
        if self.tombstones.is_empty() {
            return None;
        }
        self.pseudonym(user_id).filter(|pseudonym| self.tombstones.contains(pseudonym))
    }

    /// What records that are made now call the user; [`UserHash::NOBODY`] before there is a key.
    pub fn hash_now(&self, user_id: &str) -> UserHash {
        match (self.pseudonym(user_id), self.keys.newest()) {
            (Some(pseudonym), Some(key)) => key.hash(&pseudonym),
            _ => UserHash::NOBODY,
        }
    }

    /// What records call the user, under each key that is known.
    pub fn hashes(&self, pseudonym: &Pseudonym) -> impl Iterator<Item = UserHash> {
        self.keys.iter().map(|key| key.hash(pseudonym))
    }

    /// Names this cluster's list of forgotten users, without telling its root; empty before there is one. Numbers of
    /// tombstones mean nothing in the list of another cluster.
    pub fn list_id(&self) -> String {
        self.root.as_ref().map_or_else(String::new, user_hash::list_id)
    }
}

#[cfg(test)]
mod tests;
