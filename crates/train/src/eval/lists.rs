//! Evaluation of lists of ids, wherever they come from: a bundle, a live endpoint, a file.

use super::metrics::{Metrics, Tally};
use crate::error::TrainError;
use crate::interactions::Interactions;
use std::collections::{HashMap, HashSet};

/// What users know and what they are to be recommended, by external ids.
#[derive(Clone, Debug)]
pub struct Evaluator {
    train: Interactions,
    test: Interactions,
    train_users: HashMap<String, usize>,
    cutoff: usize,
}

/// What an evaluation of lists came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ListReport {
    /// The means over all users of the test file. Coverage is over all items of train and test.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Users for whom there was no list; they count 0.
    pub users_without_list: usize,
    /// Recommendations that the user's train items already hold; they can't be hits, and a system
    /// that excludes what is seen makes none.
    pub train_items_recommended: usize,
}

impl Evaluator {
    /// Lists are to be scored against `test`, for users who know their items of `train`.
    ///
    /// # Errors
    /// When there is nothing to test.
    pub fn new(train: Interactions, test: Interactions, cutoff: usize) -> Result<Self, TrainError> {
        if test.is_empty() {
            return Err(TrainError::Data(
                "the test file has no rows to find: give a lower --positive-at".into(),
            ));
        }
        let train_users = train.users.iter().cloned().zip(0..).collect();
        Ok(Self { train, test, train_users, cutoff })
    }

    /// The users to ask recommendations for, in canonical order.
    pub fn users(&self) -> &[String] {
        &self.test.users
    }

    /// How many recommendations a user is to get.
    pub fn cutoff(&self) -> usize {
        self.cutoff
    }

    /// The items that a user knows.
    pub fn known(&self, user: &str) -> impl Iterator<Item = &str> {
        let items = self.train_users.get(user).map_or(&[][..], |&user| self.train.items_of(user));
        items.iter().map(|&item| self.train.items[item as usize].as_str())
    }

    /// Scores one list a user, best first, in the order of [`users`](Self::users); an empty one for
    /// a user who got none. What is beyond the cutoff is not looked at.
    ///
    /// # Errors
    /// When there are more or fewer lists than users, or a list has an item twice.
    pub fn score(&self, lists: &[Vec<String>]) -> Result<ListReport, TrainError> {
        if lists.len() != self.test.users.len() {
            let problem = format!(
                "{} lists for {} users: give one a user",
                lists.len(),
                self.test.users.len()
            );
            return Err(TrainError::Data(problem));
        }
        let mut tally = Tally::new(self.cutoff);
        let mut recommended: HashSet<&str> = HashSet::new();
        let (mut without, mut repeated) = (0, 0);
        for (user, (id, list)) in self.test.users.iter().zip(lists).enumerate() {
            let list = &list[..list.len().min(self.cutoff)];
            without += usize::from(list.is_empty());
            let held_out: HashSet<&str> = self
                .test
                .items_of(user)
                .iter()
                .map(|&item| self.test.items[item as usize].as_str())
                .collect();
            let known: HashSet<&str> = self.known(id).collect();
            let mut seen = HashSet::with_capacity(list.len());
            for item in list {
                if !seen.insert(item.as_str()) {
                    return Err(TrainError::Data(format!(
                        "the list of user {id:?} has item {item:?} twice"
                    )));
                }
                repeated += usize::from(known.contains(item.as_str()));
                recommended.insert(item);
            }
            tally.add(list.iter().map(|item| held_out.contains(item.as_str())), held_out.len());
        }
        let all: HashSet<&String> = self.train.items.iter().chain(&self.test.items).collect();
        let metrics = tally.finish(recommended.len().min(all.len()), all.len());
        Ok(ListReport { metrics, users_without_list: without, train_items_recommended: repeated })
    }
}
