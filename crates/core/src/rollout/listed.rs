//! Users who get one variant of a rollout whatever their bucket is: testers who always get the candidate, customers who
//! never do.
//!
//! The plan goes to every node and is kept for long, so it has hashes and no ids. That two ids have the same
//! hash of 64 bits has a chance of 10⁻¹³ for two full lists and a million users.

use crate::bounds::MAX_LISTED_USERS;
use crate::hash::{Purpose, stable_hash};
use crate::id::{IdError, check_id};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The users of a rollout who get one variant whatever their bucket is. They are not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedUsers {
    /// Hashes of those who get the candidate, ascending, at most [`MAX_LISTED_USERS`].
    always: Arc<[u64]>,
    /// Hashes of those who get the baseline, ascending, at most [`MAX_LISTED_USERS`].
    never: Arc<[u64]>,
}

/// Why lists of users are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListedUsersError {
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A list is too long.
    #[error("{field} has {count} users: at most {MAX_LISTED_USERS} are allowed")]
    TooMany {
        /// The request's field that has the list.
        field: &'static str,
        /// How many users it has.
        count: usize,
    },
    /// A user is in both lists.
    #[error(
        "a user is in always_candidate_user_ids and in never_candidate_user_ids: leave one out"
    )]
    InBoth,
}

const ALWAYS: &str = "always_candidate_user_ids";
const NEVER: &str = "never_candidate_user_ids";

impl ListedUsers {
    /// The lists of these ids.
    ///
    /// # Errors
    /// An id is malformed, a list is too long, or a user is in both.
    pub fn of_ids(always: &[String], never: &[String]) -> Result<Self, ListedUsersError> {
        for (field, ids) in [(ALWAYS, always), (NEVER, never)] {
            // Before any is hashed: a list may have as many ids as a message.
            if ids.len() > MAX_LISTED_USERS {
                return Err(ListedUsersError::TooMany { field, count: ids.len() });
            }
            for (n, id) in ids.iter().enumerate() {
                check_id(&format!("{field}[{n}]"), id)?;
            }
        }
        let hashes = |ids: &[String]| ids.iter().map(|id| hash_listed(id)).collect();
        Self::of_hashes(hashes(always), hashes(never))
    }

    /// The lists of these hashes, in any order.
    ///
    /// # Errors
    /// A list is too long, or a user is in both.
    pub fn of_hashes(always: Vec<u64>, never: Vec<u64>) -> Result<Self, ListedUsersError> {
        for (field, hashes) in [(ALWAYS, &always), (NEVER, &never)] {
            if hashes.len() > MAX_LISTED_USERS {
                return Err(ListedUsersError::TooMany { field, count: hashes.len() });
            }
        }
        let (always, never) = (BTreeSet::from_iter(always), BTreeSet::from_iter(never));
        if !always.is_disjoint(&never) {
            return Err(ListedUsersError::InBoth);
        }
        Ok(Self { always: always.into_iter().collect(), never: never.into_iter().collect() })
    }

    /// Hashes of those who always get the candidate, ascending.
    pub fn always(&self) -> &[u64] {
        &self.always
    }

    /// Hashes of those who never get the candidate, ascending.
    pub fn never(&self) -> &[u64] {
        &self.never
    }

    /// Whether the user gets the candidate; none for users of neither list.
    pub fn has_candidate(&self, user_id: &str) -> Option<bool> {
        if self.always.is_empty() && self.never.is_empty() {
            return None;
        }
        let hash = hash_listed(user_id);
        let is_in = |list: &[u64]| list.binary_search(&hash).is_ok();
        if is_in(&self.always) {
            Some(true)
        } else if is_in(&self.never) {
            Some(false)
        } else {
            None
        }
    }
}

fn hash_listed(user_id: &str) -> u64 {
    stable_hash(Purpose::Listed, &[user_id.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_and_lists_have_bounds() {
        let ids = |range: std::ops::Range<usize>| -> Vec<String> {
            range.map(|n| format!("user-{n}")).collect()
        };
        let lists = ListedUsers::of_ids(&ids(0..1_000), &ids(1_000..1_003)).expect("in bounds");
        assert_eq!((lists.always().len(), lists.never().len()), (1_000, 3));
        for (user, expected) in
            [("user-0", Some(true)), ("user-999", Some(true)), ("user-1002", Some(false))]
        {
            assert_eq!(lists.has_candidate(user), expected, "{user}");
        }
        assert_eq!(lists.has_candidate("user-1003"), None);
        assert_eq!(ListedUsers::default().has_candidate("user-0"), None);
        for (always, never, says) in [
            (ids(0..1_001), ids(0..0), "always_candidate_user_ids has 1001 users"),
            (ids(0..0), ids(0..1_001), "never_candidate_user_ids has 1001 users"),
            (ids(0..2), ids(1..3), "leave one out"),
            (ids(0..0), vec![String::new()], "never_candidate_user_ids[0] is empty"),
        ] {
            let said = ListedUsers::of_ids(&always, &never).expect_err(says).to_string();
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }
}
