//! `marquee ctl plan`: the plan that routers and shards follow.

use super::context::Context;
use crate::message;
use crate::output;
use marquee_proto::control::v1::{GetPlanRequest, Plan};
use std::process::ExitCode;

/// Gets the current plan.
pub(super) async fn get_plan(context: &mut Context) -> anyhow::Result<Plan> {
    let request = GetPlanRequest { as_known_here: false };
    let answer = context
        .client
        .call(request, |mut control, request| async move { control.get_plan(request).await })
        .await?;
    Ok(answer.plan.unwrap_or_default())
}

/// Prints the plan, as YAML or JSON: it is nested, and `status` has the tables.
pub(super) async fn run(context: &mut Context) -> anyhow::Result<ExitCode> {
    let plan = message::to_json("marquee.control.v1.Plan", &get_plan(context).await?);
    if context.json {
        output::json(&plan)?;
    } else {
        output::line(serde_yaml_ng::to_string(&plan)?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
