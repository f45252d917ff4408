//! What the matrices of a recipe must be.

use super::definition::{Entity, RowSpace};

/// What a matrix of a recipe must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixShape {
    /// Dense, with rows of these; equal numbers have equal rank.
    Dense {
        /// Whether its rows are those of users, items or terms.
        entity: Entity,
        /// Matrices of one recipe with equal numbers have the same rank.
        rank_of: usize,
    },
    /// Sparse rows to be summed.
    Sums {
        /// What the rows are.
        rows: RowSpace,
        /// What the columns are.
        columns: Entity,
    },
    /// Sparse rows of users to be looked up, with items as columns.
    ByUser,
    /// Sparse rows of users to be looked up, with terms as columns.
    TermsByUser,
}

impl std::fmt::Display for MatrixShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dense { entity, .. } => write!(f, "dense matrix of {}", entity.plural()),
            Self::Sums { rows, columns } => {
                let rows = match rows {
                    RowSpace::Single => "one row",
                    RowSpace::Items => "items",
                    RowSpace::Users => "users",
                    RowSpace::Terms => "terms",
                };
                write!(f, "sparse matrix of {rows} by {}, cut by column", columns.plural())
            }
            Self::ByUser => write!(f, "sparse matrix of users by items, cut by row"),
            Self::TermsByUser => write!(f, "sparse matrix of users by terms, cut by row"),
        }
    }
}
