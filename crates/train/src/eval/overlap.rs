//! What the rows of a test have in common with those of a training, and what they have not: where much of it is amiss, the scores
//! say little, and nothing in them shows it.

use crate::interactions::Interactions;
use std::collections::{HashMap, HashSet};

/// How the rows to find fit the rows that were trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestOverlap {
    /// Users who are tested.
    pub users: usize,
    /// Of these, those without any row in the training.
    pub new_users: usize,
    /// Items that are to be found.
    pub items: usize,
    /// Of these, those without any row in the training.
    pub new_items: usize,
    /// Pairs that are to be found.
    pub pairs: usize,
    /// Of these, those that the training has too.
    pub repeated_pairs: usize,
}

impl TestOverlap {
    /// Compares by ids.
    pub(super) fn of(train: &Interactions, test: &Interactions) -> Self {
        let train_users: HashMap<&str, usize> =
            train.users.iter().map(String::as_str).zip(0..).collect();
        let train_items: HashSet<&str> = train.items.iter().map(String::as_str).collect();
        let is_new = |item: &&String| !train_items.contains(item.as_str());
        let mut overlap = Self {
            users: test.users.len(),
            new_users: 0,
            items: test.items.len(),
            new_items: test.items.iter().filter(is_new).count(),
            pairs: test.len(),
            repeated_pairs: 0,
        };
        for (user, id) in test.users.iter().enumerate() {
            let Some(&known) = train_users.get(id.as_str()) else {
                overlap.new_users += 1;
                continue;
            };
            let had = train.items_of(known).iter().map(|&item| train.items[item as usize].as_str());
            let had: HashSet<&str> = had.collect();
            for &item in test.items_of(user) {
                let repeated = had.contains(test.items[item as usize].as_str());
                overlap.repeated_pairs += usize::from(repeated);
            }
        }
        overlap
    }

    /// What may make the scores say less than they seem to, in sentences.
    pub fn remarks(&self) -> Vec<String> {
        let Self { users, new_users, items, new_items, pairs, repeated_pairs } = *self;
        let mut remarks = Vec::new();
        if new_users > 0 {
            remarks.push(format!(
                "{new_users} of {users} users of --test are not in --train: nothing is known of them{}",
                same_form(new_users, users)
            ));
        }
        if new_items > 0 {
            remarks.push(format!(
                "{new_items} of {items} items of --test are not in --train: a model of --train cannot find them{}",
                same_form(new_items, items)
            ));
        }
        if repeated_pairs > 0 {
            remarks.push(format!(
                "{repeated_pairs} of {pairs} pairs of --test are in --train too: they are left out of lists where what is seen is, \
                 and are then never found; elsewhere they count as hits"
            ));
        }
        remarks
    }
}

/// A hint for where nothing fits.
fn same_form(new: usize, all: usize) -> &'static str {
    if new == all { "; are the ids of both files of the same form?" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};

    fn interactions(users: &[&str], items: &[&str], rows: &[(u32, u32)]) -> Interactions {
        let mut raw = Vec::new();
        for &(user, item) in rows {
            raw.push(RawRow { user, item, value: 1.0, time: 0.0 });
        }
        Interactions::from_rows(users, items, &raw, false, false, Duplicates::default()).0
    }

    #[test]
    fn what_is_new_and_what_is_repeated_is_counted() {
        let train = interactions(&["u1", "u2"], &["a", "b"], &[(0, 0), (0, 1), (1, 1)]);
        let test = interactions(&["u3", "u1"], &["b", "c"], &[(0, 0), (1, 0), (1, 1)]);
        let overlap = TestOverlap::of(&train, &test);
        let expected = TestOverlap {
            users: 2,
            new_users: 1,
            items: 2,
            new_items: 1,
            pairs: 3,
            repeated_pairs: 1,
        };
        assert_eq!(overlap, expected);
        let remarks = overlap.remarks();
        assert_eq!(remarks.len(), 3);
        assert!(
            remarks[0].starts_with("1 of 2 users") && !remarks[0].contains("form"),
            "{remarks:?}"
        );
        assert!(remarks[2].starts_with("1 of 3 pairs"), "{remarks:?}");
        let floats = interactions(&["1.0", "2.0"], &["a", "b"], &[(0, 0), (1, 1)]);
        let remarks = TestOverlap::of(&train, &floats).remarks();
        assert!(remarks.len() == 1 && remarks[0].contains("same form"), "{remarks:?}");
        assert!(
            TestOverlap::of(&train, &interactions(&["u2"], &["a"], &[(0, 0)])).remarks().is_empty()
        );
    }
}
