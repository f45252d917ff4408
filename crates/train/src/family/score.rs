//! Plans executed in memory, over the matrices of a [`TrainedPart`]: what a router and its shards would
//! answer, without them.
//!
//! What each leaf of a recipe searches is decided by the [`interpreter`](marquee_core::model::interpreter), as in
//! routers; this module only runs the searches. A search lists candidates by score, best first, equal ones by
//! smaller item. Those of a search for vectors are all items. Those of a row-sum are the items in which any of the
//! rows has an entry, whatever the sum is. What the user has seen is not listed. A blend takes the best of each
//! member, [`BLEND_DEPTH`] or more, scales their scores by their standard deviation within that list, and adds them up by
//! weight, as [`standard_score`](marquee_core::ranking::fuse::standard_score) does.

use super::part::TrainedPart;
use super::sparse::SparseSums;
use crate::als::scores;
use crate::eval::rank::{popularity_order, select_best};
use marquee_bundle::{CsrInput, DenseInput};
use marquee_core::model::interpreter::{
    DecidedLeaves, Filling, KnownRows, Leaf, LeafPlan, MatrixSearch, Model, Request, RowOf,
    UserHistory, UserRequest, VectorMeasure, decide, plan_for_user,
};
use marquee_core::model::recipe::{BLEND_DEPTH, Profile, Recipe, Seen};
use marquee_core::ranking::fuse;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Users whose scores are computed at a time a thread.
const USERS_PER_BLOCK: usize = 32;

/// A candidate: the index of an item, and its score.
pub(crate) type Scored = (u32, f32);

/// What is known of a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownUser {
    /// The user's row of matrices by user; none for a user who came after training.
    pub(crate) row: Option<usize>,
    /// What the user has seen, by ascending item.
    pub(crate) history: Vec<Seen>,
    /// Items of a request, by row, the newest last: they count as the newest of the history, and are not listed.
    pub(crate) recents: Vec<u32>,
    /// The terms of the user's attributes, that of all users among them.
    pub(crate) terms: Vec<u32>,
    /// Items that other models know as seen: they are not listed either.
    pub(crate) seen_elsewhere: HashSet<u32>,
    /// Whether lists may have what the user has seen.
    pub(crate) include_seen: bool,
}

impl KnownUser {
    fn may_be_listed(&self, item: u32) -> bool {
        let is_seen = || self.history.binary_search_by_key(&item, |seen| seen.ordinal).is_ok();
        let is_recent = || self.recents.contains(&item);
        self.include_seen || !(is_seen() || is_recent() || self.seen_elsewhere.contains(&item))
    }
}

/// Executes the plans of a part's recipe.
pub(crate) struct Ranker<'a> {
    recipe: &'a Recipe,
    dense: HashMap<&'a str, &'a DenseInput>,
    sparse: HashMap<&'a str, &'a CsrInput>,
    /// All items, most popular first, and how popular each is.
    order: Vec<u32>,
    popularity: &'a [f32],
}

/// The rows of a part that are known of a user.
#[derive(Clone, Copy)]
pub(crate) struct PartRows<'a> {
    ranker: &'a Ranker<'a>,
    user: &'a KnownUser,
}

impl KnownRows for PartRows<'_> {
    fn ordinal(&self, of: RowOf) -> Option<u32> {
        match of {
            RowOf::Subject => self.user.row.map(|row| row as u32),
            RowOf::Past(item) => Some(item),
            RowOf::Recent(place) => self.user.recents.get(place).copied(),
            RowOf::Term(_) => None,
        }
    }

    fn vector(&self, of: RowOf, matrix: &str) -> Option<&[f32]> {
        Some(row_of(self.ranker.dense[matrix], self.ordinal(of)? as usize))
    }

    fn history(&self) -> Cow<'_, [Seen]> {
        Cow::Borrowed(&self.user.history)
    }

    fn terms(&self, _matrix: &str) -> &[u32] {
        &self.user.terms
    }
}

/// The memory of one thread.
#[derive(Default)]
struct Scratch {
    sums: SparseSums,
    vectors: Vec<f32>,
    block: Vec<f32>,
}

impl<'a> Ranker<'a> {
    /// For items of this popularity.
    pub(crate) fn new(part: &'a TrainedPart, popularity: &'a [f32]) -> Self {
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

    /// What the part knows of a user.
    pub(crate) fn rows(&'a self, user: &'a KnownUser) -> PartRows<'a> {
        PartRows { ranker: self, user }
    }

