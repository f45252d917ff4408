//! A voter's part in its group: which disks it goes by, what it says before it is one of them, and what it does as the
//! leader so that members come and go.
//!
//! The decisions are those of [`members`](super::members) and [`chain`](super::chain); here they meet raft
//! and the store.

use super::chain::compare;
use super::event::{Effect, GroupView, Refused, VoterError};
use super::group::{Group, Leading, Standing};
use super::members::admission::{Envelope, NotAdmitted, Receiver, admit, is_request};
use super::members::change::{ChangeRefused, LeaderView, VoterChange, changed};
use super::members::step::{Facts, Step, next_step};
use super::members::{DiskId, MemberRole, Membership};
use super::store::{FIRST_INDEX, StoreError};
use super::voter::Voter;
use super::wire::{self, Beside};
use crate::machine::Machine;
use marquee_core::planted::{PlantedBug, is_planted};
use marquee_proto::raft::v1 as pb;
use raft::ProgressState;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks between two greetings of a voter that is not one of the group yet, or that knows no leader: half a second.
const GREETING_TICKS: u64 = 10;
/// Ticks between two looks of the leader at what the members lack.
const STEP_TICKS: u64 = 4;
/// Ticks for which a member counts as active after it answered: the longest that an election takes to begin.
const ACTIVE_TICKS: u64 = 20;
/// Entries by which a learner may be behind when it becomes a voter: a moment of a busy leader. Raft holds the rest
/// against it like against any follower.
const CAUGHT_UP_ENTRIES: u64 = 64;
/// Greetings that wait to be sent: one to each member, and as many answers.
const MAX_GREETINGS: usize = 64;

impl<M: Machine, T> Voter<M, T> {
    /// Whether this voter takes part in the group at all.
    pub(super) fn takes_part(&self) -> bool {
        self.group.stopped.is_none()
    }

    fn has_history(&self) -> bool {
        self.raw.store().has_history()
    }

    fn standing(&self) -> Standing {
        self.group.standing(self.has_history())
    }

    /// Whether this voter may stand for election: a disk that the group knows, and no other.
    pub(super) fn may_campaign(&self) -> bool {
        let is_known = matches!(self.standing(), Standing::Known | Standing::Trusted);
        self.takes_part() && (is_known || is_planted(PlantedBug::VoteOfEmptyDisk))
    }

    /// Whether a message of another voter is taken.
    pub(super) fn admit(&self, message: &Message, beside: &Beside) -> Result<(), NotAdmitted> {
        let group = &self.group;
        let receiver = Receiver {
            id: group.me,
            disk: group.disk,
            has_history: self.has_history(),
            members: &group.members,
        };
        admit(message.get_msg_type(), &beside.envelope, &receiver)
    }

    /// Remembers why a message was not taken, and says who this voter is to a sender that is not of the group any more.
    pub(super) fn note_refusal(&mut self, from: u64, refusal: &NotAdmitted) {
        match refusal {
            NotAdmitted::FromOtherDisk { known, .. } => self.note_other_disk(from, *known),
            NotAdmitted::NotAMember { .. }
            | NotAdmitted::OtherDisk { .. }
            | NotAdmitted::UnknownDisk { .. } => {}
        }
        if !matches!(refusal, NotAdmitted::UnknownDisk { .. }) && from != self.group.me {
            self.greet(from, false);
        }
    }

    fn note_other_disk(&mut self, from: u64, known: DiskId) {
        let says = format!(
            "it runs on another disk than the group's, which is {known}, and takes no part; if that disk is lost, run \
             `marquee ctl voters replace {from}`, otherwise put its data directory back"
        );
        self.group.refused_from.insert(from, says);
    }

    /// Takes note of a message that is taken: whom to answer, who answered, where its chain stands.
    pub(super) fn hear(&mut self, message: &Message, beside: &Beside) {
        let (from, kind) = (message.from, message.get_msg_type());
        if kind == MessageType::MsgTransferLeader {
            return;
        }
        let Some(disk) = beside.envelope.from_disk else { return };
        let ticks = self.ticks;
        if is_request(kind) {
            self.group.asked_by.insert(from, disk);
        } else if self.leads() {
            self.group.leader.answered.insert(from, (disk, ticks));
            if self.group.members.disk(from).is_some() {
                self.group.refused_from.remove(&from);
            }
            if let Some(point) = beside.chain {
                self.group.leader.reports.insert(from, point);
            }
        }
    }

