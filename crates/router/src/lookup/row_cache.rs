//! Rows that were found before, so that they need not be looked up again.
//!
//! What a bundle says of a user, an item or a term never changes. So a row that was found once is right for as long
//! as the bundle is served, and routers need not agree on what they remember. A row is known by the digest of its
//! bundle's manifest, not by the number of a version, and by all else that a lookup of it names.
//!
//! Not all requests take rows from here: see
//! [`may_use_remembered_rows`](crate::planning::planned::PlannedRequest::may_use_remembered_rows), and the engine's
//! rounds for mirrored requests.
//!
//! Deliberately missing: what was *not* found. Any caller can make ids up, and they would push out rows of users
//! who come back; an unknown user costs a lookup each time. What was recorded of users is missing, too: it changes,
//! and is never part of a lookup.

use super::name_cache::NameCache;
use super::stored_row::StoredRow;
use crate::planning::wanted_rows::RowSource;
use marquee_core::model::recipe::Entity;
use marquee_core::plan::Plan;
use marquee_core::planted::{PlantedBug, is_planted};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Parts with a lock each, as far as there are rows for them. When a version leaves, each is held for a moment.
const PARTS: usize = 32;
/// Bytes of a row of 64 factors with its key: what the number of rows that fit is guessed by. The bound is on the
/// bytes that rows really have.
const USUAL_ROW_BYTES: u64 = 512;
/// Bytes of a row besides its key and content: what counts references, the places in the cache's tables (a slot and a
/// link), and what the allocator adds to each of its parts.
const OVERHEAD_BYTES: usize = 160;

type Remembered = Cache<OwnedKey, Arc<StoredRow>, Bytewise, DefaultHashBuilder, Evictions>;
type OwnedKey = Key<Box<str>>;

/// Rows that were looked up, by bundle and id, within a bound of bytes.
pub(crate) struct RowCache {
    /// None if nothing is to be remembered.
    rows: Option<Remembered>,
    /// Ids of items by ordinal; none if nothing is to be remembered.
    names: Option<NameCache>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: Arc<AtomicU64>,
    /// The digests of the bundles of the last plan.
    served: Mutex<BTreeSet<String>>,
}

/// How often a router found rows among those that it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// They were there.
    pub hits: u64,
    /// They were not, and were looked up.
    pub misses: u64,
    /// They were given up for others.
    pub evictions: u64,
    /// Bytes of those that are there now.
    pub bytes: u64,
}

/// All that a row depends on.
#[derive(PartialEq, Eq, Hash)]
struct Key<S> {
    /// The digest of the bundle's manifest.
    bundle: S,
    entity: Entity,
    dense: S,
    sparse: S,
    tags: bool,
    id: S,
}

impl RowCache {
    /// Remembers rows of at most so many bytes, keys included; nothing if it is 0.
    pub(crate) fn new(bytes: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        Self {
            rows: (bytes > 0).then(|| remembered(bytes, Evictions(Arc::clone(&evictions)))),
            names: (bytes > 0).then(NameCache::new),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions,
            served: Mutex::default(),
        }
    }

    /// The row of this id in the bundle with this digest, if it is remembered.
    pub(crate) fn get(
        &self,
        bundle: &str,
        source: RowSource<'_>,
        id: &str,
    ) -> Option<Arc<StoredRow>> {
        let found = self.rows.as_ref()?.get(&Key::of(bundle, source, id));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Remembers a row that was found.
    pub(crate) fn put(&self, bundle: &str, source: RowSource<'_>, id: &str, row: Arc<StoredRow>) {
        if let Some(cache) = &self.rows {
            cache.insert(Key::of(bundle, source, id).into_owned(), row);
        }
    }

    /// The ids of items by ordinal, unless nothing is to be remembered.
    pub(crate) fn names(&self) -> Option<&NameCache> {
        self.names.as_ref()
    }

    /// Forgets the rows of bundles that the plan does not serve any more. Must be called within a tokio runtime,
    /// and returns before all is forgotten.
    pub(crate) fn keep(self: &Arc<Self>, plan: &Plan) {
        if self.rows.is_none() {
            return;
        }
        let live = plan.live_versions();
        let published = live.iter().filter_map(|version| plan.versions.get(version));
        let served: BTreeSet<String> = published.map(|it| it.manifest_digest.clone()).collect();
        let before = {
            let mut last = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, served.clone())
        };
        if before.is_subset(&served) {
            return;
        }
        // A hundred thousand rows take some milliseconds, which no request should wait for.
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Some(rows) = &this.rows {
                rows.retain(|key, _| served.contains(&*key.bundle));
            }
            if let Some(names) = &this.names {
                names.keep(&served);
            }
        });
    }

    /// How often rows were found so far, and their bytes.
    pub(crate) fn counts(&self) -> RowCounts {
        RowCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            bytes: self.rows.as_ref().map_or(0, Cache::weight),
        }
    }
}

/// No rows yet, and at most so many bytes of them.
fn remembered(bytes: u64, evictions: Evictions) -> Remembered {
    let options = OptionsBuilder::new()
        .weight_capacity(bytes)
        .estimated_items_capacity((bytes / USUAL_ROW_BYTES) as usize)
        .shards(PARTS)
        .build()
        .expect("all that is required is set");
    Cache::with_options(options, Bytewise, DefaultHashBuilder::default(), evictions)
}

impl<'a> Key<&'a str> {
    fn of(bundle: &'a str, source: RowSource<'a>, id: &'a str) -> Self {
        let RowSource { version: _, entity, dense, sparse, tags } = source;
        let bundle = if is_planted(PlantedBug::RowsOfOtherVersion) { "" } else { bundle };
        Self { bundle, entity, dense, sparse, tags, id }
    }

