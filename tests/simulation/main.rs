//! What the default gates do to a thousand rollouts of each kind: what operators may expect, measured.
//!
//! Users with habits of their own send requests; candidates are as good as the baseline, better, or broken
//! in one of the ways that matter. Every window goes through the judge and the replicated state machine
//! exactly as in a cluster; only routers and sockets are left out. Seeds are printed: a run can be
//! repeated with `SIMULATION_SEED`, shortened or lengthened with `SIMULATION_ROLLOUTS`.
//!
//! `leaders` kills the leader at every command of several rollouts, and `moves` tries every move in every
//! state.

mod leaders;
mod moves;
mod traffic;

use marquee_core::command::{Action, Command, CommandOutcome, State};
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Node, PlannedReplica, PublishedVersion, Quality, ReplicaState, Role};
use marquee_core::rollout::gate::default_gates;
use marquee_core::rollout::judge::judge_rollout;
use marquee_core::rollout::window::Window;
use marquee_core::rollout::{DEFAULT_SHADOW, RolloutState, RolloutStep, Terms};
use std::collections::BTreeSet;
use traffic::{Candidate, Population, USERS};

/// Rollouts of each kind, unless the environment says otherwise.
const ROLLOUTS: usize = 1_000;
/// Steps as an operator in a hurry takes them: ten minutes each.
const STEPS: [(u32, u64); 3] = [(100, 600), (1_000, 600), (5_000, 600)];
/// Between windows. Routers send one every two seconds; fewer and larger ones make the same sums, and looking
/// less often is the harder case only for finding faults in time.
const WINDOW_MS: u64 = 20_000;

/// How a rollout ended.
struct End {
    state: RolloutState,
    step: Option<u32>,
    reason: String,
    /// Different users that had the candidate's answers.
    affected: usize,
    minutes: f64,
}

/// One shard node, and the replicated state.
#[derive(Clone)]
struct Cluster {
    state: State,
    index: u64,
    now_ms: u64,
}

impl Cluster {
    fn apply(&mut self, action: Action) {
        self.try_apply(action).expect("accepted");
    }

    fn try_apply(&mut self, action: Action) -> CommandOutcome {
        self.index += 1;
        let command = Command { request_id: String::new(), now_ms: self.now_ms, action };
        self.state.apply(self.index, &command)
    }

    /// One node that holds both versions, the first of which is live.
    fn new(number: u64) -> Self {
        // Rollout ids salt the split, so each simulation has another one.
        let mut cluster = Self { state: State::new(1), index: 0, now_ms: 0 };
        cluster.state.plan.next_rollout = number;
        for digest in ["a", "b"] {
            let version = PublishedVersion {
                bundle_uri: "file:///bundle".into(),
                manifest_digest: digest.into(),
                recipe: Recipe::Popularity,
                shards: 1,
                users: 1,
                items: 1,
                bytes: 1,
                quality: Quality::default(),
                published_at_ms: 0,
                placements: Vec::new(),
            };
            let version = Box::new(version);
            cluster.apply(Action::PublishVersion { model: "films".into(), version });
        }
        cluster.report();
        cluster.start("films@1", Vec::new(), Terms::unguarded());
        cluster.report();
        cluster.tick();
        cluster
    }

    /// A rollout from the first version to the second, by the default gates.
    fn with_rollout(number: u64) -> Self {
        let mut cluster = Self::new(number);
        let terms = Terms { gates: default_gates(), shadow: DEFAULT_SHADOW, ..Terms::unguarded() };
        let steps = STEPS.map(|(weight, hold)| RolloutStep::new(weight, hold)).into();
        cluster.start("films@2", steps, terms);
        cluster.report();
        cluster.tick();
        cluster
    }

    fn start(&mut self, candidate: &str, steps: Vec<RolloutStep>, terms: Terms) {
        self.apply(Action::StartRollout {
            surface: "default".into(),
            candidate: candidate.into(),
            steps,
            terms,
        });
    }

    fn report(&mut self) {
        let node = Node {
            address: "http://n".into(),
            roles: BTreeSet::from([Role::Shard]),
            draining: false,
            memory_budget_bytes: 0,
            alive: true,
        };
        let replica = PlannedReplica { state: ReplicaState::Available, reason: String::new() };
        let wanted = self.state.plan.wanted_on("n");
        let replicas = wanted.into_iter().map(|(version, shard)| {
            marquee_core::command::ReplicaReport { version, shard, replica: replica.clone() }
        });
        let replicas = replicas.collect();
        self.apply(Action::ReportNode { node_id: "n".into(), node, replicas });
    }

    fn tick(&mut self) {
        loop {
            let due = self.state.due(self.now_ms);
            if due.is_empty() {
                return;
            }
            for action in due {
                self.apply(action);
            }
        }
    }

    fn judge_window(&mut self, rollout_id: &str, window: Window) {
        self.apply(self.judgement(rollout_id, window));
    }

