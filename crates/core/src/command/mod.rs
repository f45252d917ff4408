//! The replicated state machine: commands in, a new plan out.
//!
//! [`State::apply`] is called with the same commands in the same order on every control node. It
//! reads no clock and no randomness: the proposer put the time into the command. A command that was
//! applied before (by request id) has the outcome it had then and no second effect.

mod experiments;
mod models;
mod nodes;
mod rollouts;
mod surfaces;

pub use experiments::missing_arms;

use self::experiments::{change_experiment, experiments_that_are_ready, start_experiment};
use self::models::{publish, put_ensemble};
use self::nodes::{find_node, forget_drained_nodes, register_node, report_node};
use self::rollouts::{change_rollout, set_automatic, start_pending, start_rollout};
use self::surfaces::change_deny_list;
use crate::bounds::{
    MAX_EVIDENCE_OF_FINISHED, MAX_EXPERIMENTS, MAX_FINISHED_ROLLOUTS, MAX_REMEMBERED_REQUESTS,
};
use crate::ensemble::EnsembleNode;
use crate::id::ModelVersion;
use crate::plan::retention::{Retention, retired};
use crate::plan::{Automatic, Node, Plan, PublishedVersion, Replica, Surface};
use crate::rollout::experiment::{Allocation, Arm, Experiment, ExperimentState};
use crate::rollout::judge::{Evidence, Judgement, clearance};
use crate::rollout::traffic::{AllTraffic, SurfaceTraffic, keep};
use crate::rollout::window::Window;
use crate::rollout::{Clearance, Rollout, RolloutMove, RolloutState, RolloutStep, Terms};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Unique for an intention; empty for what needs no memory (ticks and reports, which are
    /// idempotent by nature).
    pub request_id: String,
    /// The proposer's clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// What to do.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Registers a bundle as the next version of `model`. `placements` and `published_at_ms` are
    /// ignored.
    PublishVersion {
        /// The model's name.
        model: String,
        /// The bundle.
        version: Box<PublishedVersion>,
    },
    /// Stores an ensemble.
    PutEnsemble {
        /// Its name.
        name: String,
        /// Its definition.
        root: EnsembleNode,
    },
    /// Begins a gray release.
    StartRollout {
        /// Where.
        surface: String,
        /// An ensemble's name or `model@version`.
        candidate: String,
        /// Shares and holds.
        steps: Vec<RolloutStep>,
        /// How it is guarded.
        terms: Terms,
    },
    /// Does what an operator asks of a rollout.
    MoveRollout {
        /// Which.
        rollout_id: String,
        /// What.
        wish: RolloutMove,
        /// Why, for the history.
        reason: String,
    },
    /// Does what is due of a rollout, if anything.
    AdvanceRollout {
        /// Which.
        rollout_id: String,
    },
    /// Takes a window of telemetry in, with what the leader's judge made of it, and does what it decided.
    JudgeRollout {
        /// Which.
        rollout_id: String,
        /// Which window, from 1: each counts once, in order.
        number: u64,
        /// The candidate's share while it was measured.
        weight_basis_points: u32,
        /// What was measured.
        window: Box<Window>,
        /// What it comes to.
        judgement: Box<Judgement>,
    },
    /// Begins an A/B test.
    StartExperiment {
        /// Where.
        surface: String,
        /// Whom it shares users with.
        layer: String,
        /// How many of 10,000 users take part.
        share_basis_points: u32,
        /// What they get.
        arms: Vec<Arm>,
        /// Who decides on the weights.
        allocation: Allocation,
    },
    /// Lets an experiment run whose ensembles are loaded.
    AdvanceExperiment {
        /// Which.
        experiment_id: String,
    },
    /// Ends an A/B test: everybody gets what is live.
    StopExperiment {
        /// Which.
        experiment_id: String,
        /// Why.
        reason: String,
    },
    /// Takes a window of an experiment in, with the weights that its bandit gives the arms from now on.
    ObserveExperiment {
        /// Which.
        experiment_id: String,
        /// Which window, from 1: each counts once, in order.
        number: u64,
        /// What was measured.
        window: Box<Window>,
        /// One for each arm, or none where they stay.
        weights: Vec<u32>,
    },
    /// Keeps what answers were like in the last seconds, by surface.
    RecordTraffic {
        /// Surfaces that the plan does not have are ignored.
        surfaces: BTreeMap<String, SurfaceTraffic>,
    },
    /// Has rollouts begin by themselves on a surface, or no more.
    SetAutomaticRollout {
        /// Where.
        surface: String,
        /// What begins them; `pending` is ignored.
        automatic: Option<Automatic>,
    },
    /// Changes what is never in an answer on a surface: all is allowed again if `clear`, then `remove` is, and
    /// then `add` is denied.
    ChangeDenyList {
        /// Where.
        surface: String,
        /// Allow everything first.
        clear: bool,
        /// Items that are allowed again; those that were are fine.
        remove: Vec<String>,
        /// Items that are denied; those that were are fine.
        add: Vec<String>,
    },
    /// Says what is kept of a model; none: everything.
    SetRetention {
        /// Its name.
        model: String,
        /// What is kept.
        retention: Option<Retention>,
    },
    /// Forgets versions that nothing needs and no policy keeps.
    RetireVersions,
    /// Takes what a node says of itself and of its replicas.
    ReportNode {
        /// Its id.
        node_id: String,
        /// Its address, roles and budget; `alive` and `draining` are ignored.
        node: Node,
        /// All replicas it has.
        replicas: Vec<ReplicaReport>,
    },
    /// Notes that a node began or ceased to report.
    SetNodeAlive {
        /// Which.
        node_id: String,
        /// Whether it reports.
        alive: bool,
    },
    /// Registers a node, or puts a removed one back to work.
    AddNode {
        /// Its id.
        node_id: String,
        /// Its address, roles and budget.
        node: Node,
    },
    /// Takes a node out of placement, and forgets it once nothing needs it and it reports no more.
    RemoveNode {
        /// Which.
        node_id: String,
    },
}

