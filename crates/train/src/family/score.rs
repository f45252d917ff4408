//! Recipes executed in memory, over the matrices of a [`Part`]: what a router and its shards would
//! answer, without them.
//!
//! A recipe lists candidates by score, best first, equal ones by smaller item. Those of a search for
//! vectors are all items; those of a row-sum the items in which any of the rows has an entry, be the sum
//! what it may. What the user has seen is none. A blend takes the best of each member, [`BLEND_DEPTH`] or more, scales
//! their scores to 0..1 within that list, and adds them up by weight, as
//! [`weighted_score`](marquee_core::ranking::fuse::weighted_score) does. Lists that are too short end with what
//! is popular.

use super::part::Part;
use super::sparse::Sums;
use crate::als::scores;
use crate::eval::rank::{popularity_order, select_best};
use marquee_bundle::{CsrInput, DenseInput};
use marquee_core::model::fold_in::{NewItem, fold_in};
use marquee_core::model::recipe::{
    BLEND_DEPTH, BlendMember, FoldIn, NeighbourSearch, Profile, Recipe, Seen,
};
use marquee_core::ranking::fuse;
use rayon::prelude::*;
use std::collections::HashMap;

/// Askers whose scores are computed at a time a thread.
const ASKERS_PER_BLOCK: usize = 32;

/// One candidate.
pub(crate) type Scored = (u32, f32);

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// The user's row of matrices by user; none for somebody who came after training.
    pub(crate) row: Option<usize>,
    /// What the user has seen, by ascending item: it speaks for others, and is not recommended again.
    pub(crate) history: Vec<Seen>,
    /// The terms of what else is known, that of everybody among them.
    pub(crate) terms: Vec<u32>,
    /// Whether lists are to hold what the asker has seen too.
    pub(crate) lists_seen: bool,
}

impl Asker {
    fn has_seen(&self, item: u32) -> bool {
        !self.lists_seen && self.history.binary_search_by_key(&item, |seen| seen.ordinal).is_ok()
    }
}

/// Executes the recipe of a part.
pub(crate) struct Ranker<'a> {
    recipe: &'a Recipe,
    dense: HashMap<&'a str, &'a DenseInput>,
    sparse: HashMap<&'a str, &'a CsrInput>,
    /// All items, most popular first, and how popular each is.
    order: Vec<u32>,
    popularity: &'a [f32],
}

/// The memory of one thread.
#[derive(Default)]
struct Scratch {
    sums: Sums,
    vectors: Vec<f32>,
    block: Vec<f32>,
}

impl<'a> Ranker<'a> {
    /// For items of this popularity.
    pub(crate) fn new(part: &'a Part, popularity: &'a [f32]) -> Self {
        Self {
            recipe: &part.recipe,
            dense: part.dense.iter().map(|matrix| (matrix.name.as_str(), matrix)).collect(),
            sparse: part
                .sparse
                .iter()
                .map(|matrix| (matrix.name.as_str(), &matrix.matrix))
                .collect(),
            order: popularity_order(popularity),
            popularity,
        }
    }

    /// The `count` best items for each asker that the asker hasn't seen, best first.
    pub(crate) fn lists(&self, askers: &[Asker], count: usize) -> Vec<Vec<u32>> {
        let block = |scratch: &mut Scratch, askers: &[Asker]| -> Vec<Vec<u32>> {
            let (recipe, profile) = match self.recipe {
                Recipe::Profiled { recipe, profile } => (recipe.as_ref(), Some(profile)),
                recipe => (recipe, None),
            };
            let lists = match recipe {
                Recipe::Blend { members } => {
                    let mut fused = vec![Fused::default(); askers.len()];
                    let mut has_taste = vec![false; askers.len()];
                    let depth = fuse::depth(count, BLEND_DEPTH);
                    for member in members {
                        let lists = self.leaf(&member.recipe, askers, depth, scratch);
                        for (n, list) in lists.iter().enumerate() {
                            has_taste[n] |= member.recipe.is_personal() && !list.is_empty();
                            fused[n].add(&scaled(list), member.weight);
                        }
                    }
                    // For who has no taste, what such people like, or what is popular, stands in for the first who would know it.
                    let personal = members.iter().find(|member| member.recipe.is_personal());
                    if let Some(BlendMember { weight, .. }) = personal {
                        let mut lists = self.leaf(&Recipe::Popularity, askers, depth, scratch);
                        self.by_profile(profile, askers, depth, &mut lists, scratch);
                        let strangers = (0..askers.len()).filter(|&n| !has_taste[n]);
                        strangers.for_each(|n| fused[n].add(&scaled(&lists[n]), *weight));
                    }
                    fused.into_iter().map(|fused| fused.best(count)).collect()
                }
                leaf => {
                    let mut lists = self.leaf(leaf, askers, count, scratch);
                    let mut by_profile: Vec<Vec<Scored>> = vec![Vec::new(); askers.len()];
                    self.by_profile(profile, askers, count, &mut by_profile, scratch);
                    for (list, by_profile) in lists.iter_mut().zip(by_profile) {
                        if list.is_empty() {
                            *list = by_profile;
                        }
                    }
                    let items =
                        |list: Vec<Scored>| list.into_iter().map(|(item, _)| item).collect();
                    lists.into_iter().map(items).collect::<Vec<Vec<u32>>>()
                }
            };
            let pairs = lists.into_iter().zip(askers);
            pairs.map(|(list, asker)| self.fill(list, asker, count)).collect()
        };
        let blocks: Vec<Vec<Vec<u32>>> = askers
            .par_chunks(ASKERS_PER_BLOCK)
            .map_init(Scratch::default, |scratch, askers| block(scratch, askers))
            .collect();
        blocks.into_iter().flatten().collect()
    }

