//! The chapters of the demo, in order.

use super::args::{DemoArgs, MODEL, TEXTS};
use super::data::{self, DemoData};
use super::page::Page;
use super::users::DemoUsers;
use super::{generated, more, rollout};
use crate::commands::load::{Users, milliseconds};
use crate::output::count;
use anyhow::{Context as _, bail};
use marquee_client::{
    Address, Connection, ControlClient, Credentials, bundle_uri, channel, loopback_address,
    request_id,
};
use marquee_core::bounds::MAX_MESSAGE_BYTES;
use marquee_core::plan::DEFAULT_SURFACE;
use marquee_node::serve::{RunningNode, ServerError, standalone};
use marquee_proto::control::v1::{PublishModelRequest, StartRolloutRequest};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{RecommendRequest, RecommendResponse};
use marquee_train::{ModelKind, ModelSettings, TrainArgs, TrainSummary};
use std::path::Path;
use std::time::{Duration, Instant};

/// Factors of the first two versions: too few, and enough.
const FACTORS: [usize; 2] = [4, 64];
/// Recommendations that are requested and shown.
const SHOWN: u32 = 6;
/// Upper bound of the time until the first version is live: it is milliseconds of work.
const LIVE_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two requests until then.
const LIVE_POLL: Duration = Duration::from_millis(10);

/// A demo that ran to its end.
pub(super) struct FinishedDemo {
    /// The node, which still serves.
    pub(super) node: RunningNode,
    /// Requests of the load that failed or were not sent.
    pub(super) failed_requests: u64,
}

/// Runs all chapters, or those up to the training if `--train-only` is given, which leaves no node.
pub(super) async fn run(
    args: &DemoArgs,
    scratch: &Path,
    page: &mut Page,
) -> anyhow::Result<Option<FinishedDemo>> {
    page.chapter("Data")?;
    let (data, users) = get_data(args, scratch, page).await?;

    page.chapter("Three versions of a model")?;
    let bundles = args.train_only.as_deref().unwrap_or(scratch);
    for (n, factors) in (1..).zip(FACTORS) {
        let model = (ModelKind::Mf, Some(factors));
        let summary = train(args, &data, model, &bundles.join(format!("v{n}"))).await?;
        show_quality(&format!("v{n}"), factors, &summary, page)?;
    }
    train(args, &data, (ModelKind::Popularity, None), &bundles.join("v3")).await?;
    page.data("v3  popularity: the same popular items for every user")?;
    if args.train_only.is_some() {
        page.note(&format!("bundles are in {}", bundles.display()))?;
        return Ok(None);
    }

    page.chapter("A cluster in this process")?;
    let node = start_node(args, scratch, page).await?;
    let router = loopback_address(node.listens_at());
    let mut control = ControlClient::new(std::slice::from_ref(&router), &Credentials::none());
    let mut recommender = RecommenderServiceClient::new(channel(&router, &Credentials::none()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);

    page.chapter("The first version goes live")?;
    let started = Instant::now();
    let first = publish(&mut control, &bundles.join("v1")).await?;
    start_first_rollout(&mut control, &first).await?;
    let user_id = users.example().to_owned();
    let answer = first_answer(&mut recommender, &user_id).await?;
    let took = milliseconds(started.elapsed());
    page.note(&format!(
        "{first} was published, verified and loaded; its first answer came {took} after `marquee ctl publish`"
    ))?;
    show_history(&user_id, &users, page)?;
    show_answer(&format!("{first} recommends"), &answer, &users, page)?;

    page.chapter("The second version takes over step by step, under load")?;
    let second = publish(&mut control, &bundles.join("v2")).await?;
    page.note(&format!(
        "{} requests a second from {}; a user who has the second version keeps it",
        args.rate,
        count(users.ids().len() as u64, "user")
    ))?;
    let load_users = Users::equal(users.ids(), &data.name)?;
    let total =
        rollout::roll_out(&mut control, &router, &second, load_users, args.rate, page).await?;
    page.data(&format!(
        "total: {}, {} failed, {} fallbacks, p50 {}, p99 {}",
        count(total.calls(), "request"),
        total.failed(),
        total.fallbacks,
        milliseconds(total.latency(0.5)),
        milliseconds(total.latency(0.99)),
    ))?;
    for (code, times) in &total.errors {
        page.data(&format!("failed with {code}: {times}"))?;
    }
    let answer = recommend(&mut recommender, &user_id).await?;
    show_answer(&format!("{second} recommends to user {user_id}"), &answer, &users, page)?;

    page.chapter("The third version performs poorly and is rolled back automatically")?;
    let third = publish(&mut control, &bundles.join("v3")).await?;
    let load_users = Users::equal(users.ids(), &data.name)?;
    let rolled_back =
        rollout::roll_back(&mut control, &router, &third, load_users, args.rate, page).await?;
    page.data(&format!(
        "total: {}, {} failed",
        count(rolled_back.calls(), "request"),
        rolled_back.failed()
    ))?;

    page.chapter("What else it answers")?;
    more::explain(&mut recommender, &user_id, &users, page).await?;
    if let Some(first) = answer.items.first() {
        more::play(&mut recommender, &user_id, &first.item_id, &users, page).await?;
    }
    if data.users.is_some() {
        more::greet_newcomer(&mut recommender, &users, page).await?;
    }
    if data.items.is_some() {
        train(args, &data, (ModelKind::Content, None), &bundles.join("texts")).await?;
        let texts = publish(&mut control, &bundles.join("texts")).await?;
        more::search(&mut control, &mut recommender, &texts, &users, page).await?;
    }
    more::roll_back_by_hand(&mut control, &first, page).await?;

    page.chapter("Try it")?;
    if args.exit {
        page.note("without --exit this node goes on serving, and these commands work:")?;
    }
    show_commands(&router, &user_id, &answer, page)?;
    let failed_requests =
        total.failed() + total.not_sent + rolled_back.failed() + rolled_back.not_sent;
    Ok(Some(FinishedDemo { node, failed_requests }))
}

async fn get_data(
    args: &DemoArgs,
    scratch: &Path,
    page: &mut Page,
) -> anyhow::Result<(DemoData, DemoUsers)> {
    let (given, scratch) = (args.data.clone(), scratch.to_owned());
    let (data, said) = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        let cache = data::cache_directory();
        let found = data::find(given.as_deref(), &cache, &scratch, &mut |text| {
            said.push(text.to_owned());
        });
        found.map(|data| (data, said))
    })
    .await??;
    for text in said {
        page.note(&text)?;
    }
    if data.generated {
        page.label(generated::LABEL);
    }
    let users = {
        let data = data.clone();
        tokio::task::spawn_blocking(move || DemoUsers::read(&data)).await??
    };
    page.data(&format!("{}: {}", data.name, users.summary()))?;
    page.data(&format!("({})", data.origin))?;
    Ok((data, users))
}

