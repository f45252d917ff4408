//! A group of voters, their disks, a bad network between them and impatient clients, in one thread.
//!
//! Everything that is left to chance is drawn from one seeded generator, so a seed is a history.

use crate::disk::{CrashAtSync, Disk};
use crate::journal::Journal;
use marquee_control::consensus::event::{
    Effect, RaftEvent, Refused, VoterConfig, VoterError, VoterReply,
};
use marquee_control::consensus::members::DiskId;
use marquee_control::consensus::store::{Genesis, Identity, Store};
use marquee_control::consensus::voter::Voter;
use marquee_control::machine::Machine as _;
use marquee_proto::raft::v1::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// Virtual milliseconds between two looks at the world.
const STEP_MS: u64 = 5;
/// As in production.
const TICK_MS: u64 = 50;
/// A client that has no answer by then asks again, elsewhere.
const CLIENT_PATIENCE_MS: u64 = 800;
/// Commands that clients want done at once.
const MAX_OPEN_COMMANDS: usize = 6;
/// Small, so that snapshots and compaction happen all the time.
const SNAPSHOT_EVERY: u64 = 15;
const KEEP_ENTRIES: u64 = 4;

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }
}

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// In a thousand messages.
    pub(crate) dropped: u64,
    /// In a thousand messages.
    pub(crate) duplicated: u64,
    /// Each message takes 1 to this many milliseconds.
    pub(crate) slowest_ms: u64,
}

const FAIR: Weather = Weather { dropped: 0, duplicated: 0, slowest_ms: 4 };

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(crate) enum Ticket {
    Command {
        name: String,
    },
    /// What had been acknowledged when the read began.
    Read {
        acknowledged: usize,
    },
}

struct Node {
    id: u64,
    disk: Disk,
    voter: Option<Voter<Journal, Ticket>>,
    next_tick_ms: u64,
    starts: u64,
    restart_at_ms: u64,
}

struct Wish {
    name: String,
    ask_again_at_ms: u64,
    ask: u64,
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) reads: usize,
    pub(crate) crashes: usize,
    pub(crate) elections: usize,
    pub(crate) snapshots_sent: usize,
}