    /// Puts what people of their attributes like into the lists of those of whom any are known.
    fn by_profile(
        &self,
        profile: Option<&Profile>,
        askers: &[Asker],
        count: usize,
        lists: &mut [Vec<Scored>],
        scratch: &mut Scratch,
    ) {
        let Some(profile) = profile else { return };
        let matrix = self.sparse[profile.matrix.as_str()];
        // Everybody has one term.
        for (asker, list) in askers.iter().zip(lists).filter(|(asker, _)| asker.terms.len() > 1) {
            let weights = vec![1.0; asker.terms.len()];
            let allowed = |item| !asker.has_seen(item);
            *list = row_sum(matrix, &asker.terms, &weights, allowed, count, &mut scratch.sums);
        }
    }

    /// The `count` best candidates of a recipe that is no blend, for each asker.
    pub(crate) fn leaf_lists(&self, askers: &[Asker], count: usize) -> Vec<Vec<Scored>> {
        let blocks: Vec<Vec<Vec<Scored>>> = askers
            .par_chunks(ASKERS_PER_BLOCK)
            .map_init(Scratch::default, |scratch, askers| {
                self.leaf(self.recipe, askers, count, scratch)
            })
            .collect();
        blocks.into_iter().flatten().collect()
    }

    /// The best candidates of a part of the recipe, for each asker.
    pub(crate) fn leaf_of(
        &self,
        part: &Recipe,
        askers: &[Asker],
        count: usize,
    ) -> Vec<Vec<Scored>> {
        self.leaf(part, askers, count, &mut Scratch::default())
    }

    /// The best candidates of a weighted sum of rows of a matrix.
    pub(crate) fn sum_of(
        &self,
        matrix: &str,
        rows: &[u32],
        weights: &[f32],
        asker: &Asker,
        count: usize,
    ) -> Vec<Scored> {
        let allowed = |item| !asker.has_seen(item);
        row_sum(self.sparse[matrix], rows, weights, allowed, count, &mut Sums::default())
    }

    /// What people of the asker's attributes like; none if none are known, or the recipe does not ask.
    pub(crate) fn profile_of(&self, asker: &Asker, count: usize) -> Option<Vec<Scored>> {
        let profile = self.recipe.profile().filter(|_| asker.terms.len() > 1);
        let mut lists = vec![Vec::new()];
        let askers = std::slice::from_ref(asker);
        self.by_profile(Some(profile?), askers, count, &mut lists, &mut Scratch::default());
        lists.pop()
    }

    /// Whether a part of the recipe knows a taste of the asker: whether a router would ask it.
    pub(crate) fn knows_taste(&self, part: &Recipe, asker: &Asker) -> bool {
        let points = |vector: Option<Vec<f32>>| {
            vector.is_some_and(|vector| vector.iter().any(|x| *x != 0.0))
        };
        let row = |matrix: &str| asker.row.map(|row| row_of(self.dense[matrix], row).to_vec());
        let items = |matrix: &str| self.dense[matrix];
        match part {
            Recipe::MatrixFactorisation { user_factors, item_factors, fold_in } => {
                points(row(user_factors).or_else(|| {
                    self.folded(fold_in.as_ref()?, items(item_factors), &asker.history)
                }))
            }
            Recipe::Content { user_topics, item_topics, .. } => points(
                row(user_topics).or_else(|| sum_of_liked(items(item_topics), &asker.history)),
            ),
            Recipe::UserNeighbours { by: NeighbourSearch::Vectors { user_factors }, .. } => {
                points(row(user_factors))
            }
            part => part.history().is_some_and(|h| !h.weigh(&asker.history).0.is_empty()),
        }
    }

    fn fill(&self, mut list: Vec<u32>, asker: &Asker, count: usize) -> Vec<u32> {
        if list.len() < count {
            let had = list.clone();
            let rest =
                self.order.iter().filter(|item| !had.contains(item) && !asker.has_seen(**item));
            list.extend(rest.take(count - had.len()));
        }
        list
    }