    /// Whether the leader says, and this voter's own chain agrees, that it has diverged from the group. It stops then.
    pub(super) fn has_diverged(
        &mut self,
        message: &Message,
        beside: &Beside,
    ) -> Result<bool, StoreError> {
        let raft = &self.raw.raft;
        let of_leader = message.from == raft.leader_id && message.term == raft.term;
        let Some(theirs) = beside.chain.filter(|_| beside.diverged && of_leader) else {
            return Ok(false);
        };
        let ours = self.chain.at(theirs.index);
        if ours.is_none_or(|ours| ours == theirs) {
            return Ok(false);
        }
        self.stop_for_good(theirs.index)?;
        Ok(true)
    }

    fn stop_for_good(&mut self, index: u64) -> Result<(), StoreError> {
        let id = self.group.me;
        let why = format!(
            "its entries up to {index} are not those of the group, so it takes no part any more: move its data directory \
             away, start it and run `marquee ctl voters replace {id}`"
        );
        tracing::error!(voter = id, why, "this control node has diverged from its group");
        self.raw.mut_store().stop_for_good(&why)?;
        self.group.stopped = Some(why);
        Ok(())
    }

    /// What this voter knows of the members.
    pub fn view(&self) -> GroupView {
        let group = &self.group;
        let mut troubles = BTreeMap::new();
        troubles.extend(group.refused_from.iter().map(|(id, says)| (*id, says.clone())));
        if self.leads() {
            for (id, member) in &group.members.members {
                if *id == group.me || group.refused_from.contains_key(id) {
                    continue;
                }
                let trouble = if let Some(index) = group.leader.diverged.get(id) {
                    format!("its entries up to {index} are not those of the group")
                } else if member.role == MemberRole::Joining {
                    let says = "the group waits for it: start it with an empty data directory";
                    format!("{says}, and control.join = true if its id is new")
                } else if !self.is_active(*id) && self.leads_for_long() {
                    "it does not answer: is it running, and does it reach the leader?".to_owned()
                } else {
                    continue;
                };
                troubles.insert(*id, trouble);
            }
        }
        if let Some(says) = self.own_trouble() {
            troubles.insert(group.me, says);
        }
        GroupView {
            members: group.members.clone(),
            contacts: group.contacts.clone(),
            disk: Some(group.disk),
            troubles,
        }
    }

    /// What is wrong with this voter and what to do.
    fn own_trouble(&self) -> Option<String> {
        let Group { me, disk, founding, contacts, .. } = &self.group;
        if let Some(stopped) = &self.group.stopped {
            return Some(stopped.clone());
        }
        let standing = self.standing();
        let elsewhere = contacts.index > self.group.members.index;
        let named = contacts.members.get(me).filter(|_| elsewhere);
        let replaced = || {
            format!(
                "this disk ({disk}) is not the one that the group knows for voter {me}, so it takes no part; if the other \
                 disk is lost, run `marquee ctl voters replace {me}` at a control node that works, otherwise put its data \
                 directory back"
            )
        };
        match (standing, named) {
            // They have said so themselves, and it takes no part until its own log says it.
            (_, Some(member)) if member.disk.is_some_and(|known| known != *disk) => {
                Some(replaced())
            }
            (Standing::New | Standing::Outside, Some(member))
                if member.role == MemberRole::Joining || member.disk == Some(*disk) =>
            {
                None
            }
            (_, None) if elsewhere => Some(format!(
                "voter {me} is none of the group (any more): stop it, or have it added by `marquee ctl voters add {me}` and \
                 started with an empty data directory"
            )),
            (Standing::Known | Standing::Trusted, _) => None,
            (Standing::Replaced, _) => Some(replaced()),
            (Standing::Outside, _) => Some(format!(
                "voter {me} is none of the group: run `marquee ctl voters add {me}` at a control node of it"
            )),
            (Standing::New, _) if founding.is_there() => Some(replaced()),
            (Standing::New, _) => {
                let missing = founding.waits_for(&self.group.members, *me);
                Some(format!(
                    "a new group begins when all of its voters have reached each other once: voters {missing:?} are \
                     missing"
                ))
            }
        }
    }

