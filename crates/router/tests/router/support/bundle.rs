//! A model in memory, cut into shards the way bundles are.

use marquee_core::hash::shard_of;
use marquee_core::id::{ModelVersion, compare_ids};
use marquee_proto::v1::Filter;
use std::collections::BTreeMap;

pub(crate) struct Bundle {
    pub(crate) version: ModelVersion,
    pub(crate) shards: u32,
    /// In canonical order: the index is the ordinal.
    pub(crate) items: Vec<Item>,
    pub(crate) users: BTreeMap<String, User>,
    /// Attributes of users: the index is the ordinal.
    pub(crate) terms: Vec<String>,
}

pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) vector: Vec<f32>,
    pub(crate) popularity: f32,
    pub(crate) year: f64,
    pub(crate) tag: String,
}

#[derive(Clone, Default)]
pub(crate) struct User {
    pub(crate) vector: Vec<f32>,
    /// The ordinals of the items that the user has seen, ascending.
    pub(crate) history: Vec<u32>,
    /// Those of the history that the user did not like.
    pub(crate) disliked: Vec<u32>,
    /// Ordinals of terms.
    pub(crate) terms: Vec<u32>,
    /// How many interactions are newer, for each of the history; empty where order does not matter.
    pub(crate) ages: Vec<f32>,
}

/// A model with users `u0..` and items `{prefix}0..`, the same whatever the number of shards. User
/// `empty` has no history and a vector of zeros.
pub(crate) fn films(version: u64, shards: u32, prefix: &str, items: u32, users: u32) -> Bundle {
    let noise = |a: u32, b: u32| {
        let mut z = u64::from(a) << 32 | u64::from(b) ^ (version << 20);
        z = (z ^ (z >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9);
        z = (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Few values, so that ties are common.
        ((z >> 40) % 17) as f32 / 8.0 - 1.0
    };
    let vector = |a: u32| (0..4).map(|b| noise(a, b)).collect::<Vec<f32>>();
    let mut all: Vec<Item> = (0..items)
        .map(|n| Item {
            id: format!("{prefix}{n}"),
            title: if n % 7 == 0 { String::new() } else { format!("Title {n}") },
            vector: vector(n),
            popularity: ((n * 37) % 101) as f32,
            year: 1950.0 + f64::from(n % 70),
            tag: ["drama", "comedy", "noir"][n as usize % 3].into(),
        })
        .collect();
    all.sort_by(|a, b| compare_ids(&a.id, &b.id));
    let mut known: BTreeMap<String, User> = (0..users)
        .map(|n| {
            let history = (0..items).filter(|item| (item * 7 + n) % 11 == 0).collect();
            (format!("u{n}"), User { vector: vector(1_000_000 + n), history, ..User::default() })
        })
        .collect();
    known.insert("empty".into(), User { vector: vec![0.0; 4], ..User::default() });
    let (version, terms) = (ModelVersion::new("films", version), Vec::new());
    Bundle { version, shards, items: all, users: known, terms }
}

impl Bundle {
    /// Score and ordinal of all items of these shards that pass, best first.
    pub(crate) fn rank(
        &self,
        shards: &[u32],
        filter: Option<&Filter>,
        score: &dyn Fn(&Item) -> f32,
    ) -> Vec<(f32, u32)> {
        let mut list: Vec<(f32, u32)> = (0..)
            .zip(&self.items)
            .filter(|(_, item)| shards.contains(&shard_of(&item.id, self.shards)))
            .filter(|(_, item)| filter.is_none_or(|filter| item.passes(filter)))
            .map(|(ordinal, item)| (score(item), ordinal))
            .collect();
        list.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        list
    }

    /// The ordinal of an item.
    pub(crate) fn ordinal(&self, id: &str) -> u32 {
        let place = self.items.iter().position(|item| item.id == id);
        place.expect("an item of the bundle") as u32
    }

    /// The ids of the items that a user has seen.
    pub(crate) fn seen(&self, user: &str) -> Vec<String> {
        let history = self.users[user].history.iter();
        history.map(|&ordinal| self.items[ordinal as usize].id.clone()).collect()
    }

    /// What a user should get, by the definition: `count` best items that are not in the history.
    pub(crate) fn expected(&self, user: &str, count: usize) -> Vec<String> {
        let all: Vec<u32> = (0..self.shards).collect();
        let list = match self.users.get(user).filter(|user| user.vector.iter().any(|v| *v != 0.0)) {
            Some(user) => {
                let mut list = self.rank(&all, None, &|item| dot(&item.vector, &user.vector));
                list.retain(|(_, ordinal)| !user.history.contains(ordinal));
                list
            }
            None => self.rank(&all, None, &|item| item.popularity),
        };
        let id = |(_, ordinal): &(f32, u32)| self.items[*ordinal as usize].id.clone();
        list.iter().take(count).map(id).collect()
    }
}

impl Item {
    fn passes(&self, filter: &Filter) -> bool {
        let Filter {
            include_item_ids,
            exclude_item_ids,
            include_tags,
            exclude_tags,
            ranges,
            include_seen: _,
        } = filter;
        (include_item_ids.is_empty() || include_item_ids.contains(&self.id))
            && !exclude_item_ids.contains(&self.id)
            && (include_tags.is_empty() || include_tags.contains(&self.tag))
            && !exclude_tags.contains(&self.tag)
            && ranges.iter().all(|range| {
                range.attribute == "year"
                    && range.min.is_none_or(|min| self.year >= min)
                    && range.max.is_none_or(|max| self.year <= max)
            })
    }
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}
