//! The plan of a leaf: which searches answer it, given the rows that are known.

use super::history::UserHistory;
use super::known_rows::KnownRows;
use super::request::RowOf;
use crate::model::fold_in::{NewItem, fold_in};
use crate::model::recipe::{
    FoldIn, HistoryWeights, NeighbourSearch, POPULARITY_MATRIX, Profile, Recipe,
};
use std::collections::BTreeMap;

/// How a row of a dense matrix is scored with a query vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorMeasure {
    /// The inner product ⟨query, row⟩.
    InnerProduct,
    /// The cosine ⟨query, row⟩ / (|query| · |row|); 0 where either is all zeros.
    Cosine,
}

/// A search of one matrix: one of the two operations of shards.
#[derive(Clone, Debug, PartialEq)]
pub enum MatrixSearch<'p> {
    /// The rows of a dense matrix that are nearest to a vector.
    DenseTopK {
        /// The name of the dense matrix that is searched.
        matrix: &'p str,
        /// Of as many components as the matrix has; not all zero.
        vector: Vec<f32>,
        /// How they are compared.
        measure: VectorMeasure,
    },
    /// The columns of a sparse matrix with the greatest weighted sums over some rows.
    RowSum {
        /// The name of the sparse matrix whose rows are added up.
        matrix: &'p str,
        /// The rows by ordinal.
        rows: Vec<u32>,
        /// As many weights.
        weights: Vec<f32>,
    },
}

impl<'p> MatrixSearch<'p> {
    /// The best entries of a matrix of one row.
    pub fn one_row(matrix: &'p str) -> Self {
        Self::RowSum { matrix, rows: vec![0], weights: vec![1.0] }
    }

    /// The most popular items.
    pub fn popularity() -> MatrixSearch<'static> {
        MatrixSearch::one_row(POPULARITY_MATRIX)
    }

    /// The name of the matrix.
    pub fn matrix(&self) -> &'p str {
        match self {
            Self::DenseTopK { matrix, .. } | Self::RowSum { matrix, .. } => matrix,
        }
    }

    fn by_vector(
        matrix: &'p str,
        vector: Option<Vec<f32>>,
        measure: VectorMeasure,
    ) -> Option<Self> {
        // A vector of zeros scores all rows alike.
        let vector = vector.filter(|vector| is_nonzero(vector))?;
        Some(Self::DenseTopK { matrix, vector, measure })
    }

    fn by_rows(matrix: &'p str, (rows, weights): (Vec<u32>, Vec<f32>)) -> Option<Self> {
        (!rows.is_empty()).then_some(Self::RowSum { matrix, rows, weights })
    }
}

/// How a leaf is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum LeafPlan<'p> {
    /// By a search for items.
    Search(MatrixSearch<'p>),
    /// By a search for similar users, and then one for the items that they like.
    Neighbours(Neighbours<'p>),
    /// By a sum of the rows of what the member before it in a chain lists: see [`chained_search`].
    Chained,
    /// By what users of the same attributes like, as a substitute for its recipe.
    Profile(MatrixSearch<'p>),
    /// By popular items: its recipe, or a substitute for it.
    Popularity,
    /// Not at all: it knows nothing of the subject.
    Nothing,
}

/// The two searches of a leaf by similar users.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours<'p> {
    /// The search for users, without filters.
    pub search: MatrixSearch<'p>,
    /// At most so many users.
    pub count: u32,
    /// The user's own ordinal: to be left out of the first search.
    pub user: Option<u32>,
    /// The sparse matrix users × items that is summed.
    histories: &'p str,
}

impl<'p> Neighbours<'p> {
    /// The search for items, given the users that were found, by ordinal, and how similar they are. Users with
    /// nothing in common say nothing. Without rows it lists nothing.
    pub fn items(&self, found: &[(u32, f32)]) -> MatrixSearch<'p> {
        let similar = found.iter().copied().filter(|(_, similarity)| *similarity > 0.0);
        let (rows, weights) = similar.unzip();
        MatrixSearch::RowSum { matrix: self.histories, rows, weights }
    }
}

