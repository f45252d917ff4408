//! The whole cluster, its network, its disks, its callers and its operator, in one thread.

mod phases;

use crate::chance::Chance;
use crate::checks::Checks;
use crate::events::EventDisk;
use crate::follower::Reach;
use crate::links::{FAIR, Links, Party, Weather};
use crate::operator::Operator;
use crate::routers::{Answered, RouterNode};
use crate::shards::{Process, ShardNode};
use crate::trace::Trace;
use crate::voters::{ControlNode, EPOCH_MS, Reception, Ticket, outcome_of};
use marquee_client::Rotation;
use marquee_control::consensus::event::{Effect, RaftEvent, Refused, VoterReply};
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, CommandOutcome, ReplicaReport, waiting_for};
use marquee_core::plan::{Node, Plan, Role};
use marquee_core::rollout::window::{Scope, Window};
use marquee_proto::raft::v1::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Virtual milliseconds between two looks at the world.
const STEP_MS: u64 = 5;
/// As in production.
const REPORT_EVERY_MS: u64 = 1_000;
/// As in production: a control node that has not answered by then is passed over.
const REPORT_PATIENCE_MS: u64 = 700;
/// How often all tasks run before the world waits for what they began in another thread.
const YIELDS: usize = 4;
/// Control nodes that pass a request on, at the most.
const MAX_HOPS: u32 = 3;
pub(crate) const VOTERS: u64 = 3;
const SHARD_NODES: usize = 3;
const ROUTERS: usize = 2;

/// What is under way.
enum Packet {
    Raft(Box<Message>),
    Request {
        from: Party,
        at: u64,
        number: u64,
        command: Box<Command>,
        hops: u32,
    },
    Reply {
        from: u64,
        to: Party,
        number: u64,
        outcome: Box<CommandOutcome>,
        index: u64,
        epoch: u64,
    },
    Plan {
        from: u64,
        to: Party,
        slot: usize,
        stream: u64,
        plan: Arc<Plan>,
    },
    Telemetry {
        from: Party,
        at: u64,
        measured: (Scope, u32),
        window: Box<Window>,
        hops: u32,
    },
}

