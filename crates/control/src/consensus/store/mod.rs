//! One voter's durable memory: its log, its vote, and the last snapshot of the state machine.
//!
//! Everything that one raft `Ready` makes durable is written in one transaction of a redb database
//! (copy-on-write pages, each with a checksum, one fsync a commit), so a crash leaves either all of it or
//! nothing. The log's tail is held in memory too ([`super::log`]): the disk is read when opening and
//! when a snapshot is sent, and never else.
//!
//! The state machine lives in memory. Its durable form is the snapshot *with the index and the
//! voters it belongs to*, in the same record, and restarting applies the committed entries after it
//! again. So the durable applied index is the snapshot's index: the two cannot disagree.
//!
//! A commit index alone is not worth an fsync: losing it loses nothing, as the leader says it again.
//! It is written with whatever is written next, and by [`Store::sync_commit`] when nothing is.
//!
//! The format is drawn in [`format`](mod@format).
//!
//! The voters given when the store is made are those that the group was founded with; they are part of the group's
//! identity, and a store that was made for others is refused. Who is a member now is kept with the snapshot, and follows
//! from the log after it.

mod error;
mod format;

pub use error::StoreError;
pub(crate) use format::FIRST_INDEX;
pub use format::{Genesis, Identity};

use super::chain::ChainPoint;
use super::log::{Log, LogPosition};
use super::members::{DiskId, Membership};
use super::wire::{self, Packed};
use bytes::Bytes;
use error::{failed, refused_open};
use format::{
    BEFORE, Beginning, CHAIN, GENESIS, HARD_STATE, LOG, Loaded, MEMBERS, META, Reader, SNAPSHOT,
    SNAPSHOT_KEY, SNAPSHOT_META, STOPPED, found, hard_state_bytes, position_bytes, snapshot_bytes,
    upgrade,
};
use marquee_core::planted::{PlantedBug, is_planted};
use prost::Message as _;
use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Durability, ReadableDatabase as _, StorageBackend, WriteTransaction,
};
use std::path::{Path, PathBuf};

/// Memory that redb may keep pages in. All reads after opening come from our own copy of the log.
const CACHE_BYTES: usize = 4 << 20;

/// What one raft `Ready` makes durable.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    /// A snapshot that replaces the log, from the leader.
    pub(crate) snapshot: Option<&'a Snapshot>,
    /// Entries to append after it.
    pub(crate) entries: &'a [Entry],
    /// Term, vote and commit.
    pub(crate) hard_state: Option<&'a HardState>,
}

/// The store of one voter. The only writer of its file, which redb locks.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    database: Database,
    log: Log,
    hard_state: HardState,
    /// Whether `hard_state.commit` has moved since it was last written.
    commit_unwritten: bool,
    snapshot: LogPosition,
    disk: DiskId,
    /// The members at the snapshot.
    members: Membership,
    /// The chain at the snapshot.
    chain: Option<ChainPoint>,
    stopped: Option<String>,
}

impl Store {
    /// Opens the store in a file, or makes it.
    pub fn open(path: &Path, identity: &Identity, genesis: &Genesis) -> Result<Self, StoreError> {
        guarded(path, || {
            let file = private_file(path).map_err(|e| failed(path, e))?;
            let opened = FileBackend::new(file).and_then(|it| builder().create_with_backend(it));
            let database = opened.map_err(|e| refused_open(path, e))?;
            Self::load(path.into(), database, identity, genesis)
        })
    }

    /// Opens the store over another backend than a file; `name` stands for the path in errors.
    pub fn open_backend(
        backend: impl StorageBackend,
        name: &Path,
        identity: &Identity,
        genesis: &Genesis,
    ) -> Result<Self, StoreError> {
        let create = || builder().create_with_backend(backend).map_err(|e| refused_open(name, e));
        let mut create = Some(create);
        guarded(name, move || {
            let create = create.take().expect("called once");
            Self::load(name.into(), create()?, identity, genesis)
        })
    }

