//! Voters, their disks and the messages between them, in one thread. Disks outlive voters and can be emptied.

use crate::journal::Journal;
use marquee_control::consensus::event::{Effect, RaftEvent, Refused, VoterConfig, VoterReply};
use marquee_control::consensus::members::change::VoterChange;
use marquee_control::consensus::members::{DiskId, MemberRole};
use marquee_control::consensus::store::{Genesis, Identity, Store};
use marquee_control::consensus::voter::Voter;
use marquee_control::machine::Machine as _;
use marquee_proto::raft::v1::Message;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use tempfile::TempDir;

/// Ticks that are longer than a dozen elections.
pub(crate) const LONG: usize = 300;
/// Ticks within which what can happen happens.
const PATIENCE: usize = 1_000;
/// Messages delivered in one tick, at the most.
const MAX_DELIVERED: usize = 20_000;

/// A group and its network.
pub(crate) struct World {
    directory: TempDir,
    founders: Vec<u64>,
    voters: BTreeMap<u64, Voter<Journal, u64>>,
    /// How many disks a voter has had.
    disks: BTreeMap<u64, u64>,
    starts: u64,
    wires: VecDeque<Message>,
    replies: BTreeMap<u64, Result<VoterReply, Refused>>,
    asked: u64,
    /// The voter that gets no entries and no snapshots.
    cut: Option<u64>,
    /// The voter whose next entry is another one than was sent.
    forged: Option<u64>,
}

impl World {
    pub(crate) fn new(founders: &[u64]) -> Self {
        Self {
            directory: TempDir::new().expect("a temporary directory"),
            founders: founders.to_vec(),
            voters: BTreeMap::new(),
            disks: BTreeMap::new(),
            starts: 0,
            wires: VecDeque::new(),
            replies: BTreeMap::new(),
            asked: 0,
            cut: None,
            forged: None,
        }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.directory.path().join(format!("voter-{id}"))
    }

    pub(crate) fn start(&mut self, id: u64) {
        self.starts += 1;
        let disk = *self.disks.entry(id).or_insert(1);
        let identity = Identity { id, cluster: 7, voters: self.founders.clone() };
        let disk = DiskId::of_number(1_000 * disk + id);
        let genesis = Genesis { state: Journal::default().snapshot(), disk };
        let store = Store::open(&self.path(id), &identity, &genesis).expect("sound");
        let patience = 10 + 2 * id as usize;
        let config = VoterConfig {
            election_ticks: patience..patience + 1,
            snapshot_every: 40,
            keep_entries: 10,
            incarnation: self.starts,
            ..VoterConfig::default()
        };
        let voter = Voter::open(id, store, Journal::default(), config).expect("sound");
        self.voters.insert(id, voter);
    }

    pub(crate) fn start_all(&mut self) {
        for id in self.founders.clone() {
            if !self.voters.contains_key(&id) {
                self.start(id);
            }
        }
    }

    pub(crate) fn stop(&mut self, id: u64) {
        self.voters.remove(&id).expect("it runs");
    }

    pub(crate) fn stop_running(&mut self) {
        self.voters.clear();
    }

    /// Loses the disk of a voter that does not run.
    pub(crate) fn empty(&mut self, id: u64) {
        assert!(!self.voters.contains_key(&id));
        if self.path(id).exists() {
            std::fs::remove_file(self.path(id)).expect("ours");
        }
        *self.disks.entry(id).or_insert(1) += 1;
    }

    pub(crate) fn cut_appends_to(&mut self, id: u64) {
        self.cut = Some(id);
    }

    pub(crate) fn mend(&mut self) {
        self.cut = None;
    }

    pub(crate) fn forge_next_entry_to(&mut self, id: u64) {
        self.forged = Some(id);
    }

