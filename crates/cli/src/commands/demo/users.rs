//! The users of the demo's data: one to show as an example, and the titles of their history.

use super::data::DemoData;
use crate::output::thousands;
use marquee_train::read::{read_interactions, read_items};
use marquee_train::{ColumnArgs, Duplicates, Interactions, ItemColumnArgs, TrainError, positives};
use std::collections::HashMap;

/// Positive items in the history of the example user: enough to personalise, few enough to show in part.
const EXAMPLE_HISTORY: std::ops::RangeInclusive<usize> = 25..=60;
/// Upper bound of the items of a history that are shown.
const SHOWN: usize = 6;

/// The users with positive interactions, and the titles of the items.
#[derive(Debug)]
pub(super) struct DemoUsers {
    positive: Interactions,
    /// Titles by item id.
    titles: HashMap<String, String>,
    /// Interactions of all users, positive or not.
    interactions: usize,
}

impl DemoUsers {
    /// Reads the files of `data`.
    pub(super) fn read(data: &DemoData) -> Result<Self, TrainError> {
        let columns = ColumnArgs::default();
        let (all, _) =
            read_interactions(&data.interactions, &columns, Duplicates::default(), false)?;
        let titles = match &data.items {
            None => HashMap::new(),
            Some(items) => read_items(items, &ItemColumnArgs::default(), false)?
                .items
                .into_iter()
                .map(|(id, item)| (id, item.title))
                .collect(),
        };
        let positive = positives(&all, data.positive_at, Default::default())?;
        Ok(Self { positive, titles, interactions: all.len() })
    }

    /// `942 users with positive interactions, 1,447 items, 100,000 interactions, 55,375 of them positive`
    pub(super) fn summary(&self) -> String {
        let positive = if self.positive.len() == self.interactions {
            String::new()
        } else {
            format!(", {} of them positive", thousands(self.positive.len() as u64))
        };
        format!(
            "{} users with positive interactions, {} items, {} interactions{positive}",
            thousands(self.positive.users.len() as u64),
            thousands(self.positive.items.len() as u64),
            thousands(self.interactions as u64),
        )
    }

    /// The ids of all users with positive interactions.
    pub(super) fn ids(&self) -> Vec<String> {
        self.positive.users.clone()
    }

    /// The user that is shown: one with a history of [`EXAMPLE_HISTORY`] items if there is one, the same
    /// at every run.
    pub(super) fn example(&self) -> &str {
        let count = self.positive.users.len();
        // From the middle: the first ids of many data sets are those of its authors.
        let order = (count / 3..count).chain(0..count / 3);
        for user in order {
            if EXAMPLE_HISTORY.contains(&self.positive.items_of(user).len()) {
                return &self.positive.users[user];
            }
        }
        let longest = (0..count).max_by_key(|&user| self.positive.items_of(user).len());
        longest.map_or("", |user| &self.positive.users[user])
    }

    /// Titles of the items that a user liked, at most [`SHOWN`], and how many more there are.
    pub(super) fn history(&self, user_id: &str) -> (Vec<String>, usize) {
        let Some(user) = self.positive.users.iter().position(|id| id == user_id) else {
            return (Vec::new(), 0);
        };
        let items = self.positive.items_of(user);
        // Spread over the history, which is in the order of ids: neighbours resemble each other.
        let step = items.len().div_ceil(SHOWN).max(1);
        let shown: Vec<String> = items
            .iter()
            .step_by(step)
            .map(|&item| self.title(&self.positive.items[item as usize]))
            .collect();
        let more = items.len() - shown.len();
        (shown, more)
    }

    /// An item's title, or its id where it has none.
    pub(super) fn title(&self, item_id: &str) -> String {
        match self.titles.get(item_id) {
            Some(title) if !title.is_empty() => title.clone(),
            _ => format!("item {item_id}"),
        }
    }
}
