//! The replicated state machine: commands in, a new plan out.
//!
//! [`State::apply`] is called with the same commands in the same order on every control node. It
//! reads no clock and no randomness: the proposer put the time into the command. A command that was
//! applied before (by request id) has the outcome it had then and no second effect.

use crate::bounds::{
    MAX_EVIDENCE_OF_FINISHED, MAX_EXPERIMENTS, MAX_FINISHED_ROLLOUTS, MAX_NAMED, MAX_NODES,
    MAX_REMEMBERED_REQUESTS, MAX_SHARDS, MAX_VERSIONS,
};
use crate::ensemble::{EnsembleNode, validate};
use crate::experiment::{self, Allocation, Arm, Experiment, ExperimentState};
use crate::id::{ModelVersion, check_name};
use crate::judge::{Evidence, Judgement, clearance};
use crate::plan::{Automatic, Node, Plan, PublishedVersion, Replica, Role, Surface};
use crate::retention::{Retention, retired};
use crate::rollout::{
    Clearance, Rollout, RolloutMove, RolloutState, RolloutStep, Terms, check_steps, check_terms,
};
use crate::telemetry::Window;
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
    /// Has rollouts begin by themselves on a surface, or no more.
    SetAutomaticRollout {
        /// Where.
        surface: String,
        /// What begins them; `pending` is ignored.
        automatic: Option<Automatic>,
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

/// What was measured, by rollout.
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
    /// What was measured, by rollout. Apart from the plan, which would else have a new epoch for every
    /// window.
    pub evidence: AllEvidence,
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
        let outcome = act(&mut plan, &mut self.evidence, action, *now_ms);
        if outcome.is_ok() {
            settle(&mut plan, *now_ms);
            if plan != self.plan {
                plan.epoch = index;
                self.plan = plan;
                self.forget_evidence();
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

    /// Evidence lives as long as its rollout, and of finished ones the newest is kept.
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

fn experiments_that_are_ready(plan: &Plan) -> impl Iterator<Item = Action> {
    plan.experiments
        .iter()
        .filter(|experiment| experiment.state == ExperimentState::Preparing)
        .filter(|experiment| missing_arms(plan, experiment).is_none())
        .map(|experiment| Action::AdvanceExperiment { experiment_id: experiment.id.clone() })
}

/// What keeps an experiment's arms from having traffic, in words.
pub fn missing_arms(plan: &Plan, experiment: &Experiment) -> Option<String> {
    experiment.arms.iter().find_map(|arm| plan.missing(&arm.ensemble))
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

/// Refused actions leave both as they are.
fn act(plan: &mut Plan, evidence: &mut AllEvidence, action: &Action, now_ms: u64) -> Outcome {
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
        Action::SetAutomaticRollout { surface, automatic } => {
            set_automatic(plan, surface, automatic.as_ref())
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

fn publish(plan: &mut Plan, model: &str, new: &PublishedVersion, now_ms: u64) -> Outcome {
    check_name("model", model).map_err(|e| Refusal::Invalid(e.to_string()))?;
    if new.shards == 0 || new.shards > MAX_SHARDS {
        let says = format!("the bundle has {} shards: 1 to {MAX_SHARDS} are allowed", new.shards);
        return Err(Refusal::Invalid(says));
    }
    let same = plan.versions.iter().find(|(version, published)| {
        version.model == model && published.manifest_digest == new.manifest_digest
    });
    if let Some((version, _)) = same {
        return Ok(Reply::Version(version.clone()));
    }
    if plan.versions.len() >= MAX_VERSIONS {
        return Err(full("published versions", MAX_VERSIONS));
    }
    let next = plan.next_versions.entry(model.into()).or_insert(1);
    let version = ModelVersion::new(model, *next);
    *next += 1;
    let published =
        PublishedVersion { published_at_ms: now_ms, placements: Vec::new(), ..new.clone() };
    plan.versions.insert(version.clone(), published);
    start_automatic_rollouts(plan, &version, now_ms);
    Ok(Reply::Version(version))
}

/// A new version has been published: what waits for it begins, or is next.
fn start_automatic_rollouts(plan: &mut Plan, version: &ModelVersion, now_ms: u64) {
    let waits = |surface: &Surface| {
        surface.automatic.as_ref().is_some_and(|automatic| automatic.model == version.model)
    };
    let waiting: Vec<String> =
        plan.surfaces.iter().filter(|(_, it)| waits(it)).map(|(name, _)| name.clone()).collect();
    for name in waiting {
        if let Some(Surface { automatic: Some(automatic), .. }) = plan.surfaces.get_mut(&name) {
            automatic.pending = Some(version.clone());
        }
        start_pending(plan, &name, now_ms);
    }
}

/// Starts what is next on a surface, if nothing runs there.
fn start_pending(plan: &mut Plan, name: &str, now_ms: u64) {
    let Some(Surface { automatic: Some(automatic), .. }) = plan.surfaces.get(name) else { return };
    let Automatic { steps, terms, pending: Some(version), .. } = automatic.clone() else { return };
    let candidate = version.to_string();
    let started = start_rollout(plan, name, &candidate, &steps, &terms, now_ms);
    // Refused while another one runs: it is tried again when that is over.
    if let (Ok(_), Some(Surface { automatic: Some(automatic), .. })) =
        (started, plan.surfaces.get_mut(name))
    {
        automatic.pending = None;
    }
}

fn set_automatic(plan: &mut Plan, name: &str, wanted: Option<&Automatic>) -> Outcome {
    check_name("surface", name).map_err(|e| Refusal::Invalid(e.to_string()))?;
    if let Some(Automatic { model, steps, terms, pending: _ }) = wanted {
        check_name("model", model).map_err(|e| Refusal::Invalid(e.to_string()))?;
        check_steps(steps).map_err(|e| Refusal::Invalid(e.to_string()))?;
        check_terms(terms).map_err(Refusal::Invalid)?;
    }
    if !plan.surfaces.contains_key(name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(full("surfaces", MAX_NAMED));
    }
    let surface = plan.surfaces.entry(name.into()).or_default();
    surface.automatic = wanted.map(|wanted| Automatic { pending: None, ..wanted.clone() });
    Ok(Reply::Done)
}

fn start_experiment(
    plan: &mut Plan,
    surface: &str,
    layer: &str,
    share_basis_points: u32,
    arms: &[Arm],
    allocation: Allocation,
    now_ms: u64,
) -> Outcome {
    check_name("layer", layer).map_err(|e| Refusal::Invalid(e.to_string()))?;
    experiment::check(share_basis_points, arms, allocation).map_err(Refusal::Invalid)?;
    for arm in arms {
        if plan.ensemble_named(&arm.ensemble).is_none() {
            return Err(Refusal::NotFound(format!(
                "arm {:?}: {:?} is neither a stored ensemble nor a published model@version",
                arm.name, arm.ensemble
            )));
        }
    }
    match plan.surfaces.get(surface) {
        Some(Surface { rollout_id: Some(running), .. }) => {
            return Err(Refusal::FailedPrecondition(format!(
                "surface {surface:?} has a rollout running ({running}): promote it or roll it back first"
            )));
        }
        Some(Surface { ensemble: Some(_), .. }) => {}
        _ => {
            return Err(Refusal::FailedPrecondition(format!(
                "surface {surface:?} has no live model for those who take no part: start a rollout first"
            )));
        }
    }
    let running = || plan.experiments.iter().filter(|it| it.state != ExperimentState::Stopped);
    if let Some(other) = running().find(|it| it.surface == surface && it.layer != layer) {
        return Err(Refusal::FailedPrecondition(format!(
            "experiment {} runs on surface {surface:?} in layer {:?}: experiments of a surface share a layer, \
             so that nobody is in two of them",
            other.id, other.layer
        )));
    }
    let in_layer = running().filter(|it| it.layer == layer);
    let Some(from_basis_points) = experiment::free_slice(in_layer, share_basis_points) else {
        return Err(Refusal::FailedPrecondition(format!(
            "layer {layer:?} has no {share_basis_points} basis points left side by side: stop an experiment, \
             ask for less, or use another layer on another surface"
        )));
    };
    if running().count() >= MAX_EXPERIMENTS {
        return Err(full("running experiments", MAX_EXPERIMENTS));
    }
    let id = format!("{surface}-ab-{}", plan.next_rollout);
    plan.next_rollout += 1;
    let experiment = Experiment {
        id,
        surface: surface.into(),
        layer: layer.into(),
        from_basis_points,
        share_basis_points,
        arms: arms.to_vec(),
        allocation,
        state: ExperimentState::Preparing,
        started_at_ms: now_ms,
        stopped_at_ms: 0,
        reason: String::new(),
    };
    plan.experiments.push(experiment.clone());
    Ok(Reply::Experiment(Box::new(experiment)))
}

fn change_experiment(
    plan: &mut Plan,
    experiment_id: &str,
    change: impl FnOnce(&mut Experiment) -> Result<(), Refusal>,
) -> Outcome {
    let experiment =
        plan.experiments.iter_mut().find(|it| it.id == experiment_id).ok_or_else(|| {
            Refusal::NotFound(format!(
                "there is no experiment {experiment_id:?}: list them to see the ids"
            ))
        })?;
    change(experiment)?;
    Ok(Reply::Experiment(Box::new(experiment.clone())))
}

fn put_ensemble(plan: &mut Plan, name: &str, root: &EnsembleNode) -> Outcome {
    validate(name, root, plan).map_err(|e| Refusal::Invalid(e.to_string()))?;
    let reply = Reply::Ensemble { name: name.into(), root: root.clone() };
    match plan.ensembles.get(name) {
        Some(there) if there == root => return Ok(reply),
        Some(_) => {
            return Err(Refusal::AlreadyExists(format!(
                "ensemble {name:?} has another definition already, and ensembles never change: use a new name"
            )));
        }
        None if plan.ensembles.len() >= MAX_NAMED => return Err(full("ensembles", MAX_NAMED)),
        None => plan.ensembles.insert(name.into(), root.clone()),
    };
    Ok(reply)
}

fn start_rollout(
    plan: &mut Plan,
    surface_name: &str,
    candidate: &str,
    steps: &[RolloutStep],
    terms: &Terms,
    now_ms: u64,
) -> Outcome {
    check_name("surface", surface_name).map_err(|e| Refusal::Invalid(e.to_string()))?;
    check_terms(terms).map_err(Refusal::Invalid)?;
    if plan.ensemble_named(candidate).is_none() {
        return Err(Refusal::NotFound(format!(
            "candidate {candidate:?} is neither a stored ensemble nor a published model@version"
        )));
    }
    if !plan.surfaces.contains_key(surface_name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(full("surfaces", MAX_NAMED));
    }
    let experiment = plan
        .experiments
        .iter()
        .find(|it| it.surface == surface_name && it.state != ExperimentState::Stopped);
    if let Some(experiment) = experiment {
        return Err(Refusal::FailedPrecondition(format!(
            "surface {surface_name:?} has an experiment running ({}): stop it first",
            experiment.id
        )));
    }
    let surface = plan.surfaces.entry(surface_name.into()).or_default();
    if let Some(running) = &surface.rollout_id {
        return Err(Refusal::FailedPrecondition(format!(
            "surface {surface_name:?} has a rollout running ({running}): promote it or roll it back first"
        )));
    }
    match &surface.ensemble {
        Some(live) if live == candidate => {
            return Err(Refusal::FailedPrecondition(format!(
                "{candidate} is live on surface {surface_name:?} already"
            )));
        }
        Some(_) => check_steps(steps).map_err(|e| Refusal::Invalid(e.to_string()))?,
        None if steps.is_empty() => {}
        None => check_steps(steps).map_err(|e| Refusal::Invalid(e.to_string()))?,
    }
    let id = format!("{surface_name}-{}", plan.next_rollout);
    plan.next_rollout += 1;
    surface.rollout_id = Some(id.clone());
    let rollout = Rollout::start(
        id,
        surface_name.into(),
        surface.ensemble.clone(),
        candidate.into(),
        steps.to_vec(),
        terms.clone(),
        now_ms,
    );
    plan.rollouts.push(rollout.clone());
    Ok(Reply::Rollout(Box::new(rollout)))
}

fn change_rollout(
    plan: &mut Plan,
    rollout_id: &str,
    change: impl FnOnce(&mut Rollout, Option<String>) -> Result<(), Refusal>,
) -> Outcome {
    let at =
        plan.rollouts.iter().position(|rollout| rollout.id == rollout_id).ok_or_else(|| {
            Refusal::NotFound(format!(
                "there is no rollout {rollout_id:?}: list them to see the ids"
            ))
        })?;
    let missing = plan.missing(&plan.rollouts[at].candidate);
    change(&mut plan.rollouts[at], missing)?;
    Ok(Reply::Rollout(Box::new(plan.rollouts[at].clone())))
}

fn report_node(plan: &mut Plan, node_id: &str, node: &Node, replicas: &[ReplicaReport]) -> Outcome {
    let draining = plan.nodes.get(node_id).is_some_and(|known| known.draining);
    register_node(plan, node_id, Node { alive: true, draining, ..node.clone() })?;
    for published in plan.versions.values_mut() {
        for placement in &mut published.placements {
            placement.replicas.remove(node_id);
        }
    }
    for report in replicas {
        let placement = plan
            .versions
            .get_mut(&report.version)
            .and_then(|published| published.placements.get_mut(report.shard as usize));
        if let Some(placement) = placement {
            placement.replicas.insert(node_id.into(), report.replica.clone());
        }
    }
    Ok(Reply::Done)
}

fn register_node(plan: &mut Plan, node_id: &str, node: Node) -> Result<(), Refusal> {
    check_name("node_id", node_id).map_err(|e| Refusal::Invalid(e.to_string()))?;
    if node.roles.is_empty() || node.roles.contains(&Role::Control) {
        return Err(Refusal::Invalid(format!(
            "roles of node {node_id:?}: name shard or router or both; voters are set in the config of control nodes"
        )));
    }
    if !plan.nodes.contains_key(node_id) && plan.nodes.len() >= MAX_NODES {
        return Err(full("nodes", MAX_NODES));
    }
    plan.nodes.insert(node_id.into(), node);
    Ok(())
}

fn find_node<'p>(plan: &'p mut Plan, node_id: &str) -> Result<&'p mut Node, Refusal> {
    plan.nodes
        .get_mut(node_id)
        .ok_or_else(|| Refusal::NotFound(format!("there is no node {node_id:?}")))
}

fn full(what: &str, bound: usize) -> Refusal {
    Refusal::Exhausted(format!("the cluster holds {bound} {what}, the most it can"))
}

/// What follows from any change: surfaces follow their rollouts, shards are placed, drained nodes
/// and old rollouts are forgotten.
fn settle(plan: &mut Plan, now_ms: u64) {
    let mut ended = Vec::new();
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
            ended.push(name.clone());
        }
    }
    plan.surfaces.retain(|_, surface| *surface != Surface::default());
    for name in ended {
        start_pending(plan, &name, now_ms);
    }
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

/// A node that still reports stays known as draining: forgotten too early, its next report would put
/// it back to work.
fn forget_drained_nodes(plan: &mut Plan) {
    let drained: BTreeSet<String> = plan
        .nodes
        .iter()
        .filter(|(id, node)| node.draining && !node.alive && plan.wanted_on(id).is_empty())
        .map(|(id, _)| id.clone())
        .collect();
    for id in &drained {
        plan.nodes.remove(id);
        for published in plan.versions.values_mut() {
            for placement in &mut published.placements {
                placement.replicas.remove(id);
            }
        }
    }
}
