//! How a leaf is answered, decided from the rows that were looked up. Pure.

use super::looked_up_rows::LookedUpRows;
use super::stored_row::{StoredRow, components, has_direction};
use crate::planning::wanted_rows::{RowOwner, text_vectors};
use bytes::Bytes;
use marquee_core::model::fold_in::{NewItem, fold_in};
use marquee_core::model::recipe::{
    HISTORY_MATRIX, HISTORY_ORDER_MATRIX, NeighbourSearch, Profile, Recipe, Seen,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a leaf is answered.
#[derive(Clone, Debug)]
pub(crate) enum LeafPlan<'a> {
    /// By a search for items.
    Items(Source<'a>),
    /// By a search for users of like taste, and another for items that they like.
    ///
    /// With the asking user, who is no neighbour of himself.
    Neighbours(Source<'a>, Option<u32>),
    /// By what people of the user's attributes like, in place of what its recipe says.
    Profile(Source<'a>),
    /// By a sum of the rows of what a chain's member before it lists, once that is known.
    Chained,
    /// By what is popular, in place of what its recipe says.
    Popularity,
    /// Not at all.
    None,
}

/// What to search, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) matrix: &'a str,
    pub(crate) by: By,
}

/// What a search finds the best of.
#[derive(Clone, Debug)]
pub(crate) enum By {
    /// The rows of a dense matrix that are most similar to a vector of little-endian `f32`s.
    Vector(Bytes, Similarity),
    /// The columns of the weighted sum of these rows of a sparse matrix, equally many of both.
    Rows(Vec<u32>, Vec<f32>),
}

/// How two vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Similarity {
    /// By their inner product.
    InnerProduct,
    /// By the cosine of the angle between them.
    Cosine,
}

impl<'a> Source<'a> {
    pub(crate) fn vector(matrix: &'a str, vector: Bytes, similarity: Similarity) -> Self {
        Self { matrix, by: By::Vector(vector, similarity) }
    }

    pub(crate) fn one_row(matrix: &'a str) -> Self {
        Self { matrix, by: By::Rows(vec![0], vec![1.0]) }
    }
}

/// What a version knows of what the user has seen, and what the request adds.
pub(crate) struct History {
    /// Item ordinals of the version's own history.
    pub(crate) seen: Arc<[u32]>,
    /// Whether something of its own history is liked.
    pub(crate) has_own: bool,
    /// All of it, recent items of the request included.
    entries: Vec<Seen>,
}

impl History {
    pub(crate) fn of(rows: &LookedUpRows<'_>, version: usize, recents: usize) -> Self {
        let own = own_history(rows, version);
        let mut entries = Vec::with_capacity(own.len() + recents);
        // A recent item speaks as much as those that the user liked.
        let liked: Vec<f64> =
            own.iter().map(|seen| f64::from(seen.value)).filter(|&value| value > 0.0).collect();
        let value = match liked.is_empty() {
            true => 1.0,
            false => (liked.iter().sum::<f64>() / liked.len() as f64) as f32,
        };
        let mut newer = BTreeSet::new();
        for recent in (0..recents).rev() {
            let Some(row) = rows.row(RowOwner::Recent(recent), version, "", "") else { continue };
            if newer.insert(row.ordinal) {
                let age = newer.len() as u32 - 1;
                entries.push(Seen { ordinal: row.ordinal, value, age });
            }
        }
        let older = own.iter().filter(|seen| !newer.contains(&seen.ordinal));
        entries.extend(
            older.map(|seen| Seen { age: seen.age.saturating_add(newer.len() as u32), ..*seen }),
        );
        let seen = own.iter().map(|seen| seen.ordinal).collect();
        Self { seen, has_own: !liked.is_empty(), entries }
    }
}

/// What a version itself knows that the user has seen, by ascending item.
pub(crate) fn own_history(rows: &LookedUpRows<'_>, version: usize) -> Vec<Seen> {
    let history = rows.row(RowOwner::Subject, version, "", HISTORY_MATRIX);
    let order = rows.row(RowOwner::Subject, version, "", HISTORY_ORDER_MATRIX);
    let ages: BTreeMap<u32, u32> = order
        .iter()
        .flat_map(|row| row.columns.iter().zip(&row.values))
        .map(|(&column, &age)| (column, age as u32))
        .collect();
    let rows = history.into_iter().flat_map(|row| row.columns.iter().zip(&row.values));
    let seen = |(&ordinal, &value): (&u32, &f32)| Seen {
        ordinal,
        value,
        age: ages.get(&ordinal).copied().unwrap_or(0),
    };
    rows.map(seen).collect()
}

/// How a leaf answers a user of whom this is known.
pub(crate) fn plan_for_user<'a>(
    recipe: &'a Recipe,
    version: usize,
    rows: &LookedUpRows<'a>,
    history: &History,
    recents: usize,
) -> LeafPlan<'a> {
    let own = |matrix: &str| rows.row(RowOwner::Subject, version, matrix, "");
    match recipe {
        Recipe::MatrixFactorisation { user_factors, item_factors, fold_in: folding } => {
            let own = own(user_factors);
            let folded = folding.as_ref().and_then(|folding| {
                let newest = (0..recents).rev().filter_map(|recent| {
                    let row =
                        |matrix: &str| rows.row(RowOwner::Recent(recent), version, matrix, "");
                    let (factors, fold) = (row(item_factors)?, row(&folding.matrix)?);
                    Some((floats(factors), floats(fold)))
                });
                let newest: Vec<(Vec<f32>, Vec<f32>)> = newest.collect();
                let rank = newest.first()?.0.len();
                let newest: Vec<NewItem<'_>> =
                    newest.iter().map(|(factors, fold)| NewItem { factors, fold }).collect();
                let user = own.map_or_else(|| vec![0.0; rank], floats);
                fold_in(&user, &newest, folding.confidence).map(|vector| bytes(&vector))
            });
            let vector = folded.or_else(|| own.map(|row| row.vector.clone()));
            by_vector(item_factors, vector, Similarity::InnerProduct)
        }
        Recipe::Content { user_topics, item_topics, .. } => {
            let mut sum: Vec<f32> = own(user_topics).map(floats).unwrap_or_default();
            for recent in 0..recents {
                if let Some(row) = rows.row(RowOwner::Recent(recent), version, item_topics, "") {
                    sum.resize(row.vector.len() / size_of::<f32>(), 0.0);
                    sum.iter_mut().zip(components(&row.vector)).for_each(|(sum, x)| *sum += x);
                }
            }
            by_vector(item_topics, Some(bytes(&sum)), Similarity::InnerProduct)
        }
        Recipe::ItemRows { matrix, history: weights } => {
            by_rows(matrix, weights.weigh(&history.entries)).map_or(LeafPlan::None, LeafPlan::Items)
        }
        Recipe::UserNeighbours { by, .. } => {
            let (source, of_users) = match by {
                NeighbourSearch::Vectors { user_factors } => {
                    let own = own(user_factors);
                    let vector = own.map(|row| row.vector.clone());
                    (by_vector(user_factors, vector, Similarity::Cosine), own)
                }
                NeighbourSearch::Histories { matrix, history: weights } => {
                    let rows = by_rows(matrix, weights.weigh(&history.entries));
                    (rows.map_or(LeafPlan::None, LeafPlan::Items), own(""))
                }
            };
            match source {
                LeafPlan::Items(source) => {
                    LeafPlan::Neighbours(source, of_users.map(|row| row.ordinal))
                }
                other => other,
            }
        }
        Recipe::Trending { matrix } => LeafPlan::Items(Source::one_row(matrix)),
        Recipe::Popularity => LeafPlan::Popularity,
        // Their members are leaves of their own.
        Recipe::Blend { .. } | Recipe::Profiled { .. } => LeafPlan::None,
    }
}

