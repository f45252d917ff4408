//! The canonical order of ids, for many ids at once.

use std::cmp::Ordering;

/// The order of these ids by [`marquee_core::id::compare_ids`], as (ids' indexes in order, place of
/// each id in that order).
///
/// The same order as comparing pair by pair; deciding once an id, not once a comparison, whether it
/// is a number.
pub(crate) fn canonical_order(ids: &[&str]) -> (Vec<u32>, Vec<u32>) {
    let mut keys: Vec<(Key<'_>, u32)> =
        ids.iter().zip(0..).map(|(id, n)| (Key::new(id), n)).collect();
    keys.sort_unstable();
    let mut places = vec![0; ids.len()];
    for (place, (_, n)) in keys.iter().enumerate() {
        places[*n as usize] = place as u32;
    }
    (keys.into_iter().map(|(_, n)| n).collect(), places)
}

/// Orders as the id does: numbers first, by length and then bytes; words after them, by bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    /// Bytes of a number, `usize::MAX` for a word.
    length: usize,
    id: &'a str,
}

impl<'a> Key<'a> {
    fn new(id: &'a str) -> Self {
        // A decimal number is what comes before the smallest word there is.
        let number = marquee_core::id::compare_ids(id, "") == Ordering::Less;
        Self { length: if number { id.len() } else { usize::MAX }, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::id::compare_ids;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_order_of_compare_ids(ids in prop::collection::vec("[0-2]{0,3}|[a1]{1,3}|é", 0..30)) {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let (order, places) = canonical_order(&ids);
            let sorted: Vec<&str> = order.iter().map(|&n| ids[n as usize]).collect();
            prop_assert!(sorted.is_sorted_by(|a, b| compare_ids(a, b) != Ordering::Greater));
            for (n, &place) in places.iter().enumerate() {
                prop_assert_eq!(order[place as usize] as usize, n);
            }
        }
    }
}
