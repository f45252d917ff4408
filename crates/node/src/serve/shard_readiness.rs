//! Whether a shard node can answer anything of what the plan wants of it.

use marquee_core::command::ReplicaReport;
use marquee_core::plan::{Plan, ReplicaState};

/// The state of each replica that the plan wants of a node, none where it was not reported yet; nothing at all for a
/// node that is not registered yet.
pub(super) fn wanted_states(
    node_id: &str,
    plan: &Plan,
    reports: &[ReplicaReport],
) -> Option<Vec<Option<ReplicaState>>> {
    plan.nodes.get(node_id)?;
    let state_of = |(version, shard)| {
        let mut of_node = reports.iter();
        let report = of_node.find(|report| report.version == version && report.shard == shard);
        report.map(|report| report.replica.state)
    };
    Some(plan.wanted_on(node_id).into_iter().map(state_of).collect())
}

/// Whether a shard node serves that `served` before, by the states of the replicas that are wanted of it.
///
/// It begins to when each of them is available or has failed. Then it goes on: versions that it loads later do not
/// disturb requests. But a node all of whose replicas have failed can answer nothing, and does not serve until one of
/// them is no longer failed, or none is wanted.
pub(super) fn serves(served: bool, wanted: &[Option<ReplicaState>]) -> bool {
    let has_ended = |state: &Option<ReplicaState>| match state {
        Some(ReplicaState::Available | ReplicaState::Failed) => true,
        Some(ReplicaState::Loading | ReplicaState::Unloading) | None => false,
    };
    let is_lost =
        !wanted.is_empty() && wanted.iter().all(|state| *state == Some(ReplicaState::Failed));
    !is_lost && (served || wanted.iter().all(has_ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReplicaState::{Available, Failed, Loading};

    #[test]
    fn a_node_serves_from_the_first_load_on_and_not_while_all_has_failed() {
        assert!(serves(false, &[]), "nothing is wanted");
        assert!(!serves(false, &[Some(Available), None]));
        assert!(!serves(false, &[Some(Available), Some(Loading)]));
        assert!(serves(false, &[Some(Available), Some(Failed)]));
        assert!(serves(true, &[Some(Available), Some(Loading)]), "the next version");
        assert!(!serves(true, &[Some(Failed), Some(Failed)]));
        assert!(!serves(false, &[Some(Failed), Some(Loading)]), "it comes back when one is there");
        assert!(serves(false, &[Some(Failed), Some(Available)]));
    }
}
