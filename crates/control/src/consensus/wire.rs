//! Raft's messages and entries in our own protobuf, and back, checked.
//!
//! Raft's generated types never leave this module's neighbours: what comes from the network or the
//! disk is decoded with our bounds first, and every shape that would make raft panic (gaps between
//! entries, local messages, a read without its context) is refused here.

use super::chain::ChainPoint;
use super::log::LogPosition;
use super::members::admission::Envelope;
use super::members::{DiskId, MAX_MEMBERSHIP_BYTES, Membership};
use bytes::{Bytes, BytesMut};
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use protobuf::ProtobufEnum as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType, Snapshot};

/// Bytes of one encoded command: the largest is a node's report of its replicas.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;
/// Bytes of a snapshot of the state machine. The plan of a hundred nodes takes well under one MiB;
/// this bounds what a receiver must be ready to hold.
pub const MAX_SNAPSHOT_BYTES: usize = 64 << 20;
/// Bytes of entries that raft puts in one message, one entry at least.
pub(crate) const MAX_ENTRIES_BYTES: u64 = 1 << 20;
/// Bytes of one message between voters: a snapshot and its envelope.
pub const MAX_RAFT_MESSAGE_BYTES: usize = MAX_SNAPSHOT_BYTES + (1 << 20);
/// Entries in one message: no voter sends more, since the log is compacted long before.
const MAX_ENTRIES: usize = 1 << 16;
/// Bytes of a read's context: ours have 24, leadership transfers say "CampaignTransfer".
const MAX_CONTEXT_BYTES: usize = 64;
/// Voters in a snapshot.
const MAX_VOTERS: usize = 16;
/// Bytes of raft's own form of a change of its configuration: a few numbers a member.
const MAX_CHANGE_BYTES: usize = 1 << 10;

/// Why a raft message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No message in the request.
    #[error("message is missing")]
    Missing,
    /// A type that does not exist or that no voter sends to another.
    #[error("message.type {0} is not one that voters send each other")]
    MessageType(u32),
    /// An entry of a type that this release does not write.
    #[error(
        "entry {index} has type {kind}: it was written by a newer marquee, upgrade this node first"
    )]
    EntryType {
        /// The entry's index.
        index: u64,
        /// The entry's type.
        kind: u32,
    },
    /// Something is larger than any voter makes it.
    #[error("message.{field} has {size}: at most {max} are allowed")]
    TooLarge {
        /// The part that is too large.
        field: &'static str,
        /// The part's size.
        size: usize,
        /// The part's bound.
        max: usize,
    },
    /// Entries with gaps, of decreasing terms, or not where the message says.
    #[error("message.entries are not contiguous from index {0}")]
    Gap(u64),
    /// An entry or a snapshot has members that make no sense.
    #[error("message has members that make no sense, at index {index}: {why}")]
    Members {
        /// The index of the entry or the snapshot.
        index: u64,
        /// What is wrong with them.
        why: String,
    },
    /// A part that the type needs is missing or out of place.
    #[error("message.{0} does not fit its type")]
    Shape(&'static str),
}

/// What goes with a raft message beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Disks and members.
    pub(crate) envelope: Envelope,
    /// Where the sender's chain stands.
    pub(crate) chain: Option<ChainPoint>,
    /// Whether the addressee is told that it has diverged at `chain`.
    pub(crate) diverged: bool,
}

impl Beside {
    /// Reads what goes with a message.
    pub(crate) fn of(message: &pb::Message) -> Result<Self, WireError> {
        let disk = |bytes: &Bytes, field| DiskId::from_wire(bytes).ok_or(WireError::Shape(field));
        let envelope = Envelope {
            from: message.from,
            from_disk: disk(&message.from_disk, "from_disk")?,
            to_disk: disk(&message.to_disk, "to_disk")?,
            members_at: message.members_at,
        };
        let chain = match &message.chain {
            None => None,
            Some(point) => Some(ChainPoint::from_wire(point).ok_or(WireError::Shape("chain"))?),
        };
        Ok(Self { envelope, chain, diverged: message.diverged })
    }
}

