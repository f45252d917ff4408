//! A flood against a server that answers with a [`ConcurrencyLimit`], event by event and without a clock.
//!
//! The server has two processors and one queue of tasks for them, as a node's runtime has. A request is four pieces of
//! work, each of which goes through the queue, with waits for other nodes in between. Callers arrive at random, do not
//! slow down, and are gone after a second. A refusal costs the processors 1/200 of an answer.

use super::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Times are nanoseconds.
type Time = u64;

const SECOND: Time = 1_000_000_000;
const PROCESSORS: usize = 2;
const STAGES: u32 = 4;
/// A caller is gone after this time.
const DEADLINE: Time = SECOND;
/// What a refusal costs, as a part of an answer.
const REFUSAL_COST: f64 = 0.005;

/// How the server decides what to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Adaptive,
    Fixed(usize),
}

/// What happens, and what a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// A piece of work is done: the request and the stage.
    Done(usize, u32),
    /// Another node answered.
    Answered(usize, u32),
    /// A processor has refused a request.
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Refusal,
    Stage(usize, u32),
}

struct Server {
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    number: u64,
    queue: VecDeque<Task>,
    idle: usize,
    under_way: usize,
    admission: Admission,
    limit: ConcurrencyLimit,
    random: fastrand::Rng,
    /// The mean processor time of an answer.
    cost: f64,
    /// How long another node takes.
    elsewhere: Time,
    arrived: Vec<Time>,
    /// When each request ended, and how: none if it was refused.
    ended: Vec<(Time, Option<Time>)>,
}

