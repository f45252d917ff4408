//! How one model turns a request into scores, as operations over its bundle's matrices.
//!
//! A recipe travels in the bundle's manifest and, after publish, in the plan: routers execute it,
//! shards never see it. A new model family is a trainer and a recipe, and nothing in shard or
//! control.
//!
//! All that a recipe may use is two operations of shards (the best rows of a dense matrix by a
//! vector, the best columns of a weighted sum of sparse rows) and rows that are looked up by id.
//! [`Recipe::needs`] says which matrices those are, so that a bundle can be checked against its
//! recipe when it is written and when it is opened.

mod check;
mod definition;
mod error;
mod shape;

pub use check::check_recipe;
pub use definition::{
    BLEND_DEPTH, BlendMember, Entity, FoldIn, HISTORY_MATRIX, HISTORY_ORDER_MATRIX, HistoryWeights,
    MAX_BLEND_MEMBERS, MAX_NEIGHBOURS, NeighbourSearch, POPULARITY_MATRIX, Profile, Recipe,
    RowSpace, Seen,
};
pub use error::RecipeError;
pub use shape::MatrixShape;
