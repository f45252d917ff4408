//! `marquee ctl rollout report`: all that is known of a rollout, as text or as one file to keep.

mod escape;
mod html;
mod plot;

use super::select::{RolloutArgs, get_rollout, select};
use super::{evidence, show, step_table};
use crate::commands::ctl::context::Context;
use crate::commands::ctl::segments;
use crate::output;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(in crate::commands::ctl) struct ReportArgs {
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Write an HTML file with plots instead. It refers to nothing outside of itself
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Prints or writes the report. With `--json` it is what `rollout status` prints, which has everything.
pub(super) async fn run(context: &mut Context, args: ReportArgs) -> anyhow::Result<ExitCode> {
    let ReportArgs { rollout: named, html } = args;
    let selected = select(context, named).await?;
    let Some(path) = html else {
        let details = show::Details { steps: true, segments: true };
        return show::status_of(context, selected.rollout_id, details).await;
    };
    let found = get_rollout(context, selected.rollout_id).await?;
    let rollout = found.rollout.unwrap_or_default();
    let measured = found.evidence.unwrap_or_default();
    let mut tables = vec![evidence::table(&rollout, &measured)];
    tables.extend(evidence::external_table(&rollout, &measured));
    tables.push(step_table::table(&rollout, &measured));
    let arms = [rollout.baseline.as_str(), rollout.candidate.as_str()];
    tables.extend(segments::table(&found.segments, &arms));
    fs_err::write(&path, html::page(&rollout, &measured, &tables))?;
    if context.json {
        output::json(&serde_json::json!({ "written": path.display().to_string() }))?;
    } else {
        output::line(format!("wrote {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
