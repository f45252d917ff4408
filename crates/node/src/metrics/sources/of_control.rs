//! The control role: its voter, and the cluster as its plan has it.

use super::of_rollouts::of_rollouts;
use crate::metrics::list::{
    CLUSTER_NODES, RAFT_APPLIED, RAFT_COMMIT_DURATION, RAFT_ENTRIES, RAFT_LEADER, RAFT_LEADS,
    RAFT_STORE, RAFT_TERM, SURFACE_EMPTY, SURFACE_ERRORS, SURFACE_FALLBACK, SURFACE_LATENCY,
    SURFACE_PARTIAL, SURFACE_RATE, VERSION_MISSING, VERSION_REPLICAS, VERSIONS,
};
use crate::metrics::samples::Samples;
use marquee_control::{ControlApi, VoterStatus};
use marquee_core::id::ModelVersion;
use marquee_core::plan::{Placement, Plan, ReplicaState, Role};
use marquee_core::rollout::traffic::{AllTraffic, SurfaceTraffic, VariantTraffic};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Every state of a replica, with its name.
pub(super) const REPLICA_STATES: [(ReplicaState, &str); 4] = [
    (ReplicaState::Loading, "loading"),
    (ReplicaState::Available, "available"),
    (ReplicaState::Unloading, "unloading"),
    (ReplicaState::Failed, "failed"),
];
/// The percentiles of latencies that traffic has.
const PERCENTILES: [&str; 3] = ["50", "95", "99"];

/// The control role of a node.
pub(crate) struct ControlSource {
    pub(crate) api: ControlApi,
    pub(crate) plan: watch::Receiver<Arc<Plan>>,
    /// The file of the voter's log and state.
    pub(crate) store: PathBuf,
}

impl ControlSource {
    pub(super) fn gather(&self, samples: &mut Samples) {
        let status = self.api.voter_status();
        let VoterStatus { id: _, leader, term, applied, entries } = status;
        samples.gauge(&RAFT_TERM, &[], term as f64);
        samples.gauge(&RAFT_LEADER, &[], leader as f64);
        samples.gauge(&RAFT_LEADS, &[], f64::from(u8::from(status.leads())));
        samples.gauge(&RAFT_APPLIED, &[], applied as f64);
        samples.gauge(&RAFT_ENTRIES, &[], entries as f64);
        if let Ok(file) = std::fs::metadata(&self.store) {
            samples.gauge(&RAFT_STORE, &[], file.len() as f64);
        }
        samples.durations(&RAFT_COMMIT_DURATION, &[], self.api.commits());
        let plan = self.plan.borrow().clone();
        of_nodes(&plan, samples);
        of_versions(&plan, samples);
        of_rollouts(&plan, &self.api.measured_evidence(), samples);
        of_traffic(&self.api.measured_traffic(), samples);
    }
}

fn of_nodes(plan: &Plan, samples: &mut Samples) {
    for (role, name) in [(Role::Shard, "shard"), (Role::Router, "router")] {
        let (mut alive, mut silent, mut draining) = (0, 0, 0);
        for node in plan.nodes.values().filter(|node| node.roles.contains(&role)) {
            match (node.alive, node.draining) {
                (false, _) => silent += 1,
                (true, true) => draining += 1,
                (true, false) => alive += 1,
            }
        }
        for (state, count) in [("alive", alive), ("silent", silent), ("draining", draining)] {
            samples.count(&CLUSTER_NODES, &[name, state], count);
        }
    }
}

/// How many versions there are, and the replicas of live ones.
fn of_versions(plan: &Plan, samples: &mut Samples) {
    let mut by_model: BTreeMap<&str, usize> = BTreeMap::new();
    for version in plan.versions.keys() {
        *by_model.entry(&version.model).or_default() += 1;
    }
    for (model, count) in by_model {
        samples.count(&VERSIONS, &[model], count);
    }
    for version in plan.live_versions() {
        let Some(published) = plan.versions.get(&version) else { continue };
        let ModelVersion { model, version: number } = &version;
        let number = number.to_string();
        for (state, name) in REPLICA_STATES {
            let replicas = published.placements.iter().flat_map(|it| it.replicas.values());
            let count = replicas.filter(|replica| replica.state == state).count();
            samples.count(&VERSION_REPLICAS, &[model, &number, name], count);
        }
        let missing: usize = published.placements.iter().map(|it| missing(plan, it)).sum();
        samples.count(&VERSION_MISSING, &[model, &number], missing);
    }
}

