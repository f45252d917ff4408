//! What must hold of plans and answers at every moment, whatever happens.

use crate::operator::{HOLD_SECONDS, SURFACES};
use crate::routers::{Answered, COUNT};
use crate::shards::{is_harmful, model_of};
use marquee_core::plan::{Plan, ReplicaState, assignment};
use marquee_core::rollout::{Rollout, RolloutState};
use marquee_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How much earlier than it should a step may be left: wall clocks of leaders differ by less.
const CLOCK_SLACK_MS: u64 = 1_500;

/// All that was seen so far.
#[derive(Default)]
pub(crate) struct Checks {
    /// Plans by epoch, as first seen.
    pub(crate) plans: BTreeMap<u64, Arc<Plan>>,
    /// When each step of a rollout was first seen.
    entered: BTreeMap<(String, Option<u32>), u64>,
    /// Users who got the candidate of a rollout, with the greatest share at which they did.
    candidate_users: BTreeMap<(String, String), u32>,
    /// Users who got the baseline of a rollout, with the greatest share at which they did.
    baseline_users: BTreeMap<(String, String), u32>,
    pub(crate) full: usize,
    pub(crate) partial: usize,
    pub(crate) failed: usize,
    pub(crate) promoted: BTreeSet<String>,
    pub(crate) rolled_back: BTreeSet<String>,
}

fn version_of(ensemble: &str) -> u64 {
    let number = ensemble.rsplit('@').next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{ensemble:?} is no version"))
}

impl Checks {
    /// A voter has applied entries, and this is its plan.
    pub(crate) fn plan(&mut self, plan: &Plan, now_ms: u64) {
        if let Some(known) = self.plans.get(&plan.epoch) {
            assert!(**known == *plan, "two plans of epoch {}", plan.epoch);
            return;
        }
        let plan = Arc::new(plan.clone());
        for (name, surface) in &plan.surfaces {
            if let Some(ensemble) = &surface.ensemble {
                let version = marquee_core::id::ModelVersion::new("films", version_of(ensemble));
                assert!(
                    plan.versions.contains_key(&version),
                    "{name} serves {version}, which is forgotten"
                );
            }
        }
        let shard_nodes =
            plan.nodes.values().filter(|node| !node.address.contains("router")).count();
        for (version, published) in &plan.versions {
            for placement in &published.placements {
                let wanted: BTreeSet<&String> = placement.node_ids.iter().collect();
                let most = shard_nodes.min(plan.replication_factor as usize);
                let is_right = wanted.is_empty() || wanted.len() == most;
                assert!(is_right, "{version} is wanted on {wanted:?} of {shard_nodes} nodes");
            }
        }
        let before = self.plans.range(..plan.epoch).next_back().map(|(_, plan)| Arc::clone(plan));
        let is_newest = self.plans.range(plan.epoch..).next().is_none();
        if is_newest {
            for rollout in &plan.rollouts {
                let known = before.as_ref().and_then(|plan| plan.rollout(&rollout.id).cloned());
                self.rollout(before.as_deref(), &plan, known.as_ref(), rollout, now_ms);
            }
        }
        self.plans.insert(plan.epoch, plan);
    }

    fn rollout(
        &mut self,
        before: Option<&Plan>,
        plan: &Plan,
        known: Option<&Rollout>,
        rollout: &Rollout,
        now_ms: u64,
    ) {
        let id = &rollout.id;
        self.entered.entry((id.clone(), rollout.step)).or_insert(now_ms);
        let version = version_of(&rollout.candidate);
        let weight = rollout.weight_basis_points();
        let greatest =
            rollout.step.map_or(0, |step| rollout.steps[step as usize].weight_basis_points);
        let is_over = rollout.state == RolloutState::Promoted;
        assert!(weight <= greatest || is_over, "{id} has {weight} on a step of {greatest}");
        if rollout.state == RolloutState::Promoted {
            assert!(
                rollout.baseline.is_none() || !is_harmful(version),
                "{id} promoted a candidate that answers nothing: {:#?}",
                rollout.history
            );
            self.promoted.insert(id.clone());
        }
        if rollout.state == RolloutState::RolledBack {
            self.rolled_back.insert(id.clone());
        }
        let Some(known) = known else { return };
        let ensemble = |plan: Option<&Plan>| plan?.surfaces.get(&rollout.surface)?.ensemble.clone();
        let has_ended = !known.state.is_over() && rollout.state.is_over();
        if has_ended && rollout.state != RolloutState::Promoted {
            assert_eq!(
                ensemble(before),
                ensemble(Some(plan)),
                "{id} is {} and changed the surface",
                rollout.state
            );
        }
        if known.step.is_none() && rollout.step.is_some() {
            let is_loaded = |plan: &Plan| {
                let version = marquee_core::id::ModelVersion::new("films", version);
                plan.versions.get(&version).is_some_and(|published| {
                    published.placements.iter().all(|placement| {
                        let is_there = |replica: &marquee_core::plan::PlannedReplica| {
                            replica.state == ReplicaState::Available
                        };
                        placement.replicas.values().any(is_there)
                    })
                })
            };
            let was_loaded = before.is_some_and(is_loaded) || is_loaded(plan);
            assert!(was_loaded, "{id} gives users a candidate that is not loaded");
        }
        if let (Some(left), Some(entered)) = (known.step, rollout.step)
            && entered > left
        {
            assert_ne!(rollout.surface, SURFACES[1], "{id} left step {left} although nobody asked");
            let since = self.entered.get(&(id.clone(), Some(left))).copied().unwrap_or_default();
            let held_ms = now_ms - since;
            assert!(
                held_ms + CLOCK_SLACK_MS >= HOLD_SECONDS * 1_000,
                "{id} left step {left} after {held_ms} ms"
            );
        }
    }