/// What a node says of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaReport {
    /// Of which version.
    pub version: ModelVersion,
    /// Of which shard.
    pub shard: u32,
    /// Where it is.
    pub replica: Replica,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The version given to a bundle.
    Version(ModelVersion),
    /// The ensemble as stored.
    Ensemble {
        /// Its name.
        name: String,
        /// Its definition.
        root: EnsembleNode,
    },
    /// The rollout as it is now.
    Rollout(Box<Rollout>),
    /// The experiment as it is now.
    Experiment(Box<Experiment>),
    /// The node as registered.
    Node {
        /// Its id.
        node_id: String,
        /// The rest.
        node: Node,
    },
    /// A node is being removed (`draining`) or forgotten.
    NodeRemoved {
        /// Whether its replicas must move, or its process end, first.
        draining: bool,
    },
    /// Nothing to say.
    Done,
}

/// Why a command has no effect. Each has words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Malformed.
    #[error("{0}")]
    Invalid(String),
    /// It names what is not there.
    #[error("{0}")]
    NotFound(String),
    /// The name means something else already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The state does not allow it.
    #[error("{0}")]
    FailedPrecondition(String),
    /// A bound is reached.
    #[error("{0}")]
    Exhausted(String),
}

/// What was measured, by rollout and experiment.
pub type AllEvidence = BTreeMap<String, Evidence>;

/// What a command came to, either way.
pub type Outcome = Result<Reply, Refusal>;

/// What control nodes replicate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What everybody follows.
    pub plan: Plan,
    /// Outcomes by request id, oldest first, at most [`MAX_REMEMBERED_REQUESTS`].
    pub outcomes: VecDeque<(String, Outcome)>,
    /// What was measured. Apart from the plan, which would else have a new epoch for every
    /// window.
    pub evidence: AllEvidence,
    /// What answers were like lately.
    pub traffic: AllTraffic,
}

