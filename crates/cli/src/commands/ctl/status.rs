//! `marquee ctl status`: leader, voters, nodes, surfaces and problems at a glance.

use super::context::Context;
use super::plan::{get_known_plan, get_plan};
use super::rollout::words::one_line;
use super::{models, nodes};
use crate::message;
use crate::output;
use marquee_proto::control::v1::{
    GetStatusRequest, GetStatusResponse, NotificationStatus, Plan, ReplicaState,
};
use std::process::ExitCode;

/// Prints the state of the cluster.
pub(super) async fn run(context: &mut Context) -> anyhow::Result<ExitCode> {
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
    // Without a majority nothing is certain, and what this one node knows is worth the more.
    let fresh = if status.leader == 0 { None } else { get_plan(context).await.ok() };
    let has_majority = fresh.is_some();
    let plan = match fresh {
        Some(plan) => plan,
        None => get_known_plan(context).await?,
    };
    output::line(voters(&status))?;
    for voter in status.voters.iter().filter(|voter| !voter.trouble.is_empty()) {
        output::line(super::voters::trouble(voter))?;
    }
    if !has_majority {
        output::line(format!(
            "! NO MAJORITY of the voters: nothing can be changed, and what follows is what voter {} knew last; routers \
             and shards go on with it. Start the other voters, or look why they do not reach each other.\n",
            status.answered_by
        ))?;
    }
    output::line(format!(
        "plan of epoch {}, {} of each shard wanted\n",
        plan.epoch,
        output::count(plan.replication_factor.into(), "replica")
    ))?;
    output::line(nodes::table(&plan))?;
    output::line("")?;
    output::line(surfaces(&plan))?;
    for line in notifications(&status) {
        output::line(line)?;
    }
    for line in problems(&plan) {
        output::line(line)?;
    }
    Ok(if has_majority { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
            .map_or_else(|| "-".into(), one_line);
        table.add_row([surface.name.clone(), live.to_owned(), replicas, rollout]);
    }
    output::lines_of(&table)
}

/// What is not told yet, or never will be, one target a line.
fn notifications(status: &GetStatusResponse) -> Vec<String> {
    let mut lines = Vec::new();
    for NotificationStatus { target, waiting, dropped, last_error } in &status.notifications {
        if *waiting > 0 || *dropped > 0 || !last_error.is_empty() {
            let because = if last_error.is_empty() { "" } else { ": " };
            lines.push(format!(
                "! notifications to {target}: {waiting} wait, {dropped} were given up{because}{last_error}"
            ));
        }
    }
    lines
}

/// Failed replicas and nodes that do not report, one a line.
fn problems(plan: &Plan) -> Vec<String> {
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
                        output::shown(&replica.node_id),
                        output::shown(&replica.reason)
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
