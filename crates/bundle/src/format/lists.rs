//! Many lists of numbers in two sections: the numbers one after another, and where each list begins.

use super::reader::{Section, SectionFile};
use crate::error::{BundleError, FileDefect};

/// Lists of ascending numbers in a mapped file.
pub(crate) struct Lists {
    offsets: Section<u64>,
    values: Section<u32>,
}

impl Lists {
    /// `count` lists of numbers below `bound`.
    pub(crate) fn open(
        file: &SectionFile,
        offsets_name: &str,
        values_name: &str,
        count: usize,
        bound: usize,
    ) -> Result<Self, BundleError> {
        let offsets = file.section::<u64>(offsets_name, count + 1)?;
        let values = file.section_of_any_length::<u32>(values_name)?;
        file.check_offsets(offsets_name, &offsets, values.len())?;
        let lists = Self { offsets, values };
        for at in 0..count {
            let list = lists.get(at);
            let fine = list.windows(2).all(|pair| pair[0] < pair[1])
                && list.last().is_none_or(|&last| (last as usize) < bound);
            if !fine {
                return Err(file.wrong(FileDefect::List { section: values_name.into(), at }));
            }
        }
        Ok(lists)
    }

    /// The numbers of one list.
    ///
    /// # Panics
    /// If there is no such list.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> &[u32] {
        &self.values[self.range(at)]
    }

    /// Where one list lies among the values.
    #[inline]
    pub(crate) fn range(&self, at: usize) -> std::ops::Range<usize> {
        self.offsets[at] as usize..self.offsets[at + 1] as usize
    }

    /// How many lists there are.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many numbers there are in all lists.
    pub(crate) fn values(&self) -> usize {
        self.values.len()
    }
}
