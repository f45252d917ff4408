//! Fan-outs against four nodes of which one stops and goes, event by event and without a clock.
//!
//! Each request wants one shard, which two of the nodes hold. All decisions are those of the router: which replica is
//! asked, when a call is hedged, what is remembered of nodes, and which are left out.

use super::decide::FanOut;
use super::health::{CallKind, NodeHealth};
use super::outliers::{GroupMember, lower_median, outliers};
use super::policy::{CallBudgets, hedge_delay, patience};
use super::select::{Replicas, Standing, assign};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use tokio::time::Instant;

const NODES: usize = 4;
const SECOND: u64 = 1_000_000;
/// Requests a second.
const RATE: f64 = 500.0;
const DEADLINE: Duration = Duration::from_secs(1);

/// Times are microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Answer(usize, usize),
    Slow(usize, usize),
    Overdue(usize, usize),
}

struct Request {
    fanout: FanOut<'static>,
    arrived: u64,
    begun: Vec<u64>,
    is_over: bool,
}

struct Cluster {
    origin: Instant,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    random: fastrand::Rng,
    nodes: Vec<NodeHealth>,
    under_way: [usize; NODES],
    budgets: CallBudgets,
    requests: Vec<Request>,
    /// When the first node stops for 150 ms of every 200, and until when.
    gray: std::ops::Range<u64>,
    /// When each request ended, and what it took.
    ended: Vec<(u64, u64)>,
    calls: [Vec<u64>; NODES],
}

impl Cluster {
    fn new(gray: std::ops::Range<u64>, seed: u64) -> Self {
        Self {
            origin: Instant::now(),
            now: 0,
            events: BinaryHeap::new(),
            number: 0,
            random: fastrand::Rng::with_seed(seed),
            nodes: (0..NODES).map(|_| NodeHealth::default()).collect(),
            under_way: [0; NODES],
            budgets: CallBudgets::default(),
            requests: Vec::new(),
            gray,
            ended: Vec::new(),
            calls: Default::default(),
        }
    }

    fn instant(&self) -> Instant {
        self.origin + Duration::from_micros(self.now)
    }

    fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((time, self.number, event)));
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        (-(1.0 - self.random.f64()).ln() * mean) as u64
    }

    fn usual(&self) -> Option<Duration> {
        lower_median(self.nodes.iter().filter_map(|node| node.p95(CallKind::search(1))).collect())
    }

    fn run(&mut self, end: u64) {
        self.at(self.now, Event::Arrival);
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            self.now = time;
            let new = match event {
                Event::Arrival if time >= end => return,
                Event::Arrival => {
                    let next = self.now + self.exponential(SECOND as f64 / RATE);
                    self.at(next, Event::Arrival);
                    self.arrive()
                }
                Event::Answer(request, call) => {
                    self.answer(request, call);
                    continue;
                }
                Event::Slow(request, _) | Event::Overdue(request, _)
                    if self.requests[request].is_over =>
                {
                    continue;
                }
                Event::Slow(request, call) => {
                    let Self { requests, budgets, .. } = self;
                    let fanout = &mut requests[request].fanout;
                    (request, fanout.slow(call, &mut |calls| budgets.spend_hedges(calls)))
                }
                Event::Overdue(request, call) => {
                    let Self { requests, budgets, .. } = self;
                    let fanout = &mut requests[request].fanout;
                    (request, fanout.overdue(call, &mut |calls| budgets.spend_retries(calls)))
                }
            };
            self.call(new.0, &new.1);
        }
    }

    fn arrive(&mut self) -> (usize, Vec<usize>) {
        let now = self.instant();
        let group: Vec<GroupMember> = self.nodes.iter().map(|node| node.member(now)).collect();
        for place in outliers(&group) {
            self.nodes[place].eject(now);
        }
        let first = self.random.usize(..NODES);
        let holders = [first, (first + 1 + self.random.usize(..NODES - 1)) % NODES];
        let standing = |node: usize| {
            if self.nodes[node].is_ejected(now) { Standing::Slow } else { Standing::Sound }
        };
        let replicas = Replicas {
            shards: vec![holders.map(|node| (node, standing(node))).to_vec()],
            rotation: self.random.u64(..),
            costs: (0..NODES).map(|n| self.nodes[n].cost(self.under_way[n], now)).collect(),
            ..Replicas::default()
        };
        // A test process is short.
        let replicas: &'static Replicas = Box::leak(Box::new(replicas));
        let assignment = assign(replicas, &[0], Standing::Suspect, &|_, _| false);
        let fanout = FanOut::new(replicas, &assignment);
        self.budgets.earn();
        self.requests.push(Request {
            fanout,
            arrived: self.now,
            begun: Vec::new(),
            is_over: false,
        });
        (self.requests.len() - 1, vec![0])
    }

    fn call(&mut self, request: usize, calls: &[usize]) {
        let usual = self.usual();
        for &call in calls {
            let node = self.requests[request].fanout.call(call).node;
            self.requests[request].begun.push(self.now);
            self.under_way[node] += 1;
            self.calls[node].push(self.now);
            let into = self.now % 200_000;
            let stops = node == 0 && self.gray.contains(&self.now) && into < 150_000;
            let stopped = if stops { 150_000 - into } else { 0 };
            let answered = self.now + stopped + 500 + self.exponential(700.0);
            self.at(answered, Event::Answer(request, call));
            if let Some(delay) = hedge_delay(usual) {
                self.at(self.now + delay.as_micros() as u64, Event::Slow(request, call));
            }
            let patience = patience(usual, DEADLINE);
            self.at(self.now + patience.as_micros() as u64, Event::Overdue(request, call));
        }
    }

    fn answer(&mut self, request: usize, call: usize) {
        let (usual, now) = (self.usual(), self.instant());
        let asked = &mut self.requests[request];
        let node = asked.fanout.call(call).node;
        self.under_way[node] -= 1;
        if asked.is_over {
            return;
        }
        let took = Duration::from_micros(self.now - asked.begun[call]);
        self.nodes[node].answered(CallKind::search(1), took, usual, now);
        asked.fanout.answered(call);
        asked.is_over = true;
        self.ended.push((self.now, self.now - asked.arrived));
        for other in 0..asked.fanout.calls() {
            if asked.fanout.is_under_way(other) {
                let beaten = asked.fanout.call(other).node;
                let took = Duration::from_micros(self.now - asked.begun[other]);
                self.nodes[beaten].was_beaten(took, usual, now);
            }
        }
    }

    /// The p99 of what ended between two moments, in microseconds.
    fn p99(&self, from: u64, to: u64) -> u64 {
        let within = self.ended.iter().filter(|(at, _)| (from..to).contains(at));
        let mut took: Vec<u64> = within.map(|(_, took)| *took).collect();
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }
}

#[test]
fn a_node_that_stops_and_goes_is_left_out_within_a_second() {
    for seed in 1..=10 {
        let mut cluster = Cluster::new(10 * SECOND..40 * SECOND, seed);
        cluster.run(50 * SECOND);
        let steady = cluster.p99(2 * SECOND, 10 * SECOND);
        let gray = cluster.p99(11 * SECOND, 40 * SECOND);
        println!("seed {seed}: p99 {gray} µs, steady {steady} µs");
        assert!(gray <= 2 * steady, "seed {seed}: p99 {gray} µs, steady {steady} µs");
        let all: usize = cluster.calls.iter().map(Vec::len).sum();
        assert!(all as f64 <= 1.1 * cluster.requests.len() as f64 + 250.0, "too many calls: {all}");
    }
}

#[test]
fn a_node_that_is_well_again_is_asked_again() {
    let mut cluster = Cluster::new(5 * SECOND..8 * SECOND, 1);
    cluster.run(40 * SECOND);
    let late = cluster.calls[0].iter().filter(|at| **at > 35 * SECOND).count();
    assert!(late > 300, "a quarter of 2,500 calls would be its share: {late}");
}