impl<'p> LeafPlan<'p> {
    /// Whether anything answers the leaf.
    pub fn answers(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whether its list has only items that some row of a sum names, and so may be too short.
    pub fn is_sum(&self) -> bool {
        match self {
            Self::Search(MatrixSearch::RowSum { .. })
            | Self::Neighbours(_)
            | Self::Chained
            | Self::Profile(_) => true,
            Self::Search(MatrixSearch::DenseTopK { .. }) | Self::Popularity | Self::Nothing => {
                false
            }
        }
    }

    fn of(search: Option<MatrixSearch<'p>>) -> Self {
        search.map_or(Self::Nothing, Self::Search)
    }
}

/// The search of a chain's leaf: the sum of these rows, by ordinal, with these weights. None if it knows none
/// of them, or its recipe sums no rows of items.
pub fn chained_search(
    recipe: &Recipe,
    rows: Vec<u32>,
    weights: Vec<f32>,
) -> Option<MatrixSearch<'_>> {
    match recipe {
        Recipe::ItemRows { matrix, .. } => MatrixSearch::by_rows(matrix, (rows, weights)),
        Recipe::MatrixFactorisation { .. }
        | Recipe::Content { .. }
        | Recipe::UserNeighbours { .. }
        | Recipe::Popularity
        | Recipe::Trending { .. }
        | Recipe::Blend { .. }
        | Recipe::Profiled { .. } => None,
    }
}

/// How a leaf answers a user, without substitutes: [`LeafPlan::Nothing`] if it knows no preference.
pub fn plan_for_user<'p, R: KnownRows>(
    recipe: &'p Recipe,
    rows: &R,
    history: &UserHistory<'_>,
) -> LeafPlan<'p> {
    match recipe {
        Recipe::MatrixFactorisation { user_factors, item_factors, fold_in } => {
            let stored = rows.vector(RowOf::Subject, user_factors);
            let folded = fold_in
                .as_ref()
                .and_then(|fold_in| folded_vector(fold_in, item_factors, stored, rows, history));
            let vector = folded.or_else(|| stored.map(<[f32]>::to_vec));
            let measure = VectorMeasure::InnerProduct;
            LeafPlan::of(MatrixSearch::by_vector(item_factors, vector, measure))
        }
        Recipe::Content { user_topics, item_topics, history: weights, .. } => {
            let stored = rows.vector(RowOf::Subject, user_topics);
            let vector = match stored {
                Some(stored) if history.recents.is_empty() => Some(stored.to_vec()),
                _ => TopicSum::of(item_topics, weights.as_ref(), stored.is_some(), rows, history)
                    .vector(stored, item_topics, rows),
            };
            let measure = VectorMeasure::InnerProduct;
            LeafPlan::of(MatrixSearch::by_vector(item_topics, vector, measure))
        }
        Recipe::ItemRows { matrix, history: weights } => {
            LeafPlan::of(MatrixSearch::by_rows(matrix, weights.weigh(history.all())))
        }
        Recipe::UserNeighbours { by, histories, neighbours } => {
            let search = match by {
                NeighbourSearch::Vectors { user_factors } => {
                    let own = rows.vector(RowOf::Subject, user_factors).map(<[f32]>::to_vec);
                    MatrixSearch::by_vector(user_factors, own, VectorMeasure::Cosine)
                }
                NeighbourSearch::Histories { matrix, history: weights } => {
                    MatrixSearch::by_rows(matrix, weights.weigh(history.all()))
                }
            };
            let Some(search) = search else { return LeafPlan::Nothing };
            let user = rows.ordinal(RowOf::Subject);
            LeafPlan::Neighbours(Neighbours { search, count: *neighbours, user, histories })
        }
        Recipe::Trending { matrix } => LeafPlan::Search(MatrixSearch::one_row(matrix)),
        Recipe::Popularity => LeafPlan::Popularity,
        // Their parts are leaves of their own.
        Recipe::Blend { .. } | Recipe::Profiled { .. } => LeafPlan::Nothing,
    }
}

