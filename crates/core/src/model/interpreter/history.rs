//! What a user has seen and liked: the stored history and the request's recent items, as one set.

use super::known_rows::KnownRows;
use super::request::RowOf;
use crate::model::recipe::Seen;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A recent item that a version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Its place among the request's recent items.
    pub place: usize,
    /// The item's ordinal in the model version.
    pub ordinal: u32,
}

/// What one version knows of a user's history.
#[derive(Clone, Debug)]
pub struct UserHistory<'r> {
    /// The stored history, by ascending item.
    pub stored: Cow<'r, [Seen]>,
    /// The recent items that the version knows, the newest first, each once.
    pub recents: Vec<Recent>,
    /// How much a recent item speaks for itself: the mean of what the user liked, else 1.
    pub recent_value: f32,
    /// Both as one history; none where it is the stored one.
    merged: Option<Vec<Seen>>,
}

impl<'r> UserHistory<'r> {
    /// The history of a user whose request has so many recent items.
    pub fn of<R: KnownRows>(rows: &'r R, recents: usize) -> Self {
        let stored = rows.history();
        let recents = known_recents(rows, recents);
        let recent_value = mean_of_liked(&stored);
        let merged = (!recents.is_empty()).then(|| merge(&stored, &recents, recent_value));
        Self { stored, recents, recent_value, merged }
    }

    /// The stored history and the recent items, by ascending item, each item once.
    pub fn all(&self) -> &[Seen] {
        self.merged.as_deref().unwrap_or(&self.stored)
    }

    /// What the user liked of the stored history, each with how many of the *liked* interactions are newer:
    /// what trainers of vectors see, since they are given liked interactions only.
    pub(super) fn liked(&self) -> Vec<Seen> {
        let mut liked: Vec<Seen> =
            self.stored.iter().filter(|seen| seen.value > 0.0).copied().collect();
        let mut ages: Vec<u32> = liked.iter().map(|seen| seen.age).collect();
        ages.sort_unstable();
        for seen in &mut liked {
            seen.age = ages.partition_point(|&age| age < seen.age) as u32;
        }
        liked
    }

    /// The recent items that the user is not stored to have liked.
    pub(super) fn new_recents(&self) -> impl Iterator<Item = Recent> {
        self.recents.iter().copied().filter(|recent| !is_liked(&self.stored, recent.ordinal))
    }
}

/// Whether a history, by ascending item, has an item with a value above 0.
fn is_liked(history: &[Seen], ordinal: u32) -> bool {
    let place = history.binary_search_by_key(&ordinal, |seen| seen.ordinal);
    place.is_ok_and(|place| history[place].value > 0.0)
}

fn known_recents<R: KnownRows>(rows: &R, recents: usize) -> Vec<Recent> {
    let mut listed = BTreeSet::new();
    let mut known = Vec::new();
    for place in (0..recents).rev() {
        if let Some(ordinal) = rows.ordinal(RowOf::Recent(place))
            && listed.insert(ordinal)
        {
            known.push(Recent { place, ordinal });
        }
    }
    known
}

fn mean_of_liked(history: &[Seen]) -> f32 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for seen in history.iter().filter(|seen| seen.value > 0.0) {
        sum += f64::from(seen.value);
        count += 1;
    }
    if count == 0 { 1.0 } else { (sum / f64::from(count)) as f32 }
}

/// Recent items are newer than all that is stored. Ages are those that training would have given: the number
/// of items that are newer, where an item is where it was seen last.
fn merge(stored: &[Seen], recents: &[Recent], value: f32) -> Vec<Seen> {
    let newer: BTreeSet<u32> = recents.iter().map(|recent| recent.ordinal).collect();
    let mut moved: Vec<u32> = Vec::new();
    for seen in stored.iter().filter(|seen| newer.contains(&seen.ordinal)) {
        moved.push(seen.age);
    }
    moved.sort_unstable();
    let mut all = Vec::with_capacity(stored.len() + recents.len());
    for (age, recent) in (0..).zip(recents) {
        all.push(Seen { ordinal: recent.ordinal, value, age });
    }
    for seen in stored.iter().filter(|seen| !newer.contains(&seen.ordinal)) {
        let moved_newer = moved.partition_point(|&age| age < seen.age) as u32;
        let age = seen.age.saturating_sub(moved_newer).saturating_add(recents.len() as u32);
        all.push(Seen { age, ..*seen });
    }
    all.sort_unstable_by_key(|seen| seen.ordinal);
    all
}

/// A history of the columns and values of a user's row of
/// [`HISTORY_MATRIX`](crate::model::recipe::HISTORY_MATRIX), and of the row of
/// [`HISTORY_ORDER_MATRIX`](crate::model::recipe::HISTORY_ORDER_MATRIX), empty if there is none: then all ages
/// are 0. Columns ascend.
pub fn seen_entries(history: (&[u32], &[f32]), order: (&[u32], &[f32])) -> Vec<Seen> {
    let mut seen = Vec::with_capacity(history.0.len());
    for (&ordinal, &value) in history.0.iter().zip(history.1) {
        let place = order.0.binary_search(&ordinal).ok();
        let age = place.and_then(|place| order.1.get(place)).map_or(0, |&age| age as u32);
        seen.push(Seen { ordinal, value, age });
    }
    seen
}
