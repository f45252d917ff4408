//! A set of rows of one shard, one bit each: what a filter comes to.

/// A set of rows, of a fixed number that it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowBitmap {
    words: Vec<u64>,
    rows: usize,
    count: usize,
}

impl RowBitmap {
    /// No row of `rows`.
    pub fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows, count: 0 }
    }

    /// Every row of `rows`.
    pub fn all(rows: usize) -> Self {
        let mut words = vec![u64::MAX; rows.div_ceil(64)];
        if let (Some(last), left @ 1..) = (words.last_mut(), rows % 64) {
            *last = (1 << left) - 1;
        }
        Self { words, rows, count: rows }
    }

    /// These rows of `rows`, in any order; a row twice counts once.
    ///
    /// # Panics
    /// If one isn't among them.
    pub fn of(rows: usize, members: impl IntoIterator<Item = u32>) -> Self {
        let mut bitmap = Self::none(rows);
        for row in members {
            bitmap.insert(row);
        }
        bitmap
    }

    /// How many rows it was made for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many rows are in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a row is in it; false for one it wasn't made for.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        let row = row as usize;
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Puts a row in; says whether it is new.
    ///
    /// # Panics
    /// If the set wasn't made for it.
    #[inline]
    pub fn insert(&mut self, row: u32) -> bool {
        let row = row as usize;
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let (word, bit) = (&mut self.words[row / 64], 1 << (row % 64));
        let new = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(new);
        new
    }

    /// Takes a row out; says whether it was in.
    pub fn remove(&mut self, row: u32) -> bool {
        let was = self.contains(row);
        if was {
            self.words[row as usize / 64] &= !(1 << (row % 64));
            self.count -= 1;
        }
        was
    }

    /// Keeps only the rows that are in `other` too.
    ///
    /// # Panics
    /// If the two were made for unlike numbers of rows.
    pub fn intersect(&mut self, other: &Self) {
        assert_eq!(self.rows, other.rows, "sets of rows of unlike shards");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self.count = self.words.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// The rows in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(at, &word)| bits(word).map(move |bit| (64 * at) as u32 + bit))
    }

    /// The bits, 64 rows a word.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }
}

/// The places of the set bits, ascending.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros();
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_bitmap_is_a_set() {
        for rows in [0usize, 1, 63, 64, 65, 200] {
            assert_eq!(RowBitmap::all(rows).iter().count(), rows);
            assert_eq!(RowBitmap::all(rows).count(), rows);
            let (mut bitmap, mut set) = (RowBitmap::none(rows), BTreeSet::new());
            for step in 0..rows as u32 {
                let row = step * 37 % rows as u32;
                assert_eq!(bitmap.insert(row), set.insert(row));
                if step % 3 == 0 {
                    assert_eq!(bitmap.remove(step / 2), set.remove(&(step / 2)));
                }
            }
            assert_eq!(bitmap.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            assert_eq!(bitmap.count(), set.len());
            assert!(!bitmap.contains(rows as u32));
            let even = RowBitmap::of(rows, (0..rows as u32).step_by(2));
            bitmap.intersect(&even);
            assert!(bitmap.iter().all(|row| row % 2 == 0 && set.contains(&row)));
            assert_eq!(bitmap.count(), bitmap.iter().count());
        }
    }
}
