//! A bundle's matrices by ordinal, over all shards: as the trainer had them.

use crate::error::TrainError;
use crate::family::TrainedPart;
use crate::family::score::KnownUser;
use marquee_bundle::{
    Bundle, BundleError, CsrInput, DenseInput, Entity, RowFormat, SearchError, SparseInput,
    SparseShape,
};
use marquee_core::hash::shard_of;
use marquee_core::model::recipe::{
    HISTORY_MATRIX, HISTORY_ORDER_MATRIX, MatrixShape, POPULARITY_MATRIX, Seen,
};
use std::path::Path;

/// An open bundle, to be gathered from.
pub(crate) struct Gather<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) bundle: &'a Bundle,
}

impl<'a> Gather<'a> {
    /// External ids of all items, by ordinal.
    pub(super) fn item_ids(&self) -> Vec<&str> {
        self.ids(Entity::Item)
    }

    /// External ids of all users, items or terms, by ordinal.
    pub(crate) fn ids(&self, entity: Entity) -> Vec<&'a str> {
        let mut ids = vec![""; self.total(entity)];
        for shard in self.bundle.shards() {
            let table = shard.ids(entity);
            for (row, &ordinal) in (0..).zip(table.ordinals()) {
                ids[ordinal as usize] = table.id(row);
            }
        }
        ids
    }

    /// How popular each item is, by ordinal.
    ///
    /// # Errors
    /// A bundle without it.
    pub(super) fn popularity(&self) -> Result<Vec<f32>, TrainError> {
        let mut popularity = vec![0.0; self.total(Entity::Item)];
        for shard in self.bundle.shards() {
            let matrix = shard.sparse(POPULARITY_MATRIX).map_err(|error| self.lacks(error))?;
            let (columns, values) = matrix.row(0);
            for (&row, &value) in columns.iter().zip(values) {
                popularity[shard.items().ordinal(row) as usize] = value;
            }
        }
        Ok(popularity)
    }

    /// The recipe with its matrices.
    ///
    /// # Errors
    /// A bundle that lacks one.
    pub(super) fn part(&self) -> Result<TrainedPart, TrainError> {
        let recipe = &self.bundle.manifest().recipe;
        let mut part = TrainedPart::new(recipe.clone());
        for (name, shape) in recipe.needs() {
            match shape {
                MatrixShape::Dense { entity, .. } => part.dense.push(self.dense(name, entity)?),
                MatrixShape::Sums { rows, columns } => part.sparse.push(SparseInput {
                    name: name.into(),
                    shape: SparseShape::Sums { rows, columns },
                    matrix: self.sums(name)?,
                }),
                // Histories are asked for a user at a time.
                MatrixShape::ByUser | MatrixShape::TermsByUser => {}
            }
        }
        Ok(part)
    }

    /// What the bundle knows of a user; none of an unknown one.
    ///
    /// # Errors
    /// A bundle without histories.
    pub(super) fn user(&self, user: &str) -> Result<Option<KnownUser>, TrainError> {
        let shard = &self.bundle.shards()[shard_of(user, self.bundle.manifest().shards) as usize];
        let Some(row) = shard.users().find(user) else { return Ok(None) };
        let history = shard.sparse(HISTORY_MATRIX).map_err(|error| self.lacks(error))?;
        let ages = shard.sparse(HISTORY_ORDER_MATRIX).ok().map(|order| order.row(row));
        let (items, values) = history.row(row);
        let mut seen = Vec::with_capacity(items.len());
        for (&ordinal, &value) in items.iter().zip(values) {
            seen.push(Seen { ordinal, value, age: age_of(ordinal, ages) });
        }
        let profile = self.bundle.manifest().recipe.profile();
        let terms = match profile.map(|profile| shard.sparse(&profile.users)) {
            Some(of_users) => of_users.map_err(|error| self.lacks(error))?.row(row).0.to_vec(),
            None => Vec::new(),
        };
        Ok(Some(KnownUser {
            terms,
            row: Some(shard.users().ordinal(row) as usize),
            history: seen,
            ..KnownUser::default()
        }))
    }

    /// How many the bundle has: every ordinal is below, whatever shards hold of them.
    fn total(&self, entity: Entity) -> usize {
        self.bundle.shards().first().map_or(0, |shard| shard.ids(entity).total())
    }

    /// A dense matrix by ordinal.
    ///
    /// # Errors
    /// A bundle without it.
    pub(crate) fn dense(&self, name: &str, entity: Entity) -> Result<DenseInput, TrainError> {
        let (mut rank, mut data) = (1, Vec::new());
        for shard in self.bundle.shards() {
            let matrix = shard.dense(name).map_err(|error| self.lacks(error))?;
            rank = matrix.rank();
            data.resize(self.total(entity) * rank, 0.0);
            for (row, &ordinal) in (0..).zip(shard.ids(entity).ordinals()) {
                data[ordinal as usize * rank..][..rank].copy_from_slice(matrix.row(row));
            }
        }
        Ok(DenseInput { name: name.into(), entity, rank, data, index: None, rows: RowFormat::F32 })
    }

    fn sums(&self, name: &str) -> Result<CsrInput, TrainError> {
        let shards = self.bundle.shards().iter().map(|shard| {
            let matrix = shard.sparse(name).map_err(|error| self.lacks(error))?;
            Ok((matrix, shard.ids(matrix.columns_of()).ordinals()))
        });
        let shards = shards.collect::<Result<Vec<_>, TrainError>>()?;
        let rows = shards.first().map_or(0, |(matrix, _)| matrix.rows());
        let mut csr = CsrInput { offsets: vec![0], ..CsrInput::default() };
        let mut entries = Vec::new();
        for row in 0..rows as u32 {
            entries.clear();
            for (matrix, ordinals) in &shards {
                let (columns, values) = matrix.row(row);
                let all = columns.iter().zip(values);
                entries.extend(all.map(|(&column, &value)| (ordinals[column as usize], value)));
            }
            entries.sort_unstable_by_key(|&(column, _)| column);
            csr.columns.extend(entries.iter().map(|&(column, _)| column));
            csr.values.extend(entries.iter().map(|&(_, value)| value));
            csr.offsets.push(csr.columns.len());
        }
        Ok(csr)
    }

    fn lacks(&self, error: SearchError) -> TrainError {
        BundleError::Format { path: self.dir.into(), defect: error.into() }.into()
    }
}

/// The age of an item by a row of items and ages, the items ascending; 0 where it is not there.
fn age_of(item: u32, ages: Option<(&[u32], &[f32])>) -> u32 {
    let Some((items, ages)) = ages else { return 0 };
    match items.binary_search(&item) {
        Ok(at) => ages[at] as u32,
        Err(_) => 0,
    }
}
