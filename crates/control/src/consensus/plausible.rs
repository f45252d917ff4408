//! Which messages of other voters an honest one could have sent: checked before raft sees them.
//!
//! Raft trusts its peers. It takes any larger term as its own, panics on a commit that its log does not reach
//! or on entries that do not go on from it, and follows whichever voter says that it leads. So one message of
//! a broken or hostile voter could stop a group for good. [`check_standing`] is a pure function of a message
//! and of where this voter stands; [`Terms`] bounds how far and how often others raise the term. What
//! [`super::wire`] refuses has no shape; what is refused here has one, but no honest voter sends it.
//!
//! A leader that sends what no honest leader sends is not followed for some seconds. Otherwise it could go on to lead a
//! group that takes nothing of it: its heartbeats alone would keep it there. By then the voters that it lied to have
//! elected another one. Where they are too few for that, the group goes on without them, so they must follow again.
//!
//! What cannot be seen from one voter is not here: a hostile voter that wins an election leads, and can commit
//! any command that decodes, and acknowledge what it does not have.

use super::log::LogPosition;
use super::reads::CONTEXT_BYTES;
use super::wire::{MAX_COMMAND_BYTES, MAX_ENTRIES_BYTES};
use crate::machine::MachineError;
use raft::eraftpb::{Message, MessageType};
use std::collections::BTreeMap;

/// The last term and the last index that a voter takes or starts from. An election takes half a second and a
/// commit a sync, so no honest group comes near in its life; above it, additions could overflow.
pub(crate) const LAST_NUMBER: u64 = 1 << 62;
/// How far others may raise the term of this voter, all of them together, from its start on. A term grows by one an
/// election, of which there are two a second at the most, so this is half a day of nothing but elections while
/// this voter was away. A voter that was away for more waits as long as the elections took.
pub(crate) const MAX_TERMS_AHEAD: u64 = 100_000;
/// Ticks after which others may raise the term by one more: as fast as elections can follow on one another. There is no
/// bound to what adds up. So what one voter was made to believe, the others will believe of it.
const TICKS_PER_TERM: u64 = 10;
/// How far the log of a voter may be ahead of ours: two years at a thousand commits a second.
const MAX_INDEXES_AHEAD: u64 = 1 << 36;
/// How often a voter may raise our term without a pause: more than a stormy minute of elections brings.
const MAX_RAISES: u32 = 16;
/// Ticks after which a voter may raise our term once more: five seconds. So a voter that raises it whenever it
/// may leaves the group most of the time to write.
const TICKS_PER_RAISE: u64 = 100;
/// Ticks for which a leader is not followed that sent what no honest leader sends: five seconds, ten times as long as an
/// election takes.
pub(crate) const DISTRUST_TICKS: u64 = 100;
/// What raft writes into the context of a vote request when leadership is handed over.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// Why no honest voter would have sent a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Implausible {
    /// A term or an index from which no log goes on.
    #[error("its {field} is {value}: no group comes beyond {LAST_NUMBER}")]
    Number { field: &'static str, value: u64 },
    /// The term is too far ahead.
    #[error(
        "its term is {ahead} ahead of ours: {allowed} are believed, more with time, as many as there can have been \
         elections"
    )]
    TermAhead { ahead: u64, allowed: u64 },
    /// A voter raises the term again and again.
    #[error("it raised the term {MAX_RAISES} times, faster than elections do")]
    TermRaised,
    /// The log is too far ahead.
    #[error("its {field} is {ahead} ahead of our log: at most {MAX_INDEXES_AHEAD} are believed")]
    IndexAhead { field: &'static str, ahead: u64 },
    /// The term of a place in the log does not fit the message's term.
    #[error("its {field} {value} does not fit its term {term}")]
    LogTerm { field: &'static str, value: u64, term: u64 },
    /// Two voters say that they lead in one term.
    #[error("it says that it leads in term {term}, in which voter {known} does")]
    SecondLeader { term: u64, known: u64 },
    /// The leader of this term has sent what no honest leader sends.
    #[error(
        "it has just sent what no honest leader sends, and is not followed in term {term} for some seconds"
    )]
    Distrusted { term: u64 },
    /// Only the leader sends this.
    #[error("{kind:?} comes from the leader only")]
    NotFromLeader { kind: MessageType },
    /// Only a leader is sent this.
    #[error("{kind:?} goes to a leader only, and this voter does not lead")]
    NotToLeader { kind: MessageType },
    /// It answers what this leader never sent.
    #[error("its {field} is {value}, and our log ends at {last}")]
    NeverSent { field: &'static str, value: u64, last: u64 },
    /// A leader that knows acknowledgements that this voter does not have.
    #[error(
        "the leader knows {acknowledged} entries that this voter had acknowledged, but its log ends at {last}: \
         its disk was lost or put back to an older state; move its data directory away, start it and run \
         `marquee ctl voters replace` with its id"
    )]
    Forgotten { acknowledged: u64, last: u64 },
    /// It has another entry than this voter, at an index up to which all is committed.
    #[error(
        "it has an entry of term {theirs} at index {index}, where an entry of term {ours} is committed here: one of the two \
         voters has diverged from the group; move the data directory of the one whose changes are missing away, start it \
         and run `marquee ctl voters replace` with its id"
    )]
    Committed { index: u64, theirs: u64, ours: u64 },
    /// A part that this release's voters never fill.
    #[error("its {0} is not one that voters send")]
    Unused(&'static str),
    /// More bytes of entries than voters put into one message.
    #[error(
        "its entries have {bytes} bytes: voters send at most {MAX_ENTRIES_BYTES} and one entry"
    )]
    EntriesTooLarge { bytes: u64 },
    /// An entry that the state machine cannot read.
    #[error("its entry {index} cannot be read here: {error}")]
    Entry { index: u64, error: MachineError },
    /// A snapshot that the state machine cannot read, or that is older than its own state.
    #[error("its snapshot cannot be taken: {error}")]
    Snapshot { error: MachineError },
}

