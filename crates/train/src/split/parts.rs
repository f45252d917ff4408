//! Rows to parts: each rule of the cut gives every row a label.

use super::options::{SplitBy, SplitOptions};
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::random::{Random, shuffle};

/// What a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPart {
    /// A row to train on.
    Train,
    /// To choose settings by.
    Valid,
    /// What a held-out user comes with, for users that are validated on.
    ValidInput,
    /// What a held-out user comes with.
    Input,
    /// A row that recommendations have to find.
    Test,
}

/// Interactions that were cut; all parts are over the same users and items.
#[derive(Clone, Debug)]
pub struct Parts {
    /// To train on. Holds `valid` too where [`SplitBy::keeps_valid_in_train`].
    pub train: Interactions,
    /// To choose settings by, where that was asked for.
    pub valid: Option<Interactions>,
    /// What the users of `valid` come with, where they are held out.
    pub valid_input: Option<Interactions>,
    /// What the users of `test` come with, where they are held out.
    pub input: Option<Interactions>,
    /// Rows that recommendations have to find.
    pub test: Interactions,
}

/// Cuts interactions once, or once a fold, of all users with at least `min_rows` rows.
///
/// Returns also whether "last" was by time, or, for want of times, by chance.
///
/// # Errors
/// Settings out of bounds; no user with rows enough; no times, or a single one, where the cut is a
/// moment; fewer users than parts.
pub fn split(
    rows: &Interactions,
    options: &SplitOptions,
) -> Result<(Vec<Parts>, bool), TrainError> {
    options.validate()?;
    let active = rows.filter_rows(|user, _| rows.rows_of(user).len() >= options.min_rows).compact();
    if active.is_empty() {
        return Err(TrainError::Data(format!(
            "no user has {} rows: give a lower --min-rows, or a lower --positive-at",
            options.min_rows
        )));
    }
    let labels = match options.by {
        SplitBy::Time => vec![by_time(&active, options)],
        SplitBy::LeaveLast => vec![leave_last(&active, options)],
        SplitBy::GlobalTime => vec![by_moment(&active, options)?],
        SplitBy::User => by_user(&active, options)?,
        SplitBy::Rows => by_rows(&active, options),
    };
    let parts = labels.iter().map(|labels| part(&active, labels, options)).collect();
    Ok((parts, active.has_times() && options.by != SplitBy::Rows))
}

fn part(rows: &Interactions, labels: &[SplitPart], options: &SplitOptions) -> Parts {
    let of = |wanted: &[SplitPart]| rows.filter_rows(|_, row| wanted.contains(&labels[row]));
    let held_out_users = options.by == SplitBy::User;
    let train: &[SplitPart] = if options.by.keeps_valid_in_train() {
        &[SplitPart::Train, SplitPart::Valid]
    } else {
        &[SplitPart::Train]
    };
    Parts {
        train: of(train),
        valid: options.valid.then(|| of(&[SplitPart::Valid])),
        valid_input: (options.valid && held_out_users).then(|| of(&[SplitPart::ValidInput])),
        input: held_out_users.then(|| of(&[SplitPart::Input])),
        test: of(&[SplitPart::Test]),
    }
}

/// A share of n, rounded down; at least one, and one is left.
pub(super) fn share_of(n: usize, share: f64) -> usize {
    // A product such as 100 × 0.29 falls short of the whole number it should be by a rounding error.
    const ROUNDING: f64 = 1e-9;
    ((n as f64 * share + ROUNDING) as usize).max(1).min(n.saturating_sub(1))
}

/// A user's rows by time and, where times are equal, in the order of the file; at random where there are no times.
pub(super) fn in_order(rows: &Interactions, user: usize, seed: u64) -> Vec<usize> {
    let mut mine: Vec<usize> = rows.rows_of(user).collect();
    if rows.has_times() {
        mine.sort_by(|&a, &b| rows.compare_times(a, b));
    } else {
        // A stream of the user's own, so that other users' rows don't change the choice.
        shuffle(&mut mine, Random::new(seed ^ user as u64).next());
    }
    mine
}

fn by_time(rows: &Interactions, options: &SplitOptions) -> Vec<SplitPart> {
    let mut labels = vec![SplitPart::Train; rows.len()];
    for user in 0..rows.users.len() {
        let mine = in_order(rows, user, options.seed);
        let (train, test) = mine.split_at(mine.len() - share_of(mine.len(), options.share));
        test.iter().for_each(|&row| labels[row] = SplitPart::Test);
        if options.valid {
            let first = train.len() - share_of(train.len(), options.share);
            train[first..].iter().for_each(|&row| labels[row] = SplitPart::Valid);
        }
    }
    labels
}

