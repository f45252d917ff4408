//! What users have seen, as the history of a bundle.

use crate::interactions::Interactions;
use marquee_bundle::CsrInput;
use marquee_core::id::compare_ids;
use marquee_core::model::recipe::Seen;

/// Users × items by input index of a bundle.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CsrByIds {
    pub(crate) offsets: Vec<usize>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<f32>,
}

impl CsrByIds {
    pub(crate) fn into_input(self) -> CsrInput {
        CsrInput { offsets: self.offsets, columns: self.columns, values: self.values }
    }
}

/// What the users of `rows` have seen: all that they have among `all`. What is in `rows` counts
/// `value(row)`, and what isn't (a low rating) 0. So what a user saw and disliked is seen, but speaks for
/// nothing.
///
/// Beside it, where there are times, how many of the user's interactions are newer; of two at one
/// time, the later one in the file is the newer, as evaluation has it.
///
/// Both are in canonical order, and every row of `rows` is in `all`.
pub(crate) fn seen(
    all: &Interactions,
    rows: &Interactions,
    value: impl Fn(usize) -> f32,
) -> (CsrByIds, Option<CsrByIds>) {
    let items = places(&all.items, &rows.items);
    // Who is described only has none among all.
    let users = places(&rows.users, &all.users);
    let mut out = CsrByIds { offsets: vec![0], ..CsrByIds::default() };
    let mut ages = Vec::new();
    for (place, user) in users.into_iter().enumerate() {
        let liked = rows.items_of(place);
        let of_user = user.map_or(0..0, |user| all.rows_of(user as usize));
        let mut kept = Vec::with_capacity(of_user.len());
        for row in of_user {
            let Some(item) = items[all.item[row] as usize] else {
                continue;
            };
            kept.push(row);
            let first = rows.offsets[place];
            out.columns.push(item);
            out.values.push(liked.binary_search(&item).map_or(0.0, |at| value(first + at)));
        }
        out.offsets.push(out.columns.len());
        if all.has_times() {
            ages.extend(ages_of(&kept, all).into_iter().map(|age| age as f32));
        }
    }
    let order = all.has_times().then(|| CsrByIds { values: ages, ..out.clone() });
    (out, order)
}

/// How many of these rows are newer than each.
fn ages_of(rows: &[usize], all: &Interactions) -> Vec<u32> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| all.compare_times(rows[a], rows[b]));
    let mut ages = vec![0; rows.len()];
    for (age, place) in order.into_iter().rev().enumerate() {
        ages[place] = age as u32;
    }
    ages
}

/// The rows of one user as recipes read them: by item, with what each counts, and with ages where
/// there are times.
pub(crate) fn history_of(
    rows: &Interactions,
    user: usize,
    value: impl Fn(usize) -> f32,
) -> Vec<Seen> {
    let range: Vec<usize> = rows.rows_of(user).collect();
    let ages = if rows.has_times() { ages_of(&range, rows) } else { vec![0; range.len()] };
    let mut history = Vec::with_capacity(range.len());
    for (row, age) in range.into_iter().zip(ages) {
        history.push(Seen { ordinal: rows.item[row], value: value(row), age });
    }
    history
}

/// Where each of `all` is in `some`; both ascend in canonical order.
fn places(all: &[String], some: &[String]) -> Vec<Option<u32>> {
    let mut next = 0;
    all.iter()
        .map(|id| {
            while some.get(next).is_some_and(|other| compare_ids(other, id).is_lt()) {
                next += 1;
            }
            some.get(next).is_some_and(|other| other == id).then_some(next as u32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};
    use crate::weight::{Weight, positives};

    #[test]
    fn the_disliked_is_seen_but_weighs_nothing() {
        let raw = |user, item, value| RawRow { user, item, value, time: 9.0 - f64::from(item) };
        let rows = [raw(0, 0, 5.0), raw(0, 1, 1.0), raw(0, 2, 1.0), raw(1, 1, 4.0), raw(2, 0, 1.0)];
        let (all, _) = Interactions::from_rows(
            &["a", "b", "c"],
            &["x", "y", "z"],
            &rows,
            true,
            true,
            Duplicates::Last,
        );
        let kept = positives(&all, Some(4.0), Weight::None).expect("two rows");
        let (history, order) = seen(&all, &kept, |row| kept.value[row]);
        // z has no positive row and c has none: neither is in the bundle.
        assert_eq!(history.offsets, [0, 2, 3]);
        assert_eq!(history.columns, [0, 1, 1]);
        assert_eq!(history.values, [5.0, 0.0, 4.0]);
        // Of a's two, x at 9 is newer than y at 8.
        let order = order.expect("there are times");
        assert_eq!((&order.offsets, &order.columns), (&history.offsets, &history.columns));
        assert_eq!(order.values, [0.0, 1.0, 0.0]);
        let mine = history_of(&kept, 0, |row| kept.value[row]);
        assert_eq!(mine, [Seen { ordinal: 0, value: 5.0, age: 0 }]);
    }

    #[test]
    fn items_without_interactions_are_skipped_over() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_string()).collect::<Vec<_>>();
        let some = ids(&["0", "2", "9", "10", "b"]);
        assert_eq!(
            places(&ids(&["1", "2", "10", "a", "b"]), &some),
            [None, Some(1), Some(3), None, Some(4)]
        );
    }
}