/// Where this voter stands when a message comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Its raft term.
    pub(crate) term: u64,
    /// The leader that it knows in this term; 0: none.
    pub(crate) leader: u64,
    /// Whether it leads.
    pub(crate) leads: bool,
    /// Where its log ends.
    pub(crate) last: LogPosition,
    /// The voter that is not followed in this term for now; 0: none.
    pub(crate) distrusted: u64,
}

/// Whether the message claims that its sender leads.
pub(crate) fn is_of_leader(kind: MessageType) -> bool {
    matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot)
}

/// Checks a well-formed message against where this voter stands. Terms ahead are judged by [`Terms`].
pub(crate) fn check_standing(message: &Message, ours: &Standing) -> Result<(), Implausible> {
    let kind = message.get_msg_type();
    for (field, value) in [
        ("term", message.term),
        ("log_term", message.log_term),
        ("index", message.index),
        ("commit", message.commit),
        ("commit_term", message.commit_term),
        ("reject_hint", message.reject_hint),
        ("snapshot.index", message.get_snapshot().get_metadata().index),
        ("snapshot.term", message.get_snapshot().get_metadata().term),
    ] {
        if value > LAST_NUMBER {
            return Err(Implausible::Number { field, value });
        }
    }
    if message.request_snapshot != 0 {
        return Err(Implausible::Unused("request_snapshot"));
    }
    if message.priority != 0 {
        return Err(Implausible::Unused("priority"));
    }
    check_context(message)?;
    let (same_term, known) = (message.term == ours.term, ours.leader);
    if is_of_leader(kind) && same_term && known != 0 && known != message.from {
        return Err(Implausible::SecondLeader { term: ours.term, known });
    }
    if is_of_leader(kind) && same_term && ours.distrusted == message.from {
        return Err(Implausible::Distrusted { term: ours.term });
    }
    let last = ours.last.index;
    match kind {
        MessageType::MsgAppend => {
            // A term of 0 would match any place beyond our log's end.
            fits_term("log_term", message.log_term, message.term)?;
            check_ahead("index", message.index, last)?;
            let bytes = message.entries.iter().map(|entry| entry.data.len() as u64).sum();
            if bytes > MAX_ENTRIES_BYTES + MAX_COMMAND_BYTES as u64 {
                return Err(Implausible::EntriesTooLarge { bytes });
            }
            check_ahead("commit", message.commit, last)
        }
        MessageType::MsgSnapshot => {
            let meta = message.get_snapshot().get_metadata();
            fits_term("snapshot.term", meta.term, message.term)?;
            check_ahead("snapshot.index", meta.index, last)
        }
        // Raft panics on a commit that this log does not reach.
        MessageType::MsgHeartbeat if message.term >= ours.term && message.commit > last => {
            Err(Implausible::Forgotten { acknowledged: message.commit, last })
        }
        MessageType::MsgHeartbeat => Ok(()),
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
            // The term is one that has not begun for the candidate's log.
            fits_term("log_term", message.log_term, message.term.saturating_sub(1))?;
            check_ahead("index", message.index, last)
        }
        MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
            if !(same_term && ours.leads) {
                return Ok(());
            }
            for (field, value) in [
                ("index", message.index),
                ("reject_hint", message.reject_hint),
                ("commit", message.commit),
            ] {
                if value > last {
                    return Err(Implausible::NeverSent { field, value, last });
                }
            }
            Ok(())
        }
        MessageType::MsgTimeoutNow | MessageType::MsgReadIndexResp => {
            if same_term && known != 0 && known == message.from {
                return check_ahead("index", message.index, last);
            }
            Err(Implausible::NotFromLeader { kind })
        }
        // A follower's raft passes them on, and panics where they have a term.
        MessageType::MsgReadIndex | MessageType::MsgTransferLeader => {
            if !ours.leads {
                return Err(Implausible::NotToLeader { kind });
            }
            if kind == MessageType::MsgReadIndex && message.term != 0 {
                return Err(Implausible::Unused("term"));
            }
            Ok(())
        }
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => Ok(()),
        // Local to a voter: refused by the wire already.
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum => Err(Implausible::Unused("type")),
    }?;
    Ok(())
}

