//! Sparse rows in memory: users × items with a confidence in each observed pair, and the transpose.

/// A sparse matrix in compressed rows; columns ascend within a row, and none is there twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr {
    /// Columns of the matrix.
    pub columns: usize,
    /// Entries of row `r` are `offsets[r]..offsets[r + 1]`.
    pub offsets: Vec<usize>,
    /// The column of each entry.
    pub indices: Vec<u32>,
    /// The value of each entry.
    pub values: Vec<f32>,
}

impl Csr {
    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Columns and values of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The same entries with rows and columns exchanged, by a counting sort.
    pub fn transpose(&self) -> Self {
        let mut offsets = vec![0usize; self.columns + 1];
        self.indices.iter().for_each(|&column| offsets[column as usize + 1] += 1);
        for column in 0..self.columns {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let mut indices = vec![0u32; self.indices.len()];
        let mut values = vec![0f32; self.values.len()];
        for row in 0..self.rows() {
            let (columns, entries) = self.row(row);
            for (&column, &value) in columns.iter().zip(entries) {
                let place = &mut next[column as usize];
                indices[*place] = row as u32;
                values[*place] = value;
                *place += 1;
            }
        }
        Self { columns: self.rows(), offsets, indices, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_is_nothing() {
        let matrix = Csr {
            columns: 4,
            offsets: vec![0, 2, 2, 5],
            indices: vec![1, 3, 0, 1, 2],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        };
        let turned = matrix.transpose();
        assert_eq!(turned.offsets, [0, 1, 3, 4, 5]);
        assert_eq!(turned.indices, [2, 0, 2, 2, 0]);
        assert_eq!(turned.values, [3.0, 1.0, 4.0, 5.0, 2.0]);
        assert_eq!(turned.transpose(), matrix);
    }
}
