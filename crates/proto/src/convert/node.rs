//! Nodes, and what a node reports of its replicas, ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result};
use super::published::{replica_state_from_pb, replica_state_to_pb};
use super::version::{version_from_pb, version_to_pb};
use crate::generated::control::v1 as pb;
use marquee_core::command::ReplicaReport;
use marquee_core::plan::{Node, PlannedReplica, Role};

/// The wire form of a node.
pub fn node_to_pb(node_id: &str, node: &Node) -> pb::Node {
    let Node { address, roles, draining, memory_budget_bytes, alive } = node;
    pb::Node {
        node_id: node_id.into(),
        address: address.clone(),
        roles: roles.iter().map(|role| role_to_pb(*role) as i32).collect(),
        draining: *draining,
        memory_budget_bytes: *memory_budget_bytes,
        alive: *alive,
    }
}

/// Reads a node from its wire form: the node's id and the node.
pub fn node_from_pb(node: pb::Node) -> Result<(String, Node)> {
    let pb::Node { node_id, address, roles, draining, memory_budget_bytes, alive } = node;
    let roles = roles.into_iter().map(role_from_pb).collect::<Result<_>>()?;
    Ok((node_id, Node { address, roles, draining, memory_budget_bytes, alive }))
}

fn role_to_pb(role: Role) -> pb::Role {
    match role {
        Role::Control => pb::Role::Control,
        Role::Shard => pb::Role::Shard,
        Role::Router => pb::Role::Router,
    }
}

/// Reads a role from its wire form.
pub fn role_from_pb(role: i32) -> Result<Role> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Control) => Ok(Role::Control),
        Ok(pb::Role::Shard) => Ok(Role::Shard),
        Ok(pb::Role::Router) => Ok(Role::Router),
        Ok(pb::Role::Unspecified) | Err(_) => {
            Err(ConvertError::UnknownEnumValue { field: "roles".into(), value: role })
        }
    }
}

/// The wire form of a replica's report.
pub fn replica_report_to_pb(report: &ReplicaReport) -> pb::ReplicaReport {
    let ReplicaReport { version, shard, replica: PlannedReplica { state, reason } } = report;
    pb::ReplicaReport {
        version: Some(version_to_pb(version)),
        shard: *shard,
        state: replica_state_to_pb(*state) as i32,
        reason: reason.clone(),
    }
}

/// Reads a replica's report from its wire form.
pub fn replica_report_from_pb(report: pb::ReplicaReport) -> Result<ReplicaReport> {
    let pb::ReplicaReport { version, shard, state, reason } = report;
    Ok(ReplicaReport {
        version: version_from_pb(version, "replicas.version")?,
        shard,
        replica: PlannedReplica { state: replica_state_from_pb(state)?, reason },
    })
}