/// The wire form of a raft message, with what goes with it.
pub(crate) fn message_to_wire(message: Message, beside: &Beside) -> pb::Message {
    let snapshot = message.has_snapshot().then(|| snapshot_to_wire(message.get_snapshot()));
    let Beside { envelope, chain, diverged } = *beside;
    pb::Message {
        from_disk: DiskId::to_wire(envelope.from_disk),
        to_disk: DiskId::to_wire(envelope.to_disk),
        members_at: envelope.members_at,
        chain: chain.map(ChainPoint::to_wire),
        diverged,
        greeting: None,
        r#type: message.get_msg_type().value() as u32,
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: message.entries.into_iter().map(entry_to_wire).collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot,
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
        priority: message.priority,
    }
}

/// Reads a raft message from its wire form, and refuses what would make raft panic.
pub(crate) fn message_from_wire(message: pb::Message) -> Result<Message, WireError> {
    let pb::Message {
        r#type,
        to,
        from,
        term,
        log_term,
        index,
        entries,
        commit,
        commit_term,
        snapshot,
        request_snapshot,
        reject,
        reject_hint,
        context,
        priority,
        // What goes beside is read by `Beside`, a greeting by the voter.
        from_disk: _,
        to_disk: _,
        members_at: _,
        chain: _,
        diverged: _,
        greeting,
    } = message;
    if greeting.is_some() {
        return Err(WireError::Shape("greeting"));
    }
    let kind = message_type(r#type)?;
    at_most("context", context.len(), MAX_CONTEXT_BYTES)?;
    at_most("entries", entries.len(), MAX_ENTRIES)?;
    let entries = entries.into_iter().map(entry_from_wire).collect::<Result<Vec<_>, _>>()?;
    // Only these have no term: they pass a request on to the leader.
    let wish = matches!(kind, MessageType::MsgReadIndex | MessageType::MsgTransferLeader);
    if term == 0 && !wish {
        return Err(WireError::Shape("term"));
    }
    check_entries(kind, index, log_term, term, &entries)?;
    if snapshot.is_some() != (kind == MessageType::MsgSnapshot) {
        return Err(WireError::Shape("snapshot"));
    }
    let mut out = Message::default();
    out.set_msg_type(kind);
    out.to = to;
    out.from = from;
    out.term = term;
    out.log_term = log_term;
    out.index = index;
    out.set_entries(entries.into());
    out.commit = commit;
    out.commit_term = commit_term;
    if let Some(snapshot) = snapshot {
        out.set_snapshot(snapshot_from_wire(snapshot)?);
    }
    out.request_snapshot = request_snapshot;
    out.reject = reject;
    out.reject_hint = reject_hint;
    out.context = context;
    out.priority = priority;
    Ok(out)
}

/// The type that a number of the wire means, of those that voters send each other.
pub(crate) fn message_type(value: u32) -> Result<MessageType, WireError> {
    let refused = || WireError::MessageType(value);
    let kind = i32::try_from(value).ok().and_then(MessageType::from_i32).ok_or_else(refused)?;
    match kind {
        MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTransferLeader
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => Ok(kind),
        // Local to a voter; and proposals travel by their own RPC, which has an outcome.
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => Err(refused()),
    }
}

fn check_entries(
    kind: MessageType,
    index: u64,
    log_term: u64,
    term: u64,
    entries: &[Entry],
) -> Result<(), WireError> {
    match kind {
        MessageType::MsgAppend => {
            let mut last_term = log_term;
            for (entry, n) in entries.iter().zip(1..) {
                let due = index.checked_add(n).ok_or(WireError::Gap(index))?;
                if entry.index != due || entry.term < last_term || entry.term > term {
                    return Err(WireError::Gap(index));
                }
                last_term = entry.term;
            }
            Ok(())
        }
        // The entry carries the read's context.
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => match entries {
            [entry] => at_most("entries[0].data", entry.data.len(), MAX_CONTEXT_BYTES),
            _ => Err(WireError::Shape("entries")),
        },
        _ if entries.is_empty() => Ok(()),
        _ => Err(WireError::Shape("entries")),
    }
}

/// The form of an entry on the wire and in the store.
pub(crate) fn entry_to_wire(entry: Entry) -> pb::Entry {
    pb::Entry {
        r#type: entry.get_entry_type().value() as u32,
        term: entry.term,
        index: entry.index,
        data: entry.data,
        context: entry.context,
    }
}

/// Reads an entry from its wire form, and refuses types that this release does not write.
pub(crate) fn entry_from_wire(entry: pb::Entry) -> Result<Entry, WireError> {
    let pb::Entry { r#type, term, index, data, context } = entry;
    let known = [EntryType::EntryNormal, EntryType::EntryConfChangeV2];
    let kind = known.into_iter().find(|known| known.value() as u32 == r#type);
    let kind = kind.ok_or(WireError::EntryType { index, kind: r#type })?;
    at_most("entry.data", data.len(), MAX_COMMAND_BYTES)?;
    at_most("entry.context", context.len(), MAX_MEMBERSHIP_BYTES)?;
    let changes_votes = kind == EntryType::EntryConfChangeV2;
    if changes_votes || !context.is_empty() {
        Membership::decode(&context)
            .map_err(|error| WireError::Members { index, why: error.to_string() })?;
        at_most("entry.data", data.len(), if changes_votes { MAX_CHANGE_BYTES } else { 0 })?;
    }
    let mut read = Entry { term, index, data, context, ..Entry::default() };
    read.set_entry_type(kind);
    Ok(read)
}

/// Whether an entry has members instead of a command.
pub(crate) fn has_members(entry: &Entry) -> bool {
    entry.get_entry_type() == EntryType::EntryConfChangeV2 || !entry.context.is_empty()
}

fn snapshot_to_wire(snapshot: &Snapshot) -> pb::Snapshot {
    let meta = snapshot.get_metadata();
    let voters = meta.get_conf_state().voters.clone();
    // It was packed here, or checked when it was read.
    let Packed { members, chain, data } = unpack_snapshot(snapshot).unwrap_or_default();
    pb::Snapshot {
        index: meta.index,
        term: meta.term,
        voters,
        data,
        members: Some(members.to_wire()),
        chain: chain.map_or_else(Bytes::new, |point| Bytes::copy_from_slice(&point.hash)),
    }
}

fn snapshot_from_wire(snapshot: pb::Snapshot) -> Result<Snapshot, WireError> {
    let pb::Snapshot { index, term, voters, data, members, chain } = snapshot;
    at_most("snapshot.voters", voters.len(), MAX_VOTERS)?;
    at_most("snapshot.data", data.len(), MAX_SNAPSHOT_BYTES)?;
    if index == 0 || term == 0 || voters.is_empty() {
        return Err(WireError::Shape("snapshot"));
    }
    let members = match members {
        Some(members) => Membership::from_wire(members)
            .map_err(|error| WireError::Members { index, why: error.to_string() })?,
        // An older release sent it: its members never changed.
        None => {
            Membership::founding(&voters, LogPosition { index: super::store::FIRST_INDEX, term: 1 })
        }
    };
    if members.conf_state().voters != voters || members.index > index {
        return Err(WireError::Shape("snapshot.members"));
    }
    let chain = if chain.is_empty() {
        None
    } else {
        let point = pb::ChainPoint { index, hash: chain };
        Some(ChainPoint::from_wire(&point).ok_or(WireError::Shape("snapshot.chain"))?)
    };
    Ok(pack_snapshot(LogPosition { index, term }, &Packed { members, chain, data }))
}

/// What a snapshot of the log has: the members and the chain at its index, and the state of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Packed {
    /// The members at the index of the snapshot.
    pub(crate) members: Membership,
    /// Where the chain stands; none: it has not begun.
    pub(crate) chain: Option<ChainPoint>,
    /// The state of the machine, encoded.
    pub(crate) data: Bytes,
}

/// Bytes of the length before the head of a packed snapshot.
const LENGTH_BYTES: usize = 4;

/// Raft's form of a snapshot. Raft has a place for data only, so members and chain go before it.
pub(crate) fn pack_snapshot(position: LogPosition, packed: &Packed) -> Snapshot {
    let Packed { members, chain, data } = packed;
    let head = pb::Snapshot {
        index: position.index,
        members: Some(members.to_wire()),
        chain: chain.map_or_else(Bytes::new, |point| Bytes::copy_from_slice(&point.hash)),
        ..pb::Snapshot::default()
    };
    let head = head.encode_to_vec();
    let mut body = BytesMut::with_capacity(LENGTH_BYTES + head.len() + data.len());
    body.extend_from_slice(&(head.len() as u32).to_le_bytes());
    body.extend_from_slice(&head);
    body.extend_from_slice(data);
    let mut snapshot = Snapshot { data: body.freeze(), ..Snapshot::default() };
    let meta = snapshot.mut_metadata();
    meta.index = position.index;
    meta.term = position.term;
    meta.set_conf_state(members.conf_state());
    snapshot
}

/// The parts of a snapshot that [`pack_snapshot`] made; none of anything else.
pub(crate) fn unpack_snapshot(snapshot: &Snapshot) -> Option<Packed> {
    let body = &snapshot.data;
    let length = u32::from_le_bytes(*body.first_chunk::<LENGTH_BYTES>()?);
    let end = LENGTH_BYTES.checked_add(usize::try_from(length).ok()?)?;
    let head = pb::Snapshot::decode(body.get(LENGTH_BYTES..end)?).ok()?;
    let members = Membership::from_wire(head.members?).ok()?;
    let chain = if head.chain.is_empty() {
        None
    } else {
        Some(ChainPoint::from_wire(&pb::ChainPoint { index: head.index, hash: head.chain })?)
    };
    Some(Packed { members, chain, data: body.slice(end..) })
}

fn at_most(field: &'static str, size: usize, max: usize) -> Result<(), WireError> {
    if size > max { Err(WireError::TooLarge { field, size, max }) } else { Ok(()) }
}

/// Whether this is the wish that a voter should lead. It is in the name of that voter, also where another one sends it.
pub(crate) fn is_wish_to_lead(message: &pb::Message) -> bool {
    message.r#type == MessageType::MsgTransferLeader as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append() -> pb::Message {
        let entry = |index, term| pb::Entry { index, term, data: "x".into(), ..Default::default() };
        pb::Message {
            r#type: MessageType::MsgAppend.value() as u32,
            to: 1,
            from: 2,
            term: 4,
            log_term: 2,
            index: 6,
            entries: vec![entry(7, 3), entry(8, 4)],
            commit: 6,
            ..Default::default()
        }
    }

    #[test]
    fn messages_survive_the_journey() {
        let wire = append();
        let there = message_from_wire(wire.clone()).expect("valid");
        assert_eq!(message_to_wire(there, &Beside::default()), wire);
        let members = Membership::founding(&[1, 2, 3], LogPosition { index: 1, term: 1 });
        let snapshot = pb::Message {
            r#type: MessageType::MsgSnapshot.value() as u32,
            entries: vec![],
            snapshot: Some(pb::Snapshot {
                index: 9,
                term: 3,
                voters: vec![1, 2, 3],
                data: "state".into(),
                members: Some(members.to_wire()),
                chain: vec![7; 32].into(),
            }),
            ..append()
        };
        let there = message_from_wire(snapshot.clone()).expect("valid");
        assert_eq!(message_to_wire(there, &Beside::default()), snapshot);
    }

    #[test]
    fn what_would_break_raft_is_refused() {
        let refused = |change: fn(&mut pb::Message)| {
            let mut message = append();
            change(&mut message);
            message_from_wire(message).expect_err("refused")
        };
        assert_eq!(refused(|m| m.entries[1].index = 9), WireError::Gap(6));
        assert_eq!(refused(|m| m.entries[1].term = 2), WireError::Gap(6));
        assert_eq!(refused(|m| m.entries[1].term = 5), WireError::Gap(6));
        assert_eq!(refused(|m| m.index = u64::MAX), WireError::Gap(u64::MAX));
        assert_eq!(refused(|m| m.term = 0), WireError::Shape("term"));
        assert_eq!(
            refused(|m| m.snapshot = Some(pb::Snapshot::default())),
            WireError::Shape("snapshot")
        );
        assert_eq!(refused(|m| m.r#type = 0), WireError::MessageType(0));
        assert_eq!(refused(|m| m.r#type = u32::MAX), WireError::MessageType(u32::MAX));
        assert_eq!(
            refused(|m| m.r#type = MessageType::MsgReadIndex.value() as u32),
            WireError::Shape("entries")
        );
        assert_eq!(
            refused(|m| m.entries[0].r#type = 1),
            WireError::EntryType { index: 7, kind: 1 }
        );
        assert!(matches!(
            refused(|m| m.entries[0].data = vec![0; MAX_COMMAND_BYTES + 1].into()),
            WireError::TooLarge { field: "entry.data", .. }
        ));
    }
}
