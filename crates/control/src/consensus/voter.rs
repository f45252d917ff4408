//! One voter of the group: raft, its store and its state machine, without a clock or a socket.
//!
//! [`Voter`] is a synchronous state machine: [`Voter::handle`] takes one [`RaftEvent`],
//! [`Voter::flush`] does everything that follows from the events since the last flush, and both
//! hand out [`Effect`]s. The driver thread calls it with real ticks and messages, the simulation
//! with made-up ones, and both run the same lines.
//!
//! One flush serves a batch of events: proposals that arrive together share one write and one fsync.
//! Within it the order of each raft `Ready` is what makes the log safe: messages that claim nothing
//! durable go out first, then snapshot, entries and vote are written and synced, then the messages that
//! claim they are, then what is committed is applied and answered.
//!
//! Every error ends the voter: after a failed write nothing it holds in memory may be trusted, so
//! the driver drops it and opens it again from the disk.

use super::chain::Chain;
use super::event::{
    Effect, GroupCopy, MAX_PENDING, RaftEvent, Refused, VoterConfig, VoterError, VoterReply,
    VoterStatus,
};
use super::group::Group;
use super::log::LogPosition;
use super::logger::logger;
use super::members::Membership;
use super::members::admission::NotAdmitted;
use super::plausible::{
    DISTRUST_TICKS, Implausible, Standing, Terms, check_standing, is_of_leader,
};
use super::reads::Reads;
use super::store::{Batch, FIRST_INDEX, Store, StoreError};
use super::wire::{self, Beside, MAX_COMMAND_BYTES, Packed, WireError, has_members};
use crate::machine::{Machine, MachineError};
use marquee_core::limits::pacer::Pacer;
use marquee_core::planted::{PlantedBug, is_planted};
use marquee_proto::raft::v1 as pb;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{Config, RawNode, SnapshotStatus, StateRole, Storage as _};
use std::collections::BTreeMap;

/// Bytes of proposals that may be uncommitted at once, so that a leader cut off from its followers
/// stays small until it steps down.
const MAX_UNCOMMITTED_BYTES: u64 = 16 << 20;
/// Bytes of committed entries that are applied between two looks at the network.
const MAX_APPLY_BYTES: u64 = 4 << 20;
/// Append messages in flight to one follower; the log between two snapshots fits.
const MAX_INFLIGHT_MESSAGES: usize = 256;
/// Ticks between two warnings of the same voter's refused messages: ten seconds.
const TICKS_PER_WARNING: u64 = 200;
/// Ticks after which a commit index that nothing else carried to the disk is written on its own: it
/// bounds what a voter alone may forget to have known, without an fsync for each commit.
const COMMIT_SYNC_TICKS: u64 = 10;

/// One voter: raft over its store, and the state machine that it feeds.
pub struct Voter<M, T> {
    pub(super) raw: RawNode<Store>,
    machine: M,
    config: VoterConfig,
    pub(super) applied: u64,
    pub(super) ticks: u64,
    /// The members as far as applied, and what this voter knows of them beside the log.
    pub(super) group: Group,
    /// The hashes of the entries that were applied last.
    pub(super) chain: Chain,
    /// Proposals of this voter's leadership by index, with the term they were proposed in.
    pub(super) pending: BTreeMap<u64, (u64, T)>,
    /// Replies to proposals that are applied; they go out at the end of the flush.
    replies: Vec<(T, VoterReply)>,
    reads: Reads<T>,
    terms: Terms,
    /// Refused messages by voter, with 0 for all who are none.
    refusals: Pacer<u64>,
    /// The last leader that lied, in which term, and until which tick it is not followed.
    distrusted: (u64, u64, u64),
}

