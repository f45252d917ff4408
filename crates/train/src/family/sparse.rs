//! Sparse matrices row by row: what families of items × items share.

use crate::csr::Csr;
use crate::interactions::Interactions;
use crate::weight::Weight;
use marquee_bundle::CsrInput;
use rayon::prelude::*;

/// One entry of a row.
pub(super) type SparseEntry = (u32, f32);

/// Users × items of what each interaction weighs.
pub(super) fn weights(rows: &Interactions, weight: Weight) -> Csr {
    crate::weight::confidences(rows, weight, 1.0)
}

/// Users × items of ones.
pub(super) fn ones(rows: &Interactions) -> Csr {
    weights(rows, Weight::None)
}

/// How many entries each row has.
pub(super) fn counts(matrix: &Csr) -> Vec<f32> {
    matrix.offsets.windows(2).map(|ends| (ends[1] - ends[0]) as f32).collect()
}

/// Where more than one of so many columns is touched, looking at all is quicker than sorting those that are.
const DENSE_SHARE: usize = 16;

/// The memory of one row's sums: zeros between rows.
#[derive(Default)]
pub(super) struct SparseSums {
    sums: Vec<f64>,
    touched: Vec<bool>,
    columns: Vec<u32>,
}

impl SparseSums {
    /// Adds a multiple of a row.
    pub(super) fn add(&mut self, columns: &[u32], values: &[f32], weight: f64) {
        for (&column, &value) in columns.iter().zip(values) {
            let at = column as usize;
            if at >= self.sums.len() {
                self.sums.resize(at + 1, 0.0);
                self.touched.resize(at + 1, false);
            }
            if !self.touched[at] {
                self.touched[at] = true;
                self.columns.push(column);
            }
            self.sums[at] += weight * f64::from(value);
        }
    }

    /// The sums that were touched, in the order in which they were; all are zeros again.
    pub(super) fn take_unsorted(&mut self) -> Vec<(u32, f64)> {
        let mut taken = Vec::with_capacity(self.columns.len());
        for column in self.columns.drain(..) {
            self.touched[column as usize] = false;
            taken.push((column, std::mem::take(&mut self.sums[column as usize])));
        }
        taken
    }

    /// The sums that were touched, by ascending column; all are zeros again.
    pub(super) fn take(&mut self) -> Vec<(u32, f64)> {
        if self.columns.len() * DENSE_SHARE > self.touched.len() {
            self.columns.clear();
            let touched = self.touched.iter().zip(0..).filter(|(touched, _)| **touched);
            self.columns.extend(touched.map(|(_, column)| column));
        } else {
            self.columns.sort_unstable();
        }
        self.take_unsorted()
    }
}

/// A matrix whose row r is `finish(r, row r of left × right)`. Entries come in any order: most of them are
/// not kept, and sorting them would take longer than multiplying.
pub(super) fn product(
    left: &Csr,
    right: &Csr,
    finish: impl Fn(usize, Vec<(u32, f64)>) -> Vec<SparseEntry> + Sync,
) -> CsrInput {
    let rows: Vec<Vec<SparseEntry>> = (0..left.rows())
        .into_par_iter()
        .map_init(SparseSums::default, |sums, row| {
            let (middles, weights) = left.row(row);
            for (&middle, &weight) in middles.iter().zip(weights) {
                let (columns, values) = right.row(middle as usize);
                sums.add(columns, values, f64::from(weight));
            }
            finish(row, sums.take_unsorted())
        })
        .collect();
    assemble(rows)
}

/// Rows into a matrix.
pub(super) fn assemble(rows: Vec<Vec<SparseEntry>>) -> CsrInput {
    let mut out = CsrInput { offsets: vec![0], ..CsrInput::default() };
    for row in rows {
        out.columns.extend(row.iter().map(|&(column, _)| column));
        out.values.extend(row.iter().map(|&(_, value)| value));
        out.offsets.push(out.columns.len());
    }
    out
}

/// A matrix to be summed or looked up, of the same entries.
pub(super) fn input(matrix: Csr) -> CsrInput {
    CsrInput { offsets: matrix.offsets, columns: matrix.indices, values: matrix.values }
}

/// The `count` greatest entries, equal ones by smaller column, in the order of columns.
pub(super) fn greatest(mut entries: Vec<SparseEntry>, count: usize) -> Vec<SparseEntry> {
    if entries.len() > count {
        entries.select_nth_unstable_by(count, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        entries.truncate(count);
    }
    entries.sort_unstable_by_key(|entry| entry.0);
    without_room(entries)
}

/// The same entries, without memory for more of them: a row is kept until all are there, and was made of far more.
pub(super) fn without_room(mut entries: Vec<SparseEntry>) -> Vec<SparseEntry> {
    entries.shrink_to_fit();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_the_greatest_of_a_row() {
        let left = Csr {
            columns: 2,
            offsets: vec![0, 2, 3],
            indices: vec![0, 1, 1],
            values: vec![1.0, 2.0, -1.0],
        };
        let right = Csr {
            columns: 3,
            offsets: vec![0, 2, 4],
            indices: vec![0, 2, 1, 2],
            values: vec![1.0, 1.0, 3.0, 5.0],
        };
        let keep = |count| {
            let row = move |_, row: Vec<(u32, f64)>| {
                greatest(row.into_iter().map(|(column, sum)| (column, sum as f32)).collect(), count)
            };
            product(&left, &right, row)
        };
        let all = keep(3);
        assert_eq!(all.offsets, [0, 3, 5]);
        assert_eq!(all.columns, [0, 1, 2, 1, 2]);
        assert_eq!(all.values, [1.0, 6.0, 11.0, -3.0, -5.0]);
        assert_eq!(keep(2).columns, [1, 2, 1, 2]);
        assert_eq!(keep(1).columns, [2, 1]);
        // Of equal entries the smaller column stays.
        assert_eq!(greatest(vec![(4, 1.0), (2, 1.0), (3, 0.5)], 1), [(2, 1.0)]);
    }
}
