//! Rows that must not be in the result.

/// One bit a row: whether it is denied.
#[derive(Default)]
pub(super) struct DeniedRows {
    words: Vec<u64>,
}

impl DeniedRows {
    pub(super) fn deny(&mut self, rows: usize, denied: &[u32]) {
        let words = rows.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        for &row in denied {
            if let Some(word) = self.words.get_mut(row as usize / 64) {
                *word |= 1 << (row % 64);
            }
        }
    }

    pub(super) fn clear(&mut self, denied: &[u32]) {
        for &row in denied {
            if let Some(word) = self.words.get_mut(row as usize / 64) {
                *word = 0;
            }
        }
    }

    #[inline]
    pub(super) fn contains(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}
