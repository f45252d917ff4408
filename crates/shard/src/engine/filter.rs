//! Filters and deny lists of an operation: made into rows once for each shard, and shared by queries.

use marquee_bundle::{BundleShard, FilterSpec, RowBitmap, SearchError, filter_rows};
use marquee_core::bounds::MAX_ID_BYTES;
use std::sync::OnceLock;

/// A filter, and the rows that it allows in each shard of the operation, once they are known.
#[derive(Debug)]
pub(super) struct SharedFilter {
    spec: FilterSpec,
    rows: Vec<OnceLock<Result<Option<RowBitmap>, SearchError>>>,
}

impl SharedFilter {
    /// A filter over this number of shards.
    pub(super) fn new(spec: FilterSpec, shards: usize) -> Self {
        Self { spec, rows: (0..shards).map(|_| OnceLock::new()).collect() }
    }

    /// Which rows the filter allows.
    pub(super) fn spec(&self) -> &FilterSpec {
        &self.spec
    }

    /// The rows of the operation's shard number `place` that it allows; none for all of them.
    pub(super) fn rows(
        &self,
        place: usize,
        shard: &BundleShard,
    ) -> Result<Option<&RowBitmap>, SearchError> {
        let rows = self.rows[place].get_or_init(|| filter_rows(shard, &self.spec));
        rows.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

/// A deny list, and its rows in each shard of the operation, once they are known.
#[derive(Debug)]
pub(super) struct SharedDenyList {
    item_ids: Vec<String>,
    rows: Vec<OnceLock<Vec<u32>>>,
}

impl SharedDenyList {
    /// A deny list over this number of shards.
    pub(super) fn new(item_ids: Vec<String>, shards: usize) -> Self {
        Self { item_ids, rows: (0..shards).map(|_| OnceLock::new()).collect() }
    }

    /// How many items it denies.
    pub(super) fn len(&self) -> usize {
        self.item_ids.len()
    }

    /// Its rows in the operation's shard number `place`.
    pub(super) fn rows(&self, place: usize, shard: &BundleShard) -> &[u32] {
        self.rows[place].get_or_init(|| {
            let plausible = self.item_ids.iter().filter(|id| id.len() <= MAX_ID_BYTES);
            plausible.filter_map(|id| shard.items().find(id)).collect()
        })
    }
}