/// How many replicas of a shard are wanted and do not answer. Where the plan has no node for one, it is missing too.
fn missing(plan: &Plan, placement: &Placement) -> usize {
    let answers = |node_id: &&String| {
        let alive = plan.nodes.get(*node_id).is_some_and(|node| node.alive);
        let replica = placement.replicas.get(*node_id);
        alive && replica.is_some_and(|replica| replica.state == ReplicaState::Available)
    };
    let wanted = (plan.replication_factor as usize).max(placement.node_ids.len());
    wanted - placement.node_ids.iter().filter(answers).count()
}

/// The last window of each surface.
fn of_traffic(traffic: &AllTraffic, samples: &mut Samples) {
    for (surface, windows) in traffic {
        let Some(SurfaceTraffic { from_ms, until_ms, variants, .. }) = windows.back() else {
            continue;
        };
        let seconds = (until_ms.saturating_sub(*from_ms)).max(1) as f64 / 1_000.0;
        for (variant, measured) in variants {
            of_variant((surface, variant), measured, seconds, samples);
        }
    }
}

fn of_variant(
    (surface, variant): (&str, &str),
    measured: &VariantTraffic,
    seconds: f64,
    samples: &mut Samples,
) {
    let requests = measured.requests as f64;
    samples.gauge(&SURFACE_RATE, &[surface, variant], requests / seconds);
    let errors: u64 = measured.errors.values().sum();
    samples.gauge(&SURFACE_ERRORS, &[surface, variant], errors as f64 / requests.max(1.0));
    for (definition, value) in [
        (&SURFACE_EMPTY, measured.empty_rate),
        (&SURFACE_PARTIAL, measured.partial_rate),
        (&SURFACE_FALLBACK, measured.fallback_rate),
    ] {
        if let Some(value) = value {
            samples.gauge(definition, &[surface, variant], value);
        }
    }
    let latencies = measured.latency_micros.into_iter().flatten();
    for (percentile, micros) in PERCENTILES.into_iter().zip(latencies) {
        let labels = [surface, variant, percentile];
        samples.gauge(&SURFACE_LATENCY, &labels, micros as f64 / 1e6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::{Node, PlannedReplica};

    #[test]
    fn a_replica_is_missing_if_it_does_not_answer_or_has_no_node() {
        let node = |alive| Node {
            address: String::new(),
            roles: [Role::Shard].into(),
            draining: false,
            memory_budget_bytes: 0,
            alive,
        };
        let nodes = [("a", true), ("b", true), ("c", false)];
        let plan = Plan {
            replication_factor: 2,
            nodes: nodes.map(|(id, alive)| (id.to_owned(), node(alive))).into(),
            ..Plan::default()
        };
        let replica = |state| PlannedReplica { state, reason: String::new() };
        let placement = |wanted: &[&str], held: &[(&str, ReplicaState)]| Placement {
            node_ids: wanted.iter().map(|id| (*id).to_owned()).collect(),
            replicas: held.iter().map(|(id, state)| ((*id).to_owned(), replica(*state))).collect(),
        };
        let available = ReplicaState::Available;
        let all = placement(&["a", "b"], &[("a", available), ("b", available)]);
        assert_eq!(missing(&plan, &all), 0);
        let loading = placement(&["a", "b"], &[("a", available), ("b", ReplicaState::Loading)]);
        assert_eq!(missing(&plan, &loading), 1);
        let silent = placement(&["a", "c"], &[("a", available), ("c", available)]);
        assert_eq!(missing(&plan, &silent), 1);
        assert_eq!(missing(&plan, &placement(&["a"], &[("a", available)])), 1);
        assert_eq!(missing(&plan, &placement(&[], &[])), 2);
    }
}
