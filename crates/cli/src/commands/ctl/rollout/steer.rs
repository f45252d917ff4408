//! Pause, resume, promote, roll back, undo, and end what follows a promotion.

use super::select::{ChangedRolloutArgs, select_to_change};
use super::show;
use crate::commands::ctl::context::Context;
use clap::Args;
use marquee_client::{CallError, request_id};
use marquee_proto::control::v1::{
    EndHoldoutRequest, EndWatchRequest, PauseRolloutRequest, PromoteRolloutRequest,
    ResumeRolloutRequest, RollBackRolloutRequest, Rollout, UndoRolloutRequest,
};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl rollout pause default-2 --reason \"error rate of the app\"")]
pub(in crate::commands::ctl) struct SteerArgs {
    #[command(flatten)]
    rollout: ChangedRolloutArgs,
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
    /// Gives the baseline all traffic after the promotion.
    Undo,
    /// Gives the candidate the users who are held out.
    EndHoldout,
    /// Lets the baseline be unloaded.
    EndWatch,
}

impl Steering {
    /// The command's name.
    fn command(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::RollBack => "rollback",
            Self::Undo => "undo",
            Self::EndHoldout => "end-holdout",
            Self::EndWatch => "end-watch",
        }
    }
}

/// Steers the rollout that `args` name, or the only one that can be meant, and prints its new state.
pub(super) async fn run(
    context: &mut Context,
    args: SteerArgs,
    steering: Steering,
) -> anyhow::Result<ExitCode> {
    let SteerArgs { rollout, reason } = args;
    let rollout_id = select_to_change(context, rollout, steering.command()).await?;
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
        Steering::Undo => {
            let request = UndoRolloutRequest { request_id, rollout_id, reason };
            let undone =
                client.call(request, |mut c, request| async move { c.undo_rollout(request).await });
            Ok(undone.await?.rollout)
        }
        Steering::EndHoldout => {
            let request = EndHoldoutRequest { request_id, rollout_id, reason };
            let ended =
                client.call(request, |mut c, request| async move { c.end_holdout(request).await });
            Ok(ended.await?.rollout)
        }
        Steering::EndWatch => {
            let request = EndWatchRequest { request_id, rollout_id, reason };
            let ended =
                client.call(request, |mut c, request| async move { c.end_watch(request).await });
            Ok(ended.await?.rollout)
        }
    }
}