impl State {
    /// An empty cluster that wants `replication_factor` replicas of each shard.
    pub fn new(replication_factor: u32) -> Self {
        let plan = Plan {
            replication_factor: replication_factor.max(1),
            next_rollout: 1,
            ..Plan::default()
        };
        Self { plan, ..Self::default() }
    }

    /// The same without what only retries need: for trying things out.
    pub fn of_plan(plan: Plan) -> Self {
        Self { plan, ..Self::default() }
    }

    /// Applies the command at raft index `index`. A refused command changes nothing.
    pub fn apply(&mut self, index: u64, command: &Command) -> Outcome {
        let Command { request_id, now_ms, action } = command;
        let before = self.outcomes.iter().find(|(id, _)| id == request_id && !id.is_empty());
        if let Some((_, outcome)) = before {
            return outcome.clone();
        }
        let mut plan = self.plan.clone();
        let outcome = act(&mut plan, &mut self.evidence, &mut self.traffic, action, *now_ms);
        if outcome.is_ok() {
            settle(&mut plan, *now_ms);
            if plan != self.plan {
                plan.epoch = index;
                self.plan = plan;
                self.forget_evidence();
                self.traffic.retain(|surface, _| self.plan.surfaces.contains_key(surface));
            }
        }
        if !request_id.is_empty() {
            if self.outcomes.len() == MAX_REMEMBERED_REQUESTS {
                self.outcomes.pop_front();
            }
            self.outcomes.push_back((request_id.clone(), outcome.clone()));
        }
        outcome
    }

    /// Evidence lives as long as its rollout or experiment, and of finished ones the newest is kept.
    fn forget_evidence(&mut self) {
        let finished: Vec<&str> = self
            .plan
            .rollouts
            .iter()
            .filter(|rollout| rollout.state.is_over() && self.evidence.contains_key(&rollout.id))
            .map(|rollout| rollout.id.as_str())
            .collect();
        let stopped: Vec<&str> = self
            .plan
            .experiments
            .iter()
            .filter(|it| it.state == ExperimentState::Stopped && self.evidence.contains_key(&it.id))
            .map(|it| it.id.as_str())
            .collect();
        let old = |finished: &[&str]| -> BTreeSet<String> {
            let old = &finished[..finished.len().saturating_sub(MAX_EVIDENCE_OF_FINISHED)];
            old.iter().map(|id| (*id).to_owned()).collect()
        };
        let old: BTreeSet<String> = old(&finished).union(&old(&stopped)).cloned().collect();
        let plan = &self.plan;
        self.evidence.retain(|id, _| {
            let is_known = plan.rollout(id).is_some() || plan.experiment(id).is_some();
            is_known && !old.contains(id)
        });
    }

    /// What the leader should propose at `now_ms`; see [`due`].
    pub fn due(&self, now_ms: u64) -> Vec<Action> {
        due(&self.plan, &self.evidence, now_ms)
    }
}

/// What the leader should propose at `now_ms`: for every rollout with something due, to do
/// it, experiments to begin once they are loaded, and versions to forget.
pub fn due(plan: &Plan, evidence: &AllEvidence, now_ms: u64) -> Vec<Action> {
    plan.rollouts
        .iter()
        .filter(|rollout| !rollout.state.is_over())
        .filter(|rollout| {
            let clearance = clearance(rollout, evidence.get(&rollout.id));
            rollout.is_due(true, &clearance, now_ms)
        })
        .filter(|rollout| plan.missing(&rollout.candidate).is_none())
        .map(|rollout| Action::AdvanceRollout { rollout_id: rollout.id.clone() })
        .chain(experiments_that_are_ready(plan))
        .chain((!retired(plan, now_ms).is_empty()).then_some(Action::RetireVersions))
        .collect()
}

/// Why a rollout waits, in words; empty when it does not.
pub fn waiting_for(plan: &Plan, evidence: &AllEvidence, rollout: &Rollout) -> String {
    let of_plan = plan.waiting_for(rollout);
    let is_measured = matches!(rollout.state, RolloutState::Shadow | RolloutState::Canary);
    match clearance(rollout, evidence.get(&rollout.id)) {
        Clearance::Wait(why) if of_plan.is_empty() && is_measured => why,
        _ => of_plan,
    }
}

