//! Interactions in memory: who, what, how much, when; one row a (user, item) pair.

use crate::order::canonical_order;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

/// What becomes of several rows of one (user, item) pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The latest row counts (by time; the later one in the file where times are equal or missing):
    /// right for ratings, where users change their minds.
    #[default]
    Last,
    /// Values are added up and the latest time is kept: right for logs of plays and purchases.
    Sum,
}

/// Interactions of users with items, sorted by user and then item, each pair once.
///
/// Users and items are numbered in the canonical order of their ids
/// ([`marquee_core::id::compare_ids`]), so the same rows in any order are the same `Interactions`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    /// Ids of users, in canonical order; each has at least one row when this comes from a file.
    pub users: Vec<String>,
    /// Ids of items, in canonical order.
    pub items: Vec<String>,
    /// Rows of user `u` are `offsets[u]..offsets[u + 1]`.
    pub offsets: Vec<usize>,
    /// The item of each row, ascending within a user.
    pub item: Vec<u32>,
    /// The value of each row; 1 where the file has none.
    pub value: Vec<f32>,
    /// The time of each row; empty when the file has none.
    pub time: Vec<f64>,
    /// The place of each row among those of its user and time, by the order of the file; empty when the file has no times.
    pub(crate) place: Vec<u32>,
    /// Whether the values come from the file.
    pub has_values: bool,
}

/// One row as read: users and items by any numbering.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRow {
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) value: f32,
    pub(crate) time: f64,
}

