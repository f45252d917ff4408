//! `marquee ctl users verify`.

use super::bytes_of_id::FoundBytes;
use super::user_id::read_id;
use super::user_privacy::user_privacy;
use super::versions::{named, trained_before};
use crate::commands::ctl::context::Context;
use crate::output;
use anyhow::bail;
use clap::Args;
use futures::future::join_all;
use marquee_client::{Address, Credentials, channel, innermost_reason};
use marquee_proto::control::v1::{GetPlanRequest, Role};
use marquee_proto::convert::privacy::privacy_from_pb;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{FallbackReason, RecommendRequest};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Code;

/// How long a router may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Random bytes of a name that nobody has.
const UNKNOWN_BYTES: usize = 16;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl users verify u-1842
  marquee ctl users verify u-1842 --data-dir /var/lib/marquee
  marquee ctl users verify u-1842 --router http://10.0.0.7:50052 --surface home

Three things are looked at: that the cluster has a tombstone of the user; that each router answers the user as it
answers an unknown user; and, on the machine where a --data-dir is, that no file below it has the bytes of the id. A short id may
be found within longer ones: the offsets tell. Directories of published bundles keep the id until versions that were
trained before are retired, and so do the copies that shard nodes serve; these versions are named.")]
pub(in crate::commands::ctl) struct VerifyArgs {
    /// The user's id, or `-`: the first line of standard input
    #[arg(value_name = "ID")]
    user_id: String,
    /// A data directory of a node, on this machine; repeat it for more
    #[arg(long, value_name = "DIR")]
    data_dir: Vec<PathBuf>,
    /// A router to ask; repeat it for more. Without it, those of the plan are asked
    #[arg(long, value_name = "URL")]
    router: Vec<Address>,
    /// The surface that routers are asked for
    #[arg(long, default_value = "", hide_default_value = true)]
    surface: String,
}

/// What was found.
#[derive(Serialize)]
struct VerifyReport {
    /// The number of the user's tombstone; none if there is none.
    tombstone: Option<u64>,
    /// Versions that were trained before it, and so may have rows of the user.
    versions: Vec<String>,
    routers: Vec<RouterReport>,
    /// Where the bytes of the id are.
    places: Vec<String>,
    /// How many such places there are.
    found: u64,
    /// Files that were looked through.
    files: u64,
    is_forgotten: bool,
}