/// Whether a leaf would answer the user without the request's recent items.
pub(super) fn has_stored_preference<R: KnownRows>(
    recipe: &Recipe,
    rows: &R,
    history: &UserHistory<'_>,
) -> bool {
    match recipe {
        Recipe::MatrixFactorisation { user_factors: matrix, .. }
        | Recipe::Content { user_topics: matrix, .. }
        | Recipe::UserNeighbours {
            by: NeighbourSearch::Vectors { user_factors: matrix }, ..
        } => rows.vector(RowOf::Subject, matrix).is_some_and(is_nonzero),
        Recipe::ItemRows { history: weights, .. }
        | Recipe::UserNeighbours {
            by: NeighbourSearch::Histories { history: weights, .. }, ..
        } => weights.weighs_any(&history.stored),
        Recipe::Popularity
        | Recipe::Trending { .. }
        | Recipe::Blend { .. }
        | Recipe::Profiled { .. } => false,
    }
}

/// What a leaf that is like an item answers with.
pub(super) fn plan_for_item<'p, R: KnownRows>(recipe: &'p Recipe, rows: &R) -> LeafPlan<'p> {
    match recipe {
        Recipe::MatrixFactorisation { item_factors: matrix, .. }
        | Recipe::Content { item_topics: matrix, .. } => {
            let own = rows.vector(RowOf::Subject, matrix).map(<[f32]>::to_vec);
            LeafPlan::of(MatrixSearch::by_vector(matrix, own, VectorMeasure::Cosine))
        }
        Recipe::ItemRows { matrix, .. } => {
            let own = rows.ordinal(RowOf::Subject).map(|ordinal| (vec![ordinal], vec![1.0]));
            LeafPlan::of(own.and_then(|own| MatrixSearch::by_rows(matrix, own)))
        }
        Recipe::UserNeighbours { .. }
        | Recipe::Popularity
        | Recipe::Trending { .. }
        | Recipe::Blend { .. }
        | Recipe::Profiled { .. } => LeafPlan::Nothing,
    }
}

/// What a leaf answers with that is asked what a text is about: the sum of its words' vectors, compared by
/// cosine. Nothing if it knows none of the words.
pub(super) fn plan_for_text<'p, R: KnownRows>(
    recipe: &'p Recipe,
    words: usize,
    rows: &R,
) -> LeafPlan<'p> {
    let Some((term_topics, item_topics)) = recipe.text_vectors() else { return LeafPlan::Nothing };
    let mut sum: Option<Vec<f32>> = None;
    for row in (0..words).filter_map(|word| rows.vector(RowOf::Term(word), term_topics)) {
        let sum = sum.get_or_insert_with(|| vec![0.0; row.len()]);
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    LeafPlan::of(MatrixSearch::by_vector(item_topics, sum, VectorMeasure::Cosine))
}

/// What users of the user's attributes like: of those that the request gives if training knew any of them, else
/// of those that training knew of the user. None if there is no attribute.
pub(super) fn profile_search<'p, R: KnownRows>(
    profile: &'p Profile,
    terms: usize,
    rows: &R,
) -> Option<MatrixSearch<'p>> {
    let given = (0..terms).filter_map(|term| rows.ordinal(RowOf::Term(term)));
    let mut known: Vec<u32> = given.collect();
    // Every user has the first term, which says nothing.
    if known.len() < 2 {
        known = rows.terms(&profile.users).to_vec();
    }
    let weights = vec![1.0; known.len()];
    (known.len() > 1).then_some(MatrixSearch::RowSum {
        matrix: &profile.matrix,
        rows: known,
        weights,
    })
}

/// A vector in which every item that the user liked counts once; none if the stored one is that already.
fn folded_vector<R: KnownRows>(
    folding: &FoldIn,
    item_factors: &str,
    stored: Option<&[f32]>,
    rows: &R,
    history: &UserHistory<'_>,
) -> Option<Vec<f32>> {
    let new_item = |of: RowOf| {
        let factors = rows.vector(of, item_factors)?;
        Some(NewItem { factors, fold: rows.vector(of, &folding.matrix)? })
    };
    let recents = history.new_recents().map(|recent| RowOf::Recent(recent.place));
    let mut new: Vec<NewItem<'_>> = recents.filter_map(new_item).collect();
    if stored.is_none() {
        let liked = history.stored.iter().filter(|seen| seen.value > 0.0);
        new.extend(liked.filter_map(|seen| new_item(RowOf::Past(seen.ordinal))));
    }
    let rank = new.first()?.factors.len();
    match stored {
        Some(stored) => fold_in(stored, &new, folding.confidence),
        None => fold_in(&vec![0.0; rank], &new, folding.confidence),
    }
}

