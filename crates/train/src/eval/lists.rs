//! Evaluation of lists of ids, wherever they come from: a bundle, a live endpoint, a file.

use super::lists_out::write_lists;
use super::metrics::{Cutoffs, MetricTally, Metrics, Place};
use super::overlap::TestOverlap;
use super::per_user::{PerUser, UserRow};
use crate::error::TrainError;
use crate::interactions::Interactions;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// What users know and what they are to be recommended, by external ids.
#[derive(Clone, Debug)]
pub struct Evaluator {
    train: Interactions,
    test: Interactions,
    /// What users come with who are not in train.
    history: Interactions,
    train_users: HashMap<String, usize>,
    history_users: HashMap<String, usize>,
    /// The items of train, then those of test only, by number.
    catalogue: HashMap<String, u32>,
    cutoffs: Cutoffs,
    lists_out: Option<PathBuf>,
}

/// The scores of rows that are to be found one by one, in the making.
pub(super) struct RowsTally {
    tally: MetricTally,
    without: usize,
    unknown: usize,
}

/// The result of an evaluation of lists.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ListReport {
    /// The metrics at the largest cut-off. In JSON they stand at the top.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The metrics at each cut-off, ascending.
    pub cutoffs: Vec<Metrics>,
    /// Users for whom there was no list; they count 0.
    pub users_without_list: usize,
    /// Recommendations that the user's train items or history already hold; they are hits only where the test repeats the
    /// pair, and a system that excludes what is seen makes none.
    pub train_items_recommended: usize,
    /// Recommendations of items that neither train nor test holds; they can't be hits, and aren't in
    /// coverage and Gini.
    pub unknown_items_recommended: usize,
}

impl Evaluator {
    /// Lists are to be scored against `test` at these cut-offs, for users who know their items of
    /// `train`.
    ///
    /// # Errors
    /// When there is nothing to test.
    pub fn new(
        train: Interactions,
        test: Interactions,
        cutoffs: Cutoffs,
    ) -> Result<Self, TrainError> {
        if test.is_empty() {
            return Err(TrainError::Data(
                "the test file has no rows to find: give a lower --positive-at".into(),
            ));
        }
        let train_users = train.users.iter().cloned().zip(0..).collect();
        let mut catalogue: HashMap<String, u32> = train.items.iter().cloned().zip(0..).collect();
        for item in &test.items {
            let next = catalogue.len() as u32;
            catalogue.entry(item.clone()).or_insert(next);
        }
        let (history, history_users) = Default::default();
        Ok(Self {
            train,
            test,
            history,
            train_users,
            history_users,
            catalogue,
            cutoffs,
            lists_out: None,
        })
    }

    /// The same for users who come with a history, whether or not `train` has them: it is known, not
    /// to be recommended again, and to be sent along where a system is asked.
    pub fn with_history(mut self, history: Interactions) -> Self {
        self.history_users = history.users.iter().cloned().zip(0..).collect();
        self.history = history;
        self
    }

    /// How the test fits the training.
    pub fn overlap(&self) -> TestOverlap {
        TestOverlap::of(&self.train, &self.test)
    }

    /// The same, which writes the lists that are scored by user into a file.
    pub fn with_lists_out(self, file: Option<PathBuf>) -> Self {
        Self { lists_out: file, ..self }
    }

    /// The users to ask recommendations for, in canonical order.
    pub fn users(&self) -> &[String] {
        &self.test.users
    }

    /// How many recommendations a user is to get: the largest cut-off.
    pub fn cutoff(&self) -> usize {
        self.cutoffs.largest()
    }

    /// The cut-offs that lists are scored at.
    pub fn cutoffs(&self) -> &Cutoffs {
        &self.cutoffs
    }

    /// The items that a user knows, from train and then from the history.
    pub fn known(&self, user: &str) -> impl Iterator<Item = &str> {
        let train = items_of(&self.train, self.train_users.get(user));
        train.chain(items_of(&self.history, self.history_users.get(user)))
    }

    /// The last `most` items of a user's history, the newest last (by time, then by the order of the file); none
    /// where there is no history.
    pub fn recent(&self, user: &str, most: usize) -> Vec<String> {
        let history = &self.history;
        let Some(&user) = self.history_users.get(user) else { return Vec::new() };
        let mut rows: Vec<usize> = history.rows_of(user).collect();
        if history.has_times() {
            rows.sort_by(|&a, &b| history.compare_times(a, b));
        }
        let first = rows.len().saturating_sub(most);
        let items = rows[first..].iter().map(|&row| history.item[row] as usize);
        items.map(|item| history.items[item].clone()).collect()
    }

