//! `marquee ctl rollout apply`: a surface gets the rollout that a file says, unless it has it already.

mod decide;
mod file;

use super::show;
use crate::commands::ctl::context::Context;
use crate::commands::ctl::plan::get_plan;
use crate::message;
use crate::output;
use anyhow::bail;
use clap::Args;
use decide::{Decision, Wanted, decide};
use marquee_client::request_id;
use marquee_core::rollout::ListedUsers;
use marquee_proto::control::v1::StartRolloutRequest;
use marquee_proto::convert::plan::plan_from_pb;
use marquee_proto::convert::rollout::{step_from_pb, wanted_terms};
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "Example:
  marquee ctl rollout apply -f home.yaml --dry-run
  marquee ctl rollout apply -f home.yaml

where home.yaml is
  surface: home
  candidate: films@2
  steps: ['1%:1h:1000', '50%:1d!']
  gates: ['error_rate<=1.2x', 'latency_p99<=50ms,pause']
  promql: ['errors,every=30s http://prometheus:9090 sum(rate(app_errors[1m])) <= 0.5']
  watch_for: 2h

Fields have the names of the flags of `rollout start`; no_gates, exponential, webhooks, shadow, interleave,
as_fast_as_evidence_allows, prepare_within, holdout, holdout_for, allow_no_traffic, always_candidate and
never_candidate are the others. A running rollout is never changed: what differs is printed, and the command fails.";

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct ApplyArgs {
    /// A YAML, JSON or TOML file
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Start it even if the same rollout was rolled back before
    #[arg(long)]
    again: bool,
}

/// Starts the rollout of a file, if it is not there.
pub(super) async fn run(context: &mut Context, args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let ApplyArgs { file, dry_run, again } = args;
    let request = file::read(&file)?;
    let wanted = wanted(&request)?;
    let plan = plan_from_pb(get_plan(context).await?)?;
    match decide(&plan, &wanted, again) {
        Decision::Nothing(why) => {
            if context.json {
                output::json(&serde_json::json!({ "action": "none", "reason": why }))?;
            } else {
                output::line(format!("nothing to do: {why}"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Decision::Refuse(why, lines) => {
            if context.json {
                let shown =
                    serde_json::json!({ "action": "refused", "reason": why, "changes": lines });
                output::json(&shown)?;
                return Ok(ExitCode::FAILURE);
            }
            for line in lines {
                output::line(line)?;
            }
            bail!("{why}")
        }
        Decision::Start(lines) => {
            if !context.json {
                for line in &lines {
                    output::line(line)?;
                }
            }
            if dry_run {
                if context.json {
                    output::json(&serde_json::json!({ "action": "start", "changes": lines }))?;
                } else {
                    output::line("nothing was done: --dry-run")?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            let request = StartRolloutRequest { request_id: request_id(), ..request };
            let started = context
                .client
                .call(request, |mut control, request| async move {
                    control.start_rollout(request).await
                })
                .await?;
            let rollout = started.rollout.unwrap_or_default();
            if context.json {
                let rollout = message::to_json(show::ROLLOUT_MESSAGE, &rollout);
                let shown =
                    serde_json::json!({ "action": "start", "changes": lines, "rollout": rollout });
                output::json(&shown)?;
            } else {
                output::line(format!("started {}", rollout.rollout_id))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What a request means, with the defaults that control gives it.
fn wanted(request: &StartRolloutRequest) -> anyhow::Result<Wanted> {
    let StartRolloutRequest {
        request_id: _,
        surface,
        candidate,
        steps,
        gates,
        without_gates,
        shadow,
        pace,
        safety,
        always_candidate_user_ids,
        never_candidate_user_ids,
        interleave,
        external_gates,
    } = request.clone();
    let mut terms =
        wanted_terms(gates, without_gates, external_gates, shadow, interleave, pace, safety)?;
    terms.listed = ListedUsers::of_ids(&always_candidate_user_ids, &never_candidate_user_ids)?;
    let steps = steps.into_iter().map(step_from_pb).collect();
    Ok(Wanted { surface, candidate, steps, terms })
}
