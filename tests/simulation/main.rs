//! What gates do to rollouts in a world as bad as reality: what operators may expect, measured.
//!
//! Users with habits of their own send requests; candidates are as good as the baseline, better, or broken
//! in one of the ways that matter; and things go wrong that are the fault of neither. Every window goes through the judge and the
//! replicated state machine exactly as in a cluster; only routers and sockets are left out, and what routers make of answers is
//! imitated. Seeds are printed: a run can be repeated with `SIMULATION_SEED`, shortened or lengthened with
//! `SIMULATION_ROLLOUTS`. `make simulate` runs a thousand rollouts of each kind.
//!
//! - [`world`]: users, the hours of the day, and trouble; [`traffic`]: requests and answers; [`telemetry`]: what routers make of them.
//! - [`rollouts`]: many rollouts and how they end.
//! - [`equals`]: candidates that are the same as the baseline, in every situation; [`faults`]: broken ones; [`rewards`]: those
//!   that are clicked more or less; [`intervals`]: what is said of how much they differ.
//!
//! `leaders` kills the leader at every command of several rollouts, and `moves` tries every move in every
//! state.

mod chance;
mod equals;
mod faults;
mod interleaving;
mod intervals;
mod leaders;
mod moves;
mod rewards;
mod rollouts;
mod telemetry;
mod traffic;
mod world;

use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, CommandOutcome, State};
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Node, PlannedReplica, PublishedVersion, Quality, ReplicaState, Role};
use marquee_core::rollout::judge::{Evidence, judge_rollout};
use marquee_core::rollout::window::Window;
use marquee_core::rollout::{RolloutStep, Terms};
use std::collections::BTreeSet;

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
        let command = Command {
            request_id: String::new(),
            now_ms: self.now_ms,
            actor: Actor::default(),
            action,
        };
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
                forgotten_up_to: 0,
                signed_counter: 0,
                published_at_ms: 0,
                placements: Vec::new(),
            };
            let version = Box::new(version);
            cluster.apply(Action::PublishVersion {
                model: "films".into(),
                version,
                allow_older: false,
            });
        }
        cluster.report();
        cluster.start("films@1", Vec::new(), Terms::unguarded());
        cluster.report();
        cluster.tick();
        cluster
    }

    /// A rollout from the first version to the second, whose first step has begun.
    fn with_rollout(number: u64, steps: &[(u32, u64)], terms: Terms) -> Self {
        let mut cluster = Self::new(number);
        let steps = steps.iter().map(|&(weight, hold)| RolloutStep::new(weight, hold)).collect();
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

    /// What a leader makes of a window that was measured at the present share.
    fn judgement(&self, rollout_id: &str, window: Window) -> Action {
        let rollout = self.state.plan.rollout(rollout_id).expect("it runs");
        self.judgement_at(rollout_id, rollout.weight_basis_points(), window)
    }

    /// What a leader makes of a window that was measured at this share.
    fn judgement_at(&self, rollout_id: &str, weight_basis_points: u32, window: Window) -> Action {
        let rollout = self.state.plan.rollout(rollout_id).expect("it runs");
        let nothing = Evidence::default();
        let evidence = self.state.evidence.get(rollout_id).unwrap_or(&nothing);
        let judgement = judge_rollout(rollout, evidence, weight_basis_points, &window);
        Action::JudgeRollout {
            rollout_id: rollout_id.into(),
            number: evidence.windows + 1,
            weight_basis_points,
            window: Box::new(window),
            judgement: Box::new(judgement),
        }
    }
}