    /// A caller has an answer, or none.
    pub(crate) fn answer(&mut self, answered: &Answered) {
        let Ok(responses) = &answered.result else {
            self.failed += 1;
            return;
        };
        assert_eq!(responses.len(), answered.users.len());
        let epoch =
            |response: &v1::RecommendResponse| response.served_by.as_ref().map(|it| it.plan_epoch);
        let epochs: BTreeSet<_> = responses.iter().map(epoch).collect();
        assert!(epochs.len() <= 1, "one batch was answered by plans of epochs {epochs:?}");
        for (user, response) in answered.users.iter().zip(responses) {
            self.response(answered, user, response);
        }
    }

    fn response(&mut self, answered: &Answered, user: &str, response: &v1::RecommendResponse) {
        let served = response.served_by.as_ref().expect("always said");
        let router = answered.router;
        let asked_at = answered.asked_at_epoch;
        let epoch = served.plan_epoch;
        assert!(
            epoch >= asked_at,
            "router {router} answered by epoch {epoch}, asked at {asked_at}"
        );
        let plan = self.plans.get(&epoch).unwrap_or_else(|| panic!("no voter had epoch {epoch}"));
        let surface = &plan.surfaces[answered.surface];
        let rollout = surface.rollout_id.as_ref().and_then(|id| plan.rollout(id));
        let (mut ensemble, mut variant) = (surface.ensemble.clone(), v1::Variant::Unspecified);
        if let Some(rollout) = rollout {
            let weight = rollout.weight_basis_points();
            let is_candidate = assignment::bucket(&rollout.id, user) < weight;
            variant = if is_candidate { v1::Variant::Candidate } else { v1::Variant::Baseline };
            let key = (rollout.id.clone(), user.to_owned());
            if is_candidate {
                ensemble = Some(rollout.candidate.clone());
                let had_baseline_at = self.baseline_users.get(&key).copied().unwrap_or_default();
                assert!(
                    weight > had_baseline_at || had_baseline_at == 0,
                    "{user} lost the baseline without a step"
                );
                let greatest = self.candidate_users.entry(key).or_insert(weight);
                *greatest = weight.max(*greatest);
            } else {
                if let Some(share) = self.candidate_users.get(&key) {
                    let is_known = weight < *share;
                    assert!(
                        is_known,
                        "{user} had the candidate at {share} and has the baseline at {weight}"
                    );
                }
                let greatest = self.baseline_users.entry(key).or_insert(weight);
                *greatest = weight.max(*greatest);
            }
        }
        let ensemble = ensemble.expect("something is live where there is an answer");
        assert_eq!(
            (&served.ensemble, served.variant()),
            (&ensemble, variant),
            "{user} at epoch {epoch}"
        );
        let version = version_of(&ensemble);
        let prefix = format!("v{version}-");
        for item in &response.items {
            assert!(item.item_id.starts_with(&prefix), "{user} got {} of {ensemble}", item.item_id);
        }
        let coverage = response.coverage.as_ref().expect("always said");
        let falls_back = response.fallback_reason != 0;
        if coverage.shards_answered < coverage.shards_total || falls_back {
            self.partial += 1;
            return;
        }
        self.full += 1;
        let items: Vec<&str> = response.items.iter().map(|item| item.item_id.as_str()).collect();
        let expected = model_of(version).expected(user, COUNT as usize);
        assert_eq!(items, expected, "{user} by {ensemble}");
    }
}
