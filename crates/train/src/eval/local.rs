//! A bundle as the leaves of an ensemble: each part of its recipe asked alone, exactly, as routers ask it.

use super::gather::Gather;
use crate::error::TrainError;
use crate::family::TrainedPart;
use crate::family::score::{KnownUser, Ranker};
use marquee_bundle::{Bundle, Entity, LoadOptions, TrustedKeys};
use marquee_core::hash::shard_of;
use marquee_core::model::interpreter::{KnownRows, LeafPlan, MatrixSearch};
use marquee_core::model::recipe::Recipe;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// An open bundle whose parts can be asked. The index is not used.
#[derive(Debug)]
pub struct LocalModel {
    part: TrainedPart,
    bundle: Bundle,
    items: Vec<String>,
    ordinals: HashMap<String, u32>,
    popularity: Vec<f32>,
}

/// What a bundle knows of a user: nothing of an unknown one.
#[derive(Clone, Debug, Default)]
pub struct LocalUser(KnownUser);

/// What a part of a recipe is asked for.
#[derive(Clone, Copy, Debug)]
pub struct LocalScope<'a> {
    /// At most this many items.
    pub count: usize,
    /// Only these, seen or not, if given; else all that the user has not seen.
    pub only: Option<&'a [String]>,
}

/// Items with scores, best first.
pub type LocalList = Vec<(String, f64)>;

impl LocalModel {
    /// Opens the bundle at `dir`.
    ///
    /// # Errors
    /// A bundle that can't be opened, or lacks what its recipe needs.
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        let bundle = Bundle::open(dir, &TrustedKeys::default(), &LoadOptions::default())?;
        let gather = Gather { dir, bundle: &bundle };
        let items: Vec<String> = gather.item_ids().into_iter().map(str::to_owned).collect();
        let ordinals = items.iter().cloned().zip(0..).collect();
        let (popularity, part) = (gather.popularity()?, gather.part()?);
        Ok(Self { part, items, ordinals, popularity, bundle })
    }

    /// The digest of the bundle's manifest.
    pub fn digest(&self) -> String {
        self.bundle.digest().to_string()
    }

    /// The ids of the users that it knows.
    pub fn users(&self) -> Vec<&str> {
        let dir = Path::new(self.bundle.manifest().model.as_str());
        Gather { dir, bundle: &self.bundle }.ids(Entity::User)
    }

    /// The bundle's recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.part.recipe
    }

    /// What it knows of a user; none of an unknown one.
    ///
    /// # Errors
    /// A bundle without histories.
    pub fn user(&self, id: &str) -> Result<Option<LocalUser>, TrainError> {
        let dir = Path::new(self.bundle.manifest().model.as_str());
        Ok(Gather { dir, bundle: &self.bundle }.user(id)?.map(LocalUser))
    }

    /// What a user has seen, by item id.
    pub fn seen<'a>(&'a self, user: &'a LocalUser) -> impl Iterator<Item = &'a str> {
        user.0.history.iter().map(|seen| self.items[seen.ordinal as usize].as_str())
    }

    /// Leaves out items that other models know as seen, by id, from all lists of a user.
    pub fn leave_out<'a>(&self, user: &mut LocalUser, ids: impl IntoIterator<Item = &'a str>) {
        user.0.seen_elsewhere.extend(ids.into_iter().filter_map(|id| self.ordinal(id)));
    }

    /// What runs searches over it, for many users.
    pub fn ranker(&self) -> LocalRanker<'_> {
        LocalRanker { model: self, ranker: Ranker::new(&self.part, &self.popularity) }
    }

    /// The number of an item; none if it has none of this id.
    pub fn ordinal(&self, item_id: &str) -> Option<u32> {
        self.ordinals.get(item_id).copied()
    }

    /// What it knows of an item: its row of a dense matrix, empty if that has no name, and its tags; none if
    /// it does not know the item.
    pub fn describe(&self, item_id: &str, vectors: &str) -> Option<(Vec<f32>, Vec<String>)> {
        let shard = shard_of(item_id, self.bundle.manifest().shards) as usize;
        let shard = &self.bundle.shards()[shard];
        let row = shard.items().find(item_id)?;
        let vector = shard.dense(vectors).map(|matrix| matrix.row(row).to_vec());
        let tags = shard.labels().tags_of(row).map(String::from).collect();
        Some((vector.unwrap_or_default(), tags))
    }
}

/// A model whose searches can be run.
pub struct LocalRanker<'a> {
    model: &'a LocalModel,
    ranker: Ranker<'a>,
}

impl LocalRanker<'_> {
    /// The rows that the model knows of a user, for the [`interpreter`](marquee_core::model::interpreter).
    pub fn rows<'u>(&'u self, user: &'u LocalUser) -> impl KnownRows + use<'u> {
        self.ranker.rows(&user.0)
    }

    /// The best items of a leaf with this plan; none of a chain's, which waits for rows.
    pub fn list(&self, plan: &LeafPlan<'_>, user: &LocalUser, scope: LocalScope<'_>) -> LocalList {
        self.scoped(scope, user, |user, count| self.ranker.list(plan, user, count))
    }

    /// The best items of a search for items.
    pub fn search(
        &self,
        search: &MatrixSearch<'_>,
        user: &LocalUser,
        scope: LocalScope<'_>,
    ) -> LocalList {
        self.scoped(scope, user, |user, count| self.ranker.list_of_search(search, user, count))
    }

    fn scoped(
        &self,
        LocalScope { count, only }: LocalScope<'_>,
        user: &LocalUser,
        list: impl FnOnce(&KnownUser, usize) -> Vec<(u32, f32)>,
    ) -> LocalList {
        let items = &self.model.items;
        let named = |(item, score): (u32, f32)| (items[item as usize].clone(), f64::from(score));
        match only {
            None => list(&user.0, count).into_iter().map(named).collect(),
            Some(only) => {
                let only: HashSet<&str> = only.iter().map(String::as_str).collect();
                let all = KnownUser { include_seen: true, ..user.0.clone() };
                let all = list(&all, items.len()).into_iter().map(named);
                all.filter(|(id, _)| only.contains(id.as_str())).take(count).collect()
            }
        }
    }
}