pub(crate) struct World {
    dice: Dice,
    now_ms: u64,
    nodes: Vec<Node>,
    weather: Weather,
    /// Voters hear only those of the same side.
    sides: Vec<u64>,
    wires: BTreeMap<(u64, u64), Message>,
    sent: u64,
    wishes: Vec<Wish>,
    wished: u64,
    /// Commands that a caller was told are done, and the outcome they heard.
    acknowledged: Vec<(String, String)>,
    /// What is committed, as first seen: by log index.
    committed: BTreeMap<u64, String>,
    leaders: BTreeMap<u64, u64>,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, voters: u64) -> Self {
        let mut dice = Dice(seed);
        let nodes = (1..=voters)
            .map(|id| Node {
                id,
                disk: Disk::default(),
                voter: None,
                next_tick_ms: dice.roll(TICK_MS),
                starts: 0,
                restart_at_ms: 0,
            })
            .collect();
        Self {
            dice,
            now_ms: 0,
            nodes,
            weather: FAIR,
            sides: vec![0; voters as usize + 1],
            wires: BTreeMap::new(),
            sent: 0,
            wishes: Vec::new(),
            wished: 0,
            acknowledged: Vec::new(),
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Lives through `ms` of trouble.
    pub(crate) fn storm(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.trouble();
            self.step(true);
        }
    }

    /// Repairs everything, then waits until all wishes are done and all voters agree. Panics if
    /// that takes longer than `ms`.
    pub(crate) fn heal(&mut self, ms: u64) {
        self.weather = FAIR;
        self.sides.fill(0);
        for node in &mut self.nodes {
            node.restart_at_ms = node.restart_at_ms.min(self.now_ms);
        }
        let end = self.now_ms + ms;
        while !(self.wishes.is_empty() && self.agree()) {
            assert!(
                self.now_ms < end,
                "no progress after healing: {} wishes open, {:?}",
                self.wishes.len(),
                self.nodes.iter().map(|n| n.voter.as_ref().map(Voter::status)).collect::<Vec<_>>()
            );
            self.step(false);
        }
    }

    fn agree(&self) -> bool {
        let journal = |node: &Node| node.voter.as_ref().map(|voter| voter.machine().clone());
        let first = journal(&self.nodes[0]);
        first.is_some() && self.nodes.iter().all(|node| journal(node) == first)
    }

    /// What must hold at the end: every acknowledged command has been applied once, everywhere, to
    /// the effect that was acknowledged.
    pub(crate) fn check_acknowledged(&self) {
        for node in &self.nodes {
            let voter = node.voter.as_ref().expect("all run after healing");
            let journal = voter.machine();
            for (name, outcome) in &self.acknowledged {
                let times = journal.lines.iter().filter(|(_, line)| line == name).count();
                assert_eq!(times, 1, "{name} on voter {}", node.id);
                let place = journal.place(name).map(|place| place.to_string());
                assert_eq!(place.as_ref(), Some(outcome), "{name} on voter {}", node.id);
            }
        }
    }

    fn trouble(&mut self) {
        let voters = self.nodes.len() as u64;
        if self.dice.chance(200) {
            self.weather = match self.dice.roll(3) {
                0 => FAIR,
                1 => Weather { dropped: 50, duplicated: 50, slowest_ms: 40 },
                _ => Weather { dropped: 250, duplicated: 150, slowest_ms: 200 },
            };
        }
        if self.dice.chance(150) {
            for side in &mut self.sides {
                *side = self.dice.roll(2);
            }
        } else if self.dice.chance(100) {
            self.sides.fill(0);
        }
        if self.dice.chance(150) {
            let at = self.dice.roll(voters) as usize;
            if self.dice.chance(2) {
                self.crash(at);
            } else {
                let crash =
                    CrashAtSync { after: self.dice.roll(3) as u32, keeps: self.dice.chance(2) };
                self.nodes[at].disk.crash_at_sync(crash);
            }
        }
        if self.dice.chance(400) {
            let to = 1 + self.dice.roll(voters);
            let at = self.dice.roll(voters) as usize;
            self.give(at, vec![RaftEvent::Transfer { to }]);
        }
    }

    fn crash(&mut self, at: usize) {
        self.tally.crashes += 1;
        let restart_at_ms = self.now_ms + self.dice.roll(1_500);
        let node = &mut self.nodes[at];
        node.disk.crash();
        node.voter = None;
        node.restart_at_ms = restart_at_ms;
    }

    fn start(&mut self, at: usize) {
        let voters: Vec<u64> = self.nodes.iter().map(|node| node.id).collect();
        let node = &mut self.nodes[at];
        node.starts += 1;
        let identity = Identity { id: node.id, cluster: 7, voters };
        let genesis =
            Genesis { state: Journal::default().snapshot(), disk: DiskId::of_number(node.id) };
        let name = format!("voter-{}", node.id);
        let opened = Store::open_backend(node.disk.open(), Path::new(&name), &identity, &genesis);
        let store = opened.expect("a crash leaves a store that can be opened");
        let stagger = 10 + 2 * node.id as usize;
        let config = VoterConfig {
            // No dice of raft's own: a seed must always make the same history.
            election_ticks: stagger..stagger + 1,
            snapshot_every: SNAPSHOT_EVERY,
            keep_entries: KEEP_ENTRIES,
            incarnation: node.starts,
            ..VoterConfig::default()
        };
        let voter = Voter::open(node.id, store, Journal::default(), config);
        node.voter = Some(voter.expect("what a voter wrote it can read"));
    }

    fn step(&mut self, wishing: bool) {
        self.now_ms += STEP_MS;
        let now = self.now_ms;
        for at in 0..self.nodes.len() {
            if self.nodes[at].voter.is_none() && self.nodes[at].restart_at_ms <= now {
                self.start(at);
            }
        }
        let mut inbox: BTreeMap<usize, Vec<RaftEvent<Ticket>>> = BTreeMap::new();
        while let Some(entry) = self.wires.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let message = entry.remove();
            if self.sides[message.to as usize] == self.sides[message.from as usize] {
                inbox
                    .entry(message.to as usize - 1)
                    .or_default()
                    .push(RaftEvent::Message(Box::new(message)));
            }
        }
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if node.next_tick_ms <= now {
                node.next_tick_ms += TICK_MS;
                inbox.entry(at).or_default().push(RaftEvent::Tick);
            }
        }
        self.clients(wishing, &mut inbox);
        for (at, events) in inbox {
            self.give(at, events);
        }
    }

    fn clients(&mut self, wishing: bool, inbox: &mut BTreeMap<usize, Vec<RaftEvent<Ticket>>>) {
        let voters = self.nodes.len() as u64;
        if wishing && self.wishes.len() < MAX_OPEN_COMMANDS && self.dice.chance(4) {
            self.wished += 1;
            let name = format!("command-{}", self.wished);
            let ask = self.dice.roll(voters);
            self.wishes.push(Wish { name, ask_again_at_ms: 0, ask });
        }
        let now = self.now_ms;
        for wish in self.wishes.iter_mut().filter(|wish| wish.ask_again_at_ms <= now) {
            wish.ask_again_at_ms = now + CLIENT_PATIENCE_MS;
            let command = wish.name.clone().into_bytes();
            let reply = Ticket::Command { name: wish.name.clone() };
            inbox.entry(wish.ask as usize).or_default().push(RaftEvent::Propose { command, reply });
            wish.ask = (wish.ask + 1) % voters;
        }
        if wishing && self.dice.chance(10) {
            let at = self.dice.roll(voters) as usize;
            let reply = Ticket::Read { acknowledged: self.acknowledged.len() };
            inbox.entry(at).or_default().push(RaftEvent::Read { reply });
        }
    }

    fn give(&mut self, at: usize, events: Vec<RaftEvent<Ticket>>) {
        let Some(voter) = &mut self.nodes[at].voter else { return };
        let mut effects = Vec::new();
        let mut done = Ok(());
        for event in events {
            done = done.and_then(|()| voter.handle(event, &mut |effect| effects.push(effect)));
        }
        done = done.and_then(|()| voter.flush(&mut |effect| effects.push(effect)));
        match &done {
            Ok(()) => self.check(at),
            Err(VoterError::Store(_)) => {}
            Err(other) => panic!("voter {} failed: {other}", at + 1),
        }
        // What left before a crash has left.
        for effect in effects {
            match effect {
                Effect::Send(message) => self.send(message),
                Effect::Reply { reply, result } => self.answer(at, reply, result),
            }
        }
        if done.is_err() {
            self.crash(at);
        }
    }

    fn send(&mut self, message: Message) {
        if message.snapshot.is_some() {
            self.tally.snapshots_sent += 1;
            // The network says that it took the snapshot, and may lose it all the same.
            let (at, voter) = (message.from as usize - 1, message.to);
            let sent = !self.dice.chance(4);
            if let Some(from) = &mut self.nodes[at].voter {
                let told = from.handle(RaftEvent::SnapshotSent { voter, sent }, &mut |_| {});
                told.expect("touches no disk");
            }
        }
        let Weather { dropped, duplicated, slowest_ms } = self.weather;
        if self.dice.roll(1_000) < dropped {
            return;
        }
        let copies = if self.dice.roll(1_000) < duplicated { 2 } else { 1 };
        for _ in 0..copies {
            self.sent += 1;
            let arrives = self.now_ms + 1 + self.dice.roll(slowest_ms);
            self.wires.insert((arrives, self.sent), message.clone());
        }
    }

    fn answer(&mut self, at: usize, ticket: Ticket, result: Result<VoterReply, Refused>) {
        match (ticket, result) {
            (Ticket::Command { name }, Ok(VoterReply::Applied { outcome, .. })) => {
                let outcome = String::from_utf8(outcome).expect("the journal's own");
                self.wishes.retain(|wish| wish.name != name);
                self.acknowledged.push((name, outcome));
                self.tally.acknowledged += 1;
            }
            (Ticket::Command { name }, Err(refused)) => {
                let wish = self.wishes.iter_mut().find(|wish| wish.name == name);
                if let (Some(wish), Refused::NotLeader { leader: Some(leader) }) = (wish, refused) {
                    wish.ask = leader - 1;
                    wish.ask_again_at_ms = self.now_ms + 20;
                }
            }
            (Ticket::Read { acknowledged }, Ok(VoterReply::UpToDate)) => {
                self.tally.reads += 1;
                let voter = self.nodes[at].voter.as_ref().expect("it has just answered");
                for (name, _) in &self.acknowledged[..acknowledged] {
                    let found = voter.machine().place(name);
                    assert!(found.is_some(), "a read on voter {} missed {name}", at + 1);
                }
            }
            (Ticket::Read { .. }, Err(_)) => {}
            (ticket, answer) => panic!("{ticket:?} got {answer:?}"),
        }
    }

    /// What must hold at every moment.
    fn check(&mut self, at: usize) {
        let node = &self.nodes[at];
        let voter = node.voter.as_ref().expect("it has just run");
        let status = voter.status();
        if status.leads() {
            let leaders = self.leaders.len();
            let known = *self.leaders.entry(status.term).or_insert(node.id);
            assert_eq!(known, node.id, "two leaders in term {}", status.term);
            self.tally.elections += self.leaders.len() - leaders;
        }
        for (index, command) in &voter.machine().lines {
            let known = self.committed.entry(*index).or_insert_with(|| command.clone());
            assert_eq!(known, command, "voter {} applied another entry {index}", node.id);
        }
    }
}
