//! A bundle as the leaves of an ensemble: each part of its recipe asked alone, exactly, as routers ask it.

use super::gather::Gather;
use crate::error::TrainError;
use crate::family::Part;
use crate::family::score::{Asker, Ranker};
use marquee_bundle::{Bundle, LoadOptions, TrustedKeys};
use marquee_core::hash::shard_of;
use marquee_core::model::recipe::Recipe;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// An open bundle whose parts can be asked. The index is not used.
#[derive(Debug)]
pub struct LocalModel {
    part: Part,
    bundle: Bundle,
    items: Vec<String>,
    ordinals: HashMap<String, u32>,
    popularity: Vec<f32>,
}

/// What a bundle knows of a user; nothing of an unknown user.
#[derive(Clone, Debug, Default)]
pub struct LocalUser(Asker);

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

    /// The bundle's recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.part.recipe
    }

    /// What it knows of a user; none for an unknown user.
    ///
    /// # Errors
    /// A bundle without histories.
    pub fn user(&self, id: &str) -> Result<Option<LocalUser>, TrainError> {
        let dir = Path::new(self.bundle.manifest().model.as_str());
        Ok(Gather { dir, bundle: &self.bundle }.asker(id)?.map(LocalUser))
    }

    /// Whether a part of its recipe knows a taste of the user.
    pub fn knows_taste(&self, part: &Recipe, user: &LocalUser) -> bool {
        self.ranker().knows_taste(part, &user.0)
    }

    /// The best items by a part of its recipe.
    pub fn list(&self, part: &Recipe, user: &LocalUser, scope: LocalScope<'_>) -> LocalList {
        self.scoped(scope, user, |asker, count| {
            self.ranker()
                .leaf_of(part, std::slice::from_ref(asker), count)
                .pop()
                .unwrap_or_default()
        })
    }

    /// The best items by what users of the same attributes like; none where the user has no known attribute.
    pub fn by_profile(&self, user: &LocalUser, scope: LocalScope<'_>) -> Option<LocalList> {
        let ranker = self.ranker();
        let list = |asker: &Asker, count| ranker.profile_of(asker, count);
        list(&user.0, 1)?;
        Some(self.scoped(scope, user, |asker, count| list(asker, count).unwrap_or_default()))
    }

    /// The number of an item; none if it has none of this id.
    pub fn ordinal(&self, item_id: &str) -> Option<u32> {
        self.ordinals.get(item_id).copied()
    }

    /// The best items of the weighted sum of these rows of the matrix of `part`, a recipe of item rows; of
    /// others none.
    pub fn sum(
        &self,
        part: &Recipe,
        (rows, weights): (&[u32], &[f32]),
        user: &LocalUser,
        scope: LocalScope<'_>,
    ) -> Option<LocalList> {
        let Recipe::ItemRows { matrix, .. } = part else { return None };
        let ranker = self.ranker();
        Some(
            self.scoped(scope, user, |asker, count| {
                ranker.sum_of(matrix, rows, weights, asker, count)
            }),
        )
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

    /// The most popular items.
    pub fn popular(&self, user: &LocalUser, scope: LocalScope<'_>) -> LocalList {
        self.list(&Recipe::Popularity, user, scope)
    }

    fn ranker(&self) -> Ranker<'_> {
        Ranker::new(&self.part, &self.popularity)
    }

    fn scoped(
        &self,
        LocalScope { count, only }: LocalScope<'_>,
        user: &LocalUser,
        list: impl FnOnce(&Asker, usize) -> Vec<(u32, f32)>,
    ) -> LocalList {
        let named =
            |(item, score): (u32, f32)| (self.items[item as usize].clone(), f64::from(score));
        match only {
            None => list(&user.0, count).into_iter().map(named).collect(),
            Some(only) => {
                let only: HashSet<&str> = only.iter().map(String::as_str).collect();
                let asker = Asker { lists_seen: true, ..user.0.clone() };
                let all = list(&asker, self.items.len()).into_iter().map(named);
                all.filter(|(id, _)| only.contains(id.as_str())).take(count).collect()
            }
        }
    }
}
