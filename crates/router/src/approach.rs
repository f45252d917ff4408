//! What a recipe wants to know of a user or an item, and how it answers once it knows.
//!
//! Pure: from rows that were found to a search. Which leaf asks, and what becomes of its list, is the
//! task's.

use crate::basis::has_parts;
use crate::facts::{Facts, Who, rows};
use crate::lookup::components;
use bytes::Bytes;
use marquee_core::model::fold_in::{NewItem, fold_in};
use marquee_core::model::recipe::{
    HISTORY_MATRIX, HISTORY_ORDER_MATRIX, NeighbourSearch, Profile, Recipe, Seen,
};
use marquee_proto::shard::v1::{Entity, Operation, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a leaf is answered.
#[derive(Clone, Debug)]
pub(crate) enum Approach<'a> {
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

#[derive(Clone, Debug)]
pub(crate) enum By {
    Vector(Bytes, Operation),
    Rows(Vec<u32>, Vec<f32>),
}

impl<'a> Source<'a> {
    pub(crate) fn vector(matrix: &'a str, vector: Bytes, operation: Operation) -> Self {
        Self { matrix, by: By::Vector(vector, operation) }
    }

    pub(crate) fn one_row(matrix: &'a str) -> Self {
        Self { matrix, by: By::Rows(vec![0], vec![1.0]) }
    }
}

/// The matrix that has the user's own vector, if the recipe has one.
pub(crate) fn own_vector(recipe: &Recipe) -> Option<&str> {
    match recipe {
        Recipe::MatrixFactorisation { user_factors, .. }
        | Recipe::UserNeighbours { by: NeighbourSearch::Vectors { user_factors }, .. } => {
            Some(user_factors)
        }
        Recipe::Content { user_topics, .. } => Some(user_topics),
        _ => None,
    }
}

pub(crate) fn want_user<'a>(
    facts: &mut Facts<'a>,
    version: usize,
    recipe: &'a Recipe,
    excludes_seen: bool,
    explains: bool,
) {
    let mut want = |dense, sparse| {
        facts.want(Who::Subject, rows(version, Entity::User, dense, sparse));
    };
    if let Some(matrix) = own_vector(recipe) {
        want(matrix, "");
    }
    let is_summed = explains && has_parts(recipe);
    if excludes_seen || recipe.history().is_some() || is_summed {
        want("", HISTORY_MATRIX);
    }
    let summed = recipe.summed().filter(|_| explains);
    if recipe.history().or(summed).is_some_and(|weights| weights.needs_order()) {
        want("", HISTORY_ORDER_MATRIX);
    }
}

pub(crate) fn want_recent<'a>(facts: &mut Facts<'a>, who: Who, version: usize, recipe: &'a Recipe) {
    let mut want = |dense| facts.want(who, rows(version, Entity::Item, dense, ""));
    match recipe {
        Recipe::MatrixFactorisation { item_factors, fold_in: Some(fold_in), .. } => {
            want(item_factors);
            want(&fold_in.matrix);
        }
        Recipe::Content { item_topics, .. } => want(item_topics),
        _ if recipe.history().is_some() => want(""),
        _ => {}
    }
}

/// The matrix that has the topics of words, if the recipe has one, and the items' beside it.
pub(crate) fn text_vectors(recipe: &Recipe) -> Option<(&str, &str)> {
    match recipe {
        Recipe::Content { item_topics, term_topics: Some(term_topics), .. } => {
            Some((term_topics, item_topics))
        }
        _ => None,
    }
}

/// Wants what the profile of a version needs: the user's terms, and those of the request.
pub(crate) fn want_profile<'a>(
    facts: &mut Facts<'a>,
    version: usize,
    profile: &'a Profile,
    terms: usize,
) {
    facts.want(Who::Subject, rows(version, Entity::User, "", &profile.users));
    (0..terms).for_each(|n| facts.want(Who::Term(n), rows(version, Entity::Term, "", "")));
}

pub(crate) fn want_words<'a>(
    facts: &mut Facts<'a>,
    version: usize,
    recipe: &'a Recipe,
    words: usize,
) {
    if let Some((matrix, _)) = text_vectors(recipe) {
        (0..words).for_each(|n| facts.want(Who::Term(n), rows(version, Entity::Term, matrix, "")));
    }
}