    /// Lists by user as [`score`](Self::score) takes them: an empty one for a user without, and none for users
    /// who are not to be tested.
    pub fn in_order(&self, mut lists: HashMap<String, Vec<String>>) -> Vec<Vec<String>> {
        self.users().iter().map(|user| lists.remove(user).unwrap_or_default()).collect()
    }

    /// Scores one list a user, best first, in the order of [`users`](Self::users); an empty one for
    /// a user who got none. What is beyond the largest cut-off is not looked at.
    ///
    /// # Errors
    /// When there are more or fewer lists than users, or a list has an item twice.
    pub fn score(&self, lists: &[Vec<String>]) -> Result<ListReport, TrainError> {
        self.scored(lists).map(|(report, _)| report)
    }

    /// As [`score`](Self::score), with every user's scores.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn score_per_user(
        &self,
        lists: &[Vec<String>],
    ) -> Result<(ListReport, PerUser), TrainError> {
        let scored = self.scored(lists)?;
        if let Some(file) = &self.lists_out {
            write_lists(file, self.users(), lists)?;
        }
        Ok(scored)
    }

    /// The rows to find of each user, from the first to the last by time and, where times are equal, by item.
    ///
    /// # Errors
    /// Rows without times.
    pub(super) fn rows_by_time(&self) -> Result<Vec<(&str, Vec<&str>)>, TrainError> {
        let test = &self.test;
        if !test.has_times() {
            let problem = "the rows to find have no times: name their column with --time-column";
            return Err(TrainError::option("--replay", problem));
        }
        let mut all = Vec::with_capacity(test.users.len());
        for (user, id) in test.users.iter().enumerate() {
            let mut rows: Vec<usize> = test.rows_of(user).collect();
            // Rows ascend by item already, and the sort is stable.
            rows.sort_by(|&a, &b| test.time[a].total_cmp(&test.time[b]));
            let items = rows.iter().map(|&row| test.items[test.item[row] as usize].as_str());
            all.push((id.as_str(), items.collect()));
        }
        Ok(all)
    }

    /// For the lists of rows one by one.
    pub(super) fn rows_tally(&self) -> RowsTally {
        let mut counts = self.train.item_counts();
        counts.resize(self.catalogue.len(), 0);
        let tally = MetricTally::new(&self.cutoffs, &counts, self.train.users.len());
        RowsTally { tally, without: 0, unknown: 0 }
    }

    /// Adds the list of one row, best first, in which this item is to be found.
    pub(super) fn add_row(&self, rows: &mut RowsTally, list: &[String], target: &str) {
        let mut places = Vec::with_capacity(list.len());
        for item in list.iter().take(self.cutoff()) {
            let place = Place { hit: item == target, item: self.catalogue.get(item).copied() };
            rows.unknown += usize::from(place.item.is_none());
            places.push(place);
        }
        rows.without += usize::from(places.is_empty());
        rows.tally.add(&places, 1);
    }

    /// What the lists of rows come to; `users` of the metrics are rows.
    pub(super) fn report_of_rows(&self, rows: &RowsTally) -> ListReport {
        let cutoffs = rows.tally.finish();
        ListReport {
            metrics: cutoffs.last().cloned().unwrap_or_default(),
            cutoffs,
            users_without_list: rows.without,
            // A bundle that has seen all of train leaves it out.
            train_items_recommended: 0,
            unknown_items_recommended: rows.unknown,
        }
    }

    fn scored(&self, lists: &[Vec<String>]) -> Result<(ListReport, PerUser), TrainError> {
        if lists.len() != self.test.users.len() {
            let problem = format!(
                "{} lists for {} users: give one a user",
                lists.len(),
                self.test.users.len()
            );
            return Err(TrainError::Data(problem));
        }
        let mut counts = self.train.item_counts();
        counts.resize(self.catalogue.len(), 0);
        let mut tally = MetricTally::new(&self.cutoffs, &counts, self.train.users.len());
        let mut rows = Vec::with_capacity(lists.len());
        let mut places = Vec::with_capacity(self.cutoff());
        let (mut without, mut repeated, mut unknown) = (0, 0, 0);
        for (user, (id, list)) in self.test.users.iter().zip(lists).enumerate() {
            let list = &list[..list.len().min(self.cutoff())];
            without += usize::from(list.is_empty());
            let held_out: HashSet<&str> = items_of(&self.test, Some(&user)).collect();
            let known: HashSet<&str> = self.known(id).collect();
            let mut seen = HashSet::with_capacity(list.len());
            places.clear();
            for item in list {
                if !seen.insert(item.as_str()) {
                    return Err(TrainError::Data(format!(
                        "the list of user {id:?} has item {item:?} twice"
                    )));
                }
                let place = Place {
                    hit: held_out.contains(item.as_str()),
                    item: self.catalogue.get(item).copied(),
                };
                repeated += usize::from(known.contains(item.as_str()));
                unknown += usize::from(place.item.is_none());
                places.push(place);
            }
            let scores = tally.add(&places, held_out.len());
            rows.push(UserRow { user: id.clone(), held_out: held_out.len(), scores });
        }
        let cutoffs = tally.finish();
        let report = ListReport {
            metrics: cutoffs.last().cloned().unwrap_or_default(),
            cutoffs,
            users_without_list: without,
            train_items_recommended: repeated,
            unknown_items_recommended: unknown,
        };
        Ok((report, PerUser { cutoffs: self.cutoffs.all().to_vec(), rows }))
    }
}

