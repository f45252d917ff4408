//! What users have seen, as the history of a bundle.

use crate::interactions::Interactions;
use crate::weight::Weight;
use marquee_bundle::CsrInput;

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

/// The history of the users of `rows`: all that they have among `all`, of which what is in `rows` has
/// its weight and what isn't (a low rating) has 0. So what a user saw and disliked is seen, but
/// speaks for nothing.
///
/// Both are in canonical order, and `rows` has a subset of the users, items and rows of `all`.
pub(crate) fn seen(all: &Interactions, rows: &Interactions, weight: Weight) -> CsrByIds {
    let items = places(&all.items, &rows.items);
    let users = places(&all.users, &rows.users);
    let mut out = CsrByIds { offsets: vec![0], ..CsrByIds::default() };
    for user in (0..all.users.len()).filter(|&user| users[user].is_some()) {
        let liked = users[user].map_or(&[][..], |user| rows.items_of(user as usize));
        for row in all.rows_of(user) {
            let Some(item) = items[all.item[row] as usize] else {
                continue;
            };
            let positive = liked.binary_search(&item).is_ok();
            out.columns.push(item);
            out.values.push(if positive { weight.of(all.value[row]) } else { 0.0 });
        }
        out.offsets.push(out.columns.len());
    }
    out
}

/// Where each of `all` is in `some`; both ascend in the same order.
fn places(all: &[String], some: &[String]) -> Vec<Option<u32>> {
    let mut next = 0;
    all.iter()
        .map(|id| {
            let here = some.get(next).is_some_and(|other| other == id);
            here.then(|| {
                next += 1;
                (next - 1) as u32
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};
    use crate::weight::positives;

    #[test]
    fn the_disliked_is_seen_but_weighs_nothing() {
        let raw = |user, item, value| RawRow { user, item, value, time: 0.0 };
        let rows = [raw(0, 0, 5.0), raw(0, 1, 1.0), raw(0, 2, 1.0), raw(1, 1, 4.0), raw(2, 0, 1.0)];
        let (all, _) = Interactions::from_rows(
            &["a", "b", "c"],
            &["x", "y", "z"],
            &rows,
            true,
            false,
            Duplicates::Last,
        );
        let kept = positives(&all, Some(4.0), Weight::None).expect("two rows");
        let history = seen(&all, &kept, Weight::Value);
        // z has no positive row and c has none: neither is in the bundle.
        assert_eq!(history.offsets, [0, 2, 3]);
        assert_eq!(history.columns, [0, 1, 1]);
        assert_eq!(history.values, [5.0, 0.0, 4.0]);
    }
}