/// What people of the attributes like that are known of the user: by the request where it says any that
/// were known at training, else by training. None where no attribute says anything.
pub(crate) fn by_profile<'a>(
    profile: &'a Profile,
    version: usize,
    rows: &LookedUpRows<'_>,
    terms: usize,
) -> Option<Source<'a>> {
    let ordinal = |n| Some(rows.row(RowOwner::Term(n), version, "", "")?.ordinal);
    let mut known: Vec<u32> = (0..terms).filter_map(ordinal).collect();
    // Everybody has one of them.
    if known.len() < 2 {
        known.clone_from(&rows.row(RowOwner::Subject, version, "", &profile.users)?.columns);
    }
    let weights = vec![1.0; known.len()];
    (known.len() > 1).then_some(Source { matrix: &profile.matrix, by: By::Rows(known, weights) })
}

/// The items that a text of the ask's terms is about; none where no word is known.
pub(crate) fn plan_for_text<'a>(
    recipe: &'a Recipe,
    version: usize,
    rows: &LookedUpRows<'_>,
    words: usize,
) -> LeafPlan<'a> {
    let Some((term_topics, item_topics)) = text_vectors(recipe) else { return LeafPlan::None };
    let mut sum: Vec<f32> = Vec::new();
    for row in (0..words).filter_map(|n| rows.row(RowOwner::Term(n), version, term_topics, "")) {
        sum.resize(row.vector.len() / size_of::<f32>(), 0.0);
        sum.iter_mut().zip(components(&row.vector)).for_each(|(sum, x)| *sum += x);
    }
    by_vector(item_topics, Some(bytes(&sum)), Similarity::Cosine)
}

fn by_vector<'a>(matrix: &'a str, vector: Option<Bytes>, similarity: Similarity) -> LeafPlan<'a> {
    match vector {
        Some(vector) if has_direction(&vector) => {
            LeafPlan::Items(Source::vector(matrix, vector, similarity))
        }
        _ => LeafPlan::None,
    }
}

fn by_rows(matrix: &str, (rows, weights): (Vec<u32>, Vec<f32>)) -> Option<Source<'_>> {
    (!rows.is_empty()).then(|| Source { matrix, by: By::Rows(rows, weights) })
}

pub(crate) fn floats(row: &StoredRow) -> Vec<f32> {
    components(&row.vector).collect()
}

fn bytes(vector: &[f32]) -> Bytes {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}