    /// Makes the store of a group that begins anew with a state: at this position, with these members. Refuses where there
    /// is one already.
    pub(crate) fn restore(
        path: &Path,
        identity: &Identity,
        (position, disk): (LogPosition, DiskId),
        members: &Membership,
        state: &[u8],
    ) -> Result<(), StoreError> {
        if path.exists() {
            return Err(StoreError::Exists { path: path.into() });
        }
        let file = private_file(path).map_err(|e| failed(path, e))?;
        let opened = FileBackend::new(file).and_then(|it| builder().create_with_backend(it));
        let database = opened.map_err(|e| refused_open(path, e))?;
        let write = begin_write(&database, path, Durability::Immediate)?;
        let beginning = Beginning { position, disk, members, state };
        found(&write, identity, &beginning).map_err(|e| failed(path, e))?;
        write.commit().map_err(|e| failed(path, e))
    }

    fn load(
        path: PathBuf,
        database: Database,
        identity: &Identity,
        genesis: &Genesis,
    ) -> Result<Self, StoreError> {
        let begin = |durability| begin_write(&database, &path, durability);
        let write = begin(Durability::Immediate)?;
        let fresh = write.list_tables().map_err(|e| failed(&path, e))?.next().is_none();
        if fresh {
            let members = Membership::founding(&identity.voters, GENESIS);
            let Genesis { state, disk } = genesis;
            let beginning = Beginning { position: GENESIS, disk: *disk, members: &members, state };
            found(&write, identity, &beginning).map_err(|e| failed(&path, e))?;
            write.commit().map_err(|e| failed(&path, e))?;
        } else {
            write.abort().map_err(|e| failed(&path, e))?;
        }
        let read = database.begin_read().map_err(|e| failed(&path, e))?;
        let loaded = Reader { path: &path, read: &read }.all(identity)?;
        let Loaded { log, hard_state, snapshot, disk, members, chain, stopped } = loaded;
        drop(read);
        let disk = match disk {
            Some(disk) => disk,
            None => {
                let write = begin_write(&database, &path, Durability::Immediate)?;
                upgrade(&write, identity, genesis.disk, &members).map_err(|e| failed(&path, e))?;
                write.commit().map_err(|e| failed(&path, e))?;
                genesis.disk
            }
        };
        Ok(Self {
            path,
            database,
            log,
            hard_state,
            commit_unwritten: false,
            snapshot,
            disk,
            members,
            chain,
            stopped,
        })
    }

    /// The id of this disk.
    pub fn disk(&self) -> DiskId {
        self.disk
    }

    /// The members at the last snapshot.
    pub(crate) fn members(&self) -> &Membership {
        &self.members
    }

    /// Where the chain stands at the last snapshot; none: it has not begun.
    pub(crate) fn chain(&self) -> Option<ChainPoint> {
        self.chain
    }

    /// Why this voter takes no part any more; none: it does.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Whether the store has anything of a group: without, its disk may be the second one of its voter.
    pub(crate) fn has_history(&self) -> bool {
        self.last().index > FIRST_INDEX
    }

    /// Writes down the members that a new group begins with, and their disks.
    pub(crate) fn found(&mut self, members: &Membership) -> Result<(), StoreError> {
        self.put_record(MEMBERS, &members.encode())?;
        self.members = members.clone();
        Ok(())
    }

    /// Writes down why this voter takes no part any more.
    pub(crate) fn stop_for_good(&mut self, why: &str) -> Result<(), StoreError> {
        self.put_record(STOPPED, why.as_bytes())?;
        self.stopped = Some(why.to_owned());
        Ok(())
    }

    fn put_record(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let write = self.begin(Durability::Immediate)?;
        let put = || -> Result<(), redb::Error> {
            write.open_table(META)?.insert(key, value)?;
            Ok(())
        };
        put().map_err(|e| failed(&self.path, e))?;
        write.commit().map_err(|e| failed(&self.path, e))
    }

    /// The position of the last snapshot: the durable applied index.
    pub fn snapshot_position(&self) -> LogPosition {
        self.snapshot
    }

    /// The last entry of the log.
    pub fn last(&self) -> LogPosition {
        self.log.last()
    }

    /// The entries after the last snapshot, which are or will be applied, and whether each is known to be committed.
    pub(crate) fn unapplied(&self) -> impl Iterator<Item = (&Entry, bool)> {
        let (snapshot, commit) = (self.snapshot.index, self.hard_state.commit);
        let entries = self.log.iter().filter(move |entry| entry.index > snapshot);
        entries.map(move |entry| (entry, entry.index <= commit))
    }