    /// The `count` best items for each user that the user hasn't seen, best first.
    pub(crate) fn lists(&self, users: &[KnownUser], count: usize) -> Vec<Vec<u32>> {
        let blocks: Vec<Vec<Vec<u32>>> = users
            .par_chunks(USERS_PER_BLOCK)
            .map_init(Scratch::default, |scratch, users| self.lists_of_block(users, count, scratch))
            .collect();
        blocks.into_iter().flatten().collect()
    }

    fn lists_of_block(
        &self,
        users: &[KnownUser],
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Vec<u32>> {
        let parts = self.recipe.parts();
        let profile = self.recipe.profile();
        let leaf = |&(recipe, _): &(_, f64)| Leaf { version: 0, recipe, is_chained: false };
        let leaves: Vec<Leaf<'_>> = parts.iter().map(leaf).collect();
        let decisions: Vec<DecidedLeaves<'_>> =
            users.iter().map(|user| self.decide(&leaves, profile, user)).collect();
        let of_leaf = |n: usize| decisions.iter().map(|it| &it.plans[n]).collect::<Vec<_>>();
        let lists: Vec<Vec<u32>> = if parts.len() == 1 {
            let lists = self.run_all(&of_leaf(0), users, count, scratch);
            lists.into_iter().map(items_of).collect()
        } else {
            let mut fused = vec![Fused::default(); users.len()];
            let depth = fuse::depth(count, BLEND_DEPTH);
            for (n, (_, weight)) in parts.iter().enumerate() {
                let lists = self.run_all(&of_leaf(n), users, depth, scratch);
                for (fused, list) in fused.iter_mut().zip(lists) {
                    fused.add(&scaled(&list), *weight);
                }
            }
            fused.into_iter().map(|fused| fused.best(count)).collect()
        };
        let mut filled = Vec::with_capacity(users.len());
        for ((mut list, user), decision) in lists.into_iter().zip(users).zip(decisions) {
            if let Some(filling) = &decision.filling
                && list.len() < count
            {
                let listed: HashSet<u32> = list.iter().copied().collect();
                let more = self.filling(filling, user, count + list.len(), scratch);
                let more = more.into_iter().filter(|item| !listed.contains(item));
                list.extend(more.take(count - listed.len()));
            }
            filled.push(list);
        }
        filled
    }

    fn decide<'p>(
        &self,
        leaves: &[Leaf<'p>],
        profile: Option<&'p Profile>,
        user: &KnownUser,
    ) -> DecidedLeaves<'p> {
        let request = UserRequest {
            include_seen: user.include_seen,
            recents: user.recents.len(),
            ..UserRequest::default()
        };
        let models = BTreeMap::from([(0, Model { profile, rows: self.rows(user) })]);
        decide(&Request::User(request), leaves, &models)
    }

    /// The items that continue a short list, best first, each once: at least `count` if there are as many.
    fn filling(
        &self,
        filling: &Filling<'_>,
        user: &KnownUser,
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        let Some(profile) = &filling.profile else { return items_of(self.popular(user, count)) };
        let mut all = items_of(self.search(profile, user, count, scratch));
        let listed: HashSet<u32> = all.iter().copied().collect();
        let popular = items_of(self.popular(user, count));
        all.extend(popular.into_iter().filter(|item| !listed.contains(item)));
        all
    }

    /// The `count` best candidates of a recipe that is no blend, for each user: none for users of whom it knows no
    /// preference.
    pub(crate) fn leaf_lists(&self, users: &[KnownUser], count: usize) -> Vec<Vec<Scored>> {
        let blocks: Vec<Vec<Vec<Scored>>> = users
            .par_chunks(USERS_PER_BLOCK)
            .map_init(Scratch::default, |scratch, users| {
                let mut plans = Vec::with_capacity(users.len());
                for user in users {
                    let rows = self.rows(user);
                    plans.push(plan_for_user(self.recipe, &rows, &UserHistory::of(&rows, 0)));
                }
                self.run_all(&plans.iter().collect::<Vec<_>>(), users, count, scratch)
            })
            .collect();
        blocks.into_iter().flatten().collect()
    }

    /// The `count` best candidates of a leaf with this plan, best first; none of a chain's, which waits for rows.
    pub(crate) fn list(&self, plan: &LeafPlan<'_>, user: &KnownUser, count: usize) -> Vec<Scored> {
        let users = std::slice::from_ref(user);
        self.run_all(&[plan], users, count, &mut Scratch::default()).pop().unwrap_or_default()
    }

