//! The stable hashes: the same on every node, machine and release.
//!
//! All are XXH3-64 (seeded by purpose, so that partition, bucket and placement are independent of
//! one another) of length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// What a hash is for. It is a part of the hash, so that hashes for different purposes do not correlate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Which shard of a bundle holds a user or an item.
    Partition = 1,
    /// Which traffic bucket a user falls in.
    Bucket = 2,
    /// Which nodes are preferred for a shard.
    Placement = 3,
    /// Which of the groups that means are kept by a user is in.
    Group = 7,
    /// Which control nodes belong together.
    Cluster = 4,
    /// A user's id in the log of exposures.
    Exposure = 5,
    /// Which answers are in a sample.
    Sample = 6,
    /// An item's id where different items are counted.
    Item = 8,
    /// A user's id in a list of users who always or never get the candidate.
    Listed = 9,
    /// The names of a surface's segments.
    Segments = 10,
}

/// XXH3-64 of the parts, each preceded by its length as a little-endian u64.
pub fn stable_hash(purpose: Purpose, parts: &[&[u8]]) -> u64 {
    let mut hasher = Xxh3::with_seed(purpose as u64);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest()
}

/// XXH3-64 of one text without its length. It takes a tenth of the time of [`stable_hash`], for what is
/// hashed ten times for each answer.
pub fn stable_hash_of(purpose: Purpose, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), purpose as u64)
}

/// The shard, in `0..shards`, that holds the user or item with this external id.
///
/// # Panics
/// If `shards` is 0.
pub fn shard_of(id: &str, shards: u32) -> u32 {
    assert!(shards > 0, "a bundle has at least one shard");
    (stable_hash(Purpose::Partition, &[id.as_bytes()]) % u64::from(shards)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_delimited() {
        let hash = |parts: &[&[u8]]| stable_hash(Purpose::Bucket, parts);
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a", b""]));
    }

    #[test]
    fn purposes_differ() {
        assert_ne!(stable_hash(Purpose::Bucket, &[b"a"]), stable_hash(Purpose::Placement, &[b"a"]));
    }

    /// Bundles on disk and rollouts in flight depend on these values: they never change.
    #[test]
    fn values_are_pinned() {
        assert_eq!(stable_hash(Purpose::Partition, &[b"user-1"]), 17_007_540_932_627_520_923);
        let shards: Vec<u32> = (0..8).map(|n| shard_of(&format!("item-{n}"), 4)).collect();
        assert_eq!(shards, [1, 3, 1, 1, 1, 0, 0, 3]);
    }
}