fn leave_last(rows: &Interactions, options: &SplitOptions) -> Vec<SplitPart> {
    let mut labels = vec![SplitPart::Train; rows.len()];
    for user in 0..rows.users.len() {
        let mut last = in_order(rows, user, options.seed).into_iter().rev();
        last.next().into_iter().for_each(|row| labels[row] = SplitPart::Test);
        if options.valid {
            last.next().into_iter().for_each(|row| labels[row] = SplitPart::Valid);
        }
    }
    labels
}

/// Everything from the moment on after which the share lies; rows of that very moment stay together,
/// so that no row to train on is as late as one to find.
fn by_moment(rows: &Interactions, options: &SplitOptions) -> Result<Vec<SplitPart>, TrainError> {
    if !rows.has_times() {
        let problem =
            "global-time needs times, and there are none: name their column with --time-column";
        return Err(TrainError::option("--by", problem));
    }
    let mut labels = vec![SplitPart::Train; rows.len()];
    let cuts: &[SplitPart] =
        if options.valid { &[SplitPart::Test, SplitPart::Valid] } else { &[SplitPart::Test] };
    for &part in cuts {
        let mut times: Vec<f64> = (0..rows.len())
            .filter(|&n| labels[n] == SplitPart::Train)
            .map(|n| rows.time[n])
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        let moment = times[times.len() - share_of(times.len(), options.share).max(1)];
        if moment <= times[0] {
            return Err(TrainError::Data(format!(
                "no moment leaves rows on both sides: too many have the earliest time, {moment}"
            )));
        }
        for (row, label) in labels.iter_mut().enumerate() {
            if *label == SplitPart::Train && rows.time[row] >= moment {
                *label = part;
            }
        }
    }
    Ok(labels)
}

fn by_user(rows: &Interactions, options: &SplitOptions) -> Result<Vec<Vec<SplitPart>>, TrainError> {
    let users = rows.users.len();
    let mut order: Vec<usize> = (0..users).collect();
    shuffle(&mut order, options.seed);
    let held_out = share_of(users, options.share);
    let groups = if options.valid { 2 } else { 1 };
    if users < options.folds().max(2) || options.folds() == 1 && groups * held_out >= users {
        return Err(TrainError::Data(format!(
            "{users} users are too few to hold some out and train on others: give a lower --share or fewer --folds"
        )));
    }
    let train = vec![SplitPart::Train; rows.len()];
    if options.folds() > 1 {
        let mut folds = Vec::with_capacity(options.folds());
        for n in 0..options.folds() {
            let mut labels = train.clone();
            let users: Vec<usize> =
                order.iter().copied().skip(n).step_by(options.folds()).collect();
            hold_out_users(rows, options, &users, [SplitPart::Input, SplitPart::Test], &mut labels);
            folds.push(labels);
        }
        return Ok(folds);
    }
    let mut labels = train;
    let (test, rest) = order.split_at(held_out);
    hold_out_users(rows, options, test, [SplitPart::Input, SplitPart::Test], &mut labels);
    if options.valid {
        let parts = [SplitPart::ValidInput, SplitPart::Valid];
        hold_out_users(rows, options, &rest[..held_out], parts, &mut labels);
    }
    Ok(vec![labels])
}

/// Puts the rows of these users into two parts: the last of each user into the second, what comes before them
/// into the first.
fn hold_out_users(
    rows: &Interactions,
    options: &SplitOptions,
    users: &[usize],
    [input, targets]: [SplitPart; 2],
    labels: &mut [SplitPart],
) {
    for &user in users {
        let mine = in_order(rows, user, options.seed);
        let first = mine.len() - share_of(mine.len(), options.target_share);
        mine[..first].iter().for_each(|&row| labels[row] = input);
        mine[first..].iter().for_each(|&row| labels[row] = targets);
    }
}

