//! What training holds out by itself: each user's last interactions.

use super::parts::{in_order, share_of};
use crate::interactions::Interactions;
use crate::random::shuffle;
use marquee_core::id::compare_ids;

/// Fewest interactions of a user who takes part: with fewer there is nothing to train on.
const MIN_INTERACTIONS: usize = 5;
/// Share of a user's interactions that is held out, rounded down, and at least one.
const TEST_SHARE: f64 = 0.2;
/// Scores that ranking for a sample of users takes, about a CPU second with 64 factors.
const MAX_SCORES: usize = 200_000_000;
/// Users of a sample however many items there are.
const MIN_SAMPLE: usize = 1_000;

/// Interactions cut in two, over the same users and items.
#[derive(Clone, Debug)]
pub struct HoldOut {
    /// The interactions to train on.
    pub train: Interactions,
    /// Interactions that recommendations have to find.
    pub test: Interactions,
    /// Whether the last by time were held out, or, for want of times, some at random.
    pub by_time: bool,
}

impl HoldOut {
    /// From two sets of interactions that were cut elsewhere, over the users and items of both.
    pub fn new(train: &Interactions, test: &Interactions) -> Self {
        let users = merge_ids(&train.users, &test.users);
        let items = merge_ids(&train.items, &test.items);
        Self {
            train: train.over(&users, &items),
            test: test.over(&users, &items),
            by_time: test.has_times(),
        }
    }
}

impl HoldOut {
    /// Users who have something held out, ascending: at most so many of them, drawn by seed, and fewer where there are
    /// so many items that ranking them would take long.
    pub(crate) fn sample_of_users(&self, seed: u64, most: usize) -> Vec<u32> {
        let has_some = |user: &u32| !self.test.items_of(*user as usize).is_empty();
        let mut users: Vec<u32> = (0..self.test.users.len() as u32).filter(has_some).collect();
        let affordable = MAX_SCORES / self.train.items.len().max(1);
        let count = most.min(affordable.max(MIN_SAMPLE));
        if count < users.len() {
            shuffle(&mut users, seed);
            users.truncate(count);
            users.sort_unstable();
        }
        users
    }
}

/// The ids of both, each once, in canonical order.
fn merge_ids(a: &[String], b: &[String]) -> Vec<String> {
    let mut all: Vec<String> = a.iter().chain(b).cloned().collect();
    all.sort_unstable_by(|a, b| compare_ids(a, b));
    all.dedup();
    all
}

/// Holds out the last fifth of the interactions of every user who has at least five, by time and,
/// where times are equal, by the order of the file; at random by `seed` where there are no times.
/// None when no user has five.
pub fn hold_out(rows: &Interactions, seed: u64) -> Option<HoldOut> {
    let active = rows.filter_rows(|user, _| rows.rows_of(user).len() >= MIN_INTERACTIONS).compact();
    if active.is_empty() {
        return None;
    }
    let mut held = vec![false; active.len()];
    let by_time = active.has_times();
    for user in 0..active.users.len() {
        let mine = in_order(&active, user, seed);
        let count = share_of(mine.len(), TEST_SHARE);
        mine[mine.len() - count..].iter().for_each(|&row| held[row] = true);
    }
    let (train, test) =
        (active.filter_rows(|_, row| !held[row]), active.filter_rows(|_, row| held[row]));
    Some(HoldOut { train, test, by_time })
}

/// As [`hold_out`], over all users and items of `rows`: users with too few interactions to take part are trained on,
/// too.
pub(crate) fn hold_out_over_all(rows: &Interactions, seed: u64) -> Option<HoldOut> {
    let held = hold_out(rows, seed)?;
    let test = held.test.over(&rows.users, &rows.items);
    let train =
        rows.filter_rows(|user, row| test.items_of(user).binary_search(&rows.item[row]).is_err());
    Some(HoldOut { train, test, by_time: held.by_time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};

    fn interactions(times: &[(u32, u32, f64)], has_times: bool) -> Interactions {
        let rows: Vec<RawRow> = times
            .iter()
            .map(|&(user, item, time)| RawRow { user, item, value: 1.0, time })
            .collect();
        let items: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        Interactions::from_rows(&["a", "b", "c"], &items, &rows, false, has_times, Duplicates::Last)
            .0
    }

    #[test]
    fn the_last_fifth_by_time_then_item_is_held_out() {
        // a: 10 rows at one time but for item 0, the latest; b: 5 rows, times falling; c: too few.
        let mut rows: Vec<_> =
            (0..10).map(|item| (0, item, if item == 0 { 9.0 } else { 5.0 })).collect();
        rows.extend((0..5).map(|item| (1, item, -f64::from(item))));
        rows.extend((10..14).map(|item| (2, item, 0.0)));
        let split = hold_out(&interactions(&rows, true), 1).expect("two users take part");
        assert!(split.by_time);
        assert_eq!(split.train.users, ["a", "b"]);
        assert_eq!(split.train.items.len(), 10, "items of c only are out");
        assert_eq!(split.test.items_of(0), [0, 9]);
        assert_eq!(split.test.items_of(1), [0]);
        assert_eq!(split.train.len() + split.test.len(), 15);
    }

    #[test]
    fn without_times_it_is_the_seed_that_decides() {
        let rows: Vec<_> = (0..20).map(|item| (0, item, 0.0)).collect();
        let of = |seed| hold_out(&interactions(&rows, false), seed).expect("one user").test.item;
        assert_eq!(of(1).len(), 4);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn no_user_has_enough() {
        assert!(hold_out(&interactions(&[(0, 1, 0.0), (1, 1, 0.0)], true), 1).is_none());
    }
}
