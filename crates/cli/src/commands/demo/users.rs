//! People of the data: whom to show, and what they liked.

use super::data::DemoData;
use marquee_train::read::{read_interactions, read_items};
use marquee_train::{ColumnArgs, Duplicates, Interactions, ItemColumnArgs, TrainError, positives};
use std::collections::HashMap;

/// A history of this many liked items tells a taste, and fits on a screen in part.
const TELLING: std::ops::RangeInclusive<usize> = 25..=60;
/// Items of a history that are shown.
const SHOWN: usize = 6;

/// The people and titles of the demo's data.
#[derive(Debug)]
pub(super) struct People {
    liked: Interactions,
    titles: HashMap<String, String>,
    rows: usize,
}

impl People {
    /// Reads the data once more, for showing.
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
        let liked = positives(&all, data.positive_at, Default::default())?;
        Ok(Self { liked, titles, rows: all.len() })
    }

    /// `943 people, 1,574 items, 100,000 interactions of which 55,375 liked`
    pub(super) fn summary(&self) -> String {
        use crate::output::thousands;
        let liked = match self.liked.len() == self.rows {
            true => String::new(),
            false => format!(", {} of them liked", thousands(self.liked.len() as u64)),
        };
        format!(
            "{} people with a taste, {} items, {} interactions{liked}",
            thousands(self.liked.users.len() as u64),
            thousands(self.liked.items.len() as u64),
            thousands(self.rows as u64),
        )
    }

    /// All ids.
    pub(super) fn ids(&self) -> Vec<String> {
        self.liked.users.clone()
    }

    /// Somebody whose history tells a taste: always the same one for the same data.
    pub(super) fn somebody(&self) -> &str {
        let count = self.liked.users.len();
        // From the middle: the first ids of many data sets are their makers'.
        let order = (count / 3..count).chain(0..count / 3);
        let mut telling = order.filter(|&user| TELLING.contains(&self.liked.items_of(user).len()));
        let user = telling
            .next()
            .or_else(|| (0..count).max_by_key(|&user| self.liked.items_of(user).len()));
        user.map_or("", |user| self.liked.users[user].as_str())
    }

    /// Titles of what a person liked, and how many more there are.
    pub(super) fn history(&self, user_id: &str) -> (Vec<String>, usize) {
        let Some(user) = self.liked.users.iter().position(|id| id == user_id) else {
            return (Vec::new(), 0);
        };
        let items = self.liked.items_of(user);
        // Spread over the history, which is in the order of ids: neighbours resemble each other.
        let step = items.len().div_ceil(SHOWN).max(1);
        let shown: Vec<String> = items
            .iter()
            .step_by(step)
            .map(|&item| self.title(&self.liked.items[item as usize]))
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
