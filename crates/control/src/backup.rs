//! A backup of control: one file with everything that the group has applied, and a new group made of it.
//!
//! Integers are little-endian.
//!
//! ```text
//! offset  bytes  what
//!      0      8  magic "MRQBACKP"
//!      8      4  format 1
//!     12      8  cluster: a hash of the cluster's name, its founding voters and its replication factor
//!     20      8  when it was taken, in milliseconds since the Unix epoch
//!     28      8  index of the last entry in it
//!     36      8  term of that entry
//!     44      4  M, bytes of the members
//!     48      M  the members, marquee.raft.v1.Membership, encoded: to be read, they are not restored
//!   48+M      8  N, bytes of the state
//!   56+M      N  the state machine's snapshot, marquee.raft.v1.State, encoded
//! 56+M+N     32  SHA-256 of everything before
//! ```
//!
//! The file has secrets: the keys that recommendation ids are signed with and users are named with.
//!
//! [`restore`] makes the store of one voter, who alone is a new group with that state and expects the other voters of the
//! config, with empty disks. Its log goes on far behind the backup's, and its plan has an epoch of its own, so routers
//! that had newer plans than the backup take it. The old group's disks are none of the new group.

use crate::config::{ControlConfig, ControlConfigError};
use crate::consensus::event::GroupCopy;
use crate::consensus::log::LogPosition;
use crate::consensus::members::{DiskId, MAX_MEMBERSHIP_BYTES, MemberRole, Membership};
use crate::consensus::store::{Store, StoreError};
use crate::consensus::wire::MAX_SNAPSHOT_BYTES;
use crate::plan_machine::PlanMachine;
use bytes::Bytes;
use marquee_bundle::create_private_directory;
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"MRQBACKP";
/// The format that this release writes and reads.
const FORMAT: u32 = 1;
const CHECKSUM_BYTES: usize = 32;
/// Bytes of the largest backup: what a snapshot may have, members, and the numbers around them.
pub const MAX_BACKUP_BYTES: usize = MAX_SNAPSHOT_BYTES + MAX_MEMBERSHIP_BYTES + (1 << 10);
/// How far a new group's log goes on behind the backup that it is made of: more changes than the old group can have made
/// after it, twelve days of a thousand a second.
const RESTORED_INDEXES_AHEAD: u64 = 1 << 30;

/// Everything that a group had applied when the backup was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// A number that all nodes of the group have in common.
    pub cluster: u64,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_at_ms: u64,
    /// What the group had applied.
    pub copy: GroupCopy,
}