/// Refused actions leave all as it is.
fn act(
    plan: &mut Plan,
    evidence: &mut AllEvidence,
    traffic: &mut AllTraffic,
    action: &Action,
    now_ms: u64,
) -> Outcome {
    match action {
        Action::PublishVersion { model, version } => publish(plan, model, version, now_ms),
        Action::PutEnsemble { name, root } => put_ensemble(plan, name, root),
        Action::StartRollout { surface, candidate, steps, terms } => {
            start_rollout(plan, surface, candidate, steps, terms, now_ms)
        }
        Action::MoveRollout { rollout_id, wish, reason } => {
            change_rollout(plan, rollout_id, |rollout, missing| {
                rollout
                    .act(*wish, reason, missing.as_deref(), now_ms)
                    .map_err(Refusal::FailedPrecondition)?;
                if let (RolloutMove::Resume, Some(evidence)) = (*wish, evidence.get_mut(rollout_id))
                {
                    evidence.accept(rollout);
                }
                Ok(())
            })
        }
        Action::AdvanceRollout { rollout_id } => {
            change_rollout(plan, rollout_id, |rollout, missing| {
                let clearance = clearance(rollout, evidence.get(rollout_id));
                rollout.advance(missing.is_none(), &clearance, now_ms);
                Ok(())
            })
        }
        Action::JudgeRollout { rollout_id, number, weight_basis_points, window, judgement } => {
            change_rollout(plan, rollout_id, |rollout, _| {
                let known = evidence.get(rollout_id).map_or(0, |evidence| evidence.windows);
                // Judged by two leaders, or twice by one: the first counts.
                if rollout.state.is_over() || *number != known + 1 {
                    return Ok(());
                }
                let evidence = evidence.entry(rollout_id.clone()).or_default();
                evidence.absorb(rollout, *weight_basis_points, window);
                evidence.windows = *number;
                evidence.judged_at_ms = now_ms;
                let Judgement { gates, split, decision } = judgement.as_ref();
                (evidence.gates, evidence.split) = (gates.clone(), split.clone());
                rollout.obey(decision, now_ms);
                Ok(())
            })
        }
        Action::StartExperiment { surface, layer, share_basis_points, arms, allocation } => {
            let share = *share_basis_points;
            start_experiment(plan, surface, layer, share, arms, *allocation, now_ms)
        }
        Action::AdvanceExperiment { experiment_id } => {
            let missing = plan.experiment(experiment_id).and_then(|it| missing_arms(plan, it));
            change_experiment(plan, experiment_id, |experiment| {
                if experiment.state == ExperimentState::Preparing && missing.is_none() {
                    experiment.state = ExperimentState::Running;
                }
                Ok(())
            })
        }
        Action::StopExperiment { experiment_id, reason } => {
            change_experiment(plan, experiment_id, |experiment| {
                if experiment.state == ExperimentState::Stopped {
                    return Err(Refusal::FailedPrecondition(format!(
                        "experiment {experiment_id} is over: start a new one"
                    )));
                }
                experiment.state = ExperimentState::Stopped;
                experiment.stopped_at_ms = now_ms;
                experiment.reason = reason.clone();
                Ok(())
            })
        }
        Action::ObserveExperiment { experiment_id, number, window, weights } => {
            change_experiment(plan, experiment_id, |experiment| {
                let known = evidence.get(experiment_id).map_or(0, |evidence| evidence.windows);
                if experiment.state == ExperimentState::Stopped || *number != known + 1 {
                    return Ok(());
                }
                let evidence = evidence.entry(experiment_id.clone()).or_default();
                evidence.total.absorb(window);
                (evidence.windows, evidence.judged_at_ms) = (*number, now_ms);
                let is_bandit = experiment.allocation != Allocation::Fixed;
                let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
                if is_bandit && weights.len() == experiment.arms.len() && sum == 10_000 {
                    for (arm, &weight) in experiment.arms.iter_mut().zip(weights) {
                        arm.weight_basis_points = weight;
                    }
                }
                Ok(())
            })
        }
        Action::RecordTraffic { surfaces } => {
            for (surface, window) in surfaces {
                if plan.surfaces.contains_key(surface) {
                    keep(traffic, surface, window.clone());
                }
            }
            Ok(Reply::Done)
        }
        Action::SetAutomaticRollout { surface, automatic } => {
            set_automatic(plan, surface, automatic.as_ref())
        }
        Action::ChangeDenyList { surface, clear, remove, add } => {
            change_deny_list(plan, surface, *clear, remove, add)
        }
        Action::SetRetention { model, retention } => {
            if !plan.next_versions.contains_key(model) {
                return Err(Refusal::NotFound(format!(
                    "no version of model {model:?} was ever published"
                )));
            }
            if retention.is_some_and(|it| it.keep_versions == 0) {
                let says = "keep_versions is 0: at least the newest version is kept";
                return Err(Refusal::Invalid(says.into()));
            }
            match retention {
                Some(retention) => plan.retention.insert(model.clone(), *retention),
                None => plan.retention.remove(model),
            };
            Ok(Reply::Done)
        }
        Action::RetireVersions => {
            for version in retired(plan, now_ms) {
                plan.versions.remove(&version);
            }
            Ok(Reply::Done)
        }
        Action::ReportNode { node_id, node, replicas } => {
            report_node(plan, node_id, node, replicas)
        }
        Action::SetNodeAlive { node_id, alive } => {
            find_node(plan, node_id)?.alive = *alive;
            Ok(Reply::Done)
        }
        Action::AddNode { node_id, node } => {
            let node = Node { draining: false, ..node.clone() };
            register_node(plan, node_id, node.clone())?;
            Ok(Reply::Node { node_id: node_id.clone(), node })
        }
        Action::RemoveNode { node_id } => {
            find_node(plan, node_id)?.draining = true;
            settle(plan, now_ms);
            Ok(Reply::NodeRemoved { draining: plan.nodes.contains_key(node_id) })
        }
    }
}