    fn into_owned(self) -> OwnedKey {
        let Self { bundle, entity, dense, sparse, tags, id } = self;
        Key {
            bundle: bundle.into(),
            entity,
            dense: dense.into(),
            sparse: sparse.into(),
            tags,
            id: id.into(),
        }
    }
}

impl OwnedKey {
    fn borrowed(&self) -> Key<&str> {
        let Self { bundle, entity, dense, sparse, tags, id } = self;
        Key { bundle, entity: *entity, dense, sparse, tags: *tags, id }
    }
}

/// Borrowed and owned text hash alike, so a key need not be copied to be looked for.
impl Equivalent<OwnedKey> for Key<&str> {
    fn equivalent(&self, key: &OwnedKey) -> bool {
        *self == key.borrowed()
    }
}

/// Weighs a row by the memory that it takes.
#[derive(Clone)]
struct Bytewise;

impl Weighter<OwnedKey, Arc<StoredRow>> for Bytewise {
    fn weight(&self, key: &OwnedKey, row: &Arc<StoredRow>) -> u64 {
        let Key { bundle, entity: _, dense, sparse, tags: _, id } = key;
        let StoredRow { ordinal: _, vector, columns, values, tags } = &**row;
        let key = size_of_val(key) + bundle.len() + dense.len() + sparse.len() + id.len();
        let tags: usize = tags.iter().map(|tag| size_of_val(tag) + tag.len()).sum();
        let lists = size_of_val(columns.as_slice()) + size_of_val(values.as_slice()) + tags;
        (OVERHEAD_BYTES + key + size_of::<StoredRow>() + size_of_val(vector.as_slice()) + lists)
            as u64
    }
}

/// Counts what is given up for other rows.
#[derive(Clone)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<OwnedKey, Arc<StoredRow>> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: OwnedKey, _: Arc<StoredRow>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ordinal: u32, columns: usize) -> Arc<StoredRow> {
        Arc::new(StoredRow {
            ordinal,
            vector: vec![1.0; 4],
            columns: (0..columns as u32).collect(),
            values: vec![0.5; columns],
            tags: Vec::new(),
        })
    }

    const SOURCE: RowSource<'static> =
        RowSource { version: 0, entity: Entity::User, dense: "users", sparse: "", tags: false };

    #[test]
    fn a_row_is_found_by_all_that_it_depends_on() {
        let cache = RowCache::new(1 << 20);
        let others = [
            ("other bundle", SOURCE, "ann"),
            ("bundle", RowSource { entity: Entity::Item, ..SOURCE }, "ann"),
            ("bundle", RowSource { dense: "others", ..SOURCE }, "ann"),
            ("bundle", RowSource { dense: "", sparse: "users", ..SOURCE }, "ann"),
            ("bundle", RowSource { sparse: "history", ..SOURCE }, "ann"),
            ("bundle", RowSource { tags: true, ..SOURCE }, "ann"),
            ("bundle", SOURCE, "bob"),
        ];
        cache.put("bundle", SOURCE, "ann", row(7, 3));
        for (bundle, rows, id) in others {
            assert_eq!(cache.get(bundle, rows, id), None, "{bundle} {rows:?} {id}");
        }
        for (n, (bundle, rows, id)) in (100..).zip(others) {
            cache.put(bundle, rows, id, row(n, 3));
        }
        // The number that a request gives to a version says nothing.
        let numbered = RowSource { version: 3, ..SOURCE };
        assert_eq!(cache.get("bundle", numbered, "ann"), Some(row(7, 3)));
        for (n, (bundle, rows, id)) in (100..).zip(others) {
            assert_eq!(cache.get(bundle, rows, id), Some(row(n, 3)), "{bundle} {rows:?} {id}");
        }
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses, counts.evictions), (8, 7, 0));
    }

    #[test]
    fn rows_are_given_up_before_they_have_too_many_bytes() {
        const BOUND: u64 = 256 << 10;
        let cache = RowCache::new(BOUND);
        let content = |n: usize| (n * 37) % 500;
        let mut bytes = 0;
        for n in 0..5_000 {
            cache.put("bundle", SOURCE, &format!("u{n}"), row(n as u32, content(n)));
            bytes += 8 * content(n) as u64;
            assert!(cache.counts().bytes <= BOUND, "{:?} at {n}", cache.counts());
        }
        assert!(bytes > 10 * BOUND);
        let counts = cache.counts();
        assert!(counts.evictions > 1_000 && counts.bytes > BOUND / 2, "{counts:?}");
        let there = |n: &usize| cache.get("bundle", SOURCE, &format!("u{n}"));
        let kept: Vec<(usize, Arc<StoredRow>)> =
            (0..5_000).filter_map(|n| Some((n, there(&n)?))).collect();
        assert_eq!(kept.len() as u64, 5_000 - counts.evictions);
        assert!(kept.iter().all(|(n, found)| *found == row(*n as u32, content(*n))));
        let content: u64 = kept.iter().map(|(n, _)| 16 + 8 * content(*n) as u64).sum();
        assert!(counts.bytes > content, "{} for {content} of content alone", counts.bytes);
        // What is larger than all that there is room for is not remembered at all.
        cache.put("bundle", SOURCE, "large", row(9, 1 << 20));
        assert_eq!(cache.get("bundle", SOURCE, "large"), None);
        assert!(cache.counts().bytes <= BOUND);
    }

    #[test]
    fn without_room_nothing_is_remembered_and_nothing_counted() {
        let cache = RowCache::new(0);
        cache.put("bundle", SOURCE, "ann", row(7, 3));
        assert_eq!(cache.get("bundle", SOURCE, "ann"), None);
        assert_eq!(cache.counts(), RowCounts::default());
    }
}