/// How a router answers.
#[derive(Serialize)]
struct RouterReport {
    address: String,
    answer: RouterAnswer,
    /// The answer in words, or why there is none.
    says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum RouterAnswer {
    /// As it answers an unknown user.
    AsToAnUnknownUser,
    /// It does not answer as it answers an unknown user.
    AsToAUser,
    /// It could not be asked.
    Unknown,
}

pub(super) async fn run(context: &mut Context, args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let user_id = read_id(&args.user_id)?;
    if user_id.is_empty() {
        bail!("the id is empty: give the user's id");
    }
    let answer = user_privacy(context).await?;
    let privacy = privacy_from_pb(answer.privacy.unwrap_or_default())?;
    let tombstone = privacy
        .pseudonym(&user_id)
        .and_then(|pseudonym| privacy.tombstones.get(&pseudonym))
        .map(|tombstone| tombstone.number);
    let versions =
        tombstone.map_or_else(Vec::new, |number| trained_before(number, answer.versions));
    let addresses =
        if args.router.is_empty() { routers_of_plan(context).await? } else { args.router };
    let asked = addresses.iter().map(|it| ask(it, &context.credentials, &user_id, &args.surface));
    let routers = join_all(asked).await;
    let mut found = FoundBytes::default();
    for directory in &args.data_dir {
        found.look_through(directory, user_id.as_bytes())?;
    }
    let answers_well = !routers.is_empty()
        && routers.iter().all(|router| router.answer == RouterAnswer::AsToAnUnknownUser);
    let report = VerifyReport {
        is_forgotten: tombstone.is_some() && answers_well && found.count == 0,
        tombstone,
        versions,
        routers,
        places: found.places.iter().map(|(path, offset)| place(path, *offset)).collect(),
        found: found.count,
        files: found.files,
    };
    if context.json {
        output::json(&report)?;
    } else {
        print(&report, &args.data_dir)?;
    }
    Ok(if report.is_forgotten { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn place(path: &std::path::Path, offset: Option<u64>) -> String {
    match offset {
        Some(offset) => format!("{} at byte {offset}", path.display()),
        None => format!("the name of {}", path.display()),
    }
}

fn print(report: &VerifyReport, data_dirs: &[PathBuf]) -> anyhow::Result<()> {
    let VerifyReport { tombstone, versions, routers, places, found, files, is_forgotten } = report;
    match tombstone {
        Some(number) => output::line(format!("tombstone {number}"))?,
        None => output::line(
            "no tombstone: the cluster was not told to forget the user, or has aged it",
        )?,
    }
    for RouterReport { address, answer: _, says } in routers {
        output::line(format!("{address} {says}"))?;
    }
    if routers.is_empty() {
        output::line("no router was asked: give --router")?;
    }
    if !data_dirs.is_empty() {
        output::line(format!(
            "{} with the bytes of the id in {}",
            output::count(*found, "place"),
            output::count(*files, "file")
        ))?;
        places.iter().try_for_each(|place| output::line(format!("  {place}")))?;
    }
    if !versions.is_empty() {
        output::line(format!(
            "retire these versions, which were trained before: {}",
            named(versions)
        ))?;
    }
    output::line(if *is_forgotten { "the user is forgotten" } else { "not proved" })?;
    Ok(())
}

/// The addresses of the plan's routers.
async fn routers_of_plan(context: &mut Context) -> anyhow::Result<Vec<Address>> {
    let answer = context
        .client
        .call(GetPlanRequest::default(), |mut control, request| async move {
            control.get_plan(request).await
        })
        .await?;
    let nodes = answer.plan.unwrap_or_default().nodes;
    let routers = nodes.into_iter().filter(|node| node.roles().any(|role| role == Role::Router));
    routers.map(|node| Ok(node.address.parse::<Address>()?)).collect()
}

/// Asks a router for the user and for an unknown user.
async fn ask(
    address: &Address,
    credentials: &Credentials,
    user_id: &str,
    surface: &str,
) -> RouterReport {
    let mut bytes = [0; UNKNOWN_BYTES];
    fastrand::fill(&mut bytes);
    let unknown = format!("unknown-{}", hex::encode(bytes));
    let reasons = async {
        let of_user = reason(address, credentials, user_id, surface).await?;
        Ok((of_user, reason(address, credentials, &unknown, surface).await?))
    };
    let (answer, says) = match reasons.await {
        Ok((of_user, of_unknown)) => compared(of_user, of_unknown),
        Err(problem) => (RouterAnswer::Unknown, problem),
    };
    RouterReport { address: address.as_str().to_owned(), answer, says }
}

/// What the reasons of both answers show.
fn compared(of_user: FallbackReason, of_unknown: FallbackReason) -> (RouterAnswer, String) {
    if of_user == of_unknown {
        (RouterAnswer::AsToAnUnknownUser, "answers the user as it answers an unknown user".into())
    } else {
        (RouterAnswer::AsToAUser, "answers the user otherwise than an unknown user".into())
    }
}

/// Why an answer is no full one; else why there is none, in words.
async fn reason(
    address: &Address,
    credentials: &Credentials,
    user_id: &str,
    surface: &str,
) -> Result<FallbackReason, String> {
    let mut router = RecommenderServiceClient::new(channel(address, credentials));
    let request = RecommendRequest {
        user_id: user_id.into(),
        count: 1,
        surface: surface.into(),
        ..RecommendRequest::default()
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, router.recommend(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().fallback_reason()),
        Ok(Err(status)) if status.code() == Code::PermissionDenied => {
            Err("was not asked: give a credential with the role caller, too".into())
        }
        Ok(Err(status)) => Err(format!("gave no answer: {}", innermost_reason(&status))),
        Err(_) => Err(format!("gave no answer within {ANSWER_TIMEOUT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_like_that_to_an_unknown_user_proves_it() {
        use FallbackReason::{UnknownUser, Unspecified};
        for (of_user, of_unknown, expected) in [
            (UnknownUser, UnknownUser, RouterAnswer::AsToAnUnknownUser),
            // Popular items, which are nobody's.
            (Unspecified, Unspecified, RouterAnswer::AsToAnUnknownUser),
            (Unspecified, UnknownUser, RouterAnswer::AsToAUser),
        ] {
            assert_eq!(compared(of_user, of_unknown).0, expected);
        }
    }
}