    fn leaf(
        &self,
        recipe: &Recipe,
        askers: &[Asker],
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Vec<Scored>> {
        match recipe {
            Recipe::MatrixFactorisation { user_factors, item_factors, fold_in } => {
                let (users, items) =
                    (self.dense[user_factors.as_str()], self.dense[item_factors.as_str()]);
                let vector = |asker: &Asker| match (asker.row, fold_in) {
                    (Some(row), _) => Some(row_of(users, row).to_vec()),
                    (None, Some(fold_in)) => self.folded(fold_in, items, &asker.history),
                    (None, None) => None,
                };
                nearest(items, askers, vector, count, scratch)
            }
            Recipe::Content { user_topics, item_topics, .. } => {
                let (users, items) =
                    (self.dense[user_topics.as_str()], self.dense[item_topics.as_str()]);
                let vector = |asker: &Asker| match asker.row {
                    Some(row) => Some(row_of(users, row).to_vec()),
                    None => sum_of_liked(items, &asker.history),
                };
                nearest(items, askers, vector, count, scratch)
            }
            Recipe::ItemRows { matrix, history } => {
                let matrix = self.sparse[matrix.as_str()];
                let list = |asker: &Asker| {
                    let (rows, weights) = history.weigh(&asker.history);
                    row_sum(
                        matrix,
                        &rows,
                        &weights,
                        |item| !asker.has_seen(item),
                        count,
                        &mut scratch.sums,
                    )
                };
                askers.iter().map(list).collect()
            }
            Recipe::UserNeighbours { by, histories, neighbours } => {
                let histories = self.sparse[histories.as_str()];
                let similar = self.similar_users(by, askers, *neighbours as usize, scratch);
                let list = |(asker, similar): (&Asker, Vec<Scored>)| {
                    // Who is unlike the asker says nothing.
                    let similar = similar.into_iter().filter(|(_, similarity)| *similarity > 0.0);
                    let (rows, weights): (Vec<u32>, Vec<f32>) = similar.unzip();
                    row_sum(
                        histories,
                        &rows,
                        &weights,
                        |item| !asker.has_seen(item),
                        count,
                        &mut scratch.sums,
                    )
                };
                askers.iter().zip(similar).map(list).collect()
            }
            Recipe::Popularity => {
                let list = |asker: &Asker| {
                    let unseen = self.order.iter().filter(|item| !asker.has_seen(**item));
                    unseen.take(count).map(|&item| (item, self.popularity[item as usize])).collect()
                };
                askers.iter().map(list).collect()
            }
            Recipe::Trending { matrix } => {
                let row = self.sparse[matrix.as_str()];
                let list = |asker: &Asker| {
                    row_sum(
                        row,
                        &[0],
                        &[1.0],
                        |item| !asker.has_seen(item),
                        count,
                        &mut scratch.sums,
                    )
                };
                askers.iter().map(list).collect()
            }
            // Members of blends are no blends, and no profiles: `Recipe::check` says so.
            Recipe::Blend { .. } | Recipe::Profiled { .. } => vec![Vec::new(); askers.len()],
        }
    }

    fn similar_users(
        &self,
        by: &NeighbourSearch,
        askers: &[Asker],
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Vec<Scored>> {
        match by {
            NeighbourSearch::Histories { matrix, history } => {
                let matrix = self.sparse[matrix.as_str()];
                let list = |asker: &Asker| {
                    let (rows, weights) = history.weigh(&asker.history);
                    let other = |user: u32| asker.row != Some(user as usize);
                    row_sum(matrix, &rows, &weights, other, count, &mut scratch.sums)
                };
                askers.iter().map(list).collect()
            }
            NeighbourSearch::Vectors { user_factors } => {
                let users = self.dense[user_factors.as_str()];
                let list = |asker: &Asker| -> Vec<Scored> {
                    let Some(row) = asker.row else { return Vec::new() };
                    let mine = row_of(users, row);
                    let length = dot(mine, mine).sqrt();
                    let others = users.data.chunks_exact(users.rank).enumerate();
                    let cosine = |(other, theirs): (usize, &[f32])| {
                        let lengths = length * dot(theirs, theirs).sqrt();
                        let cosine = dot(mine, theirs) / lengths;
                        (other != row && lengths > 0.0).then_some((other as u32, cosine as f32))
                    };
                    best(others.filter_map(cosine).collect(), count)
                };
                askers.iter().map(list).collect()
            }
        }
    }

    /// The vector of somebody new; none for who likes nothing.
    fn folded(&self, folding: &FoldIn, items: &DenseInput, history: &[Seen]) -> Option<Vec<f32>> {
        let fold = self.dense[folding.matrix.as_str()];
        let new_item = |item| NewItem { factors: row_of(items, item), fold: row_of(fold, item) };
        let new: Vec<NewItem<'_>> = liked(history).map(new_item).collect();
        let nobody = vec![0.0; items.rank];
        (!new.is_empty()).then(|| fold_in(&nobody, &new, folding.confidence))?
    }
}

fn liked(history: &[Seen]) -> impl Iterator<Item = usize> {
    history.iter().filter(|seen| seen.value > 0.0).map(|seen| seen.ordinal as usize)
}

fn sum_of_liked(items: &DenseInput, history: &[Seen]) -> Option<Vec<f32>> {
    let mut sum: Option<Vec<f32>> = None;
    for item in liked(history) {
        let sum = sum.get_or_insert_with(|| vec![0.0; items.rank]);
        sum.iter_mut().zip(row_of(items, item)).for_each(|(sum, &x)| *sum += x);
    }
    sum
}

fn row_of(matrix: &DenseInput, row: usize) -> &[f32] {
    &matrix.data[row * matrix.rank..(row + 1) * matrix.rank]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// The items of greatest inner product with each asker's vector; nothing for who has none.
fn nearest(
    items: &DenseInput,
    askers: &[Asker],
    vector: impl Fn(&Asker) -> Option<Vec<f32>>,
    count: usize,
    scratch: &mut Scratch,
) -> Vec<Vec<Scored>> {
    let rows = items.data.len() / items.rank;
    scratch.vectors.clear();
    let mut known = Vec::with_capacity(askers.len());
    for asker in askers {
        // Without a direction all items are alike, and nothing is known.
        let vector = vector(asker).filter(|vector| vector.iter().any(|x| *x != 0.0));
        known.push(vector.is_some());
        scratch.vectors.extend(vector.unwrap_or_else(|| vec![0.0; items.rank]));
    }
    scratch.block.resize(askers.len() * rows, 0.0);
    scores(&scratch.vectors, &items.data, items.rank, &mut scratch.block);
    let lists = askers.iter().zip(known).zip(scratch.block.chunks_exact_mut(rows));
    let list = |((asker, known), scores): ((&Asker, bool), &mut [f32])| {
        if !known {
            return Vec::new();
        }
        if !asker.lists_seen {
            let seen = asker.history.iter().map(|seen| seen.ordinal as usize);
            seen.for_each(|item| scores[item] = f32::NEG_INFINITY);
        }
        select_best(scores, count)
    };
    lists.map(list).collect()
}

/// The best columns of a weighted sum of rows, of those that are allowed.
fn row_sum(
    matrix: &CsrInput,
    rows: &[u32],
    weights: &[f32],
    allowed: impl Fn(u32) -> bool,
    count: usize,
    sums: &mut Sums,
) -> Vec<Scored> {
    for (&row, &weight) in rows.iter().zip(weights) {
        let range = matrix.offsets[row as usize]..matrix.offsets[row as usize + 1];
        sums.add(&matrix.columns[range.clone()], &matrix.values[range], f64::from(weight));
    }
    let sums = sums.take().into_iter().filter(|(column, _)| allowed(*column));
    best(sums.map(|(column, sum)| (column, sum as f32)).collect(), count)
}

/// The best, best first, equal ones by smaller number.
fn best(mut all: Vec<Scored>, count: usize) -> Vec<Scored> {
    let by_score = |a: &Scored, b: &Scored| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if all.len() > count {
        all.select_nth_unstable_by(count, by_score);
        all.truncate(count);
    }
    all.sort_unstable_by(by_score);
    all
}

/// Scores of a list scaled to 0..1: its best has 1, its last 0, and all have 1 where all are equal.
pub(crate) fn scaled(list: &[Scored]) -> Vec<(u32, f64)> {
    let (Some(&(_, highest)), Some(&(_, lowest))) = (list.first(), list.last()) else {
        return Vec::new();
    };
    let (lowest, width) = (f64::from(lowest), f64::from(highest) - f64::from(lowest));
    let scale = |score: f32| match width > 0.0 {
        true => (f64::from(score) - lowest) / width,
        false => 1.0,
    };
    list.iter().map(|&(item, score)| (item, scale(score))).collect()
}

/// Members' lists in the making of one.
#[derive(Clone, Default)]
struct Fused(HashMap<u32, f64>);

impl Fused {
    fn add(&mut self, list: &[(u32, f64)], weight: f64) {
        for &(item, score) in list {
            *self.0.entry(item).or_insert(0.0) += weight * score;
        }
    }

    fn best(self, count: usize) -> Vec<u32> {
        let mut all: Vec<(u32, f64)> = self.0.into_iter().collect();
        all.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(count);
        all.into_iter().map(|(item, _)| item).collect()
    }
}