/// Rows are dealt like cards, so that folds differ by one row at most.
fn by_rows(rows: &Interactions, options: &SplitOptions) -> Vec<Vec<SplitPart>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    shuffle(&mut order, options.seed);
    let mut folds = Vec::with_capacity(options.folds());
    for n in 0..options.folds() {
        let mut labels = vec![SplitPart::Train; rows.len()];
        for &row in order.iter().skip(n).step_by(options.folds()) {
            labels[row] = SplitPart::Test;
        }
        folds.push(labels);
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};
    use proptest::prelude::*;

    fn interactions(rows: &[(u32, u32, f64)], has_times: bool) -> Interactions {
        let rows: Vec<RawRow> = rows
            .iter()
            .map(|&(user, item, time)| RawRow { user, item, value: 1.0, time })
            .collect();
        let ids: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Interactions::from_rows(&ids, &ids, &rows, false, has_times, Duplicates::Last).0
    }

    #[test]
    fn of_equal_times_the_later_one_in_the_file_is_the_last() {
        // Items 2, 0 and 1 on one day, in this order of the file; then 3 on an earlier one.
        let rows = interactions(&[(0, 2, 5.0), (0, 0, 5.0), (0, 1, 5.0), (0, 3, 4.0)], true);
        let order: Vec<u32> = in_order(&rows, 0, 1).into_iter().map(|row| rows.item[row]).collect();
        assert_eq!(order, [3, 2, 0, 1]);
        let kept = rows.filter_rows(|_, row| rows.item[row] != 0).compact();
        let order: Vec<&str> = in_order(&kept, 0, 1)
            .into_iter()
            .map(|row| kept.items[kept.item[row] as usize].as_str())
            .collect();
        assert_eq!(order.len(), 3);
        assert_eq!(order[2], rows.items[1], "also among fewer rows");
        // A pair that comes again is where it came last.
        let again = interactions(&[(0, 1, 5.0), (0, 0, 5.0), (0, 1, 5.0)], true);
        let order: Vec<u32> =
            in_order(&again, 0, 1).into_iter().map(|row| again.item[row]).collect();
        assert_eq!(order, [0, 1]);
    }

    /// Six users with six rows each, at times of their own: user u's n-th row is of item n at 10n + u.
    fn six() -> Interactions {
        let rows: Vec<_> =
            (0..36).map(|n| (n / 6, n % 6, f64::from(10 * (n % 6) + n / 6))).collect();
        interactions(&rows, true)
    }

    fn once(rows: &Interactions, options: SplitOptions) -> Parts {
        split(rows, &options).expect("fine").0.remove(0)
    }

    fn pairs(rows: &Interactions) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for (user, id) in rows.users.iter().enumerate() {
            let items = rows.items_of(user).iter();
            out.extend(items.map(|&item| (id.clone(), rows.items[item as usize].clone())));
        }
        out
    }

    #[test]
    fn by_time_valid_is_the_end_of_train() {
        let parts = once(&six(), SplitOptions { share: 0.34, valid: true, ..Default::default() });
        let valid = parts.valid.expect("asked for");
        for user in 0..6 {
            assert_eq!(parts.test.items_of(user), [4, 5]);
            assert_eq!(valid.items_of(user), [3]);
            assert_eq!(parts.train.items_of(user), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn leave_last_puts_valid_apart() {
        let by = SplitBy::LeaveLast;
        let parts = once(&six(), SplitOptions { by, valid: true, ..Default::default() });
        let valid = parts.valid.expect("asked for");
        for user in 0..6 {
            assert_eq!((parts.test.items_of(user), valid.items_of(user)), (&[5][..], &[4][..]));
            assert_eq!(parts.train.items_of(user), [0, 1, 2, 3]);
        }
        let parts = once(&six(), SplitOptions { by, ..Default::default() });
        assert_eq!(parts.train.items_of(0), [0, 1, 2, 3, 4]);
    }

    /// The last 25 % of 36 rows are 9: item 5 of all users, at 50 to 55, and item 4 of the last three
    /// users, at 43 to 45.
    #[test]
    fn by_global_time_one_moment_divides_all() {
        let by = SplitBy::GlobalTime;
        let parts = once(&six(), SplitOptions { by, share: 0.25, ..Default::default() });
        let test: Vec<&[u32]> = (0..6).map(|user| parts.test.items_of(user)).collect();
        assert_eq!(test, [&[5][..], &[5], &[5], &[4, 5], &[4, 5], &[4, 5]]);
        let latest = parts.train.time.iter().copied().fold(f64::MIN, f64::max);
        assert!(parts.test.time.iter().all(|&time| time > latest));
    }

    #[test]
    fn rows_of_one_moment_stay_together() {
        let rows: Vec<_> =
            (0..10).map(|n| (n / 5, n % 5, if n % 5 < 3 { 1.0 } else { 2.0 })).collect();
        let by = SplitBy::GlobalTime;
        let options = SplitOptions { by, share: 0.1, ..Default::default() };
        assert_eq!(once(&interactions(&rows, true), options.clone()).test.len(), 4);
        let flat: Vec<_> = (0..10).map(|n| (n / 5, n % 5, 1.0)).collect();
        let error = split(&interactions(&flat, true), &options).expect_err("no moment").to_string();
        assert!(error.contains("too many have the earliest time"), "{error}");
        let error = split(&interactions(&flat, false), &options).expect_err("no times").to_string();
        assert!(error.starts_with("--by: global-time needs times"), "{error}");
    }

    #[test]
    fn held_out_users_are_in_no_row_that_is_trained_on() {
        let by = SplitBy::User;
        let options =
            SplitOptions { by, share: 0.34, target_share: 0.5, valid: true, ..Default::default() };
        let parts = once(&six(), options);
        let (input, valid) = (parts.input.expect("input"), parts.valid.expect("valid"));
        let valid_input = parts.valid_input.expect("input of valid");
        let mut groups = [0; 3];
        for user in 0..6 {
            match parts.train.items_of(user).len() {
                6 => groups[0] += 1,
                0 if !input.items_of(user).is_empty() => {
                    assert_eq!(input.items_of(user), [0, 1, 2]);
                    assert_eq!(parts.test.items_of(user), [3, 4, 5]);
                    groups[1] += 1;
                }
                0 => {
                    assert_eq!(valid_input.items_of(user), [0, 1, 2]);
                    assert_eq!(valid.items_of(user), [3, 4, 5]);
                    groups[2] += 1;
                }
                n => panic!("user {user} has {n} rows to train on"),
            }
        }
        assert_eq!(groups, [2, 2, 2]);
    }

    #[test]
    fn too_few_users_or_rows_are_said() {
        let one: Vec<_> = (0..6).map(|n| (0, n, 0.0)).collect();
        let options = SplitOptions { by: SplitBy::User, ..Default::default() };
        let error = split(&interactions(&one, true), &options).expect_err("one user").to_string();
        assert!(error.starts_with("1 users are too few"), "{error}");
        let options = SplitOptions { min_rows: 7, ..Default::default() };
        let error = split(&six(), &options).expect_err("six rows").to_string();
        assert!(error.starts_with("no user has 7 rows"), "{error}");
    }

    proptest! {
        /// Whatever the way, every row of an active user is in the parts, and in no two that exclude
        /// one another; folds' test parts hold every row (or user) exactly once.
        #[test]
        fn nothing_is_lost_and_nothing_leaks(
            rows in prop::collection::vec((0u32..8, 0u32..12, 0u8..20), 30..90),
            by in prop::sample::select(vec![SplitBy::Time, SplitBy::LeaveLast, SplitBy::User, SplitBy::Rows]),
            has_times in any::<bool>(),
            folds in 2usize..5,
            folded in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let rows: Vec<_> = rows.iter().map(|r| (r.0, r.1, f64::from(r.2))).collect();
            let rows = interactions(&rows, has_times);
            let can_fold = matches!(by, SplitBy::Rows | SplitBy::User);
            let folds = (can_fold && (folded || by == SplitBy::Rows)).then_some(folds);
            let options = SplitOptions { by, folds, seed, min_rows: 3, ..Default::default() };
            let Ok((all, _)) = split(&rows, &options) else { return Ok(()) };
            let active = rows.filter_rows(|user, _| rows.rows_of(user).len() >= 3);
            let mut tested = Vec::new();
            for parts in &all {
                let mut union = pairs(&parts.train);
                union.extend(pairs(&parts.test));
                union.extend(parts.input.iter().flat_map(pairs));
                let mut expected = pairs(&active);
                union.sort();
                expected.sort();
                prop_assert_eq!(union, expected);
                tested.extend(pairs(&parts.test));
            }
            prop_assert_eq!(all.len(), options.folds());
            let count = tested.len();
            tested.sort();
            tested.dedup();
            prop_assert_eq!(tested.len(), count, "folds overlap");
            if by == SplitBy::Rows {
                prop_assert_eq!(count, active.len());
            }
            if by == SplitBy::User && folds.is_some() {
                let mut users: Vec<_> = tested.into_iter().map(|(user, _)| user).collect();
                users.dedup();
                prop_assert_eq!(users.len(), (0..active.users.len()).filter(|&u| !active.rows_of(u).is_empty()).count());
            }
        }
    }
}
