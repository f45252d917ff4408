//! The keys that recommendation ids are signed with.
//!
//! The leader makes one as soon as there is none and a new one every day. All routers have all of them, so that any
//! router can tell whether another one gave an answer. Keys are forgotten with age: an answer is then too old to speak
//! for anybody.

use std::fmt;

/// Bytes of a secret: as many as BLAKE3 takes.
pub const SECRET_BYTES: usize = 32;
/// How long the newest key signs, in ms: a day.
pub const ROTATE_AFTER_MS: u64 = 24 * 3_600 * 1_000;
/// How many keys are known, the newest among them: rewards count within hours, and events are taken for seven days.
pub const MAX_ANSWER_KEYS: usize = 8;

/// Bytes that nobody but the cluster knows. They are in no message.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerSecret(pub [u8; SECRET_BYTES]);

impl fmt::Debug for AnswerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerSecret(..)")
    }
}

/// A key that ids are signed with while it is the newest, and checked with as long as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerKey {
    /// Its number: 1, 2 and so on. No number is given twice.
    pub number: u64,
    /// What ids are signed with.
    pub secret: AnswerSecret,
    /// When it was made, in ms since the Unix epoch.
    pub made_at_ms: u64,
}

/// The keys that are known, at most [`MAX_ANSWER_KEYS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerKeys(Vec<AnswerKey>);

impl AnswerKeys {
    /// These keys, of which the newest are kept.
    pub fn of(keys: impl IntoIterator<Item = AnswerKey>) -> Self {
        let mut known = Self(keys.into_iter().collect());
        known.0.sort_by_key(|key| key.number);
        known.0.dedup_by_key(|key| key.number);
        known.forget_oldest();
        known
    }

    /// The key that signs now; none before the first.
    pub fn newest(&self) -> Option<&AnswerKey> {
        self.0.last()
    }

    /// The key of this number; none if it is unknown or forgotten.
    pub fn find(&self, number: u64) -> Option<&AnswerKey> {
        self.0.iter().find(|key| key.number == number)
    }

    /// All keys, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &AnswerKey> {
        self.0.iter()
    }

    /// Whether a new key should be made.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.newest().is_none_or(|key| now_ms >= key.made_at_ms.saturating_add(ROTATE_AFTER_MS))
    }

    /// Adds a key of this secret, if one is due: two leaders may both have proposed one.
    pub fn add(&mut self, secret: AnswerSecret, now_ms: u64) {
        if self.is_due(now_ms) {
            let number = self.newest().map_or(0, |key| key.number) + 1;
            self.0.push(AnswerKey { number, secret, made_at_ms: now_ms });
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let too_many = self.0.len().saturating_sub(MAX_ANSWER_KEYS);
        self.0.drain(..too_many);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_a_day_and_forgotten_after_eight() {
        let mut keys = AnswerKeys::default();
        assert!(keys.is_due(0), "there is none");
        for day in 0..10u8 {
            let now_ms = u64::from(day) * ROTATE_AFTER_MS;
            assert!(keys.is_due(now_ms));
            keys.add(AnswerSecret([day; SECRET_BYTES]), now_ms);
            keys.add(AnswerSecret([99; SECRET_BYTES]), now_ms + 1);
            assert!(!keys.is_due(now_ms + ROTATE_AFTER_MS - 1));
        }
        assert_eq!(
            keys.iter().map(|key| key.number).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7, 8, 9, 10]
        );
        assert_eq!(
            keys.newest().map(|key| key.secret.0[0]),
            Some(9),
            "that of another leader is dropped"
        );
        assert_eq!((keys.find(2), keys.find(3).map(|key| key.secret.0[0])), (None, Some(2)));
    }

    #[test]
    fn a_secret_is_in_no_message() {
        let key = AnswerKey { number: 1, secret: AnswerSecret([171; SECRET_BYTES]), made_at_ms: 2 };
        let shown = format!("{key:?} {key:#?}");
        assert!(!shown.contains("171") && !shown.contains("ab"), "{shown}");
    }
}
