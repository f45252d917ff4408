//! Nodes: what they say of themselves, and who comes and goes.

use super::{Outcome, Refusal, ReplicaReport, Reply, full};
use crate::bounds::MAX_NODES;
use crate::id::check_name;
use crate::plan::{Node, Plan, Role};
use std::collections::BTreeSet;

pub(super) fn report_node(
    plan: &mut Plan,
    node_id: &str,
    node: &Node,
    replicas: &[ReplicaReport],
) -> Outcome {
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

pub(super) fn register_node(plan: &mut Plan, node_id: &str, node: Node) -> Result<(), Refusal> {
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

pub(super) fn find_node<'p>(plan: &'p mut Plan, node_id: &str) -> Result<&'p mut Node, Refusal> {
    plan.nodes
        .get_mut(node_id)
        .ok_or_else(|| Refusal::NotFound(format!("there is no node {node_id:?}")))
}

/// A node that still reports stays known as draining: forgotten too early, its next report would put
/// it back to work.
pub(super) fn forget_drained_nodes(plan: &mut Plan) {
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
