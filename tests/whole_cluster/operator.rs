//! The operator: publishes versions, rolls them out, and asks again where no answer came.

use crate::chance::Chance;
use crate::shards::{ITEMS_OF_MODEL, SHARDS, USERS, is_harmful};
use crate::voters::EPOCH_MS;
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, CommandOutcome};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{Plan, PublishedVersion, Quality, Retention};
use marquee_core::rollout::gate::{Metric, default_gates};
use marquee_core::rollout::{RolloutMove, RolloutState, RolloutStep, Safety, Shadow, Terms};

/// Surfaces of the simulation. Nobody asks on the second one.
pub(crate) const SURFACES: [&str; 2] = ["default", "quiet"];
/// How long each step of a rollout is held, in seconds.
pub(crate) const HOLD_SECONDS: u64 = 5;
/// An operator who has no answer by then asks again, elsewhere.
const PATIENCE_MS: u64 = 250;
/// Operations that are under way at once.
const MAX_OPEN: usize = 3;
/// Versions that are published in one run.
const MAX_VERSIONS: u64 = 9;

/// One thing that the operator wants done.
pub(crate) struct Operation {
    pub(crate) number: u64,
    pub(crate) command: Command,
    pub(crate) invoked_ms: u64,
    pub(crate) ask: u64,
    pub(crate) ask_at_ms: u64,
    /// The outcome that was acknowledged, its index in the log, and when.
    pub(crate) done: Option<(CommandOutcome, u64, u64)>,
}

#[derive(Default)]
pub(crate) struct Operator {
    pub(crate) operations: Vec<Operation>,
    pub(crate) published: u64,
}

impl Operator {
    pub(crate) fn open(&self) -> usize {
        self.operations.iter().filter(|operation| operation.done.is_none()).count()
    }

    pub(crate) fn order(&mut self, action: Action, now_ms: u64, ask: u64) {
        let number = self.operations.len() as u64 + 1;
        let command = Command {
            request_id: format!("operation-{number}"),
            now_ms: EPOCH_MS + now_ms,
            actor: Actor::default(),
            action,
        };
        self.operations.push(Operation {
            number,
            command,
            invoked_ms: now_ms,
            ask,
            ask_at_ms: now_ms,
            done: None,
        });
    }

    pub(crate) fn publish(&mut self, now_ms: u64, ask: u64) {
        self.published += 1;
        let uri = format!("sim://films/{}", self.published);
        let version = PublishedVersion {
            manifest_digest: format!("digest of {uri}"),
            bundle_uri: uri,
            recipe: Recipe::MatrixFactorisation {
                user_factors: "users".into(),
                item_factors: "items".into(),
                fold_in: None,
            },
            shards: SHARDS,
            users: u64::from(USERS) + 1,
            items: u64::from(ITEMS_OF_MODEL),
            bytes: 1_000,
            quality: Quality::default(),
            forgotten_up_to: 0,
            signed_counter: 0,
            published_at_ms: 0,
            placements: Vec::new(),
        };
        let action = Action::PublishVersion {
            model: "films".into(),
            version: Box::new(version),
            allow_older: false,
        };
        self.order(action, now_ms, ask);
    }

    /// Perhaps wants something new, as an operator would who looks at this plan.
    pub(crate) fn decide(&mut self, plan: &Plan, now_ms: u64, voters: u64, chance: &mut Chance) {
        if self.open() >= MAX_OPEN || !chance.once_in(40) {
            return;
        }
        let ask = 1 + chance.below(voters);
        let newest = plan.versions.keys().map(|version| version.version).max().unwrap_or_default();
        match chance.below(10) {
            0..3 if self.published < MAX_VERSIONS => self.publish(now_ms, ask),
            3..7 if newest > 0 => {
                let surface = SURFACES[usize::from(chance.once_in(3))];
                let version = newest - chance.below(newest.min(3));
                let has_baseline =
                    plan.surfaces.get(surface).is_some_and(|it| it.ensemble.is_some());
                if is_harmful(version) && !has_baseline {
                    return;
                }
                self.start_rollout(surface, version, now_ms, ask);
            }
            7 => {
                let retention =
                    Retention { keep_versions: 2, keep_seconds: 1, delete_bundles: false };
                let (model, retention) = ("films".into(), Some(retention));
                self.order(Action::SetRetention { model, retention }, now_ms, ask);
            }
            _ => {
                let mut running = plan.rollouts.iter().filter(|rollout| !rollout.state.is_over());
                let Some(rollout) = running.next_back() else { return };
                let is_quiet = rollout.surface != SURFACES[0];
                let version = rollout.candidate.rsplit('@').next().and_then(|it| it.parse().ok());
                let may_promote = !is_quiet && version.is_some_and(|version| !is_harmful(version));
                let requested = match chance.below(5) {
                    0 => RolloutMove::Pause,
                    1..3 => RolloutMove::Resume,
                    3 if may_promote => RolloutMove::Promote,
                    _ => RolloutMove::RollBack,
                };
                let paused = rollout.state == RolloutState::Paused;
                if paused != (requested == RolloutMove::Resume) {
                    return;
                }
                let (rollout_id, reason) = (rollout.id.clone(), String::new());
                self.order(Action::MoveRollout { rollout_id, requested, reason }, now_ms, ask);
            }
        }
    }

    pub(crate) fn start_rollout(&mut self, surface: &str, version: u64, now_ms: u64, ask: u64) {
        let step = |weight_basis_points| RolloutStep {
            weight_basis_points,
            hold_seconds: HOLD_SECONDS,
            min_samples: 3,
            requires_approval: false,
        };
        // Time alone holds back every second version that answers.
        let is_guarded = is_harmful(version) || version.is_multiple_of(2) || surface != SURFACES[0];
        // Versions have no item in common here, so that an answer shows which one made it.
        let mut gates = default_gates();
        gates.retain(|gate| !matches!(gate.metric, Metric::Personalisation | Metric::Overlap));
        let terms = Terms {
            gates: if is_guarded { gates } else { Vec::new() },
            shadow: Shadow { mirror_basis_points: 1_000, hold_seconds: 0, min_samples: 0 },
            safety: Safety { prepare_seconds: 20, ..Safety::default() },
            ..Terms::unguarded()
        };
        let action = Action::StartRollout {
            surface: surface.into(),
            candidate: ModelVersion::new("films", version).to_string(),
            steps: vec![step(2_500), step(5_000), step(7_500)],
            terms,
        };
        self.order(action, now_ms, ask);
    }

    /// The operations that are to be asked for now, each of which control node.
    pub(crate) fn ask(&mut self, now_ms: u64, voters: u64) -> Vec<(u64, u64, Command)> {
        let mut asked = Vec::new();
        for operation in &mut self.operations {
            if operation.done.is_none() && operation.ask_at_ms <= now_ms {
                operation.ask_at_ms = now_ms + PATIENCE_MS;
                asked.push((operation.ask, operation.number, operation.command.clone()));
                operation.ask = operation.ask % voters + 1;
            }
        }
        asked
    }
}