/// Why a message of another voter did not get to raft.
#[derive(Debug, thiserror::Error)]
enum RefusedMessage {
    /// It has no shape.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It comes from, or is for, another disk.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// No honest voter sends it.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

impl<M: Machine, T> Voter<M, T> {
    /// A voter that goes on where its store stands. `machine` is restored from the store's snapshot;
    /// committed entries after it are applied by the first flush.
    pub fn open(
        id: u64,
        store: Store,
        mut machine: M,
        config: VoterConfig,
    ) -> Result<Self, VoterError> {
        let LogPosition { index: applied, term: _ } = store.snapshot_position();
        machine
            .restore(&store.read_snapshot()?)
            .map_err(|error| VoterError::Machine { index: applied, error })?;
        let has_command = |entry: &Entry| !entry.data.is_empty() && !has_members(entry);
        for (entry, is_committed) in store.unapplied().filter(|(entry, _)| has_command(entry)) {
            machine.check_command(&entry.data).map_err(|error| VoterError::Unreadable {
                index: entry.index,
                known: if is_committed { "committed" } else { "not known to be committed" },
                error,
            })?;
        }
        let raft = Config {
            id,
            applied,
            election_tick: config.election_ticks.start,
            min_election_tick: config.election_ticks.start,
            max_election_tick: config.election_ticks.end,
            heartbeat_tick: config.heartbeat_ticks,
            pre_vote: true,
            check_quorum: true,
            max_size_per_msg: wire::MAX_ENTRIES_BYTES,
            max_inflight_msgs: MAX_INFLIGHT_MESSAGES,
            max_uncommitted_size: MAX_UNCOMMITTED_BYTES,
            max_committed_size_per_ready: MAX_APPLY_BYTES,
            ..Config::default()
        };
        raft.validate().map_err(|e| VoterError::Raft(e.to_string()))?;
        let reads = Reads::new(id, config.incarnation);
        let group = Group::of_store(id, &store);
        let chain = Chain::from_point(store.chain());
        let raw =
            RawNode::new(&raft, store, &logger(id)).map_err(|e| VoterError::Raft(e.to_string()))?;
        let mut voter = Self {
            raw,
            machine,
            config,
            applied,
            ticks: 0,
            group,
            chain,
            pending: BTreeMap::new(),
            replies: Vec::new(),
            reads,
            terms: Terms::default(),
            refusals: Pacer::new(TICKS_PER_WARNING),
            distrusted: (0, 0, 0),
        };
        voter.found_when_complete()?;
        Ok(voter)
    }

    /// What the voter shows of itself.
    pub fn status(&self) -> VoterStatus {
        let raft = &self.raw.raft;
        let leader = if self.takes_part() { raft.leader_id } else { raft::INVALID_ID };
        let log = &raft.raft_log;
        let entries = (log.last_index() + 1).saturating_sub(log.first_index());
        VoterStatus { id: raft.id, leader, term: raft.term, applied: self.applied, entries }
    }

    /// The state machine, as far as it is applied.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The store, as far as it is written.
    pub fn store(&self) -> &Store {
        self.raw.store()
    }

    /// The members of the group, as far as applied.
    pub fn members(&self) -> &Membership {
        &self.group.members
    }

    pub(super) fn leads(&self) -> bool {
        self.takes_part() && self.raw.raft.state == StateRole::Leader
    }

