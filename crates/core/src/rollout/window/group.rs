//! Groups of users, and the hashes of users and items that all routers agree on.

use crate::hash::{Purpose, stable_hash, stable_hash_of};

/// How many groups of users means are kept by: enough for a standard error, few enough to send.
pub const GROUPS: usize = 64;

/// A hash of an item's id that is the same on every router.
pub fn hash_item(item_id: &str) -> u64 {
    stable_hash_of(Purpose::Item, item_id)
}

/// A hash of a user's id that is the same on every router.
pub fn hash_user(user_id: &str) -> u64 {
    stable_hash(Purpose::Group, &[user_id.as_bytes()])
}

/// The group that a user with this [hash](hash_user) belongs to, in `0..GROUPS`.
pub fn group_of_hash(hash: u64) -> usize {
    (hash % GROUPS as u64) as usize
}

/// The group that a user belongs to, in `0..GROUPS`.
pub fn group_of(user_id: &str) -> usize {
    group_of_hash(hash_user(user_id))
}
