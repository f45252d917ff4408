//! Rollouts as tables and lines, or as JSON.

use super::evidence;
use super::select::{RolloutArgs, get_rollout, list_rollouts, select};
use super::step_table;
use super::titles::titles;
use super::words::{one_line, state_name};
use crate::commands::ctl::context::Context;
use crate::commands::ctl::effects::effects_in_words;
use crate::commands::ctl::plan::get_plan;
use crate::commands::ctl::segments;
use crate::commands::ctl::units::seconds_in_words;
use crate::message;
use crate::output;
use clap::Args;
use marquee_proto::control::v1::{
    Rollout, RolloutEvent, RolloutEvidence, RolloutState, RolloutStep,
};
use marquee_proto::convert::plan::plan_from_pb;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Names of the messages that `--json` prints.
pub(super) const ROLLOUT_MESSAGE: &str = "marquee.control.v1.Rollout";
const EVIDENCE_MESSAGE: &str = "marquee.control.v1.RolloutEvidence";
const SEGMENT_MESSAGE: &str = "marquee.control.v1.SegmentReport";
const MIRROR_MESSAGE: &str = "marquee.control.v1.MirrorStats";

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct StatusArgs {
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Show what was measured on each stage and step
    #[arg(long)]
    steps: bool,
    /// Compare the variants within each segment of the surface, at the last share
    #[arg(long)]
    segments: bool,
}

/// Prints one rollout, its history and what its gates have measured.
pub(super) async fn status(context: &mut Context, args: StatusArgs) -> anyhow::Result<ExitCode> {
    let StatusArgs { rollout: named, steps, segments } = args;
    let selected = select(context, named).await?;
    status_of(context, selected.rollout_id, Details { steps, segments }).await
}

/// What is shown beside the rollout itself and its gates.
#[derive(Clone, Copy)]
pub(super) struct Details {
    /// What was measured on each stage and step.
    pub(super) steps: bool,
    /// The variants compared within each segment.
    pub(super) segments: bool,
}

