//! The control nodes: real voters, stores and leader's duties over disks in memory.

use crate::chance::Chance;
use crate::disk::{CrashAtSync, Disk};
use crate::links::Party;
use marquee_control::consensus::event::{Effect, RaftEvent, VoterConfig, VoterError};
use marquee_control::consensus::members::DiskId;
use marquee_control::consensus::members::change::VoterChange;
use marquee_control::consensus::store::{Genesis, Identity, Store};
use marquee_control::consensus::voter::Voter;
use marquee_control::parts::{LeaderDuties, Measured, PlanMachine, ReportNews, Shown, judgement};
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, CommandOutcome, Reply};
use marquee_core::plan::{AnswerSecret, Plan, SECRET_BYTES};
use marquee_core::rollout::judge::AllEvidence;
use marquee_core::rollout::window::{Scope, Window};
use marquee_proto::convert::command::command_to_pb;
use marquee_proto::convert::outcome::outcome_from_pb;
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// As in production.
const TICK_MS: u64 = 50;
/// As in production: how often the leader looks whether something is due.
const DUTIES_MS: u64 = 100;
/// Small, so that snapshots and compaction happen all the time.
const SNAPSHOT_EVERY: u64 = 25;
const KEEP_ENTRIES: u64 = 6;
/// Copies of each shard that are wanted.
pub(crate) const REPLICAS: u32 = 2;
/// How far the wall clocks of control nodes may be apart, in ms.
const MAX_CLOCK_SKEW_MS: u64 = 800;
/// The wall clock at the beginning, in ms since the Unix epoch.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// Who waits for a reply of a voter.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// A party, for its request of this number.
    Request { from: Party, number: u64 },
    /// The leader itself, for the duty under way.
    Duty,
    /// A read that began when so many operations had been acknowledged.
    Read { acknowledged: usize },
    /// The operator, who changes the voters.
    Change,
}

/// What the leader does one after another, as in production.
#[derive(Debug)]
enum Duty {
    Judge(Measured, Box<Window>),
    Propose(Box<Action>),
}

/// What becomes of a command that has come.
pub(crate) enum Reception {
    /// It is proposed.
    Proposed(RaftEvent<Ticket>),
    /// The leader answers without the log.
    Answered(CommandOutcome),
    /// The leader is another voter.
    Elsewhere(u64),
    /// Nobody takes it.
    Lost,
}

/// A control node that runs.
pub(crate) struct Running {
    pub(crate) voter: Voter<PlanMachine, Ticket>,
    shown: Shown,
    duties: LeaderDuties,
    queue: VecDeque<Duty>,
    /// The duty that waits for its commit.
    under_way: Option<Duty>,
    next_tick_ms: u64,
    next_duties_ms: u64,
    /// Since when it leads, and in which term.
    pub(crate) leading: Option<(u64, u64)>,
}

pub(crate) struct ControlNode {
    pub(crate) id: u64,
    pub(crate) disk: Disk,
    /// How many disks it has had.
    disks: u64,
    starts: u64,
    pub(crate) running: Option<Running>,
    /// None: it stays down.
    pub(crate) restart_at_ms: Option<u64>,
    clock_ahead_ms: u64,
}

impl ControlNode {
    pub(crate) fn new(id: u64, chance: &mut Chance) -> Self {
        let clock_ahead_ms = chance.below(MAX_CLOCK_SKEW_MS);
        Self {
            id,
            disk: Disk::default(),
            disks: 1,
            starts: 0,
            running: None,
            restart_at_ms: Some(0),
            clock_ahead_ms,
        }
    }

    pub(crate) fn wall_ms(&self, now_ms: u64) -> u64 {
        EPOCH_MS + now_ms + self.clock_ahead_ms
    }