/// What a node knows of its reports.
struct Reporter {
    rotation: Rotation,
    waiting: Option<(u64, usize, u64)>,
    sent: u64,
}

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now_ms: u64,
    links: Links,
    pub(crate) controls: Vec<ControlNode>,
    shards: Vec<ShardNode>,
    routers: Vec<RouterNode>,
    events: Vec<EventDisk>,
    processes: BTreeMap<String, (usize, Arc<Process>)>,
    reporters: BTreeMap<Party, Reporter>,
    wires: BTreeMap<(u64, u64), Packet>,
    sent: u64,
    pub(crate) operator: Operator,
    answers: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
    pub(crate) checks: Checks,
    leaders: BTreeMap<u64, u64>,
    /// Operations that were acknowledged, in order.
    acknowledged: Vec<u64>,
    reads: usize,
    /// Whether things go wrong.
    storms: bool,
    /// The only node that may be taken for dead, while nothing else is wrong.
    calm_but_for: Option<String>,
    is_calm: bool,
    change_under_way: bool,
    changed: bool,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let links = Links::new(chance.below(u64::MAX));
        let controls = (1..=VOTERS).map(|id| ControlNode::new(id, &mut chance)).collect();
        // One of the nodes has to unload before it can load.
        let shards: Vec<ShardNode> = (0..SHARD_NODES)
            .map(|number| ShardNode::new(number, if number == 0 { 700 } else { 0 }))
            .collect();
        let process =
            |node: &ShardNode| (node.name.clone(), (node.number, Arc::clone(&node.process)));
        let processes = shards.iter().map(process).collect();
        let parties = (0..SHARD_NODES).map(Party::Shard).chain((0..ROUTERS).map(Party::Router));
        let mut reporters = BTreeMap::new();
        for party in parties {
            let rotation = Rotation::new(VOTERS as usize, chance.below(VOTERS) as usize);
            reporters.insert(party, Reporter { rotation, waiting: None, sent: 0 });
        }
        Self {
            chance,
            now_ms: 0,
            links,
            controls,
            shards,
            routers: (0..ROUTERS).map(RouterNode::new).collect(),
            events: (0..ROUTERS).map(|_| EventDisk::new()).collect(),
            processes,
            reporters,
            wires: BTreeMap::new(),
            sent: 0,
            operator: Operator::default(),
            answers: mpsc::unbounded_channel(),
            checks: Checks::default(),
            leaders: BTreeMap::new(),
            acknowledged: Vec::new(),
            reads: 0,
            storms: false,
            calm_but_for: None,
            is_calm: false,
            change_under_way: false,
            changed: false,
            trace: Trace::default(),
        }
    }

    // ---- helpers ----------------------------------------------------------------------------------

    async fn until(&mut self, what: &str, ms: u64, holds: impl Fn(&mut Self) -> bool) {
        let end = self.now_ms + ms;
        while !holds(self) {
            assert!(self.now_ms < end, "not within {ms} ms: {what}; {}", self.voters());
            self.step().await;
        }
    }

    fn voters(&self) -> String {
        let says = |node: &ControlNode| {
            let running = node.running.as_ref();
            running.map(|it| format!("{:?} {:?}", it.voter.status(), it.voter.view().troubles))
        };
        let mut waiting = Vec::new();
        if let Some(running) = self.controls.iter().filter_map(|node| node.running.as_ref()).next()
        {
            let state = running.voter.machine().state();
            for rollout in state.plan.rollouts.iter().filter(|rollout| !rollout.state.is_over()) {
                let why =
                    waiting_for(&state.plan, &state.evidence, rollout, EPOCH_MS + self.now_ms);
                waiting.push(format!("{} is {} and waits: {why}", rollout.id, rollout.state));
            }
        }
        let voters = self.controls.iter().map(says).collect::<Vec<_>>();
        format!("{voters:?}, {} operations open, {waiting:?}", self.operator.open())
    }

    fn control(&mut self, id: u64) -> &mut ControlNode {
        &mut self.controls[id as usize - 1]
    }

    fn newest_plan(&self) -> Arc<Plan> {
        let plans = self.controls.iter().filter_map(ControlNode::plan);
        plans.max_by_key(|plan| plan.epoch).unwrap_or_default()
    }

    fn agree(&self) -> bool {
        let state = |node: &ControlNode| {
            node.running
                .as_ref()
                .map(|it| (it.voter.status().applied, it.voter.machine().state().clone()))
        };
        let Some(first) = state(&self.controls[0]) else { return false };
        for node in &self.controls[1..] {
            let Some((applied, found)) = state(node) else { return false };
            if applied != first.0 {
                return false;
            }
            assert!(
                found == first.1,
                "voters 1 and {} have applied {applied} entries, to another effect",
                node.id
            );
        }
        true
    }

    /// Whether all nodes follow a plan of this epoch or a newer one.
    fn follow(&self, epoch: u64) -> bool {
        let shards = self
            .shards
            .iter()
            .filter_map(|node| node.running.as_ref().map(|it| it.follower.plan().epoch));
        let routers = self
            .routers
            .iter()
            .filter_map(|node| node.running.as_ref().map(|it| it.follower.plan().epoch));
        let mut all = shards.chain(routers);
        all.clone().count() == SHARD_NODES + ROUTERS && all.all(|found| found >= epoch)
    }

    fn trouble(&mut self) {
        let slowest = |roll| match roll {
            0 => FAIR,
            1 => Weather { dropped: 50, duplicated: 50, slowest_ms: 40 },
            _ => Weather { dropped: 200, duplicated: 150, slowest_ms: 150 },
        };
        if self.chance.once_in(300) {
            let roll = self.chance.below(3);
            self.links.state().weather = slowest(roll);
        }
        if self.chance.once_in(250) {
            let mut links = self.links.state();
            for id in 1..=VOTERS {
                links.set_side(Party::Control(id), self.chance.below(2));
            }
        } else if self.chance.once_in(400) {
            let (router, shard) =
                (self.chance.below(ROUTERS as u64), self.chance.below(SHARD_NODES as u64));
            let (router, shard) = (Party::Router(router as usize), Party::Shard(shard as usize));
            let (from, to) = if self.chance.once_in(2) { (router, shard) } else { (shard, router) };
            self.links.state().cut(from, to);
        } else if self.chance.once_in(150) {
            let mut links = self.links.state();
            let weather = links.weather;
            links.heal();
            links.weather = weather;
        }
        if self.chance.once_in(250) {
            let at = self.chance.below(VOTERS) as usize;
            if self.chance.once_in(2) {
                let restart = self.now_ms + self.chance.below(1_500);
                self.crash_control(at as u64 + 1, Some(restart));
            } else {
                let (after, keeps) = (self.chance.below(3) as u32, self.chance.once_in(2));
                self.controls[at].plan_crash_at_sync(after, keeps);
            }
        }
        if self.chance.once_in(400) {
            let at = self.chance.below(VOTERS) as usize;
            let to = 1 + self.chance.below(VOTERS);
            self.give(at, vec![RaftEvent::Transfer { to }]);
        }
        if self.chance.once_in(600) {
            let at = self.chance.below(SHARD_NODES as u64) as usize;
            let restart = self.now_ms + self.chance.below(3_000);
            self.crash_shard(at, Some(restart));
        }
        if self.chance.once_in(500) {
            let at = self.chance.below(SHARD_NODES as u64) as usize;
            let slow_ms = if self.chance.once_in(2) { 0 } else { self.chance.below(300) };
            self.shards[at].set_slow(slow_ms);
        }
        if self.chance.once_in(600) {
            let at = self.chance.below(ROUTERS as u64) as usize;
            self.routers[at].crash(Some(self.now_ms + self.chance.below(2_000)));
            self.links.state().set_down(Party::Router(at), true);
            let World { events, chance, .. } = self;
            events[at].crash(chance);
            self.trace.note(self.now_ms, "router crashes", at as u64);
        }
        if self.chance.once_in(20) {
            let at = self.chance.below(VOTERS) as usize;
            let reply = Ticket::Read { acknowledged: self.acknowledged.len() };
            self.give(at, vec![RaftEvent::Read { reply }]);
        }
    }

    fn crash_control(&mut self, id: u64, restart_at_ms: Option<u64>) {
        self.control(id).crash(restart_at_ms);
        self.links.state().set_down(Party::Control(id), true);
        self.trace.note(self.now_ms, "control crashes", id);
    }

    fn crash_shard(&mut self, at: usize, restart_at_ms: Option<u64>) {
        self.shards[at].crash(restart_at_ms);
        self.links.state().set_down(Party::Shard(at), true);
        self.trace.note(self.now_ms, "shard crashes", at as u64);
    }

    // ---- one step ---------------------------------------------------------------------------------

    async fn step(&mut self) {
        // All calls that are under way go on until then.
        tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
        self.now_ms += STEP_MS;
        self.start_what_is_due();
        self.deliver();
        self.tick_controls();
        self.follow_plans();
        self.step_shards();
        if self.step_routers() {
            // Routers forget in another thread what a new plan does not serve: not while time goes on.
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
            tokio::task::spawn_blocking(|| {}).await.expect("it does nothing");
        }
        let asked = self.operator.ask(self.now_ms, VOTERS);
        for (at, number, command) in asked {
            self.send_request(Party::Operator, at, number, command);
        }
        let mut answers = Vec::new();
        while let Ok(answered) = self.answers.1.try_recv() {
            answers.push(answered);
        }
        // tokio wakes who waits for the same plan in any order.
        answers.sort_by_key(|answered| (answered.asked_ms, answered.router));
        for answered in answers {
            self.trace.answer(self.now_ms, &answered);
            self.checks.answer(&answered);
        }
    }

    fn start_what_is_due(&mut self) {
        let now = self.now_ms;
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let ids: Vec<u64> = (1..=VOTERS).collect();
        let World { controls, shards, routers, events, links, processes, chance, .. } = self;
        for node in
            controls.iter_mut().filter(|node| node.running.is_none() && is_due(node.restart_at_ms))
        {
            node.start(&ids, now, chance);
            links.state().set_down(Party::Control(node.id), false);
        }
        for node in
            shards.iter_mut().filter(|node| node.running.is_none() && is_due(node.restart_at_ms))
        {
            node.start(VOTERS as usize, now, chance);
            links.state().set_down(Party::Shard(node.number), false);
        }
        for node in
            routers.iter_mut().filter(|node| node.running.is_none() && is_due(node.restart_at_ms))
        {
            node.start(VOTERS as usize, links, processes, now, chance);
            links.state().set_down(Party::Router(node.number), false);
            events[node.number].start();
        }
    }

    fn send(&mut self, packet: Packet) {
        self.sent += 1;
        let arrives = self.now_ms + self.links.state().delay_ms();
        self.wires.insert((arrives, self.sent), packet);
    }

    fn send_raft(&mut self, message: Message) {
        if message.snapshot.is_some() {
            // The network says that it took the snapshot, and may lose it all the same.
            let (at, voter) = (message.from as usize - 1, message.to);
            let sent = !(self.storms && self.chance.once_in(4));
            if let Some(from) = &mut self.controls[at].running {
                let told = from.voter.handle(RaftEvent::SnapshotSent { voter, sent }, &mut |_| {});
                told.expect("touches no disk");
            }
        }
        let copies = self.links.state().copies();
        for _ in 0..copies {
            self.send(Packet::Raft(Box::new(message.clone())));
        }
    }

    fn send_request(&mut self, from: Party, at: u64, number: u64, command: Command) {
        self.send(Packet::Request { from, at, number, command: Box::new(command), hops: 0 });
    }

    fn deliver(&mut self) {
        let now = self.now_ms;
        let mut raft: BTreeMap<usize, Vec<RaftEvent<Ticket>>> = BTreeMap::new();
        let mut others = Vec::new();
        while let Some(entry) = self.wires.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let packet = entry.remove();
            let (from, to) = match &packet {
                Packet::Raft(message) => (Party::Control(message.from), Party::Control(message.to)),
                Packet::Request { from, at, .. } | Packet::Telemetry { from, at, .. } => {
                    (*from, Party::Control(*at))
                }
                Packet::Reply { from, to, .. } | Packet::Plan { from, to, .. } => {
                    (Party::Control(*from), *to)
                }
            };
            if !self.links.state().carries(from, to) {
                continue;
            }
            match packet {
                Packet::Raft(message) => {
                    self.trace.note(
                        now,
                        "raft",
                        message.from << 32 | message.to << 16 | u64::from(message.r#type as u8),
                    );
                    let at = message.to as usize - 1;
                    raft.entry(at).or_default().push(RaftEvent::Message(message));
                }
                other => others.push(other),
            }
        }
        for (at, events) in raft {
            self.give(at, events);
        }
        for packet in others {
            self.receive(packet);
        }
    }

    fn receive(&mut self, packet: Packet) {
        let now = self.now_ms;
        match packet {
            Packet::Raft(_) => unreachable!("they are given together"),
            Packet::Request { from, at, number, command, hops } => {
                let node = &mut self.controls[at as usize - 1];
                match node.accept(from, number, &command, now) {
                    Reception::Proposed(event) => self.give(at as usize - 1, vec![event]),
                    Reception::Elsewhere(leader) if hops < MAX_HOPS => {
                        // It passes the request on in the caller's name.
                        if self.links.state().carries(Party::Control(at), Party::Control(leader)) {
                            self.send(Packet::Request {
                                from,
                                at: leader,
                                number,
                                command,
                                hops: hops + 1,
                            });
                        }
                    }
                    Reception::Answered(outcome) => {
                        let epoch = node.plan().map_or(0, |plan| plan.epoch);
                        self.send(Packet::Reply {
                            from: at,
                            to: from,
                            number,
                            outcome: Box::new(outcome),
                            index: 0,
                            epoch,
                        });
                    }
                    Reception::Elsewhere(_) | Reception::Lost => {}
                }
            }
            Packet::Reply { to, number, outcome, index, epoch, .. } => {
                self.take_reply(to, number, *outcome, index, epoch)
            }
            Packet::Plan { to, slot, stream, plan, .. } => {
                let follower = match to {
                    Party::Shard(at) => self.shards[at].running.as_mut().map(|it| &mut it.follower),
                    Party::Router(at) => {
                        self.routers[at].running.as_mut().map(|it| &mut it.follower)
                    }
                    _ => None,
                };
                if let Some(follower) = follower {
                    follower.arrive(slot, stream, &plan);
                }
            }
            Packet::Telemetry { from, at, measured, window, hops } => {
                let leader = self.controls[at as usize - 1].observe(&measured, &window, now);
                if let Some(leader) = leader.filter(|leader| *leader != at && hops < MAX_HOPS) {
                    self.send(Packet::Telemetry {
                        from,
                        at: leader,
                        measured,
                        window,
                        hops: hops + 1,
                    });
                }
            }
        }
    }

    fn take_reply(
        &mut self,
        to: Party,
        number: u64,
        outcome: CommandOutcome,
        index: u64,
        epoch: u64,
    ) {
        if to == Party::Operator {
            let now = self.now_ms;
            let operation = &mut self.operator.operations[number as usize - 1];
            if let Some((known, ..)) = &operation.done {
                assert_eq!(*known, outcome, "operation {number} has two outcomes");
                return;
            }
            operation.done = Some((outcome, index, now));
            self.acknowledged.push(number);
            self.trace.note(now, "acknowledged", number << 32 | index);
            return;
        }
        let newest = match to {
            Party::Shard(at) => self.shards[at].running.as_mut().map(|it| &mut it.follower.newest),
            Party::Router(at) => {
                self.routers[at].running.as_mut().map(|it| &mut it.follower.newest)
            }
            _ => None,
        };
        if let Some(newest) = newest {
            *newest = epoch.max(*newest);
        }
        if let Some(reporter) = self.reporters.get_mut(&to)
            && reporter.waiting.is_some_and(|(waits_for, ..)| waits_for == number)
        {
            reporter.waiting = None;
        }
    }

    fn tick_controls(&mut self) {
        for at in 0..self.controls.len() {
            let World { controls, chance, now_ms, .. } = self;
            let events = controls[at].tick(*now_ms, chance);
            self.give(at, events);
            while let Some(event) = self.controls[at].attend(self.now_ms) {
                self.give(at, vec![event]);
                let waits =
                    self.controls[at].running.as_ref().is_some_and(crate::voters::Running::waits);
                if waits {
                    break;
                }
            }
        }
    }

    /// Gives events to a voter, and carries on what it does.
    fn give(&mut self, at: usize, events: Vec<RaftEvent<Ticket>>) {
        let (effects, lives) = self.controls[at].give(events);
        if lives {
            self.check_voter(at);
        }
        for effect in effects {
            match effect {
                Effect::Send(message) => self.send_raft(message),
                Effect::Reply { reply, result } => self.replied(at, reply, result),
            }
        }
        if !lives {
            let restart = self.now_ms + self.chance.below(1_500);
            self.crash_control(at as u64 + 1, Some(restart));
        }
    }

    fn replied(&mut self, at: usize, ticket: Ticket, result: Result<VoterReply, Refused>) {
        let id = at as u64 + 1;
        match (ticket, result) {
            (Ticket::Request { from, number }, Ok(VoterReply::Applied { index, outcome })) => {
                let outcome = Box::new(outcome_of(&outcome));
                let epoch = self.controls[at].plan().map_or(0, |plan| plan.epoch);
                self.send(Packet::Reply { from: id, to: from, number, outcome, index, epoch });
            }
            (Ticket::Request { .. }, _) => {}
            (Ticket::Duty, result) => self.controls[at].duty_done(result.is_ok(), self.now_ms),
            (Ticket::Change, result) => {
                self.change_under_way = false;
                self.changed |= result.is_ok();
            }
            (Ticket::Read { acknowledged }, Ok(VoterReply::UpToDate)) => {
                self.reads += 1;
                let Some(running) = &self.controls[at].running else { return };
                let outcomes = &running.voter.machine().state().outcomes;
                for number in &self.acknowledged[..acknowledged] {
                    let id = format!("operation-{number}");
                    assert!(
                        outcomes.iter().any(|(known, _)| *known == id),
                        "a read at voter {} misses {id}",
                        at + 1
                    );
                }
            }
            (Ticket::Read { .. }, _) => {}
        }
    }

    /// What must hold of a voter at every moment.
    fn check_voter(&mut self, at: usize) {
        let now = self.now_ms;
        let node = &self.controls[at];
        let Some(running) = &node.running else { return };
        let status = running.voter.status();
        if status.leads() {
            let known = *self.leaders.entry(status.term).or_insert(node.id);
            assert_eq!(known, node.id, "two leaders in term {}", status.term);
        }
        let plan = &running.voter.machine().state().plan;
        if plan.epoch > 0 {
            let is_new = !self.checks.plans.contains_key(&plan.epoch);
            if is_new {
                self.trace.note(now, "plan", plan.epoch);
            }
            if is_new && self.is_calm {
                for (name, node) in &plan.nodes {
                    let may_be_dead = Some(name) == self.calm_but_for.as_ref();
                    assert!(node.alive || may_be_dead, "{name} reports, and is taken for dead");
                }
            }
            self.checks.plan(plan, now);
        }
    }

    fn follow_plans(&mut self) {
        let now = self.now_ms;
        let World { controls, shards, routers, links, chance, .. } = self;
        let mut sent = Vec::new();
        let shards = shards.iter_mut().filter_map(|node| {
            Some((Party::Shard(node.number), &mut node.running.as_mut()?.follower))
        });
        let routers = routers.iter_mut().filter_map(|node| {
            Some((Party::Router(node.number), &mut node.running.as_mut()?.follower))
        });
        for (party, follower) in shards.chain(routers) {
            let links = links.state();
            let reach = |control: u64| {
                let there = Party::Control(control);
                if links.is_down(there) {
                    return Reach::Broken;
                }
                match controls[control as usize - 1].plan() {
                    Some(plan) if links.connects(there, party) => Reach::Plan(plan),
                    _ => Reach::Silence,
                }
            };
            for (slot, stream, plan) in follower.look(now, chance, reach) {
                sent.push((party, slot, stream, plan));
            }
        }
        for (to, slot, stream, plan) in sent {
            // Which control node it comes from does not matter: the connection carries it.
            let from = (1..=VOTERS).find(|id| self.links.state().carries(Party::Control(*id), to));
            if let Some(from) = from {
                self.send(Packet::Plan { from, to, slot, stream, plan });
            }
        }
    }

    fn step_shards(&mut self) {
        for at in 0..self.shards.len() {
            let World { shards, chance, now_ms, storms, .. } = self;
            let is_news = shards[at].step(*now_ms, *storms, chance);
            let Some(running) = &mut shards[at].running else { continue };
            if !is_news && running.next_report_ms > *now_ms {
                continue;
            }
            running.next_report_ms = *now_ms + REPORT_EVERY_MS;
            let replicas = running.lifecycle.reports();
            self.report(Party::Shard(at), Role::Shard, replicas);
        }
    }

    /// Returns whether a router follows another plan now.
    fn step_routers(&mut self) -> bool {
        let mut has_news = false;
        for at in 0..self.routers.len() {
            let World { routers, chance, now_ms, answers, events, storms, .. } = self;
            let before = routers[at].followed_epoch();
            let reports = routers[at].step(*now_ms, &answers.0, chance);
            has_news |= routers[at].followed_epoch() != before;
            if routers[at].running.is_some() && chance.once_in(30) {
                let wall_ms = EPOCH_MS + *now_ms;
                if events[at].record(*storms, wall_ms, chance) {
                    events[at].start();
                }
            }
            for report in reports {
                let to = 1 + self.chance.below(VOTERS);
                let measured = (report.scope, report.weight_basis_points);
                let window = Box::new(report.window);
                self.send(Packet::Telemetry {
                    from: Party::Router(at),
                    at: to,
                    measured,
                    window,
                    hops: 0,
                });
            }
            let now = self.now_ms;
            let Some(running) = &mut self.routers[at].running else { continue };
            if running.next_report_ms <= now {
                running.next_report_ms = now + REPORT_EVERY_MS;
                self.report(Party::Router(at), Role::Router, Vec::new());
            }
        }
        has_news
    }

    fn report(&mut self, party: Party, role: Role, replicas: Vec<ReplicaReport>) {
        let now = self.now_ms;
        let name = match party {
            Party::Shard(at) => self.shards[at].name.clone(),
            Party::Router(at) => self.routers[at].name.clone(),
            Party::Control(_) | Party::Operator => return,
        };
        let budget = match party {
            Party::Shard(at) => self.shards[at].budget,
            _ => 0,
        };
        let node = Node {
            address: format!("http://{name}"),
            roles: [role].into(),
            draining: false,
            memory_budget_bytes: budget,
            alive: true,
        };
        let action = Action::ReportNode { node_id: name, node, replicas };
        let command = Command {
            request_id: String::new(),
            now_ms: EPOCH_MS + now,
            actor: Actor::default(),
            action,
        };
        let reporter = self.reporters.get_mut(&party).expect("each node has one");
        if let Some((_, server, since)) = reporter.waiting
            && now - since >= REPORT_PATIENCE_MS
        {
            reporter.rotation.failed(server);
        }
        reporter.sent += 1;
        let (number, server) = (reporter.sent, reporter.rotation.best());
        reporter.waiting = Some((number, server, now));
        self.send_request(party, server as u64 + 1, number, command);
    }
}
