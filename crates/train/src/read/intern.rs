//! External ids to dense numbers, in order of first appearance.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// A set of ids, numbered from 0 as they come.
///
/// The bytes of all ids are in one arena, so that a million ids are two allocations.
#[derive(Default)]
pub(crate) struct Interner {
    arena: String,
    /// `ends[n]` is where id `n` ends in the arena; it begins where the one before ended.
    ends: Vec<usize>,
    table: HashTable<u32>,
}

impl Interner {
    /// The number of this id, which is new when it has not been seen before.
    pub(crate) fn intern(&mut self, id: &str) -> u32 {
        let Self { arena, ends, table } = self;
        let hash = xxh3_64(id.as_bytes());
        if let Some(&found) = table.find(hash, |&n| slice(arena, ends, n) == id) {
            return found;
        }
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        arena.push_str(id);
        ends.push(arena.len());
        table.insert_unique(hash, number, |&n| xxh3_64(slice(arena, ends, n).as_bytes()));
        number
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The ids in order of their numbers.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|n| slice(&self.arena, &self.ends, n as u32))
    }
}

fn slice<'a>(arena: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &arena[start..ends[number]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_number() {
        let mut interner = Interner::default();
        let numbers: Vec<u32> =
            ["b", "a", "", "b", "ab", "a"].iter().map(|id| interner.intern(id)).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 3, 1]);
        assert_eq!(interner.ids().collect::<Vec<_>>(), ["b", "a", "", "ab"]);
    }
}