    /// Payload bytes of the entries after the last snapshot.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        self.log.bytes_above(self.snapshot.index)
    }

    /// Reads the last snapshot's data.
    pub fn read_snapshot(&self) -> Result<Bytes, StoreError> {
        let read = self.database.begin_read().map_err(|e| failed(&self.path, e))?;
        Reader { path: &self.path, read: &read }.snapshot_data()
    }

    /// Writes all parts of a batch in one transaction and returns when they are on the disk.
    pub(crate) fn write(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let restored = batch.snapshot.map(|snapshot| {
            let meta = snapshot.get_metadata();
            LogPosition { index: meta.index, term: meta.term }
        });
        let packed = match batch.snapshot {
            Some(snapshot) => Some(wire::unpack_snapshot(snapshot).ok_or_else(|| {
                failed(&self.path, "a snapshot without its members was to be written")
            })?),
            None => None,
        };
        let base = match restored {
            Some(position) => Log::new(position),
            None => Log::new(self.log.before()),
        };
        let fits = if restored.is_some() {
            base.accepts(batch.entries)
        } else {
            self.log.accepts(batch.entries)
        };
        assert!(fits, "raft hands out contiguous entries that go on from the log");

        let durability = match is_planted(PlantedBug::WriteNotSynced) {
            true => Durability::None,
            false => Durability::Immediate,
        };
        let write = self.begin(durability)?;
        let mut hard_state = batch.hard_state.cloned().unwrap_or_else(|| self.hard_state.clone());
        if is_planted(PlantedBug::VoteForgotten) {
            hard_state.vote = 0;
        }
        let snapshot = restored.zip(packed.as_ref());
        self.put(&write, snapshot, batch, &hard_state).map_err(|e| failed(&self.path, e))?;
        write.commit().map_err(|e| failed(&self.path, e))?;

        if let Some((position, Packed { members, chain, data: _ })) = restored.zip(packed) {
            self.log = Log::new(position);
            self.snapshot = position;
            (self.members, self.chain) = (members, chain);
        }
        self.log.append(batch.entries);
        self.hard_state = hard_state;
        self.commit_unwritten = false;
        Ok(())
    }

    fn put(
        &self,
        write: &WriteTransaction,
        snapshot: Option<(LogPosition, &Packed)>,
        batch: &Batch<'_>,
        hard_state: &HardState,
    ) -> Result<(), redb::Error> {
        let mut meta = write.open_table(META)?;
        let mut log = write.open_table(LOG)?;
        if let Some((position, packed)) = snapshot {
            log.retain(|_, _| false)?;
            meta.insert(BEFORE, position_bytes(position).as_slice())?;
            let data = &packed.data;
            meta.insert(SNAPSHOT_META, snapshot_bytes(position, data.len()).as_slice())?;
            put_members(&mut meta, packed)?;
            write.open_table(SNAPSHOT)?.insert(SNAPSHOT_KEY, data.as_ref())?;
        }
        if let Some(first) = batch.entries.first() {
            log.retain_in(first.index.., |_, _| false)?;
            for entry in batch.entries {
                let encoded = wire::entry_to_wire(entry.clone()).encode_to_vec();
                log.insert(entry.index, encoded.as_slice())?;
            }
        }
        meta.insert(HARD_STATE, hard_state_bytes(hard_state).as_slice())?;
        Ok(())
    }

    /// Notes how far the log is committed; written with the next batch.
    pub(crate) fn set_commit(&mut self, commit: u64) {
        if commit > self.hard_state.commit {
            self.hard_state.commit = commit;
            self.commit_unwritten = true;
        }
    }

    /// Writes the commit index if it has moved since it was last written.
    pub(crate) fn sync_commit(&mut self) -> Result<(), StoreError> {
        if self.commit_unwritten { self.write(&Batch::default()) } else { Ok(()) }
    }

    /// Replaces the snapshot by one of the state machine at `applied`, and drops the entries that
    /// are older than the last `keep` before it.
    pub(crate) fn compact(
        &mut self,
        applied: u64,
        packed: &Packed,
        keep: u64,
    ) -> Result<(), StoreError> {
        let data = &packed.data;
        if data.len() > wire::MAX_SNAPSHOT_BYTES {
            let max = wire::MAX_SNAPSHOT_BYTES;
            return Err(StoreError::SnapshotTooLarge { bytes: data.len(), max });
        }
        let term = |index| self.log.term(index).map_err(|e| failed(&self.path, e));
        let snapshot = LogPosition { index: applied, term: term(applied)? };
        let index = applied.saturating_sub(keep).max(self.log.before().index);
        let before = LogPosition { index, term: term(index)? };

        let write = self.begin(Durability::Immediate)?;
        self.put_compaction(&write, snapshot, before, packed).map_err(|e| failed(&self.path, e))?;
        write.commit().map_err(|e| failed(&self.path, e))?;
        self.snapshot = snapshot;
        (self.members, self.chain) = (packed.members.clone(), packed.chain);
        self.log.compact(before.index);
        self.commit_unwritten = false;
        Ok(())
    }

    fn put_compaction(
        &self,
        write: &WriteTransaction,
        snapshot: LogPosition,
        before: LogPosition,
        packed: &Packed,
    ) -> Result<(), redb::Error> {
        let data = &packed.data;
        let mut meta = write.open_table(META)?;
        meta.insert(SNAPSHOT_META, snapshot_bytes(snapshot, data.len()).as_slice())?;
        put_members(&mut meta, packed)?;
        meta.insert(BEFORE, position_bytes(before).as_slice())?;
        // A snapshot beyond the durable commit index would be a contradiction on the disk.
        meta.insert(HARD_STATE, hard_state_bytes(&self.hard_state).as_slice())?;
        write.open_table(SNAPSHOT)?.insert(SNAPSHOT_KEY, data.as_ref())?;
        write.open_table(LOG)?.retain_in(..=before.index, |_, _| false)?;
        Ok(())
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, StoreError> {
        begin_write(&self.database, &self.path, durability)
    }
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.members.conf_state()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        self.log.slice(low, high, max_size.into())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.log.term(index)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.log.first_index())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.log.last().index)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // Raft takes "temporarily" as "ask again later" and anything else as fatal.
        let later = raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        // One from before a member came is ignored by that member. The voter writes a newer one.
        let state = self.members.conf_state();
        let has_member = [&state.voters, &state.learners, &state.voters_outgoing];
        if self.snapshot.index < request_index || !has_member.iter().any(|ids| ids.contains(&to)) {
            return Err(later);
        }
        match self.read_snapshot() {
            Ok(data) => {
                let (members, chain) = (self.members.clone(), self.chain);
                Ok(wire::pack_snapshot(self.snapshot, &Packed { members, chain, data }))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the snapshot that another voter needs");
                Err(later)
            }
        }
    }
}

