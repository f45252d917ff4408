//! Labels: the tags and the numeric attributes of items, which filters read.
//!
//! ```text
//! section   elements               what
//! meta      u64 × 3                rows, tags, attributes
//! tagoffs   u64 × (tags + 1)       where each tag's text begins
//! tags      u8                     the tags' texts, sorted bytewise
//! itagoffs  u64 × (rows + 1)       where each row's tags begin
//! itags     u32                    numbers of tags, ascending within a row
//! tagrowof  u64 × (tags + 1)       where each tag's rows begin
//! tagrows   u32                    rows, ascending within a tag
//! attroffs  u64 × (attributes + 1) where each attribute's name begins
//! attrs     u8                     the attributes' names, sorted bytewise
//! values    f64 × attributes·rows  the values of one attribute after another, NaN where absent
//! ```

use crate::error::BundleError;
use crate::format::{
    FileBuilder, FileInfo, FileKind, Lists, LoadOptions, Section, SectionFile, Text, TextBuilder,
};
use std::path::Path;

/// Bytes of a tag and of an attribute's name: words, not sentences.
pub const MAX_TAG_BYTES: usize = 256;
/// Attributes of a bundle's items: each costs eight bytes an item, whether the item has it or not.
pub const MAX_ATTRIBUTES: usize = 256;

/// Tags and attributes of one shard's items.
pub struct Labels {
    tags: Text,
    tags_of_row: Lists,
    rows_of_tag: Lists,
    attributes: Text,
    values: Section<f64>,
    rows: usize,
    bytes: u64,
}

impl Labels {
    /// The shard's tags, sorted bytewise.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.tags.len()).map(|tag| self.tags.get(tag))
    }

    /// The tags of one item, sorted bytewise.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn tags_of(&self, row: u32) -> impl ExactSizeIterator<Item = &str> {
        self.tags_of_row.get(row as usize).iter().map(|&tag| self.tags.get(tag as usize))
    }

    /// The rows of the items with this tag, ascending; none for a tag the shard doesn't know.
    pub fn rows_with_tag(&self, tag: &str) -> &[u32] {
        self.tags.find_sorted(tag).map_or(&[], |tag| self.rows_of_tag.get(tag))
    }

    /// The names of the attributes, sorted bytewise.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.attributes.len()).map(|at| self.attributes.get(at))
    }

    /// The values of one attribute by row, NaN where the item hasn't got it; none if no item has.
    pub fn attribute(&self, name: &str) -> Option<&[f64]> {
        let at = self.attributes.find_sorted(name)?;
        Some(&self.values[at * self.rows..][..self.rows])
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens and checks the labels of `rows` items.
    pub(crate) fn open(
        root: &Path,
        info: &FileInfo,
        rows: usize,
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        let file = SectionFile::open(root, info, FileKind::Labels, options)?;
        let [found_rows, found_tags, found_attributes] = file.numbers("meta")?;
        file.check(found_rows == rows as u64, "it has another number of rows than the id table")?;
        let tag_count = file.length("the number of tags", found_tags, u32::MAX as usize)?;
        let attribute_count =
            file.length("the number of attributes", found_attributes, MAX_ATTRIBUTES)?;
        // Before multiplying: the file itself bounds how many strings there can be.
        let tags = Text::open(&file, "tagoffs", "tags", tag_count, MAX_TAG_BYTES)?;
        let tags_of_row = Lists::open(&file, "itagoffs", "itags", rows, tags.len())?;
        let rows_of_tag = Lists::open(&file, "tagrowof", "tagrows", tags.len(), rows)?;
        let attributes = Text::open(&file, "attroffs", "attrs", attribute_count, MAX_TAG_BYTES)?;
        let values = file.section::<f64>("values", attributes.len() * rows)?;
        let bytes = file.bytes();
        Ok(Self { tags, tags_of_row, rows_of_tag, attributes, values, rows, bytes })
    }
}

/// The labels of one item, for the writer.
pub(crate) struct LabelRow<'a> {
    pub(crate) tags: &'a [String],
    pub(crate) attributes: &'a [(String, f64)],
}

/// Writes the labels of these items, in their order.
pub(crate) fn write_labels(
    root: &Path,
    path: String,
    rows: &[LabelRow<'_>],
) -> Result<FileInfo, BundleError> {
    let mut tags: Vec<&str> =
        rows.iter().flat_map(|row| row.tags.iter().map(String::as_str)).collect();
    tags.sort_unstable();
    tags.dedup();
    let mut names: Vec<&str> =
        rows.iter().flat_map(|row| row.attributes.iter().map(|(name, _)| name.as_str())).collect();
    names.sort_unstable();
    names.dedup();

    let (mut row_offsets, mut row_tags) = (vec![0u64], Vec::<u32>::new());
    let mut rows_of_tag = vec![Vec::<u32>::new(); tags.len()];
    let mut values = vec![f64::NAN; names.len() * rows.len()];
    for (row, labels) in rows.iter().enumerate() {
        let mut own: Vec<usize> =
            labels.tags.iter().filter_map(|tag| tags.binary_search(&tag.as_str()).ok()).collect();
        own.sort_unstable();
        own.dedup();
        for tag in own {
            row_tags.push(tag as u32);
            rows_of_tag[tag].push(row as u32);
        }
        row_offsets.push(row_tags.len() as u64);
        for (name, value) in labels.attributes {
            if let Ok(at) = names.binary_search(&name.as_str()) {
                values[at * rows.len() + row] = *value;
            }
        }
    }
    let (mut tag_offsets, mut tag_rows) = (vec![0u64], Vec::<u32>::new());
    for rows in rows_of_tag {
        tag_rows.extend(rows);
        tag_offsets.push(tag_rows.len() as u64);
    }
    let tag_text = TextBuilder::of(tags.iter().copied());
    let name_text = TextBuilder::of(names.iter().copied());
    FileBuilder::new(FileKind::Labels)
        .numbers("meta", &[rows.len() as u64, tags.len() as u64, names.len() as u64])
        .section("tagoffs", &tag_text.offsets)
        .section("tags", &tag_text.bytes)
        .section("itagoffs", &row_offsets)
        .section("itags", &row_tags)
        .section("tagrowof", &tag_offsets)
        .section("tagrows", &tag_rows)
        .section("attroffs", &name_text.offsets)
        .section("attrs", &name_text.bytes)
        .section("values", &values)
        .write(root, path)
}
