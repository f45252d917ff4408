//! How one model turns a request into scores, as operations over its bundle's matrices.
//!
//! A recipe travels in the bundle's manifest and, after publish, in the plan: routers execute it,
//! shards never see it. A new model family is a trainer and a recipe, and nothing in shard or
//! control.

use serde::{Deserialize, Serialize};

/// The sparse matrix of one row that every bundle carries: how often each item was interacted with.
pub const POPULARITY_MATRIX: &str = "popularity";
/// The sparse matrix users × items of what users have seen. Every bundle that a recipe for users
/// serves from carries it, empty where it was made without interactions: routers look it up.
pub const HISTORY_MATRIX: &str = "history";

/// How a model answers for a known user. An unknown one gets [`POPULARITY_MATRIX`]'s row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Recipe {
    /// User row → dense top-k over item factors (Hu, Koren and Volinsky 2008).
    MatrixFactorisation {
        /// The dense matrix users × rank.
        user_factors: String,
        /// The dense matrix items × rank; its rows answer SimilarItems too.
        item_factors: String,
    },
    /// The popularity row for everybody.
    Popularity,
}

impl Recipe {
    /// The name that explanations show.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MatrixFactorisation { .. } => "matrix_factorisation",
            Self::Popularity => "popularity",
        }
    }
}