    /// Handles one event. What follows from it happens in the next [`flush`](Self::flush).
    pub fn handle(
        &mut self,
        event: RaftEvent<T>,
        out: &mut dyn FnMut(Effect<T>),
    ) -> Result<(), VoterError> {
        match event {
            RaftEvent::Tick => {
                self.ticks += 1;
                self.terms.tick();
                if self.takes_part() {
                    self.raw.tick();
                }
                self.tick_group()?;
                for reply in self.reads.tick() {
                    out(Effect::Reply { reply, result: Err(Refused::NoLeader) });
                }
                if self.ticks.is_multiple_of(COMMIT_SYNC_TICKS) {
                    self.raw.mut_store().sync_commit()?;
                }
            }
            RaftEvent::Message(message) => self.receive(*message)?,
            RaftEvent::Propose { command, reply } => self.propose(command, reply, out),
            RaftEvent::Read { reply } if is_planted(PlantedBug::ReadWithoutMajority) => {
                self.replies.push((reply, VoterReply::UpToDate));
            }
            RaftEvent::Read { reply } => {
                if let Err(reply) = self.reads.add(reply) {
                    out(Effect::Reply { reply, result: Err(Refused::Busy) });
                }
            }
            RaftEvent::ChangeVoters { change, reply } => self.change_voters(&change, reply, out),
            RaftEvent::Copy { reply } => self.replies.push((reply, VoterReply::Copy(self.copy()))),
            RaftEvent::Campaign if !self.may_campaign() => {}
            // Raft says no when it is not the moment, which needs no answer.
            RaftEvent::Campaign => drop(self.raw.campaign()),
            RaftEvent::Transfer { to } => self.raw.transfer_leader(to),
            RaftEvent::Resign => {
                if let Some(to) = self.fittest_successor() {
                    self.raw.transfer_leader(to);
                }
            }
            RaftEvent::Unreachable { voter } => self.raw.report_unreachable(voter),
            RaftEvent::SnapshotSent { voter, sent } => {
                let status = if sent { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
                self.raw.report_snapshot(voter, status);
            }
        }
        Ok(())
    }

    /// The voter that has most of this leader's log, of those that answered lately; none if this voter does not lead.
    pub(super) fn fittest_successor(&self) -> Option<u64> {
        let raft = &self.raw.raft;
        let others = raft
            .prs()
            .iter()
            .filter(|(id, progress)| self.leads() && **id != raft.id && progress.recent_active)
            .filter(|(id, _)| self.group.is_voter(**id));
        others.max_by_key(|(id, progress)| (progress.matched, **id)).map(|(id, _)| *id)
    }

    /// Checks a message of another voter, and hands it to raft.
    fn receive(&mut self, message: pb::Message) -> Result<(), VoterError> {
        if message.greeting.is_some() {
            return self.hear_greeting(message);
        }
        if !self.takes_part() {
            return Ok(());
        }
        let pb::Message { from, term, r#type, .. } = message;
        let (checked, beside) = match self.check(message) {
            Ok(checked) => checked,
            // A voter without a history that is told that it has one has lost it, and must not vote as if it never
            // was. One that has a history cannot be stopped by such a message.
            Err(RefusedMessage::Implausible(Implausible::Forgotten { acknowledged, last }))
                if last == FIRST_INDEX =>
            {
                return Err(VoterError::Forgotten { acknowledged, last });
            }
            Err(error) => {
                let raft = &self.raw.raft;
                let claims_to_lead = wire::message_type(r#type).is_ok_and(is_of_leader);
                if claims_to_lead && (from, term) == (raft.leader_id, raft.term) {
                    self.distrusted = (from, term, self.ticks + DISTRUST_TICKS);
                }
                self.refuse(from, &error);
                return Ok(());
            }
        };
        if self.has_diverged(&checked, &beside)? {
            return Ok(());
        }
        self.hear(&checked, &beside);
        if checked.get_msg_type() == MessageType::MsgTimeoutNow && !self.may_campaign() {
            return Ok(());
        }
        if let Err(error) = self.raw.step(checked) {
            tracing::debug!(from, %error, "raft did not take a message");
        }
        Ok(())
    }

    /// Counts a refused message, and says so unless that was said just now.
    fn refuse(&mut self, from: u64, why: &RefusedMessage) {
        let known = if self.group.members.members.contains_key(&from) { from } else { 0 };
        if let Some(messages) = self.refusals.count(known, self.ticks) {
            let total = self.refusals.total();
            tracing::warn!(from, messages, total, newest = %why, "refused raft messages");
        }
    }

    /// How many messages of other voters were refused so far.
    pub fn refused(&self) -> u64 {
        self.refusals.total()
    }

    fn check(&mut self, received: pb::Message) -> Result<(Message, Beside), RefusedMessage> {
        let beside = Beside::of(&received)?;
        let message = wire::message_from_wire(received)?;
        let raft = &self.raw.raft;
        if message.to != raft.id {
            return Err(WireError::Shape("to").into());
        }
        if message.from == message.to || message.from == raft::INVALID_ID {
            return Err(WireError::Shape("from").into());
        }
        if let Err(refusal) = self.admit(&message, &beside) {
            self.note_refusal(message.from, &refusal);
            return Err(refusal.into());
        }
        let last = raft.raft_log.last_index();
        let (liar, its_term, until) = self.distrusted;
        let is_distrusted = its_term == raft.term && self.ticks < until;
        let standing = Standing {
            term: raft.term,
            leader: raft.leader_id,
            leads: self.leads(),
            distrusted: if is_distrusted { liar } else { 0 },
            last: LogPosition { index: last, term: raft.raft_log.term(last).unwrap_or(0) },
        };
        check_standing(&message, &standing)?;
        if message.get_msg_type() == MessageType::MsgAppend {
            if message.term >= raft.term {
                self.check_committed(message.index, message.log_term)?;
            }
            for entry in &message.entries {
                if message.term >= raft.term {
                    self.check_committed(entry.index, entry.term)?;
                }
                self.check_entry(entry)
                    .map_err(|error| Implausible::Entry { index: entry.index, error })?;
            }
        }
        if message.has_snapshot() {
            let snapshot = message.get_snapshot();
            let meta = snapshot.get_metadata();
            let packed = wire::unpack_snapshot(snapshot).ok_or(WireError::Shape("snapshot"))?;
            let ours = &self.group.members;
            let is_older = packed.members.index < ours.index;
            // Members of one entry are the same.
            let contradicts =
                packed.members.index == ours.index && packed.members.voters() != ours.voters();
            if !packed.members.members.contains_key(&raft.id) || is_older || contradicts {
                return Err(WireError::Shape("snapshot.members").into());
            }
            // Raft ignores one that is not newer, and tells the leader so.
            if meta.index > raft.raft_log.committed {
                self.machine
                    .check_snapshot(meta.index, &packed.data)
                    .map_err(|error| Implausible::Snapshot { error })?;
            }
        }
        // Last, since it counts: what is refused anyway raises no term.
        self.terms.check(&message, standing.term)?;
        Ok((message, beside))
    }

    /// Whether an entry does not contradict what is committed here, where raft would give up.
    fn check_committed(&self, index: u64, theirs: u64) -> Result<(), Implausible> {
        let log = &self.raw.raft.raft_log;
        match log.term(index) {
            Ok(ours) if index <= log.committed && ours != 0 && ours != theirs => {
                Err(Implausible::Committed { index, theirs, ours })
            }
            _ => Ok(()),
        }
    }

    /// Whether an entry can be applied. A new leader's first entry is empty, and those with members have no command.
    fn check_entry(&self, entry: &Entry) -> Result<(), MachineError> {
        if entry.data.is_empty() || has_members(entry) {
            Ok(())
        } else {
            self.machine.check_command(&entry.data)
        }
    }

    fn propose(&mut self, command: Vec<u8>, reply: T, out: &mut dyn FnMut(Effect<T>)) {
        let refused = if !self.leads() {
            let leader = Some(self.raw.raft.leader_id).filter(|&id| id != raft::INVALID_ID);
            Refused::NotLeader { leader }
        } else if command.len() > MAX_COMMAND_BYTES {
            Refused::TooLarge { bytes: command.len() }
        } else if let Err(error) = self.machine.check_command(&command) {
            Refused::Unreadable(error)
        } else if self.pending.len() >= MAX_PENDING {
            Refused::Busy
        } else {
            match self.raw.propose(Vec::new(), command) {
                Ok(()) => {
                    let index = self.raw.raft.raft_log.last_index();
                    self.pending.insert(index, (self.raw.raft.term, reply));
                    return;
                }
                // Leadership is being transferred, or too much is uncommitted.
                Err(_) => Refused::Busy,
            }
        };
        out(Effect::Reply { reply, result: Err(refused) });
    }

    /// Does everything that follows from the events so far: sends, writes, applies, answers.
    pub fn flush(&mut self, out: &mut dyn FnMut(Effect<T>)) -> Result<(), VoterError> {
        self.note_leadership();
        for greeting in std::mem::take(&mut self.group.greetings) {
            out(Effect::Send(greeting));
        }
        if let Some(context) = self.reads.request_read_index() {
            self.raw.read_index(context);
        }
        let before = self.applied;
        let mut done = Ok(());
        while done.is_ok() && self.raw.has_ready() {
            done = self.ready(out);
        }
        if self.applied != before {
            self.machine.batch_applied();
        }
        // A caller who gets a reply finds the change in what the machine shows. What was applied is
        // committed, whatever failed after it.
        for (reply, result) in std::mem::take(&mut self.replies) {
            out(Effect::Reply { reply, result: Ok(result) });
        }
        done?;
        if !self.leads() && !is_planted(PlantedBug::ReplyOfOtherTerm) {
            // What this voter proposed while it led is the next leader's to keep or drop.
            for (_, (_, reply)) in std::mem::take(&mut self.pending) {
                out(Effect::Reply { reply, result: Err(Refused::Lost) });
            }
        }
        if self.applied != before {
            self.compact_when_due()?;
        }
        for reply in self.reads.take_ready(self.applied) {
            out(Effect::Reply { reply, result: Ok(VoterReply::UpToDate) });
        }
        Ok(())
    }

    fn ready(&mut self, out: &mut dyn FnMut(Effect<T>)) -> Result<(), VoterError> {
        let mut ready = self.raw.ready();
        self.send(ready.take_messages(), out);

        let snapshot = Some(ready.snapshot()).filter(|snapshot| !snapshot.is_empty()).cloned();
        if let Some(snapshot) = &snapshot {
            let index = snapshot.get_metadata().index;
            let Some(packed) = wire::unpack_snapshot(snapshot) else {
                let why = "the snapshot has no members".into();
                return Err(VoterError::Members { index, why });
            };
            self.machine
                .restore(&packed.data)
                .map_err(|error| VoterError::Machine { index, error })?;
            self.applied = index;
            self.group.set_members(packed.members);
            self.chain = Chain::from_point(packed.chain);
        }
        if ready.must_sync() {
            let batch = Batch {
                snapshot: snapshot.as_ref(),
                entries: ready.entries(),
                hard_state: ready.hs(),
            };
            self.raw.mut_store().write(&batch)?;
        } else if let Some(state) = ready.hs() {
            // Only the commit index has moved.
            self.raw.mut_store().set_commit(state.commit);
        }
        self.send(ready.take_persisted_messages(), out);
        for state in ready.take_read_states() {
            self.reads.confirm(&state.request_ctx, state.index);
        }
        self.apply(ready.take_committed_entries(), out)?;

        let mut light = self.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.raw.mut_store().set_commit(commit);
        }
        self.send(light.take_messages(), out);
        self.apply(light.take_committed_entries(), out)?;
        self.raw.advance_apply();
        Ok(())
    }

    fn apply(
        &mut self,
        entries: Vec<Entry>,
        out: &mut dyn FnMut(Effect<T>),
    ) -> Result<(), VoterError> {
        for entry in entries {
            let Entry { index, term, .. } = entry;
            assert_eq!(
                index,
                self.applied + 1,
                "raft hands out every committed entry once, in order"
            );
            let changes_members = has_members(&entry);
            if changes_members {
                self.apply_members(&entry)?;
            }
            self.chain.add(&entry, changes_members);
            // A new leader's first entry is empty.
            let outcome = if entry.data.is_empty() || changes_members {
                Vec::new()
            } else {
                self.machine
                    .apply(index, &entry.data)
                    .map_err(|error| VoterError::Machine { index, error })?
            };
            self.applied = index;
            match self.pending.remove(&index) {
                Some((proposed_in, reply)) if proposed_in == term && changes_members => {
                    let members = self.group.members.clone();
                    self.replies.push((reply, VoterReply::Changed(members)));
                }
                Some((proposed_in, reply))
                    if proposed_in == term || is_planted(PlantedBug::ReplyOfOtherTerm) =>
                {
                    self.replies.push((reply, VoterReply::Applied { index, outcome }));
                }
                Some((_, reply)) => {
                    out(Effect::Reply { reply, result: Err(Refused::Lost) });
                }
                None => {}
            }
        }
        Ok(())
    }

    fn compact_when_due(&mut self) -> Result<(), VoterError> {
        let store = self.raw.store();
        let entries = self.applied - store.snapshot_position().index;
        // A member that has come needs a snapshot that has it.
        let has_members = store.members().members.keys().eq(self.group.members.members.keys())
            && store.members().conf_state() == self.group.members.conf_state();
        if has_members
            && entries < self.config.snapshot_every
            && store.bytes_since_snapshot() < self.config.snapshot_every_bytes
        {
            return Ok(());
        }
        let (applied, keep) = (self.applied, self.config.keep_entries);
        let packed = Packed {
            members: self.group.members.clone(),
            chain: self.chain.newest(),
            data: self.machine.snapshot().into(),
        };
        match self.raw.mut_store().compact(applied, &packed, keep) {
            // The log goes on growing, which is no reason to stop serving.
            Err(error @ StoreError::SnapshotTooLarge { .. }) => {
                tracing::error!(%error, "cannot compact the control log");
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Ends the voter: writes what it knows, and tells callers who wait. An error means that the commit index was
    /// not written.
    pub fn close(mut self, out: &mut dyn FnMut(Effect<T>)) -> Result<(), VoterError> {
        let written = self.raw.mut_store().sync_commit();
        self.abandon("it is shutting down", out);
        Ok(written?)
    }

    /// Ends the voter without touching the store, and tells callers who wait.
    pub fn abandon(mut self, why: &str, out: &mut dyn FnMut(Effect<T>)) {
        let proposals = std::mem::take(&mut self.pending).into_values().map(|(_, reply)| reply);
        for reply in proposals.chain(self.reads.take_all()) {
            out(Effect::Reply { reply, result: Err(Refused::Stopped(why.into())) });
        }
    }

    /// Everything that is applied here.
    fn copy(&self) -> GroupCopy {
        let term = self.raw.raft.raft_log.term(self.applied).unwrap_or(self.raw.raft.term);
        GroupCopy {
            position: LogPosition { index: self.applied, term },
            members: self.group.members.clone(),
            state: self.machine.snapshot().into(),
        }
    }

    /// The term at an index of the log, if it is still there.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.raw.store().term(index).ok()
    }
}

#[cfg(test)]
mod tests;
