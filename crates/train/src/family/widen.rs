//! Matrices over more users or terms than they were trained on.
//!
//! Users without interactions have nothing to train on, so a family is trained without them. Their rows
//! are empty, and columns are renumbered.

use super::part::TrainedPart;
use marquee_bundle::{CsrInput, DenseInput, Entity, RowSpace, SparseInput, SparseShape};

impl TrainedPart {
    /// Over users of whom `place` says where each of the former ones is now.
    pub(super) fn over_users(mut self, place: &[u32], users: usize) -> Self {
        for matrix in self.dense.iter_mut().filter(|matrix| matrix.entity == Entity::User) {
            move_rows(matrix, place, users);
        }
        for SparseInput { shape, matrix, .. } in &mut self.sparse {
            let (by_row, by_column) = match shape {
                SparseShape::ByUser | SparseShape::TermsByUser => (true, false),
                SparseShape::Sums { rows, columns } => {
                    (*rows == RowSpace::Users, *columns == Entity::User)
                }
            };
            if by_row {
                *matrix = with_empty_rows(matrix, place, users);
            }
            if by_column {
                // `place` ascends, so columns keep their order.
                matrix.columns.iter_mut().for_each(|column| *column = place[*column as usize]);
            }
        }
        self
    }

    /// With these terms after its own; gives the number of the first.
    pub(super) fn add_terms(&mut self, terms: impl IntoIterator<Item = String>) -> u32 {
        let first = self.terms.len() as u32;
        self.terms.extend(terms);
        let place: Vec<u32> = (0..first).collect();
        for matrix in self.dense.iter_mut().filter(|matrix| matrix.entity == Entity::Term) {
            move_rows(matrix, &place, self.terms.len());
        }
        first
    }
}

fn move_rows(matrix: &mut DenseInput, place: &[u32], rows: usize) {
    let rank = matrix.rank;
    let mut moved = vec![0.0; rows * rank];
    for (row, &to) in matrix.data.chunks_exact(rank).zip(place) {
        moved[to as usize * rank..][..rank].copy_from_slice(row);
    }
    matrix.data = moved;
}

fn with_empty_rows(matrix: &CsrInput, place: &[u32], rows: usize) -> CsrInput {
    let mut lengths = vec![0; rows];
    for (lengths_of, &to) in matrix.offsets.windows(2).zip(place) {
        lengths[to as usize] = lengths_of[1] - lengths_of[0];
    }
    let mut offsets = vec![0];
    // `place` ascends, so entries keep their order.
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    CsrInput { offsets, columns: matrix.columns.clone(), values: matrix.values.clone() }
}
