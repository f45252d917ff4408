//! Which messages a voter takes, by the disks that they come from and are for.
//!
//! Raft's safety rests on this: a vote or an acknowledgement counts only if it comes from the disk that the receiver's
//! configuration has, and is given only to who means this disk. A *request* (an append, a heartbeat, a snapshot, a
//! question for a vote) may come from a member that the receiver does not know yet, since raft brings a voter up to date
//! by requests of a newer configuration. An *answer* may not.

use super::disk::DiskId;
use super::membership::Membership;
use marquee_core::planted::{PlantedBug, is_planted};
use raft::eraftpb::MessageType;

/// What a message says of disks and members beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The raft id of the sender.
    pub(crate) from: u64,
    /// The disk of the sender; none: an older release sent it.
    pub(crate) from_disk: Option<DiskId>,
    /// The disk that the sender takes for the addressee's; none: it knows of none.
    pub(crate) to_disk: Option<DiskId>,
    /// The index of the entry that made the members that the sender goes by.
    pub(crate) members_at: u64,
}

/// The receiver of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver<'a> {
    /// Its raft id.
    pub(crate) id: u64,
    /// The id of the disk that it writes to.
    pub(crate) disk: DiskId,
    /// Whether its disk has anything of a group.
    pub(crate) has_history: bool,
    /// The members that it goes by.
    pub(crate) members: &'a Membership,
}

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    /// It is for another disk of this id.
    #[error("it is for voter {id} on disk {meant}, and this disk is {ours}")]
    OtherDisk { id: u64, meant: DiskId, ours: DiskId },
    /// It is for no disk that its sender knows of, and this one must not guess.
    #[error("its sender does not know this disk, which is {ours}")]
    UnknownDisk { ours: DiskId },
    /// It comes from another disk than the group's.
    #[error("voter {from} has disk {known} in this group, and it comes from another disk")]
    FromOtherDisk { from: u64, known: DiskId },
    /// It comes from none of the group.
    #[error("voter {from} is none of this group, as of entry {members_at}")]
    NotAMember { from: u64, members_at: u64 },
}

/// How a kind of message is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It asks something of the receiver.
    Request,
    /// It counts for something at the receiver.
    Answer,
    /// It is a wish in another voter's name, which changes nothing that counts.
    Wish,
}

fn kind_of(kind: MessageType) -> Kind {
    match kind {
        MessageType::MsgAppendResponse
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgReadIndex => Kind::Answer,
        MessageType::MsgTransferLeader => Kind::Wish,
        _ => Kind::Request,
    }
}

/// Whether this kind of message asks something of its receiver.
pub(crate) fn is_request(kind: MessageType) -> bool {
    kind_of(kind) == Kind::Request
}

/// Whether the receiver takes a message.
pub(crate) fn admit(
    kind: MessageType,
    envelope: &Envelope,
    receiver: &Receiver<'_>,
) -> Result<(), NotAdmitted> {
    let Envelope { from, from_disk, to_disk, members_at } = *envelope;
    let Receiver { id, disk: ours, has_history, members } = *receiver;
    let kind = kind_of(kind);
    if is_planted(PlantedBug::VoteOfEmptyDisk) {
        return Ok(());
    }
    if kind == Kind::Wish {
        return if members.members.contains_key(&from) {
            Ok(())
        } else {
            Err(NotAdmitted::NotAMember { from, members_at: members.index })
        };
    }
    match to_disk {
        Some(meant) if meant == ours => {}
        Some(meant) => return Err(NotAdmitted::OtherDisk { id, meant, ours }),
        // A group of an older release knows no disks. A disk without a history may be the second one of its voter.
        None if has_history && members.disk(id).is_none() => {}
        None => return Err(NotAdmitted::UnknownDisk { ours }),
    }
    let is_newer = members_at > members.index;
    match members.members.get(&from).map(|member| member.disk) {
        Some(Some(known)) if from_disk == Some(known) => Ok(()),
        Some(None) => Ok(()),
        _ if kind == Kind::Request && is_newer => Ok(()),
        Some(Some(known)) => Err(NotAdmitted::FromOtherDisk { from, known }),
        None => Err(NotAdmitted::NotAMember { from, members_at: members.index }),
    }
}