fn check_context(message: &Message) -> Result<(), Implausible> {
    let context = &message.context;
    let fits = match message.get_msg_type() {
        // The entry carries it.
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
            context.is_empty()
                && message.entries.iter().all(|entry| entry.data.len() == CONTEXT_BYTES)
        }
        MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse => {
            context.is_empty() || context.len() == CONTEXT_BYTES
        }
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
            context.is_empty() || context.as_ref() == CAMPAIGN_TRANSFER
        }
        _ => context.is_empty(),
    };
    if fits { Ok(()) } else { Err(Implausible::Unused("context")) }
}

fn fits_term(field: &'static str, value: u64, term: u64) -> Result<(), Implausible> {
    if (1..=term).contains(&value) {
        Ok(())
    } else {
        Err(Implausible::LogTerm { field, value, term })
    }
}

fn check_ahead(field: &'static str, value: u64, last: u64) -> Result<(), Implausible> {
    let ahead = value.saturating_sub(last);
    if ahead > MAX_INDEXES_AHEAD { Err(Implausible::IndexAhead { field, ahead }) } else { Ok(()) }
}

/// How often one voter may still raise our term.
#[derive(Clone, Copy, Debug)]
struct Raises {
    left: u32,
    refilled_at: u64,
}

/// How far and how often the other voters have raised our term. Time is counted in ticks.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    now: u64,
    /// By how much all of them have raised it.
    raised: u64,
    by_voter: BTreeMap<u64, Raises>,
}

impl Terms {
    /// Counts a tick.
    pub(crate) fn tick(&mut self) {
        self.now += 1;
    }

    /// Checks the term of a message against our term.
    pub(crate) fn check(&mut self, message: &Message, ours: u64) -> Result<(), Implausible> {
        let kind = message.get_msg_type();
        // They speak of the next term, which nobody has yet.
        let is_next = kind == MessageType::MsgRequestPreVote
            || (kind == MessageType::MsgRequestPreVoteResponse && !message.reject);
        let term = if is_next { message.term.saturating_sub(1) } else { message.term };
        let ahead = term.saturating_sub(ours);
        if ahead == 0 {
            return Ok(());
        }
        let allowed = (MAX_TERMS_AHEAD + self.now / TICKS_PER_TERM).saturating_sub(self.raised);
        if ahead > allowed {
            return Err(Implausible::TermAhead { ahead, allowed });
        }
        if is_next {
            return Ok(());
        }
        let now = self.now;
        let full = Raises { left: MAX_RAISES, refilled_at: now };
        let raises = self.by_voter.entry(message.from).or_insert(full);
        let refills = (now - raises.refilled_at) / TICKS_PER_RAISE;
        raises.refilled_at += refills * TICKS_PER_RAISE;
        let refills = u32::try_from(refills).unwrap_or(MAX_RAISES);
        raises.left = raises.left.saturating_add(refills).min(MAX_RAISES);
        raises.left = raises.left.checked_sub(1).ok_or(Implausible::TermRaised)?;
        self.raised += ahead;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
