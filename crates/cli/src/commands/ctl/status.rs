//! `ctl status`, `ctl plan` and `ctl transfer-leadership`.

use super::context::Context;
use super::{models, nodes, rollouts};
use crate::message;
use crate::output;
use clap::Args;
use marquee_proto::control::v1::{
    GetPlanRequest, GetStatusRequest, GetStatusResponse, Plan, ReplicaState,
    TransferLeadershipRequest,
};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl transfer-leadership 2")]
pub(super) struct TransferArgs {
    /// The raft id of the voter that shall lead; `marquee ctl status` lists them
    voter: u64,
}

/// The plan as it is now.
pub(super) async fn get_plan(context: &mut Context) -> anyhow::Result<Plan> {
    let answer = context
        .client
        .call(
            GetPlanRequest {},
            |mut control, request| async move { control.get_plan(request).await },
        )
        .await?;
    Ok(answer.plan.unwrap_or_default())
}

/// Prints the plan. Its only form for people is YAML: it is nested, and `status` has the tables.
pub(super) async fn plan(context: &mut Context) -> anyhow::Result<ExitCode> {
    let plan = message::to_json("marquee.control.v1.Plan", &get_plan(context).await?);
    match context.json {
        true => output::json(&plan)?,
        false => output::line(serde_yaml_ng::to_string(&plan)?.trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(context: &mut Context) -> anyhow::Result<ExitCode> {
    let status = context
        .client
        .call(GetStatusRequest {}, |mut control, request| async move {
            control.get_status(request).await
        })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.GetStatusResponse", &status))?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = get_plan(context).await?;
    output::line(voters(&status))?;
    output::line(format!(
        "plan of epoch {}, {} wanted of each shard\n",
        plan.epoch,
        output::count(plan.replication_factor.into(), "replica")
    ))?;
    output::line(nodes::table(&plan))?;
    output::line("")?;
    output::line(surfaces(&plan))?;
    for line in troubles(&plan) {
        output::line(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn voters(status: &GetStatusResponse) -> String {
    let mut table = output::table(&["VOTER", "ADDRESS", "STATE"]);
    for voter in &status.voters {
        let mut state = if voter.id == status.leader { "leads" } else { "" }.to_owned();
        if voter.id == status.answered_by {
            state = if state.is_empty() { "answers".into() } else { format!("{state}, answers") };
        }
        table.add_row([voter.id.to_string(), voter.address.clone(), state]);
    }
    let leader = match status.leader {
        0 => "NO LEADER: a majority of voters must run and reach each other".to_owned(),
        leader => format!("voter {leader} leads"),
    };
    format!(
        "{leader} (term {}, applied index {})\n\n{}\n",
        status.term,
        status.applied_index,
        output::lines_of(&table)
    )
}

fn surfaces(plan: &Plan) -> String {
    if plan.surfaces.is_empty() {
        return "no surfaces: publish a model and start a rollout to make one".into();
    }
    let mut table = output::table(&["SURFACE", "LIVE", "REPLICAS", "ROLLOUT"]);
    for surface in &plan.surfaces {
        let live = if surface.ensemble.is_empty() { "-" } else { &surface.ensemble };
        let replicas = plan
            .versions
            .iter()
            .find(|version| {
                version
                    .version
                    .as_ref()
                    .is_some_and(|v| format!("{}@{}", v.model, v.version) == surface.ensemble)
            })
            .map_or_else(|| "-".into(), models::replicas);
        let rollout = plan
            .rollouts
            .iter()
            .find(|rollout| rollout.rollout_id == surface.rollout_id)
            .map_or_else(|| "-".into(), rollouts::one_line);
        table.add_row([surface.name.clone(), live.to_owned(), replicas, rollout]);
    }
    output::lines_of(&table)
}

/// What an operator should look at.
fn troubles(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for version in &plan.versions {
        let name = version
            .version
            .as_ref()
            .map_or_else(String::new, |v| format!("{}@{}", v.model, v.version));
        for (shard, placement) in version.placements.iter().enumerate() {
            for replica in &placement.replicas {
                if replica.state() == ReplicaState::Failed {
                    lines.push(format!(
                        "! {name} shard {shard} on {}: {}",
                        replica.node_id, replica.reason
                    ));
                }
            }
        }
    }
    for node in plan.nodes.iter().filter(|node| !node.alive) {
        lines.push(format!(
            "! {} at {} does not report: is it running?",
            node.node_id, node.address
        ));
    }
    lines
}

pub(super) async fn transfer(
    context: &mut Context,
    args: TransferArgs,
) -> anyhow::Result<ExitCode> {
    let request = TransferLeadershipRequest { voter: args.voter };
    let answer = context
        .client
        .call(
            request,
            |mut control, request| async move { control.transfer_leadership(request).await },
        )
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.TransferLeadershipResponse", &answer))?;
    } else {
        output::line(format!("voter {} leads", answer.leader))?;
    }
    Ok(ExitCode::SUCCESS)
}
