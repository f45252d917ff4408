//! The interface of a voter: what happens to it, what it does, and its status.

use super::log::LogPosition;
use super::members::change::{ChangeRefused, VoterChange};
use super::members::{DiskId, Membership};
use super::store::StoreError;
use super::wire::MAX_COMMAND_BYTES;
use crate::machine::MachineError;
use bytes::Bytes;
use marquee_proto::raft::v1 as pb;
use std::collections::BTreeMap;

/// How many changes may wait for their commit at once; each is a caller's request.
pub(crate) const MAX_PENDING: usize = 1_024;

/// How a voter runs.
#[derive(Clone, Debug)]
pub struct VoterConfig {
    /// The range from which a voter draws after how many ticks without word from the leader it stands for election.
    pub election_ticks: std::ops::Range<usize>,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
    /// Applied entries after which a snapshot is written.
    pub snapshot_every: u64,
    /// Bytes of applied entries after which a snapshot is written.
    pub snapshot_every_bytes: u64,
    /// Entries kept before a snapshot for followers that are a little behind.
    pub keep_entries: u64,
    /// A number that differs at every start of the same voter.
    pub incarnation: u64,
}

impl Default for VoterConfig {
    fn default() -> Self {
        Self {
            election_ticks: 10..20,
            heartbeat_ticks: 2,
            snapshot_every: 1_000,
            snapshot_every_bytes: 8 << 20,
            keep_entries: 500,
            incarnation: 0,
        }
    }
}

/// All that can happen to a voter. `T` is where a reply goes.
#[derive(Debug)]
pub enum RaftEvent<T> {
    /// One tick of time has passed.
    Tick,
    /// A message of another voter arrived.
    Message(Box<pb::Message>),
    /// A caller proposes a command.
    Propose {
        /// The encoded command.
        command: Vec<u8>,
        /// Where its outcome goes.
        reply: T,
    },
    /// A caller wants to read everything that was committed up to now.
    Read {
        /// Where the news goes that this voter has applied it.
        reply: T,
    },
    /// An operator wants the members changed.
    ChangeVoters {
        /// The change that is asked for.
        change: VoterChange,
        /// Where the members after it go.
        reply: T,
    },
    /// A caller wants everything that is applied here.
    Copy {
        /// Where the copy goes.
        reply: T,
    },
    /// This voter stands for election now.
    Campaign,
    /// Leadership should move to another voter.
    Transfer {
        /// The raft id of that voter.
        to: u64,
    },
    /// Leadership should move to the voter with the most of the log, if this voter leads.
    Resign,
    /// The network lost messages to a voter.
    Unreachable {
        /// The raft id of that voter.
        voter: u64,
    },
    /// A snapshot was sent to a voter, or could not be sent.
    SnapshotSent {
        /// The raft id of that voter.
        voter: u64,
        /// Whether it was sent.
        sent: bool,
    },
}

/// All that a voter does to the world.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most effects are messages, and none is kept")]
pub enum Effect<T> {
    /// Sends a message to another voter.
    Send(pb::Message),
    /// Replies to a caller.
    Reply {
        /// Where the reply goes.
        reply: T,
        /// What the voter replies, or why it refused.
        result: Result<VoterReply, Refused>,
    },
}

/// What a caller gets when its request was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterReply {
    /// The command was committed and applied, with this outcome.
    Applied {
        /// The command's index in the log.
        index: u64,
        /// The outcome that the state machine gave, encoded.
        outcome: Vec<u8>,
    },
    /// Everything that was committed when the caller asked is applied here.
    UpToDate,
    /// The members were changed to these.
    Changed(Membership),
    /// Everything that is applied here.
    Copy(GroupCopy),
}

/// Everything that a group has applied at one index: what a backup has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCopy {
    /// The last entry in it.
    pub position: LogPosition,
    /// The members at that entry.
    pub members: Membership,
    /// The state machine's snapshot.
    pub state: Bytes,
}

