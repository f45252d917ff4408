//! Prints what was gathered, and what is wrong.

use super::gather::Gathered;
use crate::commands::ctl::rollout::words::one_line;
use crate::commands::ctl::{models, nodes};
use crate::message;
use crate::output;
use marquee_core::trouble::{Diagnosis, ReceivedReport, VoterAnswer};
use marquee_proto::control::v1::Plan;
use marquee_proto::convert::trouble::node_report_to_pb;
use serde_json::json;

/// Prints all of it, as tables or as JSON.
pub(super) fn print(gathered: &Gathered, found: &[Diagnosis], as_json: bool) -> anyhow::Result<()> {
    if as_json { print_json(gathered, found) } else { print_tables(gathered, found) }
}

/// What one control node says, as `GetStatus` has it, with what was gathered from all of them.
fn print_json(gathered: &Gathered, found: &[Diagnosis]) -> anyhow::Result<()> {
    let Gathered { best, plan, voter_nodes: _, facts } = gathered;
    let mut shown = match best {
        Some(status) => message::to_json("marquee.control.v1.GetStatusResponse", status),
        None => json!({}),
    };
    let voters: Vec<_> = facts
        .voters
        .iter()
        .map(|voter| match &voter.answer {
            VoterAnswer::Answers { leader, term, applied } => json!({
                "id": voter.id, "address": voter.address, "answers": true,
                "leader": leader, "term": term, "appliedIndex": applied,
            }),
            VoterAnswer::Silent { reason } => json!({
                "id": voter.id, "address": voter.address, "answers": false, "reason": reason,
            }),
        })
        .collect();
    let reports: Vec<_> = facts
        .reports
        .iter()
        .map(|received| {
            let report = node_report_to_pb(&received.report, received.age_ms);
            message::to_json("marquee.control.v1.NodeReport", &report)
        })
        .collect();
    let troubles: Vec<_> = found
        .iter()
        .map(|Diagnosis { severity, subject, what, for_ms, advice }| {
            json!({
                "severity": severity.name(), "subject": subject, "what": what,
                "forMs": for_ms, "next": advice,
            })
        })
        .collect();
    shown["hasMajority"] = json!(facts.has_majority);
    shown["planEpoch"] = json!(plan.epoch);
    shown["voters"] = json!(voters);
    shown["reports"] = json!(reports);
    shown["troubles"] = json!(troubles);
    output::json(&shown)
}

fn print_tables(gathered: &Gathered, found: &[Diagnosis]) -> anyhow::Result<()> {
    let Gathered { best, plan, voter_nodes: _, facts } = gathered;
    let leader = match best {
        None => "no control node answers".to_owned(),
        Some(status) if !facts.has_majority => format!(
            "no majority confirms a leader: this is what voter {} knew last (term {}, applied index {})",
            status.answered_by, status.term, status.applied_index
        ),
        Some(status) => format!(
            "voter {} leads (term {}, applied index {})",
            status.leader, status.term, status.applied_index
        ),
    };
    output::line(leader)?;
    output::line("")?;
    output::line(voters(gathered))?;
    output::line("")?;
    output::line(format!(
        "plan of epoch {}, {} of each shard wanted{}",
        plan.epoch,
        output::count(plan.replication_factor.into(), "replica"),
        if facts.has_majority { "" } else { "; NO MAJORITY: it may be old" }
    ))?;
    output::line("")?;
    output::line(nodes_of(gathered))?;
    output::line("")?;
    output::line(surfaces(plan))?;
    output::line("")?;
    if found.is_empty() {
        output::line("nothing is wrong")?;
    }
    for Diagnosis { severity, subject, what, for_ms, advice } in found {
        let lasted = for_ms.map_or_else(String::new, |ms| format!(", for {}", time(ms)));
        output::line(format!(
            "! {}: {}: {}{lasted}",
            severity.name(),
            output::shown(subject),
            output::shown(what)
        ))?;
        output::line(format!("    next: {}", output::shown(advice)))?;
    }
    Ok(())
}

/// Milliseconds in the largest unit of which there are two.
fn time(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 7_200.. => format!("{} h", seconds / 3_600),
        seconds @ 120.. => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn report_of<'a>(gathered: &'a Gathered, node_id: &str) -> Option<&'a ReceivedReport> {
    gathered.facts.reports.iter().find(|received| received.report.node_id == node_id)
}

/// The free bytes of a node's disk.
fn free_disk(received: Option<&ReceivedReport>) -> String {
    let disk = received.and_then(|received| received.report.disk);
    disk.map_or_else(|| "-".into(), |disk| output::bytes(disk.free_bytes))
}

fn voters(gathered: &Gathered) -> String {
    let Gathered { best, plan: _, voter_nodes, facts } = gathered;
    let (leader, by) = best.as_ref().map_or((0, 0), |it| (it.leader, it.answered_by));
    let newest = best.as_ref().map_or(0, |status| status.applied_index);
    let mut table = output::table(&["VOTER", "ADDRESS", "STATE", "APPLIED", "DISK FREE"]);
    for voter in &facts.voters {
        let (mut state, applied) = match &voter.answer {
            VoterAnswer::Silent { .. } => ("DOES NOT ANSWER".to_owned(), "-".into()),
            VoterAnswer::Answers { leader: None, applied, .. } => {
                ("NO LEADER".to_owned(), applied.to_string())
            }
            VoterAnswer::Answers { applied, .. } => {
                let state = if voter.id == leader { "leads" } else { "follows" };
                let behind = newest.saturating_sub(*applied);
                let lag = if behind == 0 { String::new() } else { format!(" (-{behind})") };
                (state.to_owned(), format!("{applied}{lag}"))
            }
        };
        if voter.id == by {
            state += ", answers";
        }
        let node_id = voter_nodes.get(&voter.id).map_or("", String::as_str);
        table.add_row([
            voter.id.to_string(),
            voter.address.clone(),
            state,
            applied,
            free_disk(report_of(gathered, node_id)),
        ]);
    }
    output::lines_of(&table)
}

fn nodes_of(gathered: &Gathered) -> String {
    let plan = &gathered.plan;
    if plan.nodes.is_empty() {
        return "no nodes: shard and router nodes are listed once they report".into();
    }
    let headings =
        ["NODE", "ADDRESS", "ROLES", "STATE", "REPLICAS", "PLAN", "DISK FREE", "REPORTED"];
    let mut table = output::table(&headings);
    for node in &plan.nodes {
        let roles: Vec<&str> = node.roles().map(nodes::role_name).collect();
        let received = report_of(gathered, &node.node_id);
        let epoch = received.map_or_else(|| "-".into(), |it| it.report.plan_epoch.to_string());
        let age = received.map_or_else(|| "-".into(), |it| format!("{} ago", time(it.age_ms)));
        table.add_row([
            node.node_id.clone(),
            node.address.clone(),
            roles.join(","),
            nodes::state_in_words(node).to_owned(),
            nodes::replicas(plan, &node.node_id),
            epoch,
            free_disk(received),
            age,
        ]);
    }
    output::lines_of(&table)
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