async fn train(
    args: &DemoArgs,
    data: &DemoData,
    (model, factors): (ModelKind, Option<usize>),
    out: &Path,
) -> anyhow::Result<TrainSummary> {
    let mut settings = ModelSettings::default();
    if let Some(factors) = factors {
        settings = settings.with("factors", factors);
    }
    let args = TrainArgs {
        items: data.items.clone(),
        // The others answer all users alike, or by their histories alone.
        users: data.users.clone().filter(|_| model == ModelKind::Mf),
        name: Some(if model == ModelKind::Content { TEXTS } else { MODEL }.into()),
        shards: args.shards,
        model,
        settings,
        positive_at: data.positive_at,
        ..TrainArgs::new(&data.interactions, out)
    };
    let now_ms = crate::clock::now_ms();
    Ok(tokio::task::spawn_blocking(move || marquee_train::train(&args, now_ms)).await??)
}

fn show_quality(
    name: &str,
    factors: usize,
    summary: &TrainSummary,
    page: &Page,
) -> std::io::Result<()> {
    let seconds: f64 = summary.phases.iter().map(|phase| phase.cpu_seconds).sum();
    let quality = match &summary.evaluation {
        None => "not measured: no user has enough interactions to hold some out".to_owned(),
        Some(evaluation) => format!(
            "recall@20 {:.4}  nDCG@20 {:.4}   popularity {:.4} {:.4}",
            evaluation.model.recall,
            evaluation.model.ndcg,
            evaluation.popularity.recall,
            evaluation.popularity.ndcg
        ),
    };
    page.data(&format!("{name}  {factors:>3} factors  {quality}   {seconds:.1} CPU s"))
}

/// Starts all roles at the address asked for, or at a free port if that one is taken.
async fn start_node(args: &DemoArgs, scratch: &Path, page: &Page) -> anyhow::Result<RunningNode> {
    let data_dir = scratch.join("node");
    let node = match standalone::start(args.listen, &data_dir).await {
        Err(error) if is_taken(&error) => {
            let mut free = args.listen;
            free.set_port(0);
            let node = standalone::start(free, &data_dir).await?;
            page.note(&format!("{} is in use, a free port is taken instead", args.listen))?;
            node
        }
        started => started?,
    };
    page.note(&format!(
        "control, shard and router answer on {}, with gRPC health and reflection",
        node.listens_at()
    ))?;
    Ok(node)
}

