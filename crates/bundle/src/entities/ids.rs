//! Id tables: which external id, ordinal and title each row of a shard has, and back again.
//!
//! ```text
//! section   elements          what
//! meta      u64 × 4           rows; the bundle's rows over all shards; slots; 1 with titles, else 0
//! ordinals  u32 × rows        the ordinal of each row
//! byord     u32 × rows        the rows, by ascending ordinal
//! slots     u32 × slots       a hash table of row + 1, 0 where empty; slots is a power of two
//! idoffs    u64 × (rows + 1)  where each id begins
//! ids       u8                the ids
//! titoffs   u64 × (rows + 1)  where each title begins (with titles only)
//! titles    u8                the titles (with titles only)
//! ```
//!
//! The slot of an id is the upper half of its partition hash, then the next free one. Everything is
//! answered from the mapped file: nothing is copied to the heap.

use crate::error::BundleError;
use crate::format::{
    FileBuilder, FileInfo, FileKind, LoadOptions, Section, SectionFile, Text, TextBuilder,
};
use marquee_core::bounds::{MAX_ID_BYTES, MAX_ORDINALS};
use marquee_core::hash::{Purpose, stable_hash};
use std::path::Path;

/// Bytes of an item's title: a line of text, not a document.
pub const MAX_TITLE_BYTES: usize = 4_096;

/// The ids of one shard's users, items or terms.
pub struct IdTable {
    ordinals: Section<u32>,
    by_ordinal: Section<u32>,
    slots: Section<u32>,
    ids: Text,
    titles: Option<Text>,
    total: usize,
    bytes: u64,
}

impl IdTable {
    /// How many rows the shard has.
    pub fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// Whether the shard has no rows.
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// How many rows all shards of the bundle have; ordinals are below it.
    pub fn total(&self) -> usize {
        self.total
    }

    /// A table of nothing, for what a bundle has none of.
    pub(crate) fn without_rows(&self) -> Self {
        Self {
            ordinals: self.ordinals.first(0),
            by_ordinal: self.by_ordinal.first(0),
            slots: self.slots.first(0),
            ids: self.ids.without_strings(),
            titles: None,
            total: 0,
            bytes: 0,
        }
    }

