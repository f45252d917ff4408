//! What happens to a voter, what it does, and what it says of itself.

use super::store::StoreError;
use super::wire::MAX_COMMAND_BYTES;
use crate::machine::MachineError;
use marquee_proto::raft::v1 as pb;

/// Changes that may wait for their commit at once; each is a caller's request.
pub(crate) const MAX_PENDING: usize = 1_024;

/// How a voter runs.
#[derive(Clone, Debug)]
pub struct VoterConfig {
    /// Ticks without word from the leader until a voter stands for election, at least; and the
    /// range above it from which the actual number is drawn.
    pub election_ticks: std::ops::Range<usize>,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
    /// Applied entries after which a snapshot is written.
    pub snapshot_every: u64,
    /// Bytes of applied entries after which a snapshot is written.
    pub snapshot_every_bytes: u64,
    /// Entries kept before a snapshot for followers that are a little behind.
    pub keep_entries: u64,
    /// Different at every start of the same voter.
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

/// All that can happen to a voter. `T` is where an answer goes.
#[derive(Debug)]
pub enum Event<T> {
    /// Time went by.
    Tick,
    /// Another voter says something.
    Message(Box<pb::Message>),
    /// Somebody wants a command in the log.
    Propose {
        /// The encoded command.
        command: Vec<u8>,
        /// Who hears what it came to.
        reply: T,
    },
    /// Somebody wants to read what was committed up to now.
    Read {
        /// Who hears when this voter has it.
        reply: T,
    },
    /// This voter stands for election now.
    Campaign,
    /// Leadership should move.
    Transfer {
        /// To whom.
        to: u64,
    },
    /// Leadership should move to whoever is fittest, if this voter has it.
    Resign,
    /// The network lost messages to a voter.
    Unreachable {
        /// To whom.
        voter: u64,
    },
    /// A snapshot went out to a voter, or could not.
    SnapshotSent {
        /// To whom.
        voter: u64,
        /// Whether it did.
        sent: bool,
    },
}

/// All that a voter does to the world.
#[derive(Debug)]
pub enum Effect<T> {
    /// A message to another voter.
    Send(pb::Message),
    /// An answer.
    Answer {
        /// To whom.
        reply: T,
        /// What.
        result: Result<Answer, Refused>,
    },
}

/// What a caller hears when all went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command was committed and applied, with this outcome.
    Applied {
        /// Its index.
        index: u64,
        /// What the state machine said.
        outcome: Vec<u8>,
    },
    /// Everything that was committed when the caller asked is applied here.
    UpToDate,
}

/// Why a request has no answer. None of them says that a command was not, or will not be, applied
/// except [`Refused::NotLeader`], [`Refused::Busy`] and [`Refused::TooLarge`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another voter leads, or nobody does.
    #[error("this control node does not lead")]
    NotLeader {
        /// Who does, as far as known.
        leader: Option<u64>,
    },
    /// Leadership moved while the command was on its way.
    #[error("leadership moved before the change was committed: retry with the same request id")]
    Lost,
    /// Too much is under way.
    #[error("{MAX_PENDING} changes are waiting to be committed: retry later")]
    Busy,
    /// The command is larger than any that makes sense.
    #[error("the change has {bytes} bytes: at most {MAX_COMMAND_BYTES} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
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
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A committed command or a snapshot cannot be applied here.
    #[error("entry {index} of the control log cannot be applied: {error}")]
    Machine {
        /// Which entry, or the snapshot's index.
        index: u64,
        /// Why.
        error: MachineError,
    },
    /// The leader remembers acknowledgements that the store does not.
    #[error(
        "the leader knows {acknowledged} entries that this voter had acknowledged, but its log ends at {last}: \
         its disk was lost or put back to an older state; remove its data directory and start it with a \
         new voter id"
    )]
    Forgotten {
        /// What the leader knows.
        acknowledged: u64,
        /// What the log has.
        last: u64,
    },
    /// Its directory cannot be made.
    #[error("control.data_dir: {0}")]
    DataDir(String),
    /// Raft refused its configuration or state.
    #[error("raft: {0}")]
    Raft(String),
}

/// What others may know of a voter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoterStatus {
    /// Its id.
    pub id: u64,
    /// Who leads, 0: nobody that it knows of.
    pub leader: u64,
    /// Raft's term.
    pub term: u64,
    /// The last applied index.
    pub applied: u64,
}

impl VoterStatus {
    /// Whether the voter itself leads.
    pub fn leads(&self) -> bool {
        self.leader == self.id && self.id != 0
    }
}