fn is_taken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ServerError>(), Some(ServerError::Bind { source, .. })
        if source.kind() == std::io::ErrorKind::AddrInUse)
}

async fn publish(control: &mut ControlClient, bundle: &Path) -> anyhow::Result<String> {
    let path = bundle.to_str().context("the demo's directory is not UTF-8")?;
    // Forced: with data of the user's own the first version, which is too small on purpose, may be
    // no better than popularity.
    let request = PublishModelRequest {
        request_id: request_id(),
        bundle_uri: bundle_uri(path)?,
        force: true,
        allow_older: false,
    };
    let published = control
        .call(request, |mut control, request| async move { control.publish_model(request).await })
        .await?;
    Ok(format!("{}@{}", published.model, published.version))
}

async fn start_first_rollout(control: &mut ControlClient, candidate: &str) -> anyhow::Result<()> {
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface: DEFAULT_SURFACE.into(),
        candidate: candidate.into(),
        ..StartRolloutRequest::default()
    };
    control
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    Ok(())
}

type Recommender = RecommenderServiceClient<Connection>;

async fn recommend(
    recommender: &mut Recommender,
    user_id: &str,
) -> Result<RecommendResponse, tonic::Status> {
    let request =
        RecommendRequest { user_id: user_id.into(), count: SHOWN, ..RecommendRequest::default() };
    Ok(recommender.recommend(request).await?.into_inner())
}

/// Requests recommendations until the surface is live, and returns the first.
async fn first_answer(
    recommender: &mut Recommender,
    user_id: &str,
) -> anyhow::Result<RecommendResponse> {
    let started = Instant::now();
    loop {
        match recommend(recommender, user_id).await {
            Ok(answer) => return Ok(answer),
            Err(status) if started.elapsed() > LIVE_WITHIN => {
                bail!("the first version is not live after {LIVE_WITHIN:?}: {}", status.message())
            }
            Err(_) => tokio::time::sleep(LIVE_POLL).await,
        }
    }
}

fn show_history(user_id: &str, users: &DemoUsers, page: &Page) -> std::io::Result<()> {
    let (titles, more) = users.history(user_id);
    page.data(&format!("user {user_id} liked"))?;
    for title in titles {
        page.data(&format!("  {title}"))?;
    }
    if more > 0 {
        page.data(&format!("  and {more} more"))?;
    }
    Ok(())
}

fn show_answer(
    heading: &str,
    answer: &RecommendResponse,
    users: &DemoUsers,
    page: &Page,
) -> std::io::Result<()> {
    page.data(heading)?;
    for item in &answer.items {
        let title =
            if item.title.is_empty() { users.title(&item.item_id) } else { item.title.clone() };
        page.data(&format!("  {:>6.3}  {title}", item.score))?;
    }
    Ok(())
}

fn show_commands(
    router: &Address,
    user_id: &str,
    answer: &RecommendResponse,
    page: &Page,
) -> anyhow::Result<()> {
    let at = router.authority();
    let item_id = answer.items.first().map_or("1", |item| item.item_id.as_str());
    // An id is written as JSON writes it and quoted for the shell.
    let quoted = |id: &str| serde_json::to_string(id).map(|id| id.replace('\'', "'\\''"));
    let recommend = format!(r#"{{"user_id": {}, "count": 5}}"#, quoted(user_id)?);
    let similar = format!(r#"{{"item_id": {}, "count": 5}}"#, quoted(item_id)?);
    for (request, method) in [(recommend, "Recommend"), (similar, "SimilarItems")] {
        page.command(&format!(
            "grpcurl -plaintext -d '{request}' {at} marquee.v1.RecommenderService/{method}"
        ))?;
    }
    page.command(&format!(
        "grpcurl -plaintext {at} marquee.control.v1.ControlService/ListRollouts"
    ))?;
    page.command(&format!("marquee ask user {} --endpoint {router}", shell_word(user_id)))?;
    page.command(&format!("marquee ask similar {} --endpoint {router}", shell_word(item_id)))?;
    page.command(&format!(
        "marquee ask search {:?} --surface {} --endpoint {router}",
        more::TEXT,
        more::SEARCH_SURFACE
    ))?;
    page.command(&format!("marquee ctl --endpoint {router} status"))?;
    Ok(())
}

/// A word as the shell takes it.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
