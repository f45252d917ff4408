//! Expressions over model versions: sequence, parallel, product, split, and diversification as the final
//! stage.
//!
//! An [`EnsembleNode`] is validated once, when it is put ([`validate`](mod@validate)); after that it never changes, so that
//! a rollout compares what it said it would. References by name are followed at use
//! ([`crate::plan::Plan::route`]).

mod error;
mod node;
#[cfg(test)]
mod tests;
mod validate;

pub use error::EnsembleError;
pub use node::{
    EnsembleNode, Fusion, MAX_MEMBER_TIMEOUT_MS, MAX_MEMBER_WEIGHT, ProductForm, SplitMember,
    WeightedNode,
};
pub use validate::{KnownNames, validate};