    /// The row of an external id, if the shard has it.
    pub fn find(&self, id: &str) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let first = first_slot(id);
        // Half the slots are empty in a table of ours; the bound is for tables that aren't.
        for step in 0..self.slots.len() {
            let row = self.slots[(first + step) & mask].checked_sub(1)?;
            if self.ids.get(row as usize) == id {
                return Some(row);
            }
        }
        None
    }

    /// The external id of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn id(&self, row: u32) -> &str {
        self.ids.get(row as usize)
    }

    /// The title of a row; empty for users and for items without one.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn title(&self, row: u32) -> &str {
        assert!((row as usize) < self.len(), "row {row} of {}", self.len());
        self.titles.as_ref().map_or("", |titles| titles.get(row as usize))
    }

    /// The ordinal of a row: its place among all ids of the bundle.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn ordinal(&self, row: u32) -> u32 {
        self.ordinals[row as usize]
    }

    /// The ordinals of all rows.
    #[inline]
    pub fn ordinals(&self) -> &[u32] {
        &self.ordinals
    }

    /// The row of an ordinal, if this shard has it.
    pub fn row_of_ordinal(&self, ordinal: u32) -> Option<u32> {
        // Shards are cut by hash, so ordinals lie evenly: guess the place, then gallop from there.
        let length = self.len();
        let at = |place: usize| self.ordinals[self.by_ordinal[place] as usize];
        if length == 0 || ordinal as usize >= self.total {
            return None;
        }
        let guess = (u64::from(ordinal) * length as u64 / self.total as u64) as usize;
        let (mut low, mut high, mut step) = (guess, guess, 1);
        while low > 0 && at(low) > ordinal {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < length && at(high) < ordinal {
            high = (high + step).min(length);
            step *= 2;
        }
        let (mut low, mut high) = (low, (high + 1).min(length));
        while low < high {
            let middle = low + (high - low) / 2;
            match at(middle).cmp(&ordinal) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(self.by_ordinal[middle]),
            }
        }
        None
    }

    /// The rows, by ascending ordinal.
    pub fn rows_by_ordinal(&self) -> &[u32] {
        &self.by_ordinal
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens and checks a table of `rows` rows.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Ids, options)?;
        let [found_rows, found_total, found_slots, titled] = file.numbers("meta")?;
        let total = file.length("the number of ids", found_total, MAX_ORDINALS)?;
        let rows = file.length("the number of rows", found_rows, total)?;
        let ordinals = file.section::<u32>("ordinals", rows)?;
        let by_ordinal = file.section::<u32>("byord", rows)?;
        let slot_count = file.length("the number of slots", found_slots, usize::MAX)?;
        let slots = file.section::<u32>("slots", slot_count)?;
        file.check(slots.len().is_power_of_two(), "the number of slots is no power of two")?;
        file.check(slots.iter().all(|&slot| slot as usize <= rows), "a slot names no row")?;
        let mut before = None;
        for &row in by_ordinal.iter() {
            let ordinal = ordinals.get(row as usize).copied();
            let is_next = ordinal.is_some_and(|it| (it as usize) < total) && ordinal > before;
            file.check(
                is_next,
                "the rows in section byord are not in the order of their ordinals",
            )?;
            before = ordinal;
        }
        let ids = Text::open(&file, "idoffs", "ids", rows, MAX_ID_BYTES)?;
        let titles = match titled {
            0 => None,
            _ => Some(Text::open(&file, "titoffs", "titles", rows, MAX_TITLE_BYTES)?),
        };
        Ok(Self { ordinals, by_ordinal, slots, ids, titles, total, bytes: file.bytes() })
    }
}

/// The slot that an id is looked for first, to be cut to the table's size. The partition took the
/// hash modulo the number of shards, so the upper bits are the ones still free.
fn first_slot(id: &str) -> usize {
    (stable_hash(Purpose::Partition, &[id.as_bytes()]) >> 32) as usize
}

/// The id of one row, for the writer.
pub(crate) struct IdRow<'a> {
    pub(crate) id: &'a str,
    pub(crate) ordinal: u32,
    pub(crate) title: &'a str,
}

/// Writes a table of these rows, in their order.
pub(crate) fn write_ids(
    root: &Path,
    path: String,
    rows: &[IdRow<'_>],
    total: usize,
    titled: bool,
) -> Result<FileInfo, BundleError> {
    let ordinals: Vec<u32> = rows.iter().map(|row| row.ordinal).collect();
    let mut by_ordinal: Vec<u32> = (0..rows.len() as u32).collect();
    by_ordinal.sort_unstable_by_key(|&row| ordinals[row as usize]);
    let mut slots = vec![0u32; (2 * rows.len()).next_power_of_two()];
    let mask = slots.len() - 1;
    for (row, entry) in rows.iter().enumerate() {
        let mut slot = first_slot(entry.id) & mask;
        while slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        slots[slot] = row as u32 + 1;
    }
    let ids = TextBuilder::of(rows.iter().map(|row| row.id));
    let titles = TextBuilder::of(rows.iter().map(|row| row.title));
    let meta = [rows.len() as u64, total as u64, slots.len() as u64, u64::from(titled)];
    let mut file = FileBuilder::new(FileKind::Ids)
        .numbers("meta", &meta)
        .section("ordinals", &ordinals)
        .section("byord", &by_ordinal)
        .section("slots", &slots)
        .section("idoffs", &ids.offsets)
        .section("ids", &ids.bytes);
    if titled {
        file = file.section("titoffs", &titles.offsets).section("titles", &titles.bytes);
    }
    file.write(root, path)
}

#[cfg(test)]
mod tests;
