//! What users get of whom nothing is known: what was popular of all time, or of late, whichever the last rows find
//! better.
//!
//! All rows from one moment on are held out, a fifth of them: as the world is, and not by users. What is popular before
//! that moment is listed for the users who came after it, with interactions that count half after each of a few half-lives. The best
//! half-life is taken if it is better than counts of all time by more than the standard error of the difference.

use super::trials::{gain, mean, ndcg};
use crate::eval::CUTOFF;
use crate::interactions::Interactions;
use crate::recency::decayed_counts;
use serde::Serialize;
use std::fmt;

/// Half-lives in days that are tried.
const HALF_LIVES: [f64; 6] = [1.0, 3.0, 7.0, 21.0, 60.0, 365.0];
/// Users who came later without whom nothing is chosen: chance would decide.
const MIN_USERS: usize = 50;

/// What was found of the list for unknown users.
#[derive(Clone, Debug, Serialize)]
pub struct FallbackChoice {
    /// Days after which an interaction counts half, where that was clearly better.
    pub half_life: Option<f64>,
    /// Users who came after the moment.
    pub users: usize,
    /// nDCG@20 of what was popular of all time, for them.
    pub of_all_time: f64,
    /// nDCG@20 with the best half-life.
    pub of_late: f64,
}

impl fmt::Display for FallbackChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { half_life, users, of_all_time, of_late } = self;
        match half_life {
            Some(days) => write!(
                f,
                "unknown users get what is popular of late, with a half-life of {days} days: nDCG@20 {of_late:.4} for {users} users \
                 who came later, {of_all_time:.4} of all time"
            ),
            None => write!(
                f,
                "unknown users get what is popular of all time: nDCG@20 {of_all_time:.4} for {users} users who came later, \
                 {of_late:.4} of late"
            ),
        }
    }
}

/// Chooses the half-life of what unknown users get. None without times, or where too few users came late.
pub(crate) fn choose_fallback(rows: &Interactions) -> Option<FallbackChoice> {
    let (train, test) = cut(rows)?;
    let came_later =
        |user: &usize| train.rows_of(*user).is_empty() && !test.rows_of(*user).is_empty();
    let users: Vec<usize> = (0..rows.users.len()).filter(came_later).collect();
    if users.len() < MIN_USERS {
        return None;
    }
    let values = |scores: &[f32]| -> Vec<f64> {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        order.truncate(CUTOFF);
        users.iter().map(|&user| ndcg(&order, test.items_of(user))).collect()
    };
    let counts: Vec<f32> = train.item_counts().into_iter().map(|count| count as f32).collect();
    let of_all_time = values(&counts);
    let tried = HALF_LIVES.map(|days| (days, values(&decayed_counts(&train, days))));
    let mut best = &tried[0];
    for one in &tried {
        if mean(&one.1) > mean(&best.1) {
            best = one;
        }
    }
    let (gained, error) = gain(&of_all_time, &best.1);
    Some(FallbackChoice {
        half_life: (gained > error).then_some(best.0),
        users: users.len(),
        of_all_time: mean(&of_all_time),
        of_late: mean(&best.1),
    })
}

/// The rows before the moment from which on the last fifth of all rows lies, and the others.
fn cut(rows: &Interactions) -> Option<(Interactions, Interactions)> {
    let mut times = rows.time.clone();
    times.sort_unstable_by(f64::total_cmp);
    let moment = *times.get(times.len() - times.len() / 5)?;
    if times.first().is_none_or(|first| *first >= moment) {
        return None;
    }
    let before = |row: usize| rows.time[row] < moment;
    Some((rows.filter_rows(|_, row| before(row)), rows.filter_rows(|_, row| !before(row))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};

    /// A user a day takes some of the forty items of an era; every 150 days there are other items, or none where
    /// the world stands still.
    fn world(stands_still: bool) -> Interactions {
        let ids = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let mut rows = Vec::new();
        for user in 0..500u32 {
            let era = if stands_still { 0 } else { user / 75 };
            for n in 0..8 {
                let item = era * 40 + (user * 13 + n * n * 3) % 40;
                let time = f64::from(user * 2 * 86_400 + n);
                rows.push(RawRow { user, item, value: 1.0, time });
            }
        }
        let (users, items) = (ids(500), ids(400));
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        Interactions::from_rows(&users, &items, &rows, false, true, Duplicates::Last).0
    }

    #[test]
    fn of_late_where_the_world_moves_on() {
        let choice = choose_fallback(&world(false)).expect("users who came later");
        assert!(choice.half_life.is_some_and(|days| days < 365.0), "{choice}");
        assert!(choice.of_late > choice.of_all_time, "{choice}");
        assert!(choice.to_string().contains("of late, with a half-life"), "{choice}");
    }

    #[test]
    fn of_all_time_where_it_stands_still() {
        let choice = choose_fallback(&world(true)).expect("users who came later");
        let is_clear = choice.of_late - choice.of_all_time > 0.01;
        assert!(is_clear || choice.half_life.is_none(), "{choice}");
    }

    #[test]
    fn without_times_there_is_no_choice() {
        let mut rows = world(false);
        rows.time.clear();
        assert!(choose_fallback(&rows).is_none());
    }
}
