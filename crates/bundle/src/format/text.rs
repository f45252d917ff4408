//! Many strings in two sections: the bytes one after another, and where each begins.

use super::reader::{Section, SectionFile};
use crate::error::{BundleError, FileDefect};

/// Strings to be written.
#[derive(Default)]
pub(crate) struct TextBuilder {
    /// Where each begins, and where the last ends.
    pub(crate) offsets: Vec<u64>,
    /// The bytes of all.
    pub(crate) bytes: Vec<u8>,
}

impl TextBuilder {
    /// All of these strings, in order.
    pub(crate) fn of<'a>(strings: impl Iterator<Item = &'a str>) -> Self {
        let mut text = Self { offsets: vec![0], bytes: Vec::new() };
        for string in strings {
            text.bytes.extend_from_slice(string.as_bytes());
            text.offsets.push(text.bytes.len() as u64);
        }
        text
    }
}

/// Strings in a mapped file.
pub(crate) struct Text {
    offsets: Section<u64>,
    bytes: Section<u8>,
}

impl Text {
    /// The `count` strings of these two sections, checked to be UTF-8 of at most `max_bytes` each.
    pub(crate) fn open(
        file: &SectionFile,
        offsets_name: &str,
        bytes_name: &str,
        count: usize,
        max_bytes: usize,
    ) -> Result<Self, BundleError> {
        let offsets = file.section::<u64>(offsets_name, count + 1)?;
        let bytes = file.section_of_any_length::<u8>(bytes_name)?;
        file.check_offsets(offsets_name, &offsets, bytes.len())?;
        let Ok(whole) = std::str::from_utf8(&bytes) else {
            return Err(file.wrong(FileDefect::NotUtf8(bytes_name.into())));
        };
        for pair in offsets.windows(2) {
            let fine =
                pair[1] - pair[0] <= max_bytes as u64 && whole.is_char_boundary(pair[1] as usize);
            file.check(fine, "a string is too long or cuts a character")?;
        }
        Ok(Self { offsets, bytes })
    }

    /// The same sections, of which no string is used.
    pub(crate) fn without_strings(&self) -> Self {
        Self { offsets: self.offsets.first(1), bytes: self.bytes.first(0) }
    }

    /// How many strings there are.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The string at this place.
    ///
    /// # Panics
    /// If there is no such string.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> &str {
        let bytes = &self.bytes[self.offsets[at] as usize..self.offsets[at + 1] as usize];
        // Checked when opened; checked again since it is cheap and spares an `unsafe`.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The place of a string among strings that are sorted bytewise.
    pub(crate) fn find_sorted(&self, string: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(string) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}