impl Server {
    fn new(admission: Admission, cost: Duration, elsewhere: Duration, seed: u64) -> Self {
        Self {
            now: 0,
            events: BinaryHeap::new(),
            number: 0,
            queue: VecDeque::new(),
            idle: PROCESSORS,
            under_way: 0,
            admission,
            limit: ConcurrencyLimit::new(LimitSettings::for_threads(PROCESSORS, 4_096)),
            random: fastrand::Rng::with_seed(seed),
            cost: cost.as_nanos() as f64,
            elsewhere: elsewhere.as_nanos() as Time,
            arrived: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Answers a second that it can do.
    fn capacity(&self) -> f64 {
        PROCESSORS as f64 * SECOND as f64 / self.cost
    }

    fn exponential(&mut self, mean: f64) -> Time {
        (-(1.0 - self.random.f64()).ln() * mean) as Time
    }

    fn at(&mut self, time: Time, event: Event) {
        self.number += 1;
        self.events.push(Reverse((time, self.number, event)));
    }

    /// Offers so many times what it can do until `end`.
    fn offer(&mut self, load: f64, end: Time) {
        let gap = SECOND as f64 / (self.capacity() * load);
        let first = self.now + self.exponential(gap);
        self.at(first, Event::Arrival);
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            self.now = time;
            match event {
                Event::Arrival if time >= end => return,
                Event::Arrival => {
                    self.arrive();
                    let next = self.now + self.exponential(gap);
                    self.at(next, Event::Arrival);
                }
                Event::Refused => self.idle += 1,
                Event::Answered(request, stage) => {
                    self.queue.push_back(Task::Stage(request, stage));
                }
                Event::Done(request, stage) => {
                    self.idle += 1;
                    if stage == STAGES {
                        self.under_way -= 1;
                        let took = self.now - self.arrived[request];
                        self.ended.push((self.now, Some(took)));
                    } else {
                        let answered = self.now + self.exponential(self.elsewhere as f64);
                        self.at(answered, Event::Answered(request, stage + 1));
                    }
                }
            }
            self.work();
        }
    }

    fn arrive(&mut self) {
        let admits = match self.admission {
            Admission::Adaptive => self.limit.admits(self.under_way, Priority::Interactive),
            Admission::Fixed(most) => self.under_way < most,
        };
        if !admits {
            self.ended.push((self.now, None));
            // It is refused where it is read, before what waits.
            return self.queue.push_front(Task::Refusal);
        }
        self.under_way += 1;
        self.arrived.push(self.now);
        self.queue.push_back(Task::Stage(self.arrived.len() - 1, 1));
    }

    fn work(&mut self) {
        while self.idle > 0
            && let Some(task) = self.queue.pop_front()
        {
            let (cost, event) = match task {
                Task::Refusal => ((self.cost * REFUSAL_COST) as Time, Event::Refused),
                Task::Stage(request, stage) => {
                    let waited = self.now - self.arrived[request];
                    if stage == 1 {
                        let waited = Duration::from_nanos(waited);
                        self.limit.begun(waited, Duration::from_nanos(self.now));
                    }
                    if waited > DEADLINE {
                        self.under_way -= 1;
                        continue;
                    }
                    let cost = self.exponential(self.cost / f64::from(STAGES));
                    (cost, Event::Done(request, stage))
                }
            };
            self.idle -= 1;
            self.at(self.now + cost, event);
        }
    }

    /// What was answered in time between two moments: how many, and the p99.
    fn answered(&self, from: Time, to: Time) -> (usize, Time) {
        let within = self.ended.iter().filter(|(at, _)| (from..to).contains(at));
        let mut took: Vec<Time> =
            within.filter_map(|(_, took)| *took).filter(|took| *took <= DEADLINE).collect();
        took.sort_unstable();
        (took.len(), took.get(took.len() * 99 / 100).copied().unwrap_or_default())
    }

    fn refused(&self, from: Time, to: Time) -> usize {
        self.ended.iter().filter(|(at, took)| (from..to).contains(at) && took.is_none()).count()
    }
}

/// Processor times of an answer: of a cluster on one machine, of one node with all in memory, and of large batches.
const COSTS: [Duration; 3] =
    [Duration::from_micros(2_000), Duration::from_micros(250), Duration::from_micros(8_000)];

/// Ten seconds at 0.8 of the capacity, five of a flood, three as before.
fn flood(admission: Admission, cost: Duration, load: f64, seed: u64) -> Server {
    let mut server = Server::new(admission, cost, Duration::from_millis(1), seed);
    server.offer(0.8, 10 * SECOND);
    server.offer(load, 15 * SECOND);
    server.offer(0.8, 18 * SECOND);
    server
}

#[test]
fn a_flood_costs_neither_goodput_nor_latency_and_is_forgotten_within_a_second() {
    for (seed, cost) in (1..).zip(COSTS) {
        for load in [1.0, 1.5, 3.0, 10.0] {
            let server = flood(Admission::Adaptive, cost, load, seed);
            let (_, steady) = server.answered(SECOND, 10 * SECOND);
            let (answered, p99) = server.answered(10 * SECOND, 15 * SECOND);
            let goodput = answered as f64 / 5.0 / server.capacity();
            let (_, after) = server.answered(16 * SECOND, 18 * SECOND);
            let refused = server.refused(16 * SECOND, 18 * SECOND);
            let all = (server.capacity() * 0.8 * 2.0) as usize;
            let what = format!(
                "{cost:?} an answer, {load} times the capacity: goodput {goodput:.3}, p99 {:.1} ms, steady \
                 {:.1} ms, after {:.1} ms, {refused} of {all} refused after",
                p99 as f64 / 1e6,
                steady as f64 / 1e6,
                after as f64 / 1e6
            );
            println!("{what}");
            assert!(goodput >= 0.9, "{what}");
            assert!(p99 <= 2 * steady, "{what}");
            assert!(after <= 2 * steady && refused * 100 <= all, "{what}");
        }
    }
}

#[test]
fn without_the_limit_a_flood_leaves_nothing() {
    let server = flood(Admission::Fixed(4_096), COSTS[0], 3.0, 1);
    let (answered, _) = server.answered(11 * SECOND, 15 * SECOND);
    let goodput = answered as f64 / 4.0 / server.capacity();
    assert!(goodput < 0.5, "the simulation shows no collapse: {goodput}");
}

#[test]
fn slow_shards_are_no_overload() {
    // 500 a second that wait for 0.3 s each: 150 under way, and processors with time to spare.
    let mut server =
        Server::new(Admission::Adaptive, Duration::from_millis(2), Duration::from_millis(100), 1);
    server.offer(0.5, 10 * SECOND);
    assert_eq!(server.refused(SECOND, 10 * SECOND), 0, "limit {}", server.limit.limit());
}