    /// Lets a tick go by, and delivers all messages.
    pub(crate) fn tick(&mut self) {
        for id in self.voters.keys().copied().collect::<Vec<_>>() {
            self.give(id, RaftEvent::Tick);
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        for _ in 0..MAX_DELIVERED {
            let Some(mut message) = self.wires.pop_front() else { return };
            let brings_log = !message.entries.is_empty() || message.snapshot.is_some();
            let is_cut = brings_log && self.cut == Some(message.to);
            if message.snapshot.is_some() && self.voters.contains_key(&message.from) {
                // The network says what became of a snapshot.
                let (voter, sent) = (message.to, !is_cut && self.voters.contains_key(&message.to));
                self.give(message.from, RaftEvent::SnapshotSent { voter, sent });
            }
            if is_cut {
                continue;
            }
            let command = message.entries.iter_mut().find(|entry| !entry.data.is_empty());
            if let (Some(entry), true) = (command, self.forged == Some(message.to)) {
                entry.data = "forged".into();
                self.forged = None;
            }
            if self.voters.contains_key(&message.to) {
                self.give(message.to, RaftEvent::Message(Box::new(message)));
            }
        }
        panic!("messages multiply");
    }

    fn give(&mut self, id: u64, event: RaftEvent<u64>) {
        let mut effects = Vec::new();
        let voter = self.voters.get_mut(&id).expect("it runs");
        let handled = voter.handle(event, &mut |effect| effects.push(effect));
        let flushed = handled.and_then(|()| voter.flush(&mut |effect| effects.push(effect)));
        flushed.unwrap_or_else(|error| panic!("voter {id} ended: {error}"));
        for effect in effects {
            match effect {
                Effect::Send(message) => self.wires.push_back(message),
                Effect::Reply { reply, result } => {
                    self.replies.insert(reply, result);
                }
            }
        }
    }

    pub(crate) fn leaders(&self) -> Vec<u64> {
        self.voters.values().filter(|it| it.status().leads()).map(|it| it.status().id).collect()
    }

    /// The highest term of all.
    pub(crate) fn term(&self) -> u64 {
        self.voters.values().map(|voter| voter.status().term).max().unwrap_or(0)
    }

    /// Waits until one voter leads, and has applied everything of its log.
    pub(crate) fn until_leader(&mut self) -> u64 {
        for _ in 0..PATIENCE {
            if let [leader] = self.leaders()[..]
                && self.voters[&leader].status().applied
                    == self.voters[&leader].store().last().index
            {
                return leader;
            }
            self.tick();
        }
        panic!("no leader: {:?}", self.states());
    }

    /// Waits until the log has the disks that the group was founded with.
    pub(crate) fn until_recorded(&mut self) {
        for _ in 0..PATIENCE {
            let leader = self.until_leader();
            if self.voters[&leader].members().index > 1 {
                return;
            }
            self.tick();
        }
        panic!("the disks are not in the log: {:?}", self.states());
    }

    fn states(&self) -> Vec<String> {
        let state =
            |voter: &Voter<Journal, u64>| format!("{:?} {:?}", voter.status(), voter.view());
        self.voters.values().map(state).collect()
    }

    fn ask(&mut self, id: u64, event: impl FnOnce(u64) -> RaftEvent<u64>) -> u64 {
        self.asked += 1;
        let ticket = self.asked;
        self.give(id, event(ticket));
        ticket
    }

    /// Has a command acknowledged.
    pub(crate) fn write(&mut self, command: &str) {
        for _ in 0..PATIENCE {
            let leader = self.until_leader();
            let bytes = command.as_bytes().to_vec();
            let ticket = self.ask(leader, |reply| RaftEvent::Propose { command: bytes, reply });
            for _ in 0..20 {
                self.deliver();
                match self.replies.remove(&ticket) {
                    Some(Ok(VoterReply::Applied { .. })) => return,
                    Some(other) => {
                        assert!(other.is_err(), "{other:?}");
                        break;
                    }
                    None => self.tick(),
                }
            }
        }
        panic!("{command:?} is not written: {:?}", self.states());
    }

    /// Proposes a command to the leader, if there is one, and does not wait.
    pub(crate) fn write_if_led(&mut self, command: &str) {
        if let Some(leader) = self.leaders().first().copied() {
            let command = command.as_bytes().to_vec();
            self.ask(leader, |reply| RaftEvent::Propose { command, reply });
        }
    }

    /// Asks the leader for a change of the voters.
    pub(crate) fn change(&mut self, change: VoterChange) -> Result<VoterReply, Refused> {
        let mut last = Err(Refused::NoLeader);
        for _ in 0..20 {
            let Some(leader) = self.leaders().first().copied() else {
                self.tick();
                continue;
            };
            let asked = change.clone();
            let ticket = self.ask(leader, |reply| RaftEvent::ChangeVoters { change: asked, reply });
            for _ in 0..20 {
                self.deliver();
                if self.replies.contains_key(&ticket) {
                    break;
                }
                self.tick();
            }
            last = self.replies.remove(&ticket).unwrap_or(Err(Refused::NoLeader));
            let waits = Refused::Change(
                marquee_control::consensus::members::change::ChangeRefused::UnderWay,
            );
            if last != Err(waits) {
                return last;
            }
            self.tick();
        }
        last
    }

    /// Asks voter `at` that voter `to` should lead.
    pub(crate) fn transfer(&mut self, at: u64, to: u64) {
        self.give(at, RaftEvent::Transfer { to });
    }

    pub(crate) fn until_leads(&mut self, id: u64) {
        for _ in 0..PATIENCE {
            self.tick();
            if self.leaders() == [id] {
                return;
            }
        }
        panic!("{id} does not lead: {:?}", self.states());
    }

    pub(crate) fn voters_of(&self, id: u64) -> Vec<u64> {
        self.voters[&id].members().voters()
    }

    /// What the leader takes a member for.
    pub(crate) fn role_of(&mut self, id: u64) -> Option<MemberRole> {
        let leader = self.until_leader();
        self.voters[&leader].members().members.get(&id).map(|member| member.role)
    }

    /// Waits until the leader has these voters and no others, and they are all that there are.
    pub(crate) fn until_voters(&mut self, wanted: &[u64]) {
        for _ in 0..PATIENCE {
            let leader = self.until_leader();
            let members = self.voters[&leader].members();
            if members.voters() == wanted
                && members.members.len() == wanted.len()
                && !members.is_joint()
            {
                return;
            }
            self.tick();
        }
        panic!("the voters are not {wanted:?}: {:?}", self.states());
    }

    pub(crate) fn has(&self, id: u64, command: &str) -> bool {
        self.voters[&id].machine().place(command).is_some()
    }

    /// Waits until all voters that run and are voters have applied a command.
    pub(crate) fn until_all_have(&mut self, command: &str) {
        for _ in 0..PATIENCE {
            let leader = self.until_leader();
            let voters = self.voters_of(leader);
            if voters
                .iter()
                .filter(|id| self.voters.contains_key(id))
                .all(|id| self.has(*id, command))
            {
                return;
            }
            self.tick();
        }
        panic!("not all have {command:?}: {:?}", self.states());
    }

    /// What voter `at` says is wrong with voter `of`.
    pub(crate) fn trouble_of(&self, at: u64, of: u64) -> String {
        self.voters[&at].view().troubles.get(&of).cloned().unwrap_or_default()
    }
}