fn items_of<'a>(
    rows: &'a Interactions,
    user: Option<&usize>,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let items = user.map_or(&[][..], |&user| rows.items_of(user));
    items.iter().map(|&item| rows.items[item as usize].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};

    fn interactions(rows: &[(u32, u32, f64)]) -> Interactions {
        let rows: Vec<RawRow> = rows
            .iter()
            .map(|&(user, item, time)| RawRow { user, item, value: 1.0, time })
            .collect();
        let ids = ["0", "1", "2", "3", "4", "5"];
        Interactions::from_rows(&ids, &ids, &rows, false, true, Duplicates::Last).0.compact()
    }

    fn evaluator() -> Evaluator {
        let train = interactions(&[(0, 0, 1.0), (1, 0, 1.0), (1, 1, 1.0)]);
        let test = interactions(&[(0, 1, 2.0), (2, 3, 2.0)]);
        Evaluator::new(train, test, Cutoffs::new(&[1, 2]).expect("fine")).expect("rows to find")
    }

    fn lists(lists: &[&[&str]]) -> Vec<Vec<String>> {
        lists.iter().map(|list| list.iter().map(|item| item.to_string()).collect()).collect()
    }

    #[test]
    fn what_cannot_be_a_hit_is_counted() {
        let (report, rows) =
            evaluator().score_per_user(&lists(&[&["0", "1", "9"], &["9"]])).expect("fine");
        assert_eq!((report.train_items_recommended, report.unknown_items_recommended), (1, 1));
        assert_eq!((report.metrics.cutoff, report.metrics.recall), (2, 0.5));
        assert_eq!((report.cutoffs[0].cutoff, report.cutoffs[0].recall), (1, 0.0));
        // The catalogue is 0, 1 and 3, of which 0 and 1 were recommended within two places.
        assert_eq!(report.metrics.coverage, 2.0 / 3.0);
        assert_eq!(rows.rows.iter().map(|row| row.user.as_str()).collect::<Vec<_>>(), ["0", "2"]);
    }

    #[test]
    fn lists_must_fit_the_users() {
        let error = evaluator().score(&lists(&[&["0"]])).expect_err("one list").to_string();
        assert_eq!(error, "1 lists for 2 users: give one a user");
        let error = evaluator().score(&lists(&[&["1", "1"], &[]])).expect_err("twice").to_string();
        assert_eq!(error, r#"the list of user "0" has item "1" twice"#);
    }

    #[test]
    fn a_history_is_known_and_sent_newest_last() {
        let evaluator =
            evaluator().with_history(interactions(&[(2, 0, 5.0), (2, 4, 1.0), (2, 5, 9.0)]));
        assert_eq!(evaluator.recent("2", 10), ["4", "0", "5"]);
        assert_eq!(evaluator.recent("2", 2), ["0", "5"]);
        assert_eq!(evaluator.recent("0", 2), [""; 0]);
        assert_eq!(evaluator.known("2").collect::<Vec<_>>(), ["0", "4", "5"]);
        let report = evaluator.score(&lists(&[&[], &["4"]])).expect("fine");
        assert_eq!((report.train_items_recommended, report.users_without_list), (1, 1));
    }
}
