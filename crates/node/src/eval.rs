//! `marquee eval`: a bundle or a live endpoint against held-out interactions.
//!
//! A bundle is ranked exactly, offline, by `marquee-train`. An endpoint is asked as callers ask it,
//! by `BatchRecommend`, and its lists are scored by the same evaluator: the difference between the
//! two is what serving costs in quality.

use crate::cli::{self, output};
use crate::config::Address;
use crate::ctl::{channel, innermost};
use crate::follow::Backoff;
use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use marquee_core::bounds::{MAX_BATCH, MAX_MESSAGE_BYTES};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    BatchRecommendRequest, FallbackReason, RecommendRequest, RecommendResponse,
};
use marquee_train::eval::{Cutoffs, Evaluator, evaluate_bundle};
use marquee_train::read::read_interactions;
use marquee_train::{Duplicates, EvalArgs, positives};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Channel;

/// Recommendations in one answer, over its users: with ids and titles of a hundred bytes or two an
/// answer stays within the largest message.
const ITEMS_A_BATCH: usize = 20_000;
/// Batches under way: one is searched while another travels.
const BATCHES_AT_ONCE: usize = 2;
/// What one batch may take.
const BATCH_DEADLINE: Duration = Duration::from_secs(30);
/// Attempts at one batch that meets a server which is full or just starting.
const ATTEMPTS: u32 = 5;

/// Scores what the arguments name and prints JSON.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    args.validate()?;
    let evaluator = evaluator(args)?;
    match (&args.endpoint, &args.bundle) {
        (None, None) => bail!("nothing to evaluate: give --bundle DIR or --endpoint URL"),
        (None, Some(bundle)) => output::json(&evaluate_bundle(bundle, &evaluator)?)?,
        (Some(endpoint), _) => {
            let address: Address = endpoint.parse().context("--endpoint")?;
            let runtime = cli::runtime(cli::server_threads())?;
            let answers = runtime.block_on(ask(&address, &evaluator))?;
            let report = evaluator.score(&answers.lists)?;
            output::json(&EndpointReport {
                report,
                endpoint: address.to_string(),
                answered_by: answers.answered_by,
                fallbacks: answers.fallbacks,
                partial: answers.partial,
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The result for an endpoint.
#[derive(serde::Serialize)]
struct EndpointReport {
    #[serde(flatten)]
    report: marquee_train::eval::ListReport,
    endpoint: String,
    /// Users by the versions that answered them.
    answered_by: BTreeMap<String, u64>,
    /// Users who were answered with popular items.
    fallbacks: u64,
    /// Users who were answered without some shards.
    partial: u64,
}

fn evaluator(args: &EvalArgs) -> anyhow::Result<Evaluator> {
    let read =
        |path| read_interactions(path, &args.columns, Duplicates::default(), args.skip_bad_rows);
    let (train, _) = read(&args.train)?;
    let (test, _) = read(&args.test)?;
    let test = positives(&test, args.positive_at, Default::default())?;
    Ok(Evaluator::new(train, test, Cutoffs::new(&[args.cutoff])?)?)
}

/// What an endpoint answered, in the order of the evaluator's users.
#[derive(Default)]
struct Answers {
    lists: Vec<Vec<String>>,
    answered_by: BTreeMap<String, u64>,
    fallbacks: u64,
    partial: u64,
}

async fn ask(address: &Address, evaluator: &Evaluator) -> anyhow::Result<Answers> {
    let client = RecommenderServiceClient::new(channel(address))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let users_a_batch = (ITEMS_A_BATCH / evaluator.cutoff()).clamp(1, MAX_BATCH);
    let progress = progress(evaluator.users().len());
    let mut batches = stream::iter(evaluator.users().chunks(users_a_batch))
        .map(|users| {
            let count = evaluator.cutoff() as u32;
            let request = |user: &String| RecommendRequest {
                user_id: user.clone(),
                count,
                ..RecommendRequest::default()
            };
            let requests = users.iter().map(request).collect();
            batch(client.clone(), BatchRecommendRequest { requests }, address)
        })
        .buffered(BATCHES_AT_ONCE);
    let mut answers = Answers::default();
    while let Some(responses) = batches.try_next().await? {
        progress.inc(responses.len() as u64);
        responses.into_iter().for_each(|response| answers.add(response));
    }
    progress.finish_and_clear();
    Ok(answers)
}

async fn batch(
    mut client: RecommenderServiceClient<Channel>,
    batch: BatchRecommendRequest,
    address: &Address,
) -> anyhow::Result<Vec<RecommendResponse>> {
    let asked = batch.requests.len();
    let mut backoff = Backoff::default();
    let mut attempt = 1;
    loop {
        let mut request = tonic::Request::new(batch.clone());
        request.set_timeout(BATCH_DEADLINE);
        match client.batch_recommend(request).await {
            Ok(response) => {
                let responses = response.into_inner().responses;
                if responses.len() != asked {
                    bail!("{address} gave {} answers to {asked} requests", responses.len());
                }
                return Ok(responses);
            }
            Err(status)
                if attempt < ATTEMPTS
                    && matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) =>
            {
                attempt += 1;
                tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
            }
            Err(status) => {
                let code = crate::ctl::code_name(status.code());
                bail!(
                    "{address} answered {code}: {}: is a model live on the default surface?",
                    innermost(&status)
                );
            }
        }
    }
}

impl Answers {
    fn add(&mut self, response: RecommendResponse) {
        let served_by = response.served_by.clone().unwrap_or_default();
        let models: Vec<String> =
            served_by.models.iter().map(|m| format!("{}@{}", m.model, m.version)).collect();
        *self.answered_by.entry(models.join("+")).or_default() += 1;
        self.fallbacks += u64::from(response.fallback_reason() != FallbackReason::Unspecified);
        let coverage = response.coverage.clone().unwrap_or_default();
        self.partial += u64::from(coverage.shards_answered < coverage.shards_total);
        self.lists.push(response.items.into_iter().map(|item| item.item_id).collect());
    }
}

fn progress(users: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(users as u64);
    match ProgressStyle::with_template("asking {wide_bar} {pos}/{len} users") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
