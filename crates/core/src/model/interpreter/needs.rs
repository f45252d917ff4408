//! Which rows a leaf needs. The plans of [`leaf`](super::leaf) read these rows and no others.

use super::request::{Request, RowOf, UserRequest};
use crate::model::recipe::{
    HISTORY_MATRIX, HISTORY_ORDER_MATRIX, HistoryWeights, NeighbourSearch, Profile, Recipe,
};

/// A row to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowNeed<'p> {
    /// The user, item or term whose row is needed.
    pub of: RowOf,
    /// What of it.
    pub part: RowPart<'p>,
}

/// Which part of a row is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowPart<'p> {
    /// Its ordinal only, which every lookup gives.
    Ordinal,
    /// The row of this dense matrix.
    Dense(&'p str),
    /// The row of this sparse matrix.
    Sparse(&'p str),
}

/// The rows of a version that one leaf needs, for `profile` of the version's whole recipe. A need may be there
/// twice over several leaves of a version; callers look each up once.
pub fn rows_needed<'p>(
    recipe: &'p Recipe,
    is_chained: bool,
    profile: Option<&'p Profile>,
    request: &Request,
) -> Vec<RowNeed<'p>> {
    let mut needs = Needs(Vec::new());
    match request {
        Request::User(user) => {
            needs.user(recipe, is_chained, user);
            if let Some(profile) = profile {
                needs.add(RowOf::Subject, RowPart::Sparse(&profile.users));
                needs.terms(user.terms, RowPart::Ordinal);
            }
        }
        Request::Item => needs.item(recipe),
        Request::Text { words } => {
            if let Some((matrix, _)) = recipe.text_vectors() {
                needs.terms(*words, RowPart::Dense(matrix));
            }
        }
    }
    needs.0
}

struct Needs<'p>(Vec<RowNeed<'p>>);

impl<'p> Needs<'p> {
    fn add(&mut self, of: RowOf, part: RowPart<'p>) {
        self.0.push(RowNeed { of, part });
    }

    fn terms(&mut self, count: usize, part: RowPart<'p>) {
        for term in 0..count {
            self.add(RowOf::Term(term), part);
        }
    }

    fn user(&mut self, recipe: &'p Recipe, is_chained: bool, request: &UserRequest) {
        let recents = if is_chained { 0 } else { request.recents };
        if let Some(matrix) = recipe.user_vectors() {
            self.add(RowOf::Subject, RowPart::Dense(matrix));
        }
        let history = HistoryNeed::of(recipe, recents, request.explain);
        if history.is_needed || !request.include_seen {
            self.add(RowOf::Subject, RowPart::Sparse(HISTORY_MATRIX));
        }
        if history.needs_order {
            self.add(RowOf::Subject, RowPart::Sparse(HISTORY_ORDER_MATRIX));
        }
        for recent in 0..recents {
            self.recent(RowOf::Recent(recent), recipe);
        }
    }

    fn recent(&mut self, of: RowOf, recipe: &'p Recipe) {
        match recipe {
            Recipe::MatrixFactorisation { item_factors, fold_in: Some(fold_in), .. } => {
                self.add(of, RowPart::Dense(item_factors));
                self.add(of, RowPart::Dense(&fold_in.matrix));
            }
            Recipe::Content { item_topics, .. } => self.add(of, RowPart::Dense(item_topics)),
            Recipe::ItemRows { .. }
            | Recipe::UserNeighbours { by: NeighbourSearch::Histories { .. }, .. } => {
                self.add(of, RowPart::Ordinal);
            }
            Recipe::MatrixFactorisation { fold_in: None, .. }
            | Recipe::UserNeighbours { by: NeighbourSearch::Vectors { .. }, .. }
            | Recipe::Popularity
            | Recipe::Trending { .. }
            | Recipe::Blend { .. }
            | Recipe::Profiled { .. } => {}
        }
    }

    fn item(&mut self, recipe: &'p Recipe) {
        match recipe {
            Recipe::MatrixFactorisation { item_factors: matrix, .. }
            | Recipe::Content { item_topics: matrix, .. } => {
                self.add(RowOf::Subject, RowPart::Dense(matrix));
            }
            Recipe::ItemRows { .. } => self.add(RowOf::Subject, RowPart::Ordinal),
            Recipe::UserNeighbours { .. }
            | Recipe::Popularity
            | Recipe::Trending { .. }
            | Recipe::Blend { .. }
            | Recipe::Profiled { .. } => {}
        }
    }
}

/// What a leaf needs of the stored history, besides leaving it out.
struct HistoryNeed {
    is_needed: bool,
    needs_order: bool,
}

impl HistoryNeed {
    fn of(recipe: &Recipe, recents: usize, explain: bool) -> Self {
        match recipe {
            Recipe::ItemRows { history, .. }
            | Recipe::UserNeighbours { by: NeighbourSearch::Histories { history, .. }, .. } => {
                Self { is_needed: true, needs_order: history.needs_order() }
            }
            // Recent items count if the stored vector does not have them already.
            Recipe::MatrixFactorisation { fold_in: Some(_), .. } => {
                Self { is_needed: explain || recents > 0, needs_order: false }
            }
            Recipe::Content { history, .. } => {
                let is_needed = explain || recents > 0;
                let has_order = history.as_ref().is_some_and(HistoryWeights::needs_order);
                Self { is_needed, needs_order: is_needed && has_order }
            }
            Recipe::MatrixFactorisation { fold_in: None, .. }
            | Recipe::UserNeighbours { by: NeighbourSearch::Vectors { .. }, .. }
            | Recipe::Popularity
            | Recipe::Trending { .. }
            | Recipe::Blend { .. }
            | Recipe::Profiled { .. } => Self { is_needed: false, needs_order: false },
        }
    }
}
