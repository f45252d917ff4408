//! `marquee ctl users forget`.

use super::user_id::read_id;
use super::versions::named;
use crate::commands::ctl::context::Context;
use crate::message;
use crate::output;
use clap::Args;
use marquee_client::request_id;
use marquee_proto::control::v1::ForgetUserRequest;
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl users forget u-1842
  marquee ctl users forget u-1842 --json | jq .forgotten.number

The cluster keeps a keyed hash of the id, and no id. Published bundles are not changed: routers do not ask for the
user's rows any more; train the models anew with --forgotten and let older versions retire to be rid of the bytes.
Your shell may remember the id: give `-` to read it from standard input.")]
pub(in crate::commands::ctl) struct ForgetArgs {
    /// The user's id, or `-`: the first line of standard input
    #[arg(value_name = "ID")]
    user_id: String,
}

pub(super) async fn run(context: &mut Context, args: ForgetArgs) -> anyhow::Result<ExitCode> {
    let request = ForgetUserRequest { request_id: request_id(), user_id: read_id(&args.user_id)? };
    let answer = context
        .client
        .call(request, |mut control, request| async move { control.forget_user(request).await })
        .await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.ForgetUserResponse", &answer))?;
        return Ok(ExitCode::SUCCESS);
    }
    match &answer.forgotten {
        Some(tombstone) => output::line(format!("forgotten, with tombstone {}", tombstone.number))?,
        None => output::line("forgotten before, and by all trainings: the tombstone has aged")?,
    }
    if !answer.versions.is_empty() {
        let versions: Vec<String> =
            answer.versions.iter().map(|it| format!("{}@{}", it.model, it.version)).collect();
        output::line(format!(
            "versions that may have rows of the user, which are not asked for: {}",
            named(&versions)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