    /// The `count` best items of a search for items, best first.
    pub(crate) fn list_of_search(
        &self,
        search: &MatrixSearch<'_>,
        user: &KnownUser,
        count: usize,
    ) -> Vec<Scored> {
        self.search(search, user, count, &mut Scratch::default())
    }

    /// The `count` most popular items.
    pub(crate) fn popular(&self, user: &KnownUser, count: usize) -> Vec<Scored> {
        let items = self.order.iter().filter(|item| user.may_be_listed(**item));
        items.take(count).map(|&item| (item, self.popularity[item as usize])).collect()
    }

    /// The lists of one leaf, given its plan for each user: searches by vectors are one product of matrices.
    fn run_all(
        &self,
        plans: &[&LeafPlan<'_>],
        users: &[KnownUser],
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Vec<Scored>> {
        let mut lists = vec![Vec::new(); users.len()];
        let mut nearest: HashMap<&str, Vec<(usize, &[f32])>> = HashMap::new();
        for (n, (&plan, user)) in plans.iter().zip(users).enumerate() {
            if let LeafPlan::Search(MatrixSearch::DenseTopK {
                matrix,
                vector,
                measure: VectorMeasure::InnerProduct,
            }) = plan
            {
                nearest.entry(matrix).or_default().push((n, vector));
            } else {
                lists[n] = self.run(plan, user, count, scratch);
            }
        }
        for (matrix, vectors) in nearest {
            let items = self.dense[matrix];
            let rows = items.data.len() / items.rank;
            scratch.vectors.clear();
            for (_, vector) in &vectors {
                scratch.vectors.extend_from_slice(vector);
            }
            scratch.block.resize(vectors.len() * rows, 0.0);
            scores(&scratch.vectors, &items.data, items.rank, &mut scratch.block);
            for ((n, _), scores) in vectors.iter().zip(scratch.block.chunks_exact_mut(rows)) {
                lists[*n] = best_listed(scores, &users[*n], count);
            }
        }
        lists
    }

    fn run(
        &self,
        plan: &LeafPlan<'_>,
        user: &KnownUser,
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Scored> {
        match plan {
            LeafPlan::Search(search) | LeafPlan::Profile(search) => {
                self.search(search, user, count, scratch)
            }
            LeafPlan::Neighbours(neighbours) => {
                let found = self.search_where(
                    &neighbours.search,
                    |other| neighbours.user != Some(other),
                    neighbours.count as usize,
                    scratch,
                );
                self.search(&neighbours.items(&found), user, count, scratch)
            }
            LeafPlan::Popularity => self.popular(user, count),
            LeafPlan::Chained | LeafPlan::Nothing => Vec::new(),
        }
    }

    fn search(
        &self,
        search: &MatrixSearch<'_>,
        user: &KnownUser,
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Scored> {
        self.search_where(search, |item| user.may_be_listed(item), count, scratch)
    }

    /// The best of those that may be listed.
    fn search_where(
        &self,
        search: &MatrixSearch<'_>,
        may_be_listed: impl Fn(u32) -> bool,
        count: usize,
        scratch: &mut Scratch,
    ) -> Vec<Scored> {
        match search {
            MatrixSearch::RowSum { matrix, rows, weights } => {
                row_sum(self.sparse[matrix], rows, weights, may_be_listed, count, &mut scratch.sums)
            }
            MatrixSearch::DenseTopK { matrix, vector, measure } => {
                let DenseInput { rank, data, .. } = self.dense[matrix];
                let length = dot(vector, vector).sqrt();
                let mut all = Vec::new();
                for (other, row) in (0..).zip(data.chunks_exact(*rank)) {
                    let lengths = match measure {
                        VectorMeasure::InnerProduct => 1.0,
                        VectorMeasure::Cosine => length * dot(row, row).sqrt(),
                    };
                    if may_be_listed(other) && lengths > 0.0 {
                        all.push((other, (dot(vector, row) / lengths) as f32));
                    }
                }
                best(all, count)
            }
        }
    }
}

fn items_of(list: Vec<Scored>) -> Vec<u32> {
    list.into_iter().map(|(item, _)| item).collect()
}

fn row_of(matrix: &DenseInput, row: usize) -> &[f32] {
    &matrix.data[row * matrix.rank..(row + 1) * matrix.rank]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// The best of the scores of all items that may be listed for a user. The scores of the others are lost.
fn best_listed(scores: &mut [f32], user: &KnownUser, count: usize) -> Vec<Scored> {
    if !user.include_seen {
        for seen in &user.history {
            scores[seen.ordinal as usize] = f32::NEG_INFINITY;
        }
        for &item in user.seen_elsewhere.iter().chain(&user.recents) {
            scores[item as usize] = f32::NEG_INFINITY;
        }
    }
    select_best(scores, count)
}

/// The best columns of a weighted sum of rows, of those that are allowed.
fn row_sum(
    matrix: &CsrInput,
    rows: &[u32],
    weights: &[f32],
    allowed: impl Fn(u32) -> bool,
    count: usize,
    sums: &mut SparseSums,
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

/// Scores of a list as standard deviations above its last; all have 1 where all are equal.
pub(crate) fn scaled(list: &[Scored]) -> Vec<(u32, f64)> {
    let scores: Vec<f64> = list.iter().map(|&(_, score)| f64::from(score)).collect();
    let scaled = fuse::in_deviations(&scores);
    list.iter().zip(scaled).map(|(&(item, _), score)| (item, score)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_bundle::{Entity, RowSpace, SparseInput, SparseShape};
    use marquee_core::model::recipe::HistoryWeights;

    fn sparse(name: &str, rows: RowSpace, entries: &[&[Scored]]) -> SparseInput {
        let mut matrix = CsrInput { offsets: vec![0], ..CsrInput::default() };
        for row in entries {
            matrix.columns.extend(row.iter().map(|(column, _)| *column));
            matrix.values.extend(row.iter().map(|(_, value)| *value));
            matrix.offsets.push(matrix.columns.len());
        }
        let shape = SparseShape::Sums { rows, columns: Entity::Item };
        SparseInput { name: name.into(), shape, matrix }
    }

    /// Five items, of which the first are the most popular. 0 and 1 go together, 2 goes with 3; who has term 1 likes
    /// item 4.
    fn part(newest: Option<u32>) -> TrainedPart {
        let history = HistoryWeights { newest, ..HistoryWeights::default() };
        let recipe = Recipe::ItemRows { matrix: "rules".into(), history };
        let profile = Profile { matrix: "profile".into(), users: "user_terms".into() };
        let mut part = TrainedPart::new(Recipe::Profiled { recipe: Box::new(recipe), profile });
        let rules: [&[Scored]; 5] = [&[(1, 1.0)], &[(0, 1.0)], &[(3, 1.0)], &[], &[]];
        part.sparse.push(sparse("rules", RowSpace::Items, &rules));
        part.sparse.push(sparse("profile", RowSpace::Terms, &[&[], &[(4, 1.0)]]));
        part
    }

    fn list(newest: Option<u32>, user: KnownUser) -> Vec<u32> {
        Ranker::new(&part(newest), &[5.0, 4.0, 3.0, 2.0, 1.0]).lists(&[user], 3).remove(0)
    }

    fn seen(ordinal: u32, value: f32, age: u32) -> Seen {
        Seen { ordinal, value, age }
    }

    #[test]
    fn a_short_list_goes_on_with_what_attributes_say_and_then_with_popular_items() {
        let user = |history: Vec<Seen>, terms: &[u32]| KnownUser {
            row: Some(0),
            history,
            terms: terms.into(),
            ..KnownUser::default()
        };
        let all_seen = vec![seen(0, 1.0, 1), seen(1, 1.0, 0)];
        assert_eq!(list(None, user(all_seen.clone(), &[0, 1])), [4, 2, 3]);
        assert_eq!(list(None, user(all_seen, &[0])), [2, 3, 4]);
        let some = vec![seen(2, 1.0, 0)];
        assert_eq!(list(None, user(some.clone(), &[0, 1])), [3, 4, 0]);
        assert_eq!(list(None, user(some, &[])), [3, 0, 1]);
        // Without a preference attributes come first, and what is popular follows.
        assert_eq!(list(None, user(vec![], &[0, 1])), [4, 0, 1]);
        let disliked = vec![seen(0, 1.0, 2), seen(2, 0.0, 0), seen(3, 0.0, 1)];
        assert_eq!(list(Some(2), user(disliked.clone(), &[])), [1, 4]);
        assert_eq!(list(Some(2), user(disliked, &[0, 1])), [4, 1]);
    }

    #[test]
    fn what_other_models_know_as_seen_is_left_out() {
        let user = KnownUser {
            history: vec![seen(2, 1.0, 0)],
            seen_elsewhere: [3, 0].into(),
            ..KnownUser::default()
        };
        assert_eq!(list(None, user.clone()), [1, 4]);
        assert_eq!(list(None, KnownUser { include_seen: true, ..user }), [3, 0, 1]);
    }
}