    /// What a leader makes of a window.
    fn judgement(&self, rollout_id: &str, window: Window) -> Action {
        let rollout = self.state.plan.rollout(rollout_id).expect("it runs");
        let evidence = self.state.evidence.get(rollout_id).cloned().unwrap_or_default();
        let weight_basis_points = rollout.weight_basis_points();
        let judgement = judge_rollout(rollout, &evidence, weight_basis_points, &window);
        Action::JudgeRollout {
            rollout_id: rollout_id.into(),
            number: evidence.windows + 1,
            weight_basis_points,
            window: Box::new(window),
            judgement: Box::new(judgement),
        }
    }
}

/// One rollout from its first window to its end.
fn run(candidate: Candidate, seed: u64) -> End {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::with_rollout(seed % 1_000_000_007 + 2);
    let rollout = cluster.state.plan.rollouts.last().expect("there");
    let (id, mut affected) = (rollout.id.clone(), vec![false; USERS]);
    assert_eq!(rollout.state, RolloutState::Canary, "{:?}", rollout.history);
    let population = Population::new(&id, &mut random);
    loop {
        let rollout = cluster.state.plan.rollout(&id).expect("there");
        if rollout.state.is_over() || rollout.state == RolloutState::Paused {
            let reason = rollout.history.last().map(|event| event.reason.clone());
            return End {
                state: rollout.state,
                step: rollout.step,
                reason: reason.unwrap_or_default(),
                affected: affected.iter().filter(|&&is| is).count(),
                minutes: cluster.now_ms as f64 / 60_000.0,
            };
        }
        let weight = rollout.weight_basis_points();
        let mirrored = rollout.mirror_basis_points();
        cluster.now_ms += WINDOW_MS;
        let window =
            population.window(candidate, weight, mirrored, WINDOW_MS, &mut affected, &mut random);
        cluster.judge_window(&id, window);
        cluster.tick();
    }
}

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// Runs many on both cores, prints what came of them, and gives the ends.
fn many(candidate: Candidate) -> Vec<End> {
    let rollouts = number("SIMULATION_ROLLOUTS", ROLLOUTS as u64);
    let seed = number("SIMULATION_SEED", 20_261_125);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut ends: Vec<End> = std::thread::scope(|scope| {
        let each = |thread: u64| {
            let of_thread = (0..rollouts).filter(move |n| n % threads == thread);
            move || {
                let seeds = of_thread.map(|n| seed.wrapping_mul(1_000_003).wrapping_add(n));
                seeds.map(|seed| run(candidate, seed)).collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(each(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    ends.sort_by_key(|end| end.affected);
    let count = |state| ends.iter().filter(|end| end.state == state).count();
    let mut reasons = std::collections::BTreeMap::new();
    for end in ends.iter().filter(|end| end.state != RolloutState::Promoted) {
        let words: Vec<&str> = end.reason.split(' ').take(2).collect();
        *reasons.entry(words.join(" ")).or_insert(0) += 1;
    }
    let middle = &ends[ends.len() / 2];
    let mut minutes: Vec<f64> = ends.iter().map(|end| end.minutes).collect();
    minutes.sort_by(f64::total_cmp);
    println!(
        "{candidate:?}: {rollouts} rollouts, seed {seed}: {} promoted, {} rolled back, {} paused; median {} users \
         affected, {:.1} minutes; {reasons:?}",
        count(RolloutState::Promoted),
        count(RolloutState::RolledBack),
        count(RolloutState::Paused),
        middle.affected,
        minutes[minutes.len() / 2],
    );
    ends
}

/// The share that ended in this state.
fn share(ends: &[End], which: impl Fn(&End) -> bool) -> f64 {
    ends.iter().filter(|end| which(end)).count() as f64 / ends.len() as f64
}

/// Rolled back before the second step was over.
fn in_time(end: &End) -> bool {
    end.state == RolloutState::RolledBack && end.step <= Some(1)
}

fn is_found(candidate: Candidate) {
    let ends = many(candidate);
    assert!(share(&ends, in_time) >= 0.99, "{candidate:?} was rolled back in too few");
}

#[test]
fn identical_candidates_are_rarely_rolled_back() {
    let ends = many(Candidate::Same);
    assert!(share(&ends, |end| end.state == RolloutState::RolledBack) <= 0.01);
    assert!(share(&ends, |end| end.state == RolloutState::Promoted) >= 0.98);
}

#[test]
fn a_better_one_is_promoted() {
    let ends = many(Candidate::Better);
    assert!(share(&ends, |end| end.state == RolloutState::Promoted) >= 0.95);
}

/// What only clicks give away takes long: users differ in how much they click, and half of those of a small
/// surface are needed to tell.
#[test]
fn half_the_clicks_are_found() {
    let ends = many(Candidate::Unloved);
    assert!(share(&ends, |end| end.state == RolloutState::RolledBack) >= 0.9);
}

#[test]
fn shuffled_item_factors_are_found() {
    is_found(Candidate::Shuffled);
}

#[test]
fn a_slow_one_is_found() {
    is_found(Candidate::Slow);
}

#[test]
fn errors_are_found() {
    is_found(Candidate::Errors);
}

#[test]
fn empty_answers_are_found() {
    is_found(Candidate::EmptyAnswers);
}

#[test]
fn the_same_popular_items_for_all_are_found() {
    is_found(Candidate::PopularOnly);
}
