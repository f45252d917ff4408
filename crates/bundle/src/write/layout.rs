//! The layout of a bundle: ordinals, shards, and the order of rows within a shard.

use crate::format::RowsInOrder;
use crate::input::{BundleInput, DenseInput};
use crate::matrix::dense::norm_f64;
use marquee_core::hash::shard_of;
use marquee_core::id::compare_ids;
use marquee_core::model::recipe::Entity;
use rayon::prelude::*;

/// The layouts of a bundle's users, items and terms.
pub(super) struct Layouts {
    pub(super) users: EntityLayout,
    pub(super) items: EntityLayout,
    pub(super) terms: EntityLayout,
}

impl Layouts {
    /// Lays out a bundle, by the first dense matrix of each entity.
    pub(super) fn of(input: &BundleInput) -> Self {
        let users: Vec<&str> = input.users.iter().map(String::as_str).collect();
        let items: Vec<&str> = input.items.iter().map(|item| item.id.as_str()).collect();
        let terms: Vec<&str> = input.terms.iter().map(String::as_str).collect();
        Self {
            users: EntityLayout::new(&users, input.shards, first_matrix(input, Entity::User)),
            items: EntityLayout::new(&items, input.shards, first_matrix(input, Entity::Item)),
            terms: EntityLayout::new(&terms, input.shards, first_matrix(input, Entity::Term)),
        }
    }

    /// The layout of one of them.
    pub(super) fn get(&self, entity: Entity) -> &EntityLayout {
        match entity {
            Entity::User => &self.users,
            Entity::Item => &self.items,
            Entity::Term => &self.terms,
        }
    }
}

/// The first dense matrix with rows of this entity.
fn first_matrix(input: &BundleInput, entity: Entity) -> Option<&DenseInput> {
    input.dense.iter().find(|matrix| matrix.entity == entity)
}

/// The layout of a bundle's users, items or terms.
pub(super) struct EntityLayout {
    /// The ordinal of each input index.
    pub(super) ordinals: Vec<u32>,
    /// The input indexes of each shard's rows, in their order on disk.
    pub(super) shards: Vec<Vec<u32>>,
    /// The row, within its shard, of each input index.
    pub(super) rows: Vec<u32>,
    /// The shard of each input index.
    pub(super) shard_of: Vec<u32>,
}

impl EntityLayout {
    /// Lays out entities with these ids. Rows of a shard lie by falling length of their vectors in
    /// `lead`, so that scans can stop early and what is walked most lies together; ties, and all if
    /// there is no such matrix, by ordinal.
    fn new(ids: &[&str], shards: u32, lead: Option<&DenseInput>) -> Self {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.par_sort_unstable_by(|&a, &b| compare_ids(ids[a as usize], ids[b as usize]));
        let mut ordinals = vec![0; ids.len()];
        for (ordinal, &index) in order.iter().enumerate() {
            ordinals[index as usize] = ordinal as u32;
        }
        let norms: Vec<f64> = match lead {
            Some(matrix) => matrix.data.par_chunks_exact(matrix.rank).map(norm_f64).collect(),
            None => vec![0.0; ids.len()],
        };
        let shard_of: Vec<u32> = ids.par_iter().map(|id| shard_of(id, shards)).collect();
        let mut members = vec![Vec::new(); shards as usize];
        for index in order {
            members[shard_of[index as usize] as usize].push(index);
        }
        // Stable, so that equal lengths stay in the order of their ordinals.
        members.par_iter_mut().for_each(|rows| {
            rows.sort_by(|&a, &b| norms[b as usize].total_cmp(&norms[a as usize]));
        });
        let mut rows = vec![0; ids.len()];
        for shard in &members {
            for (row, &index) in shard.iter().enumerate() {
                rows[index as usize] = row as u32;
            }
        }
        Self { ordinals, shards: members, rows, shard_of }
    }

    /// The rows of a dense matrix that belong to one shard, in their order on disk.
    pub(super) fn rows_of<'a>(&'a self, matrix: &'a DenseInput, shard: u32) -> RowsInOrder<'a> {
        let order = &self.shards[shard as usize];
        RowsInOrder { values: &matrix.data, rank: matrix.rank, order }
    }
}