/// Prints the rollout of this id, as [`status`] does.
pub(super) async fn status_of(
    context: &mut Context,
    rollout_id: String,
    details: Details,
) -> anyhow::Result<ExitCode> {
    let found = get_rollout(context, rollout_id).await?;
    let rollout = found.rollout.unwrap_or_default();
    if context.json {
        let mut printed = message::to_json(ROLLOUT_MESSAGE, &rollout);
        if let Some(measured) = &found.evidence {
            printed["evidence"] = message::to_json(EVIDENCE_MESSAGE, measured);
        }
        let segments = found.segments.iter().map(|it| message::to_json(SEGMENT_MESSAGE, it));
        printed["segments"] = segments.collect();
        output::json(&printed)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(context, &rollout)?;
    let nothing = RolloutEvidence::default();
    let external = evidence::external_table(&rollout, found.evidence.as_ref().unwrap_or(&nothing));
    if let Some(external) = external {
        output::line(external)?;
    }
    if let Some(measured) = &found.evidence {
        output::line(evidence::table(&rollout, measured))?;
        if details.steps {
            output::line(step_table::table(&rollout, measured))?;
        }
    }
    let arms = [rollout.baseline.as_str(), rollout.candidate.as_str()];
    if let Some(table) = segments::table(&found.segments, &arms).filter(|_| details.segments) {
        output::line(table)?;
    }
    if !found.holdout_effects.is_empty() {
        output::line("since the promotion, users who are held out and all others:")?;
        output::line(effects_in_words(&found.holdout_effects, &arms))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct DiffArgs {
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Show titles of items too, from the shard nodes; this machine must reach them
    #[arg(long)]
    titles: bool,
}

/// Prints the lists of both variants for requests that both answered.
pub(super) async fn diff(context: &mut Context, args: DiffArgs) -> anyhow::Result<ExitCode> {
    let DiffArgs { rollout: named, titles: with_titles } = args;
    let rollout = select(context, named).await?;
    let found = get_rollout(context, rollout.rollout_id.clone()).await?;
    let total = found.evidence.and_then(|measured| measured.total);
    let mirror = total.and_then(|total| total.mirror).unwrap_or_default();
    if context.json {
        output::json(&message::to_json(MIRROR_MESSAGE, &mirror))?;
    } else {
        let mut titled = BTreeMap::new();
        if with_titles {
            let plan = plan_from_pb(get_plan(context).await?)?;
            let lists =
                mirror.diffs.iter().flat_map(|it| [&it.baseline_item_ids, &it.candidate_item_ids]);
            let item_ids = lists.flatten().cloned().collect();
            titled = titles(&context.credentials, &plan, &rollout.surface, &item_ids).await;
            if titled.is_empty() && !item_ids.is_empty() {
                output::line(
                    "no titles: the items have none, or no router gave them; that takes the access role `caller`",
                )?;
            }
        }
        output::line(evidence::diffs(&rollout, &mirror, &titled))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a table of rollouts, newest first.
pub(super) async fn list(
    context: &mut Context,
    surface: Option<String>,
) -> anyhow::Result<ExitCode> {
    let rollouts = list_rollouts(context, surface).await?;
    if context.json {
        let list: Vec<_> = rollouts.iter().map(|r| message::to_json(ROLLOUT_MESSAGE, r)).collect();
        output::json(&serde_json::json!({ "rollouts": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if rollouts.is_empty() {
        output::line(
            "no rollouts: start one with `marquee ctl rollout start --candidate model@version`",
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(&[
        "ROLLOUT",
        "SURFACE",
        "BASELINE",
        "CANDIDATE",
        "STATE",
        "SHARE",
        "STARTED",
    ]);
    for rollout in &rollouts {
        table.add_row([
            rollout.rollout_id.clone(),
            rollout.surface.clone(),
            or_dash(&rollout.baseline),
            rollout.candidate.clone(),
            state_name(rollout.state()).to_owned(),
            output::percent(rollout.weight_basis_points),
            output::moment(rollout.started_at_ms),
        ]);
    }
    output::line(output::lines_of(&table))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one rollout: its state, its steps and its history.
pub(super) fn print(context: &Context, rollout: &Rollout) -> anyhow::Result<()> {
    if context.json {
        return output::json(&message::to_json(ROLLOUT_MESSAGE, rollout));
    }
    output::line(format!("{} on {}: {}", rollout.rollout_id, rollout.surface, one_line(rollout)))?;
    if !rollout.waiting_for.is_empty() {
        output::line(format!("waiting for {}", output::shown(&rollout.waiting_for)))?;
    }
    let mut steps: Vec<String> = interleave_in_words(rollout).into_iter().collect();
    for (n, step) in rollout.steps.iter().enumerate() {
        steps.push(step_in_words(step, rollout.step == Some(n as u32)));
    }
    if !steps.is_empty() {
        output::line(format!("steps: {}", steps.join(", ")))?;
    }
    if let Some(listed) = &rollout.listed {
        let (always, never) = (listed.always_candidate.len(), listed.never_candidate.len());
        if always + never > 0 {
            output::line(format!(
                "not compared: {always} users who always get the candidate, {never} who never do"
            ))?;
        }
    }
    if let Some(after) = after_promotion(rollout) {
        output::line(format!("after the promotion: {after}"))?;
    }
    for event in &rollout.history {
        output::line(format!("  {}", event_in_words(event)))?;
    }
    Ok(())
}

/// The stage of interleaved answers, if there is one: `→ interleaved for 5 % for 1800 s`.
fn interleave_in_words(rollout: &Rollout) -> Option<String> {
    let stage = rollout.interleave?;
    let step = RolloutStep {
        weight_basis_points: stage.share_basis_points,
        hold_seconds: stage.hold_seconds,
        min_samples: stage.min_samples,
        requires_approval: false,
    };
    let arrow = if rollout.resumes_to() == RolloutState::Interleave { "→ " } else { "" };
    Some(format!("{arrow}interleaved for {}", step_in_words(&step, false)))
}

/// A step: `→ 1 % for 60 s and 500 requests`, with the arrow at the current one.
fn step_in_words(step: &RolloutStep, is_current: bool) -> String {
    let arrow = if is_current { "→ " } else { "" };
    let approval = if step.requires_approval { " once approved" } else { "" };
    let samples = match step.min_samples {
        0 => String::new(),
        samples => format!(" and {samples} requests"),
    };
    format!(
        "{arrow}{}{approval} for {} s{samples}",
        output::percent(step.weight_basis_points),
        step.hold_seconds
    )
}

/// What follows the promotion, if anything.
fn after_promotion(rollout: &Rollout) -> Option<String> {
    let safety = rollout.safety?;
    let mut parts = Vec::new();
    if let Some(holdout) = safety.holdout {
        parts.push(format!(
            "{} of the users stay with {} for {}",
            output::percent(holdout.share_basis_points),
            rollout.baseline,
            seconds_in_words(holdout.hold_seconds)
        ));
    }
    if safety.watch_seconds > 0 {
        let watch = seconds_in_words(safety.watch_seconds);
        parts.push(format!("{} stays loaded for {watch}", rollout.baseline));
    }
    if matches!(rollout.state(), RolloutState::Holdout | RolloutState::Watching) {
        parts.push(format!("undo it with marquee ctl rollout undo {}", rollout.rollout_id));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// An event of a rollout's history: time, state, share and reason.
pub(super) fn event_in_words(event: &RolloutEvent) -> String {
    format!(
        "{}  {:<11} {:>6}  {}",
        output::moment(event.at_ms),
        state_name(event.state()),
        output::percent(event.weight_basis_points),
        output::shown(&event.reason)
    )
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}
