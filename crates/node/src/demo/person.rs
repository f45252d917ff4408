//! One person of the data: somebody with enough of a history to recognise a taste in.

use anyhow::Context as _;
use marquee_bundle::Bundle;
use marquee_core::recipe::HISTORY_MATRIX;
use std::collections::BTreeMap;

/// A history that fits on a screen and shows a taste: the person with the size nearest to this.
const GOOD_HISTORY: usize = 40;
/// How many of the history's items are shown.
const SHOWN: usize = 8;

/// Somebody, and some of what they watched.
#[derive(Debug)]
pub struct Person {
    /// The user id.
    pub user_id: String,
    /// How many items the history has.
    pub watched: usize,
    /// Titles of some of them, or ids where there are no titles.
    pub titles: Vec<String>,
}

/// Picks somebody from a bundle.
///
/// # Errors
/// Where the bundle has no histories.
pub fn pick(bundle: &Bundle) -> anyhow::Result<Person> {
    let mut titles = BTreeMap::new();
    for shard in bundle.shards() {
        let items = shard.items();
        for row in 0..items.len() as u32 {
            let title = if items.title(row).is_empty() { items.id(row) } else { items.title(row) };
            titles.insert(items.ordinal(row), title.to_owned());
        }
    }
    let mut best: Option<(usize, Person)> = None;
    for shard in bundle.shards() {
        let history = shard.sparse(HISTORY_MATRIX)?;
        for row in 0..shard.users().len() as u32 {
            let (items, _) = history.row(row);
            let distance = items.len().abs_diff(GOOD_HISTORY);
            if items.is_empty() || best.as_ref().is_some_and(|(nearest, _)| distance >= *nearest) {
                continue;
            }
            let every = items.len().div_ceil(SHOWN);
            let shown = items.iter().step_by(every).filter_map(|item| titles.get(item).cloned());
            let user_id = shard.users().id(row).to_owned();
            best = Some((distance, Person { user_id, watched: items.len(), titles: shown.collect() }));
        }
    }
    best.map(|(_, person)| person).context("nobody in the bundle has a history")
}