// ---- redb -------------------------------------------------------------------------------------

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // The file is small, and a plain open trusts it.
    builder.set_check_integrity_on_open(true);
    builder
}

/// Opens the file, or makes it, for this user only: the plan has the addresses of all nodes, and what was measured.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    // An earlier release made it readable by all users of the machine.
    marquee_bundle::make_private(path)?;
    Ok(file)
}

fn put_members(
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    packed: &Packed,
) -> Result<(), redb::Error> {
    let Packed { members, chain, data: _ } = packed;
    meta.insert(MEMBERS, members.encode().as_slice())?;
    let hash: &[u8] = chain.as_ref().map_or(&[], |point| point.hash.as_slice());
    meta.insert(CHAIN, hash)?;
    Ok(())
}

fn begin_write(
    database: &Database,
    path: &Path,
    durability: Durability,
) -> Result<WriteTransaction, StoreError> {
    let mut write = database.begin_write().map_err(|e| failed(path, e))?;
    write.set_durability(durability).map_err(|e| failed(path, e))?;
    Ok(write)
}

/// Runs what reads bytes that may be damaged: redb panics on some damage, and this makes an error of it.
fn guarded<T>(path: &Path, open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("the database cannot be read");
        Err(StoreError::Corrupt { path: path.into(), what: what.into() })
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod torn_disk;
