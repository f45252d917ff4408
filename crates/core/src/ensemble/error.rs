//! Why ensembles are refused.

use super::node::{MAX_MEMBER_TIMEOUT_MS, MAX_MEMBER_WEIGHT};
use crate::bounds::{FULL_WEIGHT_BASIS_POINTS, MAX_ENSEMBLE_DEPTH, MAX_ENSEMBLE_MEMBERS};
use crate::id::{IdError, ModelVersion};
use crate::ranking::diversify::DiversityError;

/// Why an ensemble is refused. `path` names the node, such as `root.members[1]`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// Its own or a referenced name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A leaf names a version that is not published.
    #[error("{path}: model version {version} is not published: publish it first")]
    UnknownVersion {
        /// The node's path.
        path: String,
        /// The version that it names.
        version: ModelVersion,
    },
    /// A reference names an ensemble that is not stored.
    #[error("{path}: there is no ensemble {name:?}: put it first")]
    UnknownEnsemble {
        /// The node's path.
        path: String,
        /// The ensemble that it names.
        name: String,
    },
    /// A reference leads back to itself.
    #[error("{path}: ensemble {name:?} leads back to itself")]
    Cycle {
        /// The node's path.
        path: String,
        /// The ensemble that it names.
        name: String,
    },
    /// The ensemble is nested too deeply.
    #[error("{path}: nested more than {MAX_ENSEMBLE_DEPTH} levels deep, references followed")]
    Depth {
        /// The node's path.
        path: String,
    },
    /// A node has no member, or too many.
    #[error("{path}: has {count} members: 1 to {MAX_ENSEMBLE_MEMBERS} are allowed")]
    Members {
        /// The node's path.
        path: String,
        /// How many it has.
        count: usize,
    },
    /// The whole ensemble has too many leaves.
    #[error(
        "the ensemble has {count} leaves, references followed: at most {MAX_ENSEMBLE_MEMBERS} are allowed, \
         since each is a search"
    )]
    Leaves {
        /// How many it has.
        count: usize,
    },
    /// A weight is out of bounds.
    #[error("{path}: weight {weight} is not above 0 and at most {MAX_MEMBER_WEIGHT}")]
    Weight {
        /// The node's path.
        path: String,
        /// The weight that was given.
        weight: f64,
    },
    /// A timeout is out of bounds.
    #[error(
        "{path}: timeout_ms {timeout_ms} is not 1 to {MAX_MEMBER_TIMEOUT_MS}: leave it out for as long as \
         the request has"
    )]
    Timeout {
        /// The node's path.
        path: String,
        /// The timeout that was given, in ms.
        timeout_ms: u32,
    },
    /// A diversification that is not the final stage.
    #[error(
        "{path}: diversify is the final stage of an ensemble: put it at the root, around everything else, or around \
         the members of a split at the root"
    )]
    NotFinal {
        /// The node's path.
        path: String,
    },
    /// The settings of a diversification are out of bounds.
    #[error("{path}: {error}")]
    Diversity {
        /// The node's path.
        path: String,
        /// What is wrong.
        error: DiversityError,
    },
    /// A diversification compares vectors of items, and no model below it has any.
    #[error(
        "{path}: mmr_lambda compares vectors of items, and no model below has any: add one that was \
         trained as mf, mf-sgd, bpr or content, or leave it out"
    )]
    NoItemVectors {
        /// The node's path.
        path: String,
    },
    /// A later member of a chain has no rows of items to add up.
    #[error(
        "{path}: {found} cannot follow in a chain, which adds up the next member's rows of items: put a model \
         there whose recipe sums rows of items (item-knn, ease, rp3beta, transitions), or use the elementwise form"
    )]
    Chain {
        /// The node's path.
        path: String,
        /// What is there, in words, such as "a parallel".
        found: String,
    },
    /// The shares of a split are not the whole.
    #[error(
        "{path}: the weights of a split sum to {sum} basis points: they must sum to {FULL_WEIGHT_BASIS_POINTS}, \
         each at least 1"
    )]
    Shares {
        /// The node's path.
        path: String,
        /// What they add up to, in 1/10,000.
        sum: u64,
    },
}