/// A user's vector of topics as a sum over items: `Σ added + scale · (stored − Σ removed)`.
///
/// `stored` is a sum over what the user liked, where an item's weight falls with the number of liked items that
/// are newer. Recent items make all others older, and those that are part of `stored` already are taken out of
/// it and added as the newest. That is what training would give, except that stored items newer than one that
/// was watched again keep their weight, where training would count each as one interaction older.
pub(super) struct TopicSum {
    /// What is added, and its weight.
    pub(super) added: Vec<(RowOf, u32, f64)>,
    /// What is removed from the stored sum, and its weight there.
    removed: Vec<(RowOf, f64)>,
    /// What the rest of the stored sum counts.
    scale: f64,
    /// The rest of the stored sum: items and weights, scaled. Empty if weights are not known.
    pub(super) rest: Vec<(u32, f64)>,
}

impl TopicSum {
    pub(super) fn of<R: KnownRows>(
        item_topics: &str,
        weights: Option<&HistoryWeights>,
        is_stored: bool,
        rows: &R,
        history: &UserHistory<'_>,
    ) -> Self {
        let mut sum = Self { added: Vec::new(), removed: Vec::new(), scale: 1.0, rest: Vec::new() };
        let Some(weights) = weights else {
            // Without weights what is stored stays as it is.
            for recent in history.new_recents() {
                let of = RowOf::Recent(recent.place);
                if rows.vector(of, item_topics).is_some() {
                    sum.added.push((of, recent.ordinal, 1.0));
                }
            }
            if !is_stored {
                let liked = history.liked();
                sum.added.extend(liked.iter().map(|it| (RowOf::Past(it.ordinal), it.ordinal, 1.0)));
            }
            return sum;
        };
        let mut known: BTreeMap<u32, RowOf> = BTreeMap::new();
        for recent in &history.recents {
            let of = RowOf::Recent(recent.place);
            if rows.vector(of, item_topics).is_some() {
                let value = if weights.by_value { history.recent_value } else { 1.0 };
                let weight = f64::from(value) * weights.decay.powi(known.len() as i32);
                sum.added.push((of, recent.ordinal, weight));
                known.insert(recent.ordinal, of);
            }
        }
        let (items, stored_weights) = weights.weigh(&history.liked());
        for (item, weight) in items.into_iter().zip(stored_weights) {
            match known.get(&item) {
                Some(of) => sum.removed.push((*of, f64::from(weight))),
                None => sum.rest.push((item, f64::from(weight))),
            }
        }
        sum.scale = weights.decay.powi((known.len() - sum.removed.len()) as i32);
        sum.rest.iter_mut().for_each(|(_, weight)| *weight *= sum.scale);
        if !is_stored {
            let rest = std::mem::take(&mut sum.rest);
            sum.added.extend(rest.iter().map(|&(item, weight)| (RowOf::Past(item), item, weight)));
        }
        sum
    }

    /// The vector; none if nothing is known.
    fn vector<R: KnownRows>(
        &self,
        stored: Option<&[f32]>,
        item_topics: &str,
        rows: &R,
    ) -> Option<Vec<f32>> {
        if self.added.is_empty() {
            return stored.map(<[f32]>::to_vec);
        }
        let mut sum: Vec<f64> = stored.unwrap_or_default().iter().map(|&x| f64::from(x)).collect();
        if stored.is_some() {
            for &(of, weight) in &self.removed {
                add_row(&mut sum, rows.vector(of, item_topics), -weight);
            }
        }
        sum.iter_mut().for_each(|sum| *sum *= self.scale);
        for &(of, _, weight) in &self.added {
            add_row(&mut sum, rows.vector(of, item_topics), weight);
        }
        Some(sum.into_iter().map(|sum| sum as f32).collect())
    }
}

/// Adds a row so many times to a sum, which may be empty at first.
fn add_row(sum: &mut Vec<f64>, row: Option<&[f32]>, times: f64) {
    let Some(row) = row else { return };
    sum.resize(row.len(), 0.0);
    sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += times * f64::from(x));
}

fn is_nonzero(vector: &[f32]) -> bool {
    vector.iter().any(|component| *component != 0.0)
}