    /// The plan that it shows, if it runs.
    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        self.running.as_ref().map(|running| Arc::clone(&running.shown.plan.borrow()))
    }

    pub(crate) fn leads(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.voter.status().leads())
    }

    pub(crate) fn start(&mut self, voters: &[u64], now_ms: u64, chance: &mut Chance) {
        self.starts += 1;
        self.clock_ahead_ms = chance.below(MAX_CLOCK_SKEW_MS);
        let identity = Identity { id: self.id, cluster: 7, voters: voters.to_vec() };
        let disk = DiskId::of_number(1_000 * self.disks + self.id);
        let genesis = Genesis { state: PlanMachine::genesis(REPLICAS), disk };
        let name = format!("voter-{}", self.id);
        let opened = Store::open_backend(self.disk.open(), Path::new(&name), &identity, &genesis);
        let store = opened.expect("a crash leaves a store that can be opened");
        // No chance of raft's own: a seed must always make the same run. Some stand for election at the same time.
        let patience = 10 + 2 * chance.below(3) as usize;
        let config = VoterConfig {
            election_ticks: patience..patience + 1,
            snapshot_every: SNAPSHOT_EVERY,
            keep_entries: KEEP_ENTRIES,
            incarnation: self.starts,
            ..VoterConfig::default()
        };
        let shown = Shown::default();
        let machine = PlanMachine::new(REPLICAS, shown.clone());
        let voter = Voter::open(self.id, store, machine, config);
        self.running = Some(Running {
            voter: voter.expect("what a voter wrote it can read"),
            shown,
            duties: LeaderDuties::default(),
            queue: VecDeque::new(),
            under_way: None,
            next_tick_ms: now_ms + chance.below(TICK_MS),
            next_duties_ms: now_ms,
            leading: None,
        });
        self.restart_at_ms = None;
    }

    /// The process ends, and what was not synced is gone.
    pub(crate) fn crash(&mut self, restart_at_ms: Option<u64>) {
        self.disk.crash();
        self.running = None;
        self.restart_at_ms = restart_at_ms;
    }

    pub(crate) fn plan_crash_at_sync(&self, after: u32, keeps: bool) {
        self.disk.crash_at_sync(CrashAtSync { after, keeps });
    }

    /// Gives a node that does not run an empty disk.
    pub(crate) fn lose_disk(&mut self) {
        assert!(self.running.is_none());
        self.disk = Disk::default();
        self.disks += 1;
    }

    /// Gives events to the voter. Returns what it does, and whether it goes on.
    pub(crate) fn give(&mut self, events: Vec<RaftEvent<Ticket>>) -> (Vec<Effect<Ticket>>, bool) {
        let Some(running) = &mut self.running else { return (Vec::new(), true) };
        let mut effects = Vec::new();
        let mut done = Ok(());
        for event in events {
            done =
                done.and_then(|()| running.voter.handle(event, &mut |effect| effects.push(effect)));
        }
        done = done.and_then(|()| running.voter.flush(&mut |effect| effects.push(effect)));
        match &done {
            Ok(()) | Err(VoterError::Store(_)) => {}
            Err(other) => panic!("voter {} failed: {other}", self.id),
        }
        // What left before a crash has left.
        (effects, done.is_ok())
    }

    /// Time has come to this moment. Returns the events that follow from it.
    pub(crate) fn tick(&mut self, now_ms: u64, chance: &mut Chance) -> Vec<RaftEvent<Ticket>> {
        let mut events = Vec::new();
        if let Some(running) = &mut self.running
            && running.next_tick_ms <= now_ms
        {
            // Threads are woken late now and then: equal patience does not stay equal.
            running.next_tick_ms += TICK_MS + chance.below(20);
            events.push(RaftEvent::Tick);
        }
        events
    }

    /// Does what the leader's loop does; returns what it proposes next.
    pub(crate) fn attend(&mut self, now_ms: u64) -> Option<RaftEvent<Ticket>> {
        let wall_ms = self.wall_ms(now_ms);
        let running = self.running.as_mut()?;
        let status = running.voter.status();
        if !status.leads() {
            running.leading = None;
            running.duties.retire();
            running.queue.clear();
            return None;
        }
        if running.leading.is_none_or(|(_, term)| term != status.term) {
            running.leading = Some((now_ms, status.term));
        }
        if running.under_way.is_some() {
            return None;
        }
        let plan = Arc::clone(&running.shown.plan.borrow());
        if running.queue.is_empty() && running.next_duties_ms <= now_ms {
            running.next_duties_ms = now_ms + DUTIES_MS;
            running.duties.lead(status.term);
            for (measured, window) in running.duties.take_due_windows(now_ms) {
                running.queue.push_back(Duty::Judge(measured, Box::new(window)));
            }
            let traffic = running.duties.take_traffic(now_ms, wall_ms);
            running.queue.extend(traffic.map(|action| Duty::Propose(Box::new(action))));
            let evidence: Arc<AllEvidence> = Arc::clone(&running.shown.evidence.borrow());
            let secret = || Some(AnswerSecret([7; SECRET_BYTES]));
            let due = running.duties.due(&plan, &evidence, now_ms, wall_ms, secret);
            running.queue.extend(due.into_iter().map(|action| Duty::Propose(Box::new(action))));
        }
        loop {
            let duty = running.queue.pop_front()?;
            let action = match &duty {
                Duty::Judge(measured, window) => {
                    let evidence = running.shown.evidence.borrow();
                    judgement(&plan, evidence.get(&measured.0), measured, window)
                }
                Duty::Propose(action) => Some((**action).clone()),
            };
            let Some(action) = action else { continue };
            let command = Command {
                request_id: String::new(),
                now_ms: wall_ms,
                actor: Actor::leader(),
                action,
            };
            running.under_way = Some(duty);
            let command = command_to_pb(&command).encode_to_vec();
            return Some(RaftEvent::Propose { command, reply: Ticket::Duty });
        }
    }

    /// The duty under way was committed, or was not.
    pub(crate) fn duty_done(&mut self, is_committed: bool, now_ms: u64) {
        let Some(running) = &mut self.running else { return };
        let duty = running.under_way.take();
        if is_committed {
            return;
        }
        match duty {
            Some(Duty::Judge(measured, window)) => {
                running.duties.keep_window(measured, &window, now_ms)
            }
            _ => running.queue.clear(),
        }
    }

    /// A command of a party has come.
    pub(crate) fn accept(
        &mut self,
        from: Party,
        number: u64,
        command: &Command,
        now_ms: u64,
    ) -> Reception {
        let Some(running) = &mut self.running else { return Reception::Lost };
        let status = running.voter.status();
        match status.leader {
            0 => return Reception::Lost,
            leader if leader != status.id => return Reception::Elsewhere(leader),
            _ => {}
        }
        if matches!(command.action, Action::ReportNode { .. }) {
            running.duties.lead(status.term);
            let plan = Arc::clone(&running.shown.plan.borrow());
            let outcome = match running.duties.take_report(&plan, command, now_ms) {
                ReportNews::Changed => None,
                ReportNews::Unchanged => Some(Ok(Reply::Done)),
                ReportNews::Refused(refusal) => Some(Err(refusal)),
            };
            if let Some(outcome) = outcome {
                return Reception::Answered(outcome);
            }
        }
        let command = command_to_pb(command).encode_to_vec();
        Reception::Proposed(RaftEvent::Propose { command, reply: Ticket::Request { from, number } })
    }

    /// What a router has measured has come. Returns the leader, if it is another one.
    pub(crate) fn observe(
        &mut self,
        measured: &(Scope, u32),
        window: &Window,
        now_ms: u64,
    ) -> Option<u64> {
        let running = self.running.as_mut()?;
        let status = running.voter.status();
        if !status.leads() {
            return Some(status.leader).filter(|leader| *leader != 0);
        }
        let plan = Arc::clone(&running.shown.plan.borrow());
        running.duties.lead(status.term);
        running.duties.observe(&plan, measured, window, now_ms);
        None
    }
}

/// The outcome of a command, as the state machine encoded it.
pub(crate) fn outcome_of(bytes: &[u8]) -> CommandOutcome {
    let decoded = pb::CommandOutcome::decode(bytes).expect("the machine's own");
    outcome_from_pb(decoded).expect("the machine's own")
}

/// The change that gives a voter's place to its new disk.
pub(crate) fn replacement_of(id: u64) -> VoterChange {
    VoterChange::Replace { id, with: 0, address: String::new(), node_id: String::new() }
}

impl Running {
    /// Whether a duty waits for its commit.
    pub(crate) fn waits(&self) -> bool {
        self.under_way.is_some()
    }
}
