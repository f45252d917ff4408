//! Commands on nodes: what they report, and which join and leave.

use super::action::ReplicaReport;
use super::consequences::{apply_consequences, forget_replicas_on};
use super::error::CommandError;
use super::reply::Reply;
use crate::bounds::MAX_NODES;
use crate::id::check_name;
use crate::plan::{Node, Plan, Role};
use crate::planted::{PlantedBug, is_planted};

/// Replaces all that is known of a node and its replicas by what the node reports.
pub(super) fn report(
    plan: &mut Plan,
    node_id: &str,
    node: &Node,
    replicas: &[ReplicaReport],
) -> Result<Reply, CommandError> {
    let draining = plan.nodes.get(node_id).is_some_and(|known| known.draining);
    register(plan, node_id, Node { alive: true, draining, ..node.clone() })?;
    forget_replicas_on(plan, node_id);
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

pub(super) fn set_alive(
    plan: &mut Plan,
    node_id: &str,
    alive: bool,
) -> Result<Reply, CommandError> {
    find(plan, node_id)?.alive = alive || is_planted(PlantedBug::DeadNodeStaysAlive);
    Ok(Reply::Done)
}

pub(super) fn add(plan: &mut Plan, node_id: &str, node: &Node) -> Result<Reply, CommandError> {
    let added = Node { draining: false, ..node.clone() };
    register(plan, node_id, added.clone())?;
    Ok(Reply::Node { node_id: node_id.into(), node: added })
}

/// Takes a node out of placement; the reply says whether it is forgotten at once.
pub(super) fn remove(plan: &mut Plan, node_id: &str, now_ms: u64) -> Result<Reply, CommandError> {
    find(plan, node_id)?.draining = true;
    apply_consequences(plan, now_ms);
    Ok(Reply::NodeRemoved { draining: plan.nodes.contains_key(node_id) })
}

fn register(plan: &mut Plan, node_id: &str, node: Node) -> Result<(), CommandError> {
    check_name("node_id", node_id)?;
    if node.roles.is_empty() || node.roles.contains(&Role::Control) {
        return Err(CommandError::Roles { node_id: node_id.into() });
    }
    if !plan.nodes.contains_key(node_id) && plan.nodes.len() >= MAX_NODES {
        return Err(CommandError::Full { what: "nodes", bound: MAX_NODES });
    }
    plan.nodes.insert(node_id.into(), node);
    Ok(())
}

fn find<'p>(plan: &'p mut Plan, node_id: &str) -> Result<&'p mut Node, CommandError> {
    plan.nodes.get_mut(node_id).ok_or_else(|| CommandError::UnknownNode { node_id: node_id.into() })
}
