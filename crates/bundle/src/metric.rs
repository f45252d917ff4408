//! How rows of a dense matrix are scored with a query.

use serde::{Deserialize, Serialize};

/// How a row is scored with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The inner product ⟨query, row⟩.
    InnerProduct,
    /// The cosine ⟨query, row⟩ / (|query| · |row|); 0 where either is all zeros.
    Cosine,
}
