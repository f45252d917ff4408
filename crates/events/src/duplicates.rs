//! Which events were recorded already: their ids, as hashes, in bounded memory.
//!
//! Two generations of a set: when the younger is full the older is forgotten, so an id is
//! remembered while at least [`GENERATION`] and at most twice as many younger ones came. That is
//! the window in which recording is idempotent: a minute and a half at 20,000 events a second, five
//! hours at a hundred. Retries come within seconds. Other routers' events are in it too, a moment
//! after they were recorded. At a start the window is read back from the log, so it spans restarts.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// Ids that a generation holds: seven eighths of a power of two, where the table would grow. Two of them
/// take 71 MB, and only where so many events came.
pub const GENERATION: usize = 7 << 18;

/// The ids of the newest events.
#[derive(Debug)]
pub struct KnownEvents {
    young: HashSet<u128, BuildHasherDefault<KeyHasher>>,
    old: HashSet<u128, BuildHasherDefault<KeyHasher>>,
    generation: usize,
}

impl Default for KnownEvents {
    fn default() -> Self {
        Self::with_generation(GENERATION)
    }
}

impl KnownEvents {
    /// An empty set with generations of so many ids.
    pub fn with_generation(generation: usize) -> Self {
        Self { young: HashSet::default(), old: HashSet::default(), generation: generation.max(1) }
    }

    /// Remembers an id, and returns whether it was new.
    pub fn insert(&mut self, id: u128) -> bool {
        if self.young.contains(&id) || self.old.contains(&id) {
            return false;
        }
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id)
    }

    /// Forgets an id that was remembered a moment ago: its event was not recorded after all.
    pub fn forget(&mut self, id: u128) {
        if !self.young.remove(&id) {
            self.old.remove(&id);
        }
    }

    /// How many ids are remembered at most.
    pub fn capacity(&self) -> usize {
        2 * self.generation
    }
}

/// 128 bits of BLAKE3 of an event id: two ids that share them cannot be found, so no event is taken for
/// another.
pub fn hash_of(event_id: &str) -> u128 {
    let hash = blake3::hash(event_id.as_bytes());
    let (half, _) = hash.as_bytes().split_first_chunk::<16>().expect("BLAKE3 has 32 bytes");
    u128::from_le_bytes(*half)
}

/// A hasher for keys that are hashes: it takes their low half.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Whole keys come by `write_u128`; anything else would still be a hash.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_is_what_it_says() {
        let mut seen = KnownEvents::with_generation(4);
        assert_eq!(seen.capacity(), 8);
        for id in 0..4 {
            assert!(seen.insert(id));
        }
        assert!(!seen.insert(0));
        for id in 4..8 {
            assert!(seen.insert(id));
        }
        assert!(!seen.insert(0), "no more than a generation came after it");
        assert!(seen.insert(8), "a third generation begins");
        assert!(seen.insert(0), "forgotten by now");
    }

    #[test]
    fn ids_are_told_apart() {
        assert_ne!(hash_of("a"), hash_of("b"));
        assert_eq!(hash_of("a"), hash_of("a"));
    }

    proptest! {
        #[test]
        fn an_id_is_new_once_while_a_generation_passes(
            ids in prop::collection::vec(0u128..40, 0..200), generation in 1usize..20,
        ) {
            let mut seen = KnownEvents::with_generation(generation);
            let mut inserted: Vec<u128> = Vec::new();
            for id in ids {
                let is_new = seen.insert(id);
                let since = inserted.iter().rev().take(generation).any(|other| *other == id);
                prop_assert!(!(is_new && since), "{} was within the last {} new ids", id, generation);
                prop_assert!(is_new || inserted.contains(&id));
                if is_new {
                    inserted.push(id);
                }
                prop_assert!(seen.young.len() + seen.old.len() <= seen.capacity());
            }
        }
    }
}
