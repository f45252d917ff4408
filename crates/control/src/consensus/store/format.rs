//! A store on disk: its tables, and reading them without trust.
//!
//! A redb file with three tables. Integers are little-endian.
//!
//! ```text
//! table "meta"      key (text)   value
//!                   identity     magic "MRQVOTER" (8) | format 2 (4) | voter id (8) | cluster (8)
//!                                | number of founding voters (4) | their ids (8 each)
//!                   disk         the id of this disk (16), drawn when the store was made
//!                   members      marquee.raft.v1.Membership, encoded: the members at the snapshot
//!                   chain        the hash of the chain at the snapshot (32), or nothing: it begins later
//!                   stopped      why this voter takes no part any more, in words; only if it does not
//!                   hard_state   term (8) | vote (8) | commit (8)
//!                   before       index (8) | term (8): the entry before the first in "log"
//!                   snapshot     index (8) | term (8) | bytes (8)
//! table "log"       key (u64)    marquee.raft.v1.Entry, encoded; keys contiguous
//! table "snapshot"  key (u64) 0  the state machine's snapshot, its own encoding
//! ```
//!
//! Format 1 had no disk, members, chain and stopped. Opening a store of format 1 draws its disk's id.
//!
//! redb's checksums say that the bytes are those that were written. Reading checks that they also
//! make sense together, since raft panics on a log that does not.

use super::error::{FORMAT, FORMAT_WITHOUT_DISKS, StoreError, failed};
use crate::consensus::chain::ChainPoint;
use crate::consensus::log::{Log, LogPosition};
use crate::consensus::members::{DiskId, Membership};
use crate::consensus::plausible::LAST_NUMBER;
use crate::consensus::wire;
use bytes::Bytes;
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use raft::eraftpb::HardState;
use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};
use std::path::Path;

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(super) const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
pub(super) const SNAPSHOT: TableDefinition<u64, &[u8]> = TableDefinition::new("snapshot");

const IDENTITY: &str = "identity";
pub(super) const HARD_STATE: &str = "hard_state";
pub(super) const BEFORE: &str = "before";
pub(super) const SNAPSHOT_META: &str = "snapshot";
pub(super) const DISK: &str = "disk";
pub(super) const MEMBERS: &str = "members";
pub(super) const CHAIN: &str = "chain";
pub(super) const STOPPED: &str = "stopped";
pub(super) const SNAPSHOT_KEY: u64 = 0;

const MAGIC: &[u8; 8] = b"MRQVOTER";

/// Where every founding voter's log begins: behind an empty state machine's snapshot that all share, so that
/// a voter who joins later can only start from a snapshot, never from an empty log.
pub(super) const GENESIS: LogPosition = LogPosition { index: FIRST_INDEX, term: 1 };
/// The index at which a voter without a history stands.
pub(crate) const FIRST_INDEX: u64 = 1;

/// Which voter of which cluster a store belongs to; checked whenever it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// This voter's id, not 0.
    pub id: u64,
    /// Hash of the cluster's name and voters.
    pub cluster: u64,
    /// Ids of the voters that the group was founded with, ascending.
    pub voters: Vec<u64>,
}

/// What a new store begins with.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The empty state machine's snapshot.
    pub state: Vec<u8>,
    /// The id that the new disk gets.
    pub disk: DiskId,
}

/// What a store has, as it was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) log: Log,
    pub(super) hard_state: HardState,
    pub(super) snapshot: LogPosition,
    /// None: an older release made the store.
    pub(super) disk: Option<DiskId>,
    pub(super) members: Membership,
    pub(super) chain: Option<ChainPoint>,
    pub(super) stopped: Option<String>,
}

/// Where a store begins that is made of a backup, or of nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning<'a> {
    pub(super) position: LogPosition,
    pub(super) disk: DiskId,
    pub(super) members: &'a Membership,
    pub(super) state: &'a [u8],
}

/// Writes what a new store begins with.
pub(super) fn found(
    write: &WriteTransaction,
    identity: &Identity,
    beginning: &Beginning<'_>,
) -> Result<(), redb::Error> {
    let Beginning { position, disk, members, state } = *beginning;
    let hard_state =
        HardState { term: position.term, commit: position.index, ..HardState::default() };
    let mut meta = write.open_table(META)?;
    meta.insert(IDENTITY, identity_bytes(identity).as_slice())?;
    meta.insert(HARD_STATE, hard_state_bytes(&hard_state).as_slice())?;
    meta.insert(BEFORE, position_bytes(position).as_slice())?;
    meta.insert(SNAPSHOT_META, snapshot_bytes(position, state.len()).as_slice())?;
    meta.insert(DISK, disk.bytes().as_slice())?;
    meta.insert(MEMBERS, members.encode().as_slice())?;
    meta.insert(CHAIN, [].as_slice())?;
    write.open_table(SNAPSHOT)?.insert(SNAPSHOT_KEY, state)?;
    write.open_table(LOG)?;
    Ok(())
}

