//! The users who are forgotten, as logs know them: events name users by their ids, exposures by hashes.

use marquee_core::plan::{UserHash, UserPrivacy};
use std::collections::HashSet;

/// The users who are forgotten, as logs know them. Made once for each plan that forgets a user: it has up to 13 hashes
/// of each.
#[derive(Clone, Debug, Default)]
pub struct ForgottenUsers {
    privacy: UserPrivacy,
    /// What exposures call them, under every key that is known.
    hashes: HashSet<UserHash>,
}

impl ForgottenUsers {
    /// The forgotten users of a plan.
    pub fn of(privacy: &UserPrivacy) -> Self {
        let users = privacy.tombstones.iter();
        let hashes = users.flat_map(|(user, _)| privacy.hashes(user)).collect();
        Self { privacy: privacy.clone(), hashes }
    }

    /// Whether nobody is forgotten.
    pub fn is_empty(&self) -> bool {
        self.privacy.tombstones.is_empty()
    }

    /// Whether the user of this id is.
    pub fn has_user(&self, user_id: &str) -> bool {
        self.privacy.forgotten(user_id).is_some()
    }

    /// Whether the user whom an exposure calls this is.
    pub fn has_hash(&self, hash: UserHash) -> bool {
        self.hashes.contains(&hash)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use marquee_core::plan::privacy::{ROTATE_USER_KEY_AFTER_MS, Tombstone, Tombstones};
    use marquee_core::plan::{AnswerSecret, SECRET_BYTES};

    /// A cluster with two keys, which forgets ann.
    pub(crate) fn forgetting_ann() -> UserPrivacy {
        let mut privacy = UserPrivacy::default();
        for (byte, now_ms) in [(1, 0), (2, 0), (3, ROTATE_USER_KEY_AFTER_MS)] {
            privacy.add(AnswerSecret([byte; SECRET_BYTES]), now_ms);
        }
        let ann = privacy.pseudonym("ann").expect("a root");
        privacy.tombstones = Tombstones::of([(ann, Tombstone { number: 1, made_at_ms: 0 })], 1);
        privacy
    }

    #[test]
    fn a_user_is_known_by_id_and_by_hashes_under_all_keys() {
        let privacy = forgetting_ann();
        let forgotten = ForgottenUsers::of(&privacy);
        let hashes = |user| privacy.pseudonym(user).map(|it| Vec::from_iter(privacy.hashes(&it)));
        let of_ann = hashes("ann").expect("a root");
        assert_eq!(of_ann.len(), 2);
        assert!(forgotten.has_user("ann") && of_ann.into_iter().all(|it| forgotten.has_hash(it)));
        let mut of_others = hashes("bob").expect("a root");
        of_others.push(UserHash::NOBODY);
        assert!(!forgotten.has_user("bob"));
        assert!(!of_others.into_iter().any(|it| forgotten.has_hash(it)));
        let nobody = ForgottenUsers::default();
        assert!(nobody.is_empty() && !nobody.has_user("ann"));
    }
}