/// Why a request has no reply. None of them says that a command was not, or will not be, applied
/// except [`Refused::NotLeader`], [`Refused::Busy`], [`Refused::TooLarge`], [`Refused::Unreadable`] and
/// [`Refused::Change`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another voter leads, or none does.
    #[error("this control node does not lead")]
    NotLeader {
        /// The raft id of the leader, as far as known.
        leader: Option<u64>,
    },
    /// Leadership moved while the command was on its way.
    #[error("leadership moved before the change was committed: retry with the same request id")]
    Lost,
    /// Too many changes wait to be committed.
    #[error("{MAX_PENDING} changes are waiting to be committed: retry later")]
    Busy,
    /// The command is larger than its bound.
    #[error("the change has {bytes} bytes: at most {MAX_COMMAND_BYTES} are allowed")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The state machine cannot read the command, so it gets no place in the log.
    #[error("the change cannot be read: {0}")]
    Unreadable(MachineError),
    /// The members are not changed.
    #[error("the voters are not changed: {0}")]
    Change(ChangeRefused),
    /// No leader confirmed a read in time.
    #[error("no leader: the control nodes have not agreed on one")]
    NoLeader,
    /// The voter stopped, or opens its store again after a failure.
    #[error("this control node is not running: {0}")]
    Stopped(String),
}

/// Why a voter ended. The driver opens it again from its store.
#[derive(Debug, thiserror::Error)]
pub enum VoterError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A committed command or a snapshot cannot be applied here.
    #[error("entry {index} of the control log cannot be applied: {error}")]
    Machine {
        /// The entry's index, or the snapshot's.
        index: u64,
        /// Why it cannot be applied.
        error: MachineError,
    },
    /// An entry of the log cannot be read, found before anything is applied.
    #[error(
        "entry {index} of the control log, which is {known}, cannot be read: {error}; if none does, the entry is \
         forged or damaged: put this node's data directory back from a copy, or move it away, start the node and run \
         `marquee ctl voters replace` with its id"
    )]
    Unreadable {
        /// The entry's index.
        index: u64,
        /// Whether it is known to be committed, in words.
        known: &'static str,
        /// Why it cannot be read.
        error: MachineError,
    },
    /// The leader knows of acknowledgements that the store does not have.
    #[error(
        "the leader knows {acknowledged} entries that this voter had acknowledged, but its log ends at {last}: \
         its disk was lost or put back to an older state; move its data directory away, start it and run \
         `marquee ctl voters replace` with its id"
    )]
    Forgotten {
        /// The index that the leader knows to be acknowledged.
        acknowledged: u64,
        /// The last index of the log.
        last: u64,
    },
    /// The data directory cannot be made.
    #[error("control.data_dir: {0}")]
    DataDir(String),
    /// A committed change of the members does not follow on those here.
    #[error(
        "entry {index} of the control log changes the members in a way that this voter cannot follow: {why}"
    )]
    Members {
        /// The entry's index.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Raft refused its configuration or state.
    #[error("raft: {0}")]
    Raft(String),
}

/// What a voter knows of the members of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The members, as far as applied here.
    pub members: Membership,
    /// Members that others have named and that this voter may not go by yet, to be reached.
    pub contacts: Membership,
    /// The disk of this voter.
    pub disk: Option<DiskId>,
    /// What is wrong with members and what to do, by raft id, as far as this voter knows.
    pub troubles: BTreeMap<u64, String>,
}

/// What a voter shows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoterStatus {
    /// The voter's raft id.
    pub id: u64,
    /// The raft id of the leader; 0: none that it knows of.
    pub leader: u64,
    /// The raft term.
    pub term: u64,
    /// The index of the last entry that it has applied.
    pub applied: u64,
    /// How many entries its log has after the last snapshot.
    pub entries: u64,
}

impl VoterStatus {
    /// Whether the voter itself leads.
    pub fn leads(&self) -> bool {
        self.leader == self.id && self.id != 0
    }
}
