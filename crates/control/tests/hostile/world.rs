//! Three voters in one thread, of which one hears hostile messages too.

use crate::journal::Journal;
use marquee_control::consensus::event::{Effect, RaftEvent, VoterConfig};
use marquee_control::consensus::members::DiskId;
use marquee_control::consensus::store::{Genesis, Identity, Store};
use marquee_control::consensus::voter::Voter;
use marquee_control::machine::Machine as _;
use marquee_proto::raft::v1::Message;
use redb::backends::InMemoryBackend;
use std::collections::VecDeque;
use std::path::Path;

/// The voter that hears hostile messages.
pub(crate) const TARGET: u64 = 1;
/// Ticks of ten seconds, within which a group that was attacked writes again.
const TEN_SECONDS: usize = 200;
/// Ticks within which the voters of a new group greet each other, and no election begins.
const FOUNDING_TICKS: usize = 10;
/// How many of the messages last sent are kept to be mutated.
const OVERHEARD: usize = 64;
/// Messages delivered in one tick, at the most: no message is answered by more than a few.
const MAX_DELIVERED: usize = 10_000;

/// The group and what is on its way.
pub(crate) struct World {
    voters: Vec<Voter<Journal, String>>,
    wires: VecDeque<Message>,
    sent: VecDeque<Message>,
    done: Vec<String>,
}

impl World {
    /// A group that has a leader, the target or another voter, and something in its log.
    pub(crate) fn start(target_leads: bool) -> Self {
        let first = if target_leads { TARGET } else { 2 };
        let voters = (1..=3).map(|id| {
            let identity = Identity { id, cluster: 7, voters: vec![1, 2, 3] };
            let name = format!("voter-{id}");
            let genesis =
                Genesis { state: Journal::default().snapshot(), disk: DiskId::of_number(id) };
            let store =
                Store::open_backend(InMemoryBackend::new(), Path::new(&name), &identity, &genesis);
            // The order of candidates is given, so that a failure comes again.
            let patience = 10 + 2 * id as usize;
            let config = VoterConfig {
                election_ticks: patience..patience + 1,
                snapshot_every: 8,
                keep_entries: 2,
                incarnation: id,
                ..VoterConfig::default()
            };
            Voter::open(id, store.expect("new"), Journal::default(), config).expect("new")
        });
        let mut world = Self {
            voters: voters.collect(),
            wires: VecDeque::new(),
            sent: VecDeque::new(),
            done: Vec::new(),
        };
        // They come to know each other's disks.
        for _ in 0..FOUNDING_TICKS {
            world.tick();
        }
        world.give(first, RaftEvent::Campaign);
        world.tick();
        world.commit("before", 1);
        world
    }

    fn voter(&mut self, id: u64) -> &mut Voter<Journal, String> {
        &mut self.voters[id as usize - 1]
    }

    /// A voter's term and the last index of its log.
    pub(crate) fn standing(&mut self, id: u64) -> (u64, u64) {
        let voter = self.voter(id);
        (voter.status().term, voter.store().last().index)
    }

    /// One of the messages that were last sent between the voters.
    pub(crate) fn overheard(&self, chosen: usize) -> Option<Message> {
        let chosen = chosen.checked_rem(self.sent.len())?;
        Some(self.sent[chosen].clone())
    }

    /// Gives the target a message, and delivers what follows of it.
    pub(crate) fn inject(&mut self, message: Message) {
        self.give(TARGET, RaftEvent::Message(Box::new(message)));
        self.deliver();
    }

    /// Lets a tick go by, and delivers all messages.
    pub(crate) fn tick(&mut self) {
        for id in 1..=3 {
            self.give(id, RaftEvent::Tick);
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        for _ in 0..MAX_DELIVERED {
            let Some(message) = self.wires.pop_front() else { return };
            if self.sent.len() == OVERHEARD {
                self.sent.pop_front();
            }
            self.sent.push_back(message.clone());
            if (1..=3).contains(&message.to) {
                self.give(message.to, RaftEvent::Message(Box::new(message)));
            }
        }
        panic!("messages multiply");
    }

    fn give(&mut self, id: u64, event: RaftEvent<String>) {
        let mut effects = Vec::new();
        let voter = self.voter(id);
        let handled = voter.handle(event, &mut |effect| effects.push(effect));
        let flushed = handled.and_then(|()| voter.flush(&mut |effect| effects.push(effect)));
        flushed.unwrap_or_else(|error| panic!("voter {id} ended: {error}"));
        for effect in effects {
            match effect {
                Effect::Send(message) => self.wires.push_back(message),
                Effect::Reply { reply, result: Ok(_) } => self.done.push(reply),
                Effect::Reply { .. } => {}
            }
        }
    }

    /// Commits a command within so many ticks, asking all voters as clients do.
    fn commit(&mut self, name: &str, ticks: usize) {
        for at in 0..=ticks {
            for id in 1..=3 {
                // A forged acknowledgement can make a leader believe itself: only what a second voter has too is
                // committed.
                let command = format!("{name}-{at}").into_bytes();
                self.give(id, RaftEvent::Propose { command, reply: name.into() });
            }
            self.tick();
            let have = self.voters.iter().filter(|voter| {
                voter.machine().lines.iter().any(|(_, line)| line.starts_with(name))
            });
            if self.done.iter().any(|done| done == name) && have.count() >= 2 {
                return;
            }
        }
        let statuses: Vec<_> = self.voters.iter().map(|voter| voter.status()).collect();
        panic!("{name:?} was not committed within {ticks} ticks: {statuses:?}");
    }

    /// The group commits within ten seconds.
    pub(crate) fn commits_again(&mut self) {
        self.commit("after", TEN_SECONDS);
    }
}
