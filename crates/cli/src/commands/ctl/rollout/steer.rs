//! Pause, resume, promote and roll back.

use super::select::{RolloutArgs, Selectable, select};
use super::show;
use crate::commands::ctl::context::Context;
use clap::Args;
use marquee_client::{CallError, request_id};
use marquee_proto::control::v1::{
    PauseRolloutRequest, PromoteRolloutRequest, ResumeRolloutRequest, RollBackRolloutRequest,
    Rollout,
};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl rollout pause default-2 --reason \"error rate of the app\"")]
pub(in crate::commands::ctl) struct SteerArgs {
    #[command(flatten)]
    rollout: RolloutArgs,
    /// The reason, for the rollout's history, at most 256 bytes
    #[arg(long, default_value = "")]
    reason: String,
}

/// What an operator does to a running rollout.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steering {
    /// Holds the candidate's share.
    Pause,
    /// Continues after a pause.
    Resume,
    /// Gives the candidate all traffic.
    Promote,
    /// Gives the baseline all traffic.
    RollBack,
}

/// Steers the rollout that `args` name, or the only running one, and prints its new state.
pub(super) async fn run(
    context: &mut Context,
    args: SteerArgs,
    steering: Steering,
) -> anyhow::Result<ExitCode> {
    let SteerArgs { rollout, reason } = args;
    // A given id goes straight to the call: the cluster says itself if there is no such rollout.
    let rollout_id = match rollout.rollout_id {
        Some(rollout_id) => rollout_id,
        None => select(context, rollout, Selectable::Running).await?.rollout_id,
    };
    let steered = call(context, steering, rollout_id, reason).await?;
    show::print(context, &steered.unwrap_or_default())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the call of `steering` and returns the rollout as it is afterwards.
async fn call(
    context: &mut Context,
    steering: Steering,
    rollout_id: String,
    reason: String,
) -> Result<Option<Rollout>, CallError> {
    let request_id = request_id();
    let client = &mut context.client;
    match steering {
        Steering::Pause => {
            let request = PauseRolloutRequest { request_id, rollout_id, reason };
            let paused = client
                .call(request, |mut c, request| async move { c.pause_rollout(request).await });
            Ok(paused.await?.rollout)
        }
        Steering::Resume => {
            let request = ResumeRolloutRequest { request_id, rollout_id, reason };
            let resumed = client
                .call(request, |mut c, request| async move { c.resume_rollout(request).await });
            Ok(resumed.await?.rollout)
        }
        Steering::Promote => {
            let request = PromoteRolloutRequest { request_id, rollout_id, reason };
            let promoted = client
                .call(request, |mut c, request| async move { c.promote_rollout(request).await });
            Ok(promoted.await?.rollout)
        }
        Steering::RollBack => {
            let request = RollBackRolloutRequest { request_id, rollout_id, reason };
            let rolled_back = client
                .call(request, |mut c, request| async move { c.roll_back_rollout(request).await });
            Ok(rolled_back.await?.rollout)
        }
    }
}
