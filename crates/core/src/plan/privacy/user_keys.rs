//! The keys that records name users by.

use super::user_hash::{Pseudonym, UserHash};
use crate::plan::answer_keys::AnswerSecret;

/// How long the newest key is used, in ms: 30 days. Records of one month can be joined with each other.
pub const ROTATE_USER_KEY_AFTER_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// How many keys are known, the newest among them: a year and a month. Older records name nobody any more.
pub const MAX_USER_KEYS: usize = 13;

/// A key that records name users by while it is the newest, and are read with as long as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    /// Its number: 1, 2 and so on. No number is given twice.
    pub number: u64,
    /// What hashes are made with.
    pub secret: AnswerSecret,
    /// When it was made, in ms since the Unix epoch.
    pub made_at_ms: u64,
}

impl UserKey {
    /// What records call a user under this key.
    pub fn hash(&self, pseudonym: &Pseudonym) -> UserHash {
        UserHash::under(self.number, &self.secret, pseudonym)
    }
}

/// The keys that are known, at most [`MAX_USER_KEYS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserKeys(Vec<UserKey>);

impl UserKeys {
    /// These keys, of which the newest are kept.
    pub fn of(keys: impl IntoIterator<Item = UserKey>) -> Self {
        let mut known = Self(keys.into_iter().collect());
        known.0.sort_by_key(|key| key.number);
        known.0.dedup_by_key(|key| key.number);
        known.forget_oldest();
        known
    }

    /// The key that records are made with now; none before the first.
    pub fn newest(&self) -> Option<&UserKey> {
        self.0.last()
    }

    /// All keys, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &UserKey> {
        self.0.iter()
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let due = |key: &UserKey| now_ms >= key.made_at_ms.saturating_add(ROTATE_USER_KEY_AFTER_MS);
        self.newest().is_none_or(due)
    }

    /// Adds a key of this secret, if one is due: two leaders may both have proposed one.
    pub(super) fn add(&mut self, secret: AnswerSecret, now_ms: u64) {
        if self.is_due(now_ms) {
            let number = self.newest().map_or(0, |key| key.number) + 1;
            self.0.push(UserKey { number, secret, made_at_ms: now_ms });
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let too_many = self.0.len().saturating_sub(MAX_USER_KEYS);
        self.0.drain(..too_many);
    }
}