/// Gives a store of the format without disks what it lacks.
pub(super) fn upgrade(
    write: &WriteTransaction,
    identity: &Identity,
    disk: DiskId,
    members: &Membership,
) -> Result<(), redb::Error> {
    let mut meta = write.open_table(META)?;
    meta.insert(IDENTITY, identity_bytes(identity).as_slice())?;
    meta.insert(DISK, disk.bytes().as_slice())?;
    meta.insert(MEMBERS, members.encode().as_slice())?;
    meta.insert(CHAIN, [].as_slice())?;
    Ok(())
}

/// Reads a store whose bytes are not trusted: every relation that raft relies on is checked.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) read: &'a ReadTransaction,
}

impl Reader<'_> {
    /// Everything but the snapshot's data.
    pub(super) fn all(&self, identity: &Identity) -> Result<Loaded, StoreError> {
        let has_disks = self.check_identity(identity)? != FORMAT_WITHOUT_DISKS;
        let [term, vote, commit] = self.numbers(HARD_STATE)?;
        let hard_state = HardState { term, vote, commit, ..HardState::default() };
        let [index, before_term] = self.numbers(BEFORE)?;
        if index > LAST_NUMBER {
            return Err(StoreError::Beyond { path: self.path.into(), what: "index", value: index });
        }
        let [snapshot_index, snapshot_term, snapshot_bytes] = self.numbers(SNAPSHOT_META)?;
        let snapshot = LogPosition { index: snapshot_index, term: snapshot_term };
        let log = self.log(LogPosition { index, term: before_term })?;

        for (what, value) in [("term", term), ("index", log.last().index)] {
            if value > LAST_NUMBER {
                return Err(StoreError::Beyond { path: self.path.into(), what, value });
            }
        }
        let bytes = self.snapshot_data()?.len() as u64;
        self.check(bytes == snapshot_bytes, || {
            format!("the snapshot has {bytes} bytes, not {snapshot_bytes}")
        })?;
        let last = log.last();
        self.check(log.term(snapshot.index).ok() == Some(snapshot.term), || {
            format!(
                "the snapshot at {snapshot:?} is not in the log, which is {:?}..{last:?}",
                log.before()
            )
        })?;
        self.check(snapshot.index <= commit && commit <= last.index, || {
            format!(
                "commit {commit} is not between the snapshot {} and the last entry {}",
                snapshot.index, last.index
            )
        })?;
        self.check(term >= last.term, || {
            format!("term {term} is below the last entry's {}", last.term)
        })?;
        if !has_disks {
            let members = Membership::founding(&identity.voters, GENESIS);
            let (disk, chain, stopped) = (None, None, None);
            return Ok(Loaded { log, hard_state, snapshot, disk, members, chain, stopped });
        }
        let disk = DiskId::from_bytes(&self.meta(DISK)?);
        self.check(disk.is_some(), || "the id of the disk is malformed".into())?;
        let members = Membership::decode(&self.meta(MEMBERS)?)
            .map_err(|error| self.corrupt(error.to_string()))?;
        self.check(members.index <= snapshot.index, || {
            format!("its members are of entry {}, beyond the snapshot", members.index)
        })?;
        let hash = self.meta(CHAIN)?;
        let chain = pb::ChainPoint { index: snapshot.index, hash: hash.into() };
        let has_chain = !chain.hash.is_empty();
        let chain = ChainPoint::from_wire(&chain);
        self.check(has_chain == chain.is_some(), || "the hash of the chain is malformed".into())?;
        let stopped = self.find(STOPPED)?;
        let stopped = stopped.map(|reason| String::from_utf8_lossy(&reason).into_owned());
        Ok(Loaded { log, hard_state, snapshot, disk, members, chain, stopped })
    }

    /// Checks whose store it is, and returns its format.
    fn check_identity(&self, wanted: &Identity) -> Result<u32, StoreError> {
        let bytes = self.meta(IDENTITY)?;
        let (head, rest) = bytes.split_at_checked(8).unwrap_or((&bytes, &[]));
        self.check(head == MAGIC, || "it does not begin with the magic number".into())?;
        let (format, rest) = rest.split_at_checked(4).unwrap_or((rest, &[]));
        let format = <[u8; 4]>::try_from(format).map(u32::from_le_bytes).unwrap_or(0);
        if ![FORMAT, FORMAT_WITHOUT_DISKS].contains(&format) {
            return Err(StoreError::Format { path: self.path.into(), found: format });
        }
        if rest == &identity_bytes(wanted)[12..] {
            return Ok(format);
        }
        let found = read_identity(rest)
            .ok_or_else(|| self.corrupt("the identity record is cut short".into()))?;
        let advice = if found.id != wanted.id {
            "give each node a data directory of its own"
        } else if found.voters != wanted.voters {
            "control.voters lists the voters that the group was founded with: put the config back, and change the voters \
             by `marquee ctl voters`"
        } else {
            "the cluster's name has changed, put the config back or use another data directory"
        };
        Err(StoreError::Identity {
            path: self.path.into(),
            found: describe(&found),
            wanted: describe(wanted),
            advice,
        })
    }

    fn log(&self, before: LogPosition) -> Result<Log, StoreError> {
        let table = self.read.open_table(LOG).map_err(|e| failed(self.path, e))?;
        let mut log = Log::new(before);
        for row in table.iter().map_err(|e| failed(self.path, e))? {
            let (key, value) = row.map_err(|e| failed(self.path, e))?;
            let index = key.value();
            let bad = |what: String| self.corrupt(format!("entry {index}: {what}"));
            let entry = pb::Entry::decode(value.value()).map_err(|e| bad(e.to_string()))?;
            let entry = wire::entry_from_wire(entry).map_err(|e| bad(e.to_string()))?;
            let last = log.last();
            if entry.index != index || index != last.index + 1 || entry.term < last.term {
                return Err(bad(format!("does not follow on {last:?}")));
            }
            log.append(&[entry]);
        }
        Ok(log)
    }

    pub(super) fn snapshot_data(&self) -> Result<Bytes, StoreError> {
        let table = self.read.open_table(SNAPSHOT).map_err(|e| failed(self.path, e))?;
        let value = table.get(SNAPSHOT_KEY).map_err(|e| failed(self.path, e))?;
        let value = value.ok_or_else(|| self.corrupt("the snapshot is missing".into()))?;
        Ok(Bytes::copy_from_slice(value.value()))
    }

    fn meta(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        let value = self.find(key)?;
        value.ok_or_else(|| self.corrupt(format!("the record {key:?} is missing")))
    }

    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.read.open_table(META).map_err(|e| failed(self.path, e))?;
        let value = table.get(key).map_err(|e| failed(self.path, e))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn numbers<const N: usize>(&self, key: &str) -> Result<[u64; N], StoreError> {
        let bytes = self.meta(key)?;
        let (words, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let numbers = <[u64; N]>::try_from(numbers).ok().filter(|_| rest.is_empty());
        numbers.ok_or_else(|| self.corrupt(format!("the record {key:?} has {} bytes", bytes.len())))
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), StoreError> {
        if holds { Ok(()) } else { Err(self.corrupt(what())) }
    }

    fn corrupt(&self, what: String) -> StoreError {
        StoreError::Corrupt { path: self.path.into(), what }
    }
}

