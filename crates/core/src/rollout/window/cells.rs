//! Which users something happened to, roughly: a set of cells that users are hashed into.

use std::collections::BTreeSet;

/// How many cells users are hashed into: enough that the users of a rare fault are told apart, few enough that
/// a cell names nobody.
pub const USER_CELLS: u16 = 4_096;

/// A set of cells of users, each below [`USER_CELLS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCells(BTreeSet<u16>);

impl UserCells {
    /// Adds the cell of a user with this [hash](super::hash_user). Cells and groups are independent.
    pub fn add_user(&mut self, hash: u64) {
        self.0.insert((hash / super::GROUPS as u64 % u64::from(USER_CELLS)) as u16);
    }

    /// Adds a cell, and says whether there is such a cell.
    pub fn add(&mut self, cell: u16) -> bool {
        if cell < USER_CELLS {
            self.0.insert(cell);
        }
        cell < USER_CELLS
    }

    /// Whether this cell is in the set.
    pub fn contains(&self, cell: u16) -> bool {
        self.0.contains(&cell)
    }

    /// Adds the cells of another set.
    pub fn absorb(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// The cells, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().copied()
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
