//! Ids of items by ordinal that were looked up before: they never change within a bundle.

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of names that are remembered: some hundred thousand items, beside the rows of users.
const MAX_BYTES: u64 = 16 << 20;
/// Bytes of a name with its key and its places in the cache's tables, besides the texts.
const OVERHEAD_BYTES: usize = 112;

/// Ids of items, by bundle and ordinal.
pub(crate) struct NameCache {
    names: Cache<Key<Arc<str>>, Arc<str>, Bytewise>,
}

/// An item by its bundle's digest and its ordinal.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key<S> {
    bundle: S,
    ordinal: u32,
}

impl NameCache {
    /// A cache without names.
    pub(crate) fn new() -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(MAX_BYTES)
            .estimated_items_capacity(MAX_BYTES as usize / (OVERHEAD_BYTES + 64))
            .build()
            .expect("all that is required is set");
        let hasher = DefaultHashBuilder::default();
        Self { names: Cache::with_options(options, Bytewise, hasher, Default::default()) }
    }

    /// The id of an item of the bundle with this digest.
    pub(crate) fn get(&self, bundle: &str, ordinal: u32) -> Option<Arc<str>> {
        self.names.get(&Key { bundle, ordinal })
    }

    /// Remembers the id of an item.
    pub(crate) fn put(&self, bundle: &Arc<str>, ordinal: u32, id: Arc<str>) {
        self.names.insert(Key { bundle: Arc::clone(bundle), ordinal }, id);
    }

    /// Forgets the names of bundles that are not among these.
    pub(crate) fn keep(&self, served: &BTreeSet<String>) {
        self.names.retain(|key, _| served.contains(&*key.bundle));
    }
}

/// Borrowed and owned text hash alike, so a key need not be copied to be looked for.
impl Equivalent<Key<Arc<str>>> for Key<&str> {
    fn equivalent(&self, key: &Key<Arc<str>>) -> bool {
        self.ordinal == key.ordinal && *self.bundle == *key.bundle
    }
}

/// Weighs a name by the memory that it takes; digests are shared.
#[derive(Clone)]
struct Bytewise;

impl Weighter<Key<Arc<str>>, Arc<str>> for Bytewise {
    fn weight(&self, _: &Key<Arc<str>>, id: &Arc<str>) -> u64 {
        (OVERHEAD_BYTES + id.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_bundle_and_ordinal_until_its_bundle_leaves() {
        let cache = NameCache::new();
        let (old, new): (Arc<str>, Arc<str>) = ("old".into(), "new".into());
        cache.put(&old, 1, "a".into());
        cache.put(&new, 1, "b".into());
        assert_eq!(cache.get("old", 1).as_deref(), Some("a"));
        assert_eq!(cache.get("new", 1).as_deref(), Some("b"));
        assert_eq!(cache.get("new", 2), None);
        cache.keep(&["new".to_owned()].into());
        assert_eq!(cache.get("old", 1), None);
        assert_eq!(cache.get("new", 1).as_deref(), Some("b"));
    }
}