pub(super) fn identity_bytes(identity: &Identity) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(identity.id.to_le_bytes());
    bytes.extend(identity.cluster.to_le_bytes());
    bytes.extend((identity.voters.len() as u32).to_le_bytes());
    bytes.extend(identity.voters.iter().flat_map(|voter| voter.to_le_bytes()));
    bytes
}

fn read_identity(bytes: &[u8]) -> Option<Identity> {
    let (id, bytes) = bytes.split_first_chunk()?;
    let (cluster, bytes) = bytes.split_first_chunk()?;
    let (_count, bytes) = bytes.split_first_chunk::<4>()?;
    let (voters, _) = bytes.as_chunks();
    Some(Identity {
        id: u64::from_le_bytes(*id),
        cluster: u64::from_le_bytes(*cluster),
        voters: voters.iter().map(|voter| u64::from_le_bytes(*voter)).collect(),
    })
}

fn describe(identity: &Identity) -> String {
    let Identity { id, cluster, voters } = identity;
    format!("voter {id} of {voters:?} in cluster {cluster:016x}")
}

pub(super) fn hard_state_bytes(state: &HardState) -> Vec<u8> {
    [state.term, state.vote, state.commit].iter().flat_map(|n| n.to_le_bytes()).collect()
}

pub(super) fn position_bytes(position: LogPosition) -> Vec<u8> {
    [position.index, position.term].iter().flat_map(|n| n.to_le_bytes()).collect()
}

pub(super) fn snapshot_bytes(position: LogPosition, bytes: usize) -> Vec<u8> {
    [position.index, position.term, bytes as u64].iter().flat_map(|n| n.to_le_bytes()).collect()
}