fn full(what: &str, bound: usize) -> Refusal {
    Refusal::Exhausted(format!("the cluster holds {bound} {what}, the most it can"))
}

/// What follows from any change: surfaces follow their rollouts, shards are placed, drained nodes
/// and old rollouts are forgotten.
fn settle(plan: &mut Plan, now_ms: u64) {
    for (name, surface) in &mut plan.surfaces {
        let over = plan
            .rollouts
            .iter()
            .find(|rollout| Some(&rollout.id) == surface.rollout_id.as_ref())
            .filter(|rollout| rollout.state.is_over());
        if let Some(rollout) = over {
            debug_assert_eq!(&rollout.surface, name);
            if rollout.state == RolloutState::Promoted {
                surface.previous = surface.ensemble.replace(rollout.candidate.clone());
            }
            surface.rollout_id = None;
        }
    }
    plan.surfaces.retain(|_, surface| *surface != Surface::default());
    start_pending(plan, now_ms);
    let stopped = plan.experiments.len().saturating_sub(MAX_EXPERIMENTS);
    forget_oldest(&mut plan.experiments, stopped, |it| it.state == ExperimentState::Stopped);
    let finished = plan.rollouts.iter().filter(|rollout| rollout.state.is_over()).count();
    let forget = finished.saturating_sub(MAX_FINISHED_ROLLOUTS);
    forget_oldest(&mut plan.rollouts, forget, |rollout| rollout.state.is_over());
    plan.place_live_versions();
    forget_drained_nodes(plan);
}

fn forget_oldest<T>(list: &mut Vec<T>, mut how_many: usize, is_over: impl Fn(&T) -> bool) {
    list.retain(|it| {
        let drop = how_many > 0 && is_over(it);
        how_many -= usize::from(drop);
        !drop
    });
}
