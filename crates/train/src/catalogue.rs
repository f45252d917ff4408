//! Item records of a bundle, from ids and what an items file says of them.

use crate::interactions::Interactions;
use crate::read::ItemsFile;
use marquee_bundle::ItemRecord;
use marquee_core::id::compare_ids;
use serde::Serialize;

/// The attribute that holds an item's year.
pub const YEAR_ATTRIBUTE: &str = "year";

/// How an items file met the items of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CatalogueReport {
    /// Items of the bundle that the file describes.
    pub described: usize,
    /// Items of the bundle that it doesn't; they have no title.
    pub without_description: usize,
    /// Items of the file that no interaction names; they are left out of the bundle.
    pub left_out: usize,
    /// Bad rows that were skipped.
    pub bad_rows: u64,
    /// The first few of them.
    pub first_bad_rows: Vec<String>,
    /// What was assumed, in sentences.
    pub notes: Vec<String>,
}

/// The same interactions over their items and all those of the file.
pub(crate) fn with_catalogue(rows: &Interactions, file: &ItemsFile) -> Interactions {
    let mut items: Vec<String> = rows.items.iter().chain(file.items.keys()).cloned().collect();
    items.sort_unstable_by(|a, b| compare_ids(a, b));
    items.dedup();
    rows.over(&rows.users, &items)
}

/// The interactions, with the records of their items and how the file fitted; where `all_described`, over all items
/// of the file too, those without interactions among them.
pub(crate) fn over_catalogue(
    rows: Interactions,
    file: Option<&ItemsFile>,
    all_described: bool,
) -> (Interactions, Vec<ItemRecord>, Option<CatalogueReport>) {
    let rows = match file {
        Some(file) if all_described => with_catalogue(&rows, file),
        _ => rows,
    };
    let (items, catalogue) = records(&rows.items, file);
    (rows, items, catalogue)
}

/// Records for these ids, with what the file says of them.
pub(crate) fn records(
    ids: &[String],
    file: Option<&ItemsFile>,
) -> (Vec<ItemRecord>, Option<CatalogueReport>) {
    let Some(file) = file else {
        return (
            ids.iter().map(|id| ItemRecord { id: id.clone(), ..ItemRecord::default() }).collect(),
            None,
        );
    };
    let mut described = 0;
    let records = ids.iter().map(|id| {
        let Some(item) = file.items.get(id) else {
            return ItemRecord { id: id.clone(), ..ItemRecord::default() };
        };
        described += 1;
        ItemRecord {
            id: id.clone(),
            title: item.title.clone(),
            tags: item.tags.clone(),
            attributes: item
                .year
                .map(|year| (YEAR_ATTRIBUTE.to_string(), year))
                .into_iter()
                .collect(),
        }
    });
    let records: Vec<ItemRecord> = records.collect();
    let report = CatalogueReport {
        described,
        without_description: ids.len() - described,
        left_out: file.items.len() - described,
        bad_rows: file.bad_rows,
        first_bad_rows: file.first_bad_rows.clone(),
        notes: file.notes.clone(),
    };
    (records, Some(report))
}
