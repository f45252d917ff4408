//! `marquee ctl nodes`: the shard and router nodes of the plan.

use super::context::Context;
use super::plan::get_plan;
use crate::message;
use crate::output;
use clap::{Args, Subcommand, ValueEnum};
use marquee_client::{Address, request_id};
use marquee_proto::control::v1::{
    AddNodeRequest, Node, Plan, RemoveNodeRequest, ReplicaState, Role,
};
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(super) struct NodesArgs {
    #[command(subcommand)]
    command: Option<NodesCommand>,
}

#[derive(Subcommand, Debug)]
enum NodesCommand {
    /// List nodes (what `nodes` alone does)
    #[command(after_help = "Example:
  marquee ctl nodes")]
    List,
    /// Register a node before it reports, or restore a removed one
    #[command(after_help = "Example:
  marquee ctl nodes add shard-5 --address http://10.0.0.9:50071 --role shard")]
    Add {
        /// The node's id, as in its config
        node_id: String,
        /// Where routers reach it
        #[arg(long, value_name = "URL")]
        address: Address,
        /// A role of the node; repeat it for more
        #[arg(long, required = true)]
        role: Vec<RoleName>,
        /// MiB of bundles that it may map; 0: unlimited
        #[arg(long, default_value_t = 0, value_name = "MIB")]
        memory_budget_mib: u64,
    },
    /// Remove a node: its replicas move to other nodes first
    #[command(after_help = "Example:
  marquee ctl nodes remove shard-5")]
    Remove {
        /// The node's id
        node_id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Shard,
    Router,
}

pub(super) async fn run(context: &mut Context, args: NodesArgs) -> anyhow::Result<ExitCode> {
    match args.command.unwrap_or(NodesCommand::List) {
        NodesCommand::List => list(context).await,
        NodesCommand::Add { node_id, address, role, memory_budget_mib } => {
            let roles = role.iter().map(|role| match role {
                RoleName::Shard => Role::Shard as i32,
                RoleName::Router => Role::Router as i32,
            });
            let request = AddNodeRequest {
                request_id: request_id(),
                node_id,
                address: address.to_string(),
                roles: roles.collect(),
                memory_budget_bytes: memory_budget_mib.saturating_mul(1 << 20),
            };
            let added = context
                .client
                .call(
                    request,
                    |mut control, request| async move { control.add_node(request).await },
                )
                .await?;
            if context.json {
                output::json(&message::to_json("marquee.control.v1.AddNodeResponse", &added))?;
            } else {
                let node = added.node.unwrap_or_default();
                output::line(format!("added {} at {}", node.node_id, node.address))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        NodesCommand::Remove { node_id } => {
            let request = RemoveNodeRequest { request_id: request_id(), node_id: node_id.clone() };
            let removed = context
                .client
                .call(
                    request,
                    |mut control, request| async move { control.remove_node(request).await },
                )
                .await?;
            if context.json {
                output::json(&message::to_json("marquee.control.v1.RemoveNodeResponse", &removed))?;
            } else if removed.draining {
                output::line(format!(
                    "{node_id} is draining: when `marquee ctl nodes` shows no replicas on it, stop its process; then it is removed"
                ))?;
            } else {
                output::line(format!("removed {node_id}"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(context: &mut Context) -> anyhow::Result<ExitCode> {
    let plan = get_plan(context).await?;
    if context.json {
        let nodes: Vec<_> = plan
            .nodes
            .iter()
            .map(|node| message::to_json("marquee.control.v1.Node", node))
            .collect();
        output::json(&serde_json::json!({ "nodes": nodes }))?;
    } else {
        output::line(table(&plan))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A table of the nodes of a plan.
pub(super) fn table(plan: &Plan) -> String {
    if plan.nodes.is_empty() {
        return "no nodes: shard and router nodes are listed once they report".into();
    }
    let mut table = output::table(&["NODE", "ADDRESS", "ROLES", "STATE", "REPLICAS", "BUDGET"]);
    for node in &plan.nodes {
        let roles: Vec<&str> = node.roles().map(role_name).collect();
        let budget = match node.memory_budget_bytes {
            0 => "-".to_owned(),
            bytes => output::bytes(bytes),
        };
        table.add_row([
            node.node_id.clone(),
            node.address.clone(),
            roles.join(","),
            state_in_words(node).to_owned(),
            replicas(plan, &node.node_id),
            budget,
        ]);
    }
    output::lines_of(&table)
}

/// The name of a role.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "?",
        Role::Control => "control",
        Role::Shard => "shard",
        Role::Router => "router",
    }
}

/// The state of a node in words.
pub(super) fn state_in_words(node: &Node) -> &'static str {
    match (node.alive, node.draining) {
        (false, false) => "UNREACHABLE",
        (false, true) => "UNREACHABLE, draining",
        (true, true) => "draining",
        (true, false) => "alive",
    }
}

/// The replicas on a node by their state: `3 available, 1 loading`.
pub(super) fn replicas(plan: &Plan, node_id: &str) -> String {
    let mut counts = [0usize; 4];
    for placement in plan.versions.iter().flat_map(|version| &version.placements) {
        for replica in placement.replicas.iter().filter(|replica| replica.node_id == node_id) {
            match replica.state() {
                ReplicaState::Unspecified => {}
                ReplicaState::Available => counts[0] += 1,
                ReplicaState::Loading => counts[1] += 1,
                ReplicaState::Unloading => counts[2] += 1,
                ReplicaState::Failed => counts[3] += 1,
            }
        }
    }
    let words = ["available", "loading", "unloading", "FAILED"];
    let parts: Vec<String> = counts
        .iter()
        .zip(words)
        .filter(|(count, _)| **count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "-".into() } else { parts.join(", ") }
}