pub(crate) fn want_item<'a>(facts: &mut Facts<'a>, version: usize, recipe: &'a Recipe) {
    let matrix = match recipe {
        Recipe::ItemRows { .. } => Some(""),
        _ => recipe.item_vectors(),
    };
    if let Some(matrix) = matrix {
        facts.want(Who::Subject, rows(version, Entity::Item, matrix, ""));
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
    pub(crate) fn of(facts: &Facts<'_>, version: usize, recents: usize) -> Self {
        let own = own_history(facts, version);
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
            let Some(row) = facts.row(Who::Recent(recent), version, "", "") else { continue };
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
pub(crate) fn own_history(facts: &Facts<'_>, version: usize) -> Vec<Seen> {
    let history = facts.row(Who::Subject, version, "", HISTORY_MATRIX);
    let order = facts.row(Who::Subject, version, "", HISTORY_ORDER_MATRIX);
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
pub(crate) fn approach_to_user<'a>(
    recipe: &'a Recipe,
    version: usize,
    facts: &Facts<'a>,
    history: &History,
    recents: usize,
) -> Approach<'a> {
    let own = |matrix: &str| facts.row(Who::Subject, version, matrix, "");
    match recipe {
        Recipe::MatrixFactorisation { user_factors, item_factors, fold_in: folding } => {
            let own = own(user_factors);
            let folded = folding.as_ref().and_then(|folding| {
                let newest = (0..recents).rev().filter_map(|recent| {
                    let row = |matrix: &str| facts.row(Who::Recent(recent), version, matrix, "");
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
            by_vector(item_factors, vector, Operation::DenseInnerProduct)
        }
        Recipe::Content { user_topics, item_topics, .. } => {
            let mut sum: Vec<f32> = own(user_topics).map(floats).unwrap_or_default();
            for recent in 0..recents {
                if let Some(row) = facts.row(Who::Recent(recent), version, item_topics, "") {
                    sum.resize(row.vector.len() / size_of::<f32>(), 0.0);
                    sum.iter_mut().zip(components(&row.vector)).for_each(|(sum, x)| *sum += x);
                }
            }
            by_vector(item_topics, Some(bytes(&sum)), Operation::DenseInnerProduct)
        }
        Recipe::ItemRows { matrix, history: weights } => {
            by_rows(matrix, weights.weigh(&history.entries)).map_or(Approach::None, Approach::Items)
        }
        Recipe::UserNeighbours { by, .. } => {
            let (source, of_users) = match by {
                NeighbourSearch::Vectors { user_factors } => {
                    let own = own(user_factors);
                    let vector = own.map(|row| row.vector.clone());
                    (by_vector(user_factors, vector, Operation::DenseCosine), own)
                }
                NeighbourSearch::Histories { matrix, history: weights } => {
                    let rows = by_rows(matrix, weights.weigh(&history.entries));
                    (rows.map_or(Approach::None, Approach::Items), own(""))
                }
            };
            match source {
                Approach::Items(source) => {
                    Approach::Neighbours(source, of_users.map(|row| row.ordinal))
                }
                other => other,
            }
        }
        Recipe::Trending { matrix } => Approach::Items(Source::one_row(matrix)),
        Recipe::Popularity => Approach::Popularity,
        // Their members are leaves of their own.
        Recipe::Blend { .. } | Recipe::Profiled { .. } => Approach::None,
    }
}

/// What people of the attributes like that are known of the user: by the request where it says any that
/// were known at training, else by training. None where no attribute says anything.
pub(crate) fn by_profile<'a>(
    profile: &'a Profile,
    version: usize,
    facts: &Facts<'_>,
    terms: usize,
) -> Option<Source<'a>> {
    let ordinal = |n| Some(facts.row(Who::Term(n), version, "", "")?.ordinal);
    let mut known: Vec<u32> = (0..terms).filter_map(ordinal).collect();
    // Everybody has one of them.
    if known.len() < 2 {
        known.clone_from(&facts.row(Who::Subject, version, "", &profile.users)?.columns);
    }
    let weights = vec![1.0; known.len()];
    (known.len() > 1).then_some(Source { matrix: &profile.matrix, by: By::Rows(known, weights) })
}

/// The items that a text of the ask's terms is about; none where no word is known.
pub(crate) fn approach_to_text<'a>(
    recipe: &'a Recipe,
    version: usize,
    facts: &Facts<'_>,
    words: usize,
) -> Approach<'a> {
    let Some((term_topics, item_topics)) = text_vectors(recipe) else { return Approach::None };
    let mut sum: Vec<f32> = Vec::new();
    for row in (0..words).filter_map(|n| facts.row(Who::Term(n), version, term_topics, "")) {
        sum.resize(row.vector.len() / size_of::<f32>(), 0.0);
        sum.iter_mut().zip(components(&row.vector)).for_each(|(sum, x)| *sum += x);
    }
    by_vector(item_topics, Some(bytes(&sum)), Operation::DenseCosine)
}

fn by_vector<'a>(matrix: &'a str, vector: Option<Bytes>, operation: Operation) -> Approach<'a> {
    match vector {
        Some(vector) if points_anywhere(&vector) => {
            Approach::Items(Source::vector(matrix, vector, operation))
        }
        _ => Approach::None,
    }
}

fn by_rows(matrix: &str, (rows, weights): (Vec<u32>, Vec<f32>)) -> Option<Source<'_>> {
    (!rows.is_empty()).then(|| Source { matrix, by: By::Rows(rows, weights) })
}

pub(crate) fn floats(row: &Row) -> Vec<f32> {
    components(&row.vector).collect()
}

fn bytes(vector: &[f32]) -> Bytes {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Whether a row has a vector that points anywhere: one of zeros scores all items alike.
pub(crate) fn has_direction(row: &Row) -> bool {
    points_anywhere(&row.vector)
}

fn points_anywhere(vector: &[u8]) -> bool {
    components(vector).any(|component| component != 0.0)
}