impl Interactions {
    /// From rows in any order, whose users and items index these ids. Returns also how many rows
    /// were folded into others of the same pair.
    pub(crate) fn from_rows(
        users: &[&str],
        items: &[&str],
        rows: &[RawRow],
        has_values: bool,
        has_times: bool,
        duplicates: Duplicates,
    ) -> (Self, u64) {
        let (user_order, user_rank) = canonical_order(users);
        let (item_order, item_rank) = canonical_order(items);
        let mut starts = vec![0usize; users.len() + 1];
        for row in rows {
            starts[user_rank[row.user as usize] as usize + 1] += 1;
        }
        for user in 0..users.len() {
            starts[user + 1] += starts[user];
        }
        // A stable counting sort by user; then each user's rows by item, time and place in the file.
        let mut sorted = vec![(0u32, 0f32, 0f64, 0u32); rows.len()];
        let mut next = starts.clone();
        for row in rows {
            let user = user_rank[row.user as usize] as usize;
            let at = &mut next[user];
            let place = u32::try_from(*at - starts[user]).unwrap_or(u32::MAX);
            sorted[*at] = (item_rank[row.item as usize], row.value, row.time, place);
            *at += 1;
        }
        let mut out = Self {
            users: user_order.iter().map(|&n| users[n as usize].to_string()).collect(),
            items: item_order.iter().map(|&n| items[n as usize].to_string()).collect(),
            offsets: Vec::with_capacity(users.len() + 1),
            item: Vec::with_capacity(rows.len()),
            value: Vec::with_capacity(rows.len()),
            time: Vec::with_capacity(if has_times { rows.len() } else { 0 }),
            place: Vec::with_capacity(if has_times { rows.len() } else { 0 }),
            has_values,
        };
        out.offsets.push(0);
        for user in 0..users.len() {
            let mine = &mut sorted[starts[user]..starts[user + 1]];
            mine.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.total_cmp(&b.2)));
            let first = out.item.len();
            for &(item, value, time, place) in mine.iter() {
                let last = out.item.len();
                if last > first && out.item[last - 1] == item {
                    match duplicates {
                        Duplicates::Last => out.value[last - 1] = value,
                        Duplicates::Sum => out.value[last - 1] += value,
                    }
                    if has_times {
                        out.time[last - 1] = time;
                        out.place[last - 1] = place;
                    }
                } else {
                    out.item.push(item);
                    out.value.push(value);
                    if has_times {
                        out.time.push(time);
                        out.place.push(place);
                    }
                }
            }
            out.count_places_from(first);
            out.offsets.push(out.item.len());
        }
        let folded = rows.len() - out.item.len();
        (out, folded as u64)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.item.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.item.is_empty()
    }

    /// Whether rows have times.
    pub fn has_times(&self) -> bool {
        !self.time.is_empty()
    }

    /// Counts the places of the rows from `first` on, those of one user, among rows of the same time: where times differ the order
    /// of the file says nothing.
    fn count_places_from(&mut self, first: usize) {
        if !self.has_times() {
            return;
        }
        let mut rows: Vec<usize> = (first..self.item.len()).collect();
        rows.sort_by(|a, b| self.compare_times(*a, *b));
        let mut place = 0;
        for at in 0..rows.len() {
            let is_tie = at > 0 && self.time[rows[at]] == self.time[rows[at - 1]];
            place = if is_tie { place + 1 } else { 0 };
            self.place[rows[at]] = place;
        }
    }

    /// Which of two rows of a user comes first: by time, and of equal times by the order of the file. There must be times.
    pub(crate) fn compare_times(&self, a: usize, b: usize) -> Ordering {
        let places = || self.place.get(a).cmp(&self.place.get(b));
        self.time[a].total_cmp(&self.time[b]).then_with(places)
    }

    /// The rows of a user.
    pub fn rows_of(&self, user: usize) -> Range<usize> {
        self.offsets[user]..self.offsets[user + 1]
    }

    /// The items of a user, ascending.
    pub fn items_of(&self, user: usize) -> &[u32] {
        &self.item[self.rows_of(user)]
    }

    /// The rows that `keep(user, row)` wants, over the same users and items.
    pub fn filter_rows(&self, keep: impl Fn(usize, usize) -> bool) -> Self {
        let mut out = Self {
            users: self.users.clone(),
            items: self.items.clone(),
            offsets: vec![0],
            has_values: self.has_values,
            ..Self::default()
        };
        for user in 0..self.users.len() {
            for row in self.rows_of(user).filter(|&row| keep(user, row)) {
                out.item.push(self.item[row]);
                out.value.push(self.value[row]);
                if self.has_times() {
                    out.time.push(self.time[row]);
                    out.place.extend(self.place.get(row));
                }
            }
            out.offsets.push(out.item.len());
        }
        out
    }

    /// Leaves out all rows of these users, and then the users and the items that have none left. Returns how many
    /// users and rows there were.
    pub(crate) fn leave_out_users(&mut self, is_left_out: impl Fn(&str) -> bool) -> (usize, usize) {
        let left_out: Vec<bool> = self.users.iter().map(|id| is_left_out(id)).collect();
        let users = left_out.iter().filter(|is_left_out| **is_left_out).count();
        if users == 0 {
            return (0, 0);
        }
        let before = self.len();
        *self = self.filter_rows(|user, _| !left_out[user]).compact();
        (users, before - self.len())
    }

    /// The same rows without the users and items that have none.
    pub fn compact(&self) -> Self {
        let mut used = vec![false; self.items.len()];
        self.item.iter().for_each(|&item| used[item as usize] = true);
        let mut number = vec![u32::MAX; self.items.len()];
        let mut items = Vec::new();
        for (item, _) in used.iter().enumerate().filter(|(_, used)| **used) {
            number[item] = items.len() as u32;
            items.push(self.items[item].clone());
        }
        let active = |user: &usize| !self.rows_of(*user).is_empty();
        let mut offsets = vec![0];
        offsets.extend((0..self.users.len()).filter(active).map(|user| self.offsets[user + 1]));
        Self {
            users: (0..self.users.len())
                .filter(active)
                .map(|user| self.users[user].clone())
                .collect(),
            items,
            offsets,
            item: self.item.iter().map(|&item| number[item as usize]).collect(),
            value: self.value.clone(),
            time: self.time.clone(),
            place: self.place.clone(),
            has_values: self.has_values,
        }
    }

    /// The rows of these users with these items, numbered as they stand here, in canonical order.
    pub fn over(&self, users: &[String], items: &[String]) -> Self {
        let item_of: HashMap<&str, u32> = items.iter().map(String::as_str).zip(0..).collect();
        let user_of: HashMap<&str, usize> =
            self.users.iter().map(String::as_str).zip(0..).collect();
        let number: Vec<Option<u32>> =
            self.items.iter().map(|id| item_of.get(id.as_str()).copied()).collect();
        let mut out = Self {
            users: users.to_vec(),
            items: items.to_vec(),
            offsets: vec![0],
            has_values: self.has_values,
            ..Self::default()
        };
        for id in users {
            for row in user_of.get(id.as_str()).map_or(0..0, |&user| self.rows_of(user)) {
                if let Some(item) = number[self.item[row] as usize] {
                    out.item.push(item);
                    out.value.push(self.value[row]);
                    if self.has_times() {
                        out.time.push(self.time[row]);
                        out.place.extend(self.place.get(row));
                    }
                }
            }
            out.offsets.push(out.item.len());
        }
        out
    }

    /// How many rows each item has.
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.items.len()];
        self.item.iter().for_each(|&item| counts[item as usize] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(user: u32, item: u32, value: f32, time: f64) -> RawRow {
        RawRow { user, item, value, time }
    }

    fn build(rows: &[RawRow], duplicates: Duplicates) -> (Interactions, u64) {
        Interactions::from_rows(&["b", "10", "9"], &["y", "x"], rows, true, true, duplicates)
    }

    #[test]
    fn the_latest_duplicate_wins_or_all_are_summed() {
        let rows =
            [raw(0, 0, 5.0, 30.0), raw(0, 0, 2.0, 40.0), raw(0, 0, 1.0, 10.0), raw(1, 1, 4.0, 1.0)];
        let (last, folded) = build(&rows, Duplicates::Last);
        assert_eq!(
            (last.users.as_slice(), folded),
            (["9", "10", "b"].map(String::from).as_slice(), 2)
        );
        assert_eq!(
            (last.value.as_slice(), last.time.as_slice()),
            ([4.0, 2.0].as_slice(), [1.0, 40.0].as_slice())
        );
        let (sum, _) = build(&rows, Duplicates::Sum);
        assert_eq!(
            (sum.value.as_slice(), sum.time.as_slice()),
            ([4.0, 8.0].as_slice(), [1.0, 40.0].as_slice())
        );
    }

    #[test]
    fn compacting_drops_the_unused() {
        let (all, _) = build(&[raw(0, 0, 5.0, 1.0), raw(2, 1, 1.0, 1.0)], Duplicates::Last);
        let kept = all.filter_rows(|_, row| all.value[row] > 2.0).compact();
        assert_eq!((kept.users, kept.items), (vec!["b".to_string()], vec!["y".to_string()]));
        assert_eq!((kept.offsets, kept.item), (vec![0, 1], vec![0]));
    }

    #[test]
    fn users_are_left_out_with_the_items_that_only_they_have() {
        let rows =
            [raw(0, 0, 5.0, 1.0), raw(2, 1, 1.0, 1.0), raw(2, 0, 1.0, 1.0), raw(1, 0, 1.0, 2.0)];
        let (mut all, _) = build(&rows, Duplicates::Last);
        assert_eq!(all.leave_out_users(|id| id == "unknown"), (0, 0));
        assert_eq!(all.leave_out_users(|id| id == "9"), (1, 2));
        let expected = (vec!["10".to_owned(), "b".to_owned()], vec!["y".to_owned()]);
        assert_eq!((all.users.clone(), all.items.clone(), all.len()), (expected.0, expected.1, 2));
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(
            rows in prop::collection::vec((0u32..3, 0u32..2, 0u8..9), 0..20),
            seed in any::<u64>(),
        ) {
            // Distinct times, so that "the latest" is well defined.
            let rows: Vec<RawRow> =
                rows.iter().enumerate().map(|(n, r)| raw(r.0, r.1, f32::from(r.2), n as f64)).collect();
            let mut shuffled = rows.clone();
            crate::random::shuffle(&mut shuffled, seed);
            prop_assert_eq!(build(&rows, Duplicates::Last), build(&shuffled, Duplicates::Last));
        }
    }
}