    // ---- what is sent ---------------------------------------------------------------------------

    /// Sends messages of raft, with this voter's disk and the one that it takes for the addressee's.
    pub(super) fn send(&mut self, messages: Vec<Message>, out: &mut dyn FnMut(Effect<T>)) {
        if !self.takes_part() {
            return;
        }
        let may_campaign = self.may_campaign();
        let newest = self.chain.newest();
        for message in messages {
            let (to, kind) = (message.to, message.get_msg_type());
            let asks_for_votes =
                matches!(kind, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
            if asks_for_votes && !may_campaign {
                continue;
            }
            let group = &self.group;
            let known = group.members.disk(to);
            // An answer goes to who asked, also where this voter does not know that disk yet.
            let asked = group.asked_by.get(&to).copied().filter(|_| !is_request(kind));
            let envelope = Envelope {
                from: group.me,
                from_disk: Some(group.disk),
                to_disk: asked.or(known),
                members_at: group.members.index,
            };
            let told = group.leader.diverged.get(&to).and_then(|index| self.chain.at(*index));
            let (chain, diverged) = match told {
                Some(point) => (Some(point), true),
                None => (newest, false),
            };
            let beside = Beside { envelope, chain, diverged };
            out(Effect::Send(wire::message_to_wire(message, &beside)));
        }
    }

    /// Queues a greeting.
    fn greet(&mut self, to: u64, asks: bool) {
        if self.group.greetings.len() >= MAX_GREETINGS {
            return;
        }
        let founded = !matches!(self.standing(), Standing::New | Standing::Outside);
        let named = match self.standing() {
            Standing::New => {
                self.group.founding.heard(&self.group.members, self.group.me, self.group.disk)
            }
            _ => self.group.members.clone(),
        };
        let group = &mut self.group;
        let greeting = pb::Greeting {
            members: Some(named.to_wire()),
            founded: founded || self.raw.store().has_history(),
            asks,
        };
        group.greetings.push(pb::Message {
            to,
            from: group.me,
            from_disk: DiskId::to_wire(Some(group.disk)),
            members_at: group.members.index,
            greeting: Some(greeting),
            ..pb::Message::default()
        });
    }

    // ---- greetings --------------------------------------------------------------------------------

    /// Hears what another voter says of itself. It changes nothing that is kept, but that a new group begins once all of
    /// its new disks have spoken.
    pub(super) fn hear_greeting(&mut self, message: pb::Message) -> Result<(), VoterError> {
        let pb::Message { to, from, from_disk, greeting: Some(greeting), .. } = message else {
            return Ok(());
        };
        let pb::Greeting { members, founded, asks } = greeting;
        let theirs = members.and_then(|members| Membership::from_wire(members).ok());
        let disk = DiskId::from_wire(&from_disk).flatten();
        let (Some(theirs), Some(disk)) = (theirs, disk) else { return Ok(()) };
        if to != self.group.me || from == to || from == raft::INVALID_ID {
            return Ok(());
        }
        let is_new = !founded;
        if self.standing() == Standing::New && self.group.members.members.contains_key(&from) {
            let me = (self.group.me, self.group.disk);
            let before = self.group.founding.heard(&self.group.members, me.0, me.1);
            self.group.founding.hear((from, disk), theirs.clone(), is_new, me);
            let heard = self.group.founding.heard(&self.group.members, me.0, me.1);
            self.found_when_complete()?;
            // What is new to this voter is worth saying at once.
            if heard != before || self.standing() == Standing::Known {
                for other in heard.members.keys().filter(|id| **id != me.0) {
                    self.greet(*other, false);
                }
            }
        }
        let member = self.group.members.members.get(&from);
        match member.map(|member| (member.role, member.disk)) {
            Some((MemberRole::Joining, None)) if self.leads() && is_new => {
                self.group.leader.announced.insert(from, disk);
                self.group.refused_from.remove(&from);
            }
            Some((MemberRole::Joining, None)) if self.leads() => {
                let says = "its data directory is not new: move it away and start it again";
                self.group.refused_from.insert(from, says.to_owned());
            }
            Some((_, Some(known))) if known != disk && theirs.index <= self.group.members.index => {
                self.note_other_disk(from, known);
            }
            _ => {}
        }
        if founded && theirs.index > self.group.members.index.max(self.group.contacts.index) {
            self.group.contacts = theirs;
        }
        if asks {
            self.greet(from, false);
        }
        Ok(())
    }

    /// Writes down the disks of a new group once all are known. From then on this voter may vote.
    pub(super) fn found_when_complete(&mut self) -> Result<(), StoreError> {
        // A voter alone needs nobody's word, and neither does one that an older release left alone.
        let is_alone = self.group.members.members.len() == 1;
        let is_open =
            self.standing() == Standing::New || (is_alone && self.standing() == Standing::Trusted);
        if !is_open {
            return Ok(());
        }
        let Group { members, founding, me, disk, .. } = &self.group;
        if let Some(complete) = founding.complete(members, *me, *disk) {
            // The record belongs to the snapshot, which is of no later entry with members.
            self.raw.mut_store().found(&complete)?;
            self.group.members = complete;
        }
        Ok(())
    }

    // ---- what the leader does -----------------------------------------------------------------------

    /// Notices that this voter has begun to lead, or leads no more.
    pub(super) fn note_leadership(&mut self) {
        let term = if self.leads() { self.raw.raft.term } else { 0 };
        if self.group.leader.term != term {
            let change_at = self.raw.raft.raft_log.last_index();
            let since = self.ticks;
            self.group.leader = Leading { term, since, change_at, ..Leading::default() };
        }
    }

    fn is_active(&self, id: u64) -> bool {
        let answered = self.group.leader.answered.get(&id);
        id == self.group.me || answered.is_some_and(|(_, tick)| tick + ACTIVE_TICKS > self.ticks)
    }

    /// Whether all members can have answered since this voter leads.
    fn leads_for_long(&self) -> bool {
        self.group.leader.since + ACTIVE_TICKS < self.ticks
    }

    /// What a voter does for its group as time goes by.
    pub(super) fn tick_group(&mut self) -> Result<(), VoterError> {
        self.note_leadership();
        // A new voter speaks at once.
        if self.ticks % GREETING_TICKS == 1 {
            self.greet_others();
        }
        if self.takes_part() && self.leads() && self.ticks.is_multiple_of(STEP_TICKS) {
            self.compare_chains()?;
            if self.takes_part() {
                self.take_step();
            }
        }
        Ok(())
    }

    fn greet_others(&mut self) {
        let group = &self.group;
        let mut targets: BTreeSet<u64> = BTreeSet::new();
        if self.leads() {
            let expected = group.members.members.iter();
            targets.extend(
                expected.filter(|(_, it)| it.role == MemberRole::Joining).map(|(id, _)| *id),
            );
        } else if !self.may_campaign() || self.raw.raft.leader_id == raft::INVALID_ID {
            targets.extend(group.members.members.keys().chain(group.contacts.members.keys()));
        }
        targets.remove(&group.me);
        for target in targets {
            self.greet(target, true);
        }
    }

    fn compare_chains(&mut self) -> Result<(), StoreError> {
        let voters = self.group.members.voters();
        let reports = &self.group.leader.reports;
        let found = compare(&self.chain, self.group.me, &voters, reports).diverged;
        if let Some(index) = found.get(&self.group.me) {
            return self.stop_for_good(*index);
        }
        for (id, index) in found {
            if self.group.leader.diverged.insert(id, index).is_none() {
                tracing::error!(voter = id, index, "a control node has diverged from its group");
            }
        }
        Ok(())
    }

    fn take_step(&mut self) {
        // The next change is made when the last one is applied, and nothing of an earlier leader can follow.
        if self.applied < self.group.leader.change_at {
            return;
        }
        let group = &self.group;
        let mut answered: BTreeMap<u64, DiskId> = BTreeMap::new();
        answered.extend(group.leader.answered.iter().map(|(id, (disk, _))| (*id, *disk)));
        answered.insert(group.me, group.disk);
        let last = self.raw.raft.raft_log.last_index();
        let mut caught_up = BTreeSet::new();
        for (id, progress) in self.raw.raft.prs().iter() {
            let has_log = progress.matched + CAUGHT_UP_ENTRIES >= last
                && progress.state == ProgressState::Replicate;
            if has_log && self.is_active(*id) {
                caught_up.insert(*id);
            }
        }
        let announced = group.leader.announced.clone();
        let facts = Facts { me: group.me, begins: FIRST_INDEX, answered, announced, caught_up };
        match next_step(&group.members, &facts) {
            None => {}
            Some(Step::Propose(next)) => {
                if let Err(refused) = self.propose_members(&next) {
                    tracing::debug!(%refused, "a change of the voters must wait");
                }
            }
            Some(Step::HandOver) => self.hand_over(),
        }
    }

    fn hand_over(&mut self) {
        if let Some(to) = self.fittest_successor() {
            self.raw.transfer_leader(to);
        }
    }

    /// Makes a change that an operator asks for.
    pub(super) fn change_voters(
        &mut self,
        change: &VoterChange,
        reply: T,
        out: &mut dyn FnMut(Effect<T>),
    ) {
        self.note_leadership();
        let refused = match self.propose_change(change) {
            Ok(index) => {
                self.pending.insert(index, (self.raw.raft.term, reply));
                return;
            }
            Err(refused) => refused,
        };
        if matches!(refused, Refused::Change(ChangeRefused::Leads(_))) {
            self.hand_over();
        }
        out(Effect::Reply { reply, result: Err(refused) });
    }

    fn propose_change(&mut self, change: &VoterChange) -> Result<u64, Refused> {
        if !self.takes_part() || !self.leads() {
            let leader = Some(self.raw.raft.leader_id).filter(|&id| id != raft::INVALID_ID);
            return Err(Refused::NotLeader { leader });
        }
        let members = self.group.members.members.keys();
        let active = members.filter(|id| self.is_active(**id)).copied().collect();
        let view = LeaderView { me: self.group.me, active };
        let next = changed(&self.group.members, change, &view).map_err(Refused::Change)?;
        self.propose_members(&next)
    }

    /// Proposes members, and returns the index of the entry.
    fn propose_members(&mut self, next: &Membership) -> Result<u64, Refused> {
        let under_way = Refused::Change(ChangeRefused::UnderWay);
        if self.applied < self.group.leader.change_at {
            return Err(under_way);
        }
        let context = next.encode();
        let proposed = match self.group.members.change_to(next) {
            Ok(Some(change)) => self.raw.propose_conf_change(context, change),
            Ok(None) => self.raw.propose(context, Vec::new()),
            Err(error) => {
                tracing::error!(%error, "the next members do not follow on these");
                return Err(under_way);
            }
        };
        proposed.map_err(|_| Refused::Busy)?;
        let index = self.raw.raft.raft_log.last_index();
        self.group.leader.change_at = index;
        Ok(index)
    }

    /// Applies a committed entry with members.
    pub(super) fn apply_members(&mut self, entry: &Entry) -> Result<(), VoterError> {
        let index = entry.index;
        let failed = |why: String| VoterError::Members { index, why };
        let mut next = Membership::decode(&entry.context).map_err(|e| failed(e.to_string()))?;
        next.index = index;
        let change = self.group.members.change_to(&next).map_err(|e| failed(e.to_string()))?;
        let changes_votes = entry.get_entry_type() == EntryType::EntryConfChangeV2;
        if change.is_some() != changes_votes {
            return Err(failed("its kind does not fit its members".into()));
        }
        if let Some(change) = change {
            let state = self.raw.apply_conf_change(&change).map_err(|e| failed(e.to_string()))?;
            if !are_equal(&state, &next.conf_state()) {
                return Err(failed(format!("raft came to {state:?}, and the entry says {next:?}")));
            }
        }
        tracing::info!(index, members = ?next.members, "the members of the control group changed");
        self.group.set_members(next);
        Ok(())
    }
}

/// Whether two configurations of raft have the same members.
fn are_equal(one: &ConfState, other: &ConfState) -> bool {
    let sorted = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
    sorted(&one.voters) == sorted(&other.voters)
        && sorted(&one.voters_outgoing) == sorted(&other.voters_outgoing)
        && sorted(&one.learners) == sorted(&other.learners)
        && sorted(&one.learners_next) == sorted(&other.learners_next)
}
