//! `marquee ctl rollout gates --dry-run`: what other gates would have said of what was measured of a rollout.

use super::evidence::{effect, evidence_in_words, number, verdict_name};
use super::gate;
use super::select::RolloutArgs;
use super::select::select;
use crate::commands::ctl::context::Context;
use crate::message;
use crate::output;
use clap::Args;
use marquee_core::rollout::gate::Gate;
use marquee_proto::control::v1::{TriedGate, TryGatesRequest, TryGatesResponse};
use marquee_proto::convert::gate::{gate_from_pb, gate_to_pb};
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct GatesArgs {
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Try them on what was recorded, and change nothing; there is no other way yet
    #[arg(long, required = true)]
    dry_run: bool,
    /// A gate to try, as in `rollout start`; may be repeated. Without, the gates that the rollout has
    #[arg(long = "gate", value_parser = gate::parse, value_name = "METRIC<=BOUND")]
    gates: Vec<Gate>,
}

pub(super) async fn run(context: &mut Context, args: GatesArgs) -> anyhow::Result<ExitCode> {
    let GatesArgs { rollout, dry_run: _, gates } = args;
    let rollout_id = select(context, rollout).await?.rollout_id;
    let request = TryGatesRequest {
        rollout_id: rollout_id.clone(),
        gates: gates.iter().map(gate_to_pb).collect(),
    };
    let tried = context
        .client
        .call(request, |mut control, request| async move { control.try_gates(request).await })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.TryGatesResponse", &tried))?;
    } else {
        output::line(table(&rollout_id, &tried))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rollout_id: &str, tried: &TryGatesResponse) -> String {
    let columns =
        ["GATE", "BOUND", "BASELINE", "CANDIDATE", "EFFECT, 95 %", "EVIDENCE", "VERDICT", "ACTS"];
    let mut table = output::table(&columns);
    for TriedGate { gate, evidence, acts_at_ms, acts_at_weight_basis_points } in &tried.gates {
        let (Some(gate), Some(found)) = (gate, evidence) else { continue };
        let Ok(Gate { metric, bound, .. }) = gate_from_pb(*gate) else { continue };
        let acts = match acts_at_ms {
            0 => "never".to_owned(),
            at_ms => format!(
                "{} at {}",
                output::moment(*at_ms),
                output::percent(*acts_at_weight_basis_points)
            ),
        };
        table.add_row([
            metric.name().to_owned(),
            bound.to_string(),
            number(found.baseline),
            number(found.candidate),
            effect(found),
            evidence_in_words(found),
            verdict_name(found),
            acts,
        ]);
    }
    format!(
        "{rollout_id}: what these gates would have said after each of {}, which {} were added up to\n{}",
        output::count(tried.recorded.into(), "recorded window"),
        output::count(tried.windows, "window"),
        output::lines_of(&table)
    )
}