/// Why bytes are no backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error(
        "it does not begin as a backup of control does: take the file that `marquee ctl backup` wrote"
    )]
    Magic,
    /// A newer release wrote it.
    #[error(
        "it has format {0}, and this marquee knows format {FORMAT}: use the release that wrote it"
    )]
    Format(u32),
    /// The bytes are not those that were written.
    #[error("its checksum does not fit: it was cut off or changed; take another copy")]
    Checksum,
    /// It is larger than any backup.
    #[error("it has {0} bytes: a backup has at most {MAX_BACKUP_BYTES}")]
    TooLarge(usize),
    /// A part of it makes no sense.
    #[error("{0}: it was written by a broken or newer marquee")]
    Content(String),
}

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The config is refused.
    #[error(transparent)]
    Config(#[from] ControlConfigError),
    /// It is no backup.
    #[error("the backup cannot be read: {0}")]
    Backup(#[from] BackupError),
    /// It is of another cluster.
    #[error(
        "the backup is of another cluster than the config: cluster_name, the ids in control.voters and \
         control.replication_factor must be those of the cluster that was backed up"
    )]
    OtherCluster,
    /// The data directory cannot be made.
    #[error("control's data directory: {0}")]
    DataDir(String),
    /// The store cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Backup {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let Self { cluster, taken_at_ms, copy } = self;
        let GroupCopy { position, members, state } = copy;
        let members = members.encode();
        let mut bytes = Vec::with_capacity(state.len() + members.len() + 128);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        for number in [*cluster, *taken_at_ms, position.index, position.term] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((members.len() as u32).to_le_bytes());
        bytes.extend(&members);
        bytes.extend((state.len() as u64).to_le_bytes());
        bytes.extend(state.as_ref());
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        bytes
    }

    /// Reads the bytes of a file, which are not trusted.
    pub fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        if bytes.len() > MAX_BACKUP_BYTES {
            return Err(BackupError::TooLarge(bytes.len()));
        }
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(BackupError::Magic)?;
        let (format, _) = rest.split_first_chunk::<4>().ok_or(BackupError::Checksum)?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(BackupError::Format(format));
        }
        let (body, checksum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(BackupError::Checksum)?;
        if Sha256::digest(body).as_slice() != checksum {
            return Err(BackupError::Checksum);
        }
        let short = || BackupError::Content("a part of it is missing".into());
        let mut rest = body.get(MAGIC.len() + 4..).ok_or_else(short)?;
        let mut number = || -> Result<u64, BackupError> {
            let (word, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
            rest = after;
            Ok(u64::from_le_bytes(*word))
        };
        let (cluster, taken_at_ms, index, term) = (number()?, number()?, number()?, number()?);
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (members, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let members =
            Membership::decode(members).map_err(|error| BackupError::Content(error.to_string()))?;
        let (length, state) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        if u64::from_le_bytes(*length) != state.len() as u64 || state.len() > MAX_SNAPSHOT_BYTES {
            return Err(BackupError::Content("its state has another length than it says".into()));
        }
        let position = LogPosition { index, term };
        let copy = GroupCopy { position, members, state: Bytes::copy_from_slice(state) };
        Ok(Self { cluster, taken_at_ms, copy })
    }
}

/// Makes the data directory of a control node that is to be a new group with the state of a backup, and expects the other
/// voters of the config. Refuses a directory that has a store already. Returns the epoch of the restored plan.
pub fn restore(config: &ControlConfig, backup: &[u8]) -> Result<u64, RestoreError> {
    config.validate()?;
    let Backup { cluster, taken_at_ms: _, copy } = Backup::decode(backup)?;
    if cluster != config.cluster() {
        return Err(RestoreError::OtherCluster);
    }
    let GroupCopy { position, members: _, state } = copy;
    let ahead = |number: u64| {
        let beyond = || BackupError::Content(format!("its index {number} is beyond all bounds"));
        number.checked_add(RESTORED_INDEXES_AHEAD).ok_or_else(beyond)
    };
    let position = LogPosition { index: ahead(position.index)?, term: position.term + 1 };
    let state = PlanMachine::as_of(&state, position.index)
        .map_err(|error| BackupError::Content(error.0))?;
    let disk = DiskId::draw().map_err(RestoreError::DataDir)?;
    let mut members = Membership::founding(&config.voter_ids(), position);
    for (id, member) in &mut members.members {
        if *id == config.id {
            member.disk = Some(disk);
        } else {
            member.role = MemberRole::Joining;
        }
    }
    create_private_directory(&config.data_dir)
        .map_err(|error| RestoreError::DataDir(error.to_string()))?;
    let path = config.store_path();
    Store::restore(&path, &config.identity(), (position, disk), &members, &state)?;
    Ok(position.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backup(state: &[u8]) -> Backup {
        let begins = LogPosition { index: 7, term: 3 };
        let members = Membership::founding(&[1, 2, 3], begins);
        let position = LogPosition { index: 9, term: 3 };
        let copy = GroupCopy { position, members, state: Bytes::copy_from_slice(state) };
        Backup { cluster: 77, taken_at_ms: 1_700_000_000_000, copy }
    }

    #[test]
    fn a_file_begins_as_the_table_says() {
        let bytes = backup(b"state").encode();
        assert_eq!(&bytes[..12], b"MRQBACKP\x01\x00\x00\x00");
        assert_eq!(bytes[12..20], 77_u64.to_le_bytes());
        assert_eq!(bytes[28..44], [9_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat());
        let members = u32::from_le_bytes(bytes[44..48].try_into().expect("four")) as usize;
        assert_eq!(bytes[48 + members..56 + members], 5_u64.to_le_bytes());
        assert_eq!(&bytes[56 + members..61 + members], b"state");
        assert_eq!(bytes.len(), 61 + members + CHECKSUM_BYTES);
        assert_eq!(Backup::decode(&bytes), Ok(backup(b"state")));
    }

    #[test]
    fn what_is_no_backup_is_refused_in_words() {
        let bytes = backup(b"state").encode();
        let changed = |at: usize, to: u8| {
            let mut changed = bytes.clone();
            changed[at] = to;
            Backup::decode(&changed)
        };
        assert_eq!(Backup::decode(b""), Err(BackupError::Magic));
        assert_eq!(changed(0, b'X'), Err(BackupError::Magic));
        assert_eq!(changed(8, 2), Err(BackupError::Format(2)));
        for (at, byte) in bytes.iter().enumerate().skip(12) {
            assert_eq!(changed(at, !byte), Err(BackupError::Checksum), "byte {at}");
        }
        for length in MAGIC.len() + 4..bytes.len() {
            assert_eq!(Backup::decode(&bytes[..length]), Err(BackupError::Checksum), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_state_comes_back_and_no_bytes_panic(
            state in prop::collection::vec(any::<u8>(), 0..300),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let whole = backup(&state);
            prop_assert_eq!(Backup::decode(&whole.encode()), Ok(whole));
            // With a checksum that fits, too.
            let mut forged = [MAGIC.as_slice(), &FORMAT.to_le_bytes(), &noise].concat();
            let checksum = Sha256::digest(&forged);
            forged.extend(checksum);
            prop_assert!(matches!(Backup::decode(&forged), Err(BackupError::Content(_)) | Ok(_)));
        }
    }
}
