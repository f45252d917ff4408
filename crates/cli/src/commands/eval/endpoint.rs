//! A live endpoint, evaluated by requests as callers send them.

use anyhow::bail;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use marquee_client::{Address, Backoff, Connection, Credentials, channel, innermost_reason};
use marquee_core::bounds::{MAX_BATCH_REQUESTS, MAX_MESSAGE_BYTES, MAX_RECENT_ITEMS};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    BatchRecommendRequest, FallbackReason, RecommendRequest, RecommendResponse,
};
use marquee_train::eval::{Evaluator, ListReport, PerUser};
use prost::Message as _;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;
use tonic::Code;

/// Recommendations in one batch: with ids and titles of one or two hundred bytes the answer fits into a
/// message.
const ITEMS_PER_BATCH: usize = 20_000;
/// Batches under way: one is answered while another is on the network.
const BATCHES_AT_ONCE: usize = 2;
/// Deadline of one batch.
const BATCH_DEADLINE: Duration = Duration::from_secs(30);
/// Attempts at one batch while the server is overloaded or starting.
const ATTEMPTS: u32 = 5;

/// The evaluation of an endpoint.
#[derive(serde::Serialize)]
pub(super) struct EndpointReport {
    #[serde(flatten)]
    pub(super) report: ListReport,
    pub(super) endpoint: String,
    /// Number of users by the versions that answered them.
    pub(super) answered_by: BTreeMap<String, u64>,
    /// Number of users whose answer has a fallback reason.
    pub(super) fallbacks: u64,
    /// Number of users whose answer misses some shards.
    pub(super) partial: u64,
}

/// Requests a list for every user of the evaluator, and scores the lists.
pub(super) async fn evaluate(
    address: &Address,
    credentials: &Credentials,
    evaluator: &Evaluator,
) -> anyhow::Result<(EndpointReport, PerUser)> {
    let EndpointLists { lists, answered_by, fallbacks, partial } =
        request_all(address, credentials, evaluator).await?;
    let (report, per_user) = evaluator.score_per_user(&lists)?;
    let endpoint = address.to_string();
    Ok((EndpointReport { report, endpoint, answered_by, fallbacks, partial }, per_user))
}

/// The lists of an endpoint, in the order of the evaluator's users, and counts over them.
#[derive(Default)]
struct EndpointLists {
    lists: Vec<Vec<String>>,
    answered_by: BTreeMap<String, u64>,
    fallbacks: u64,
    partial: u64,
}

/// Requests a list for every user.
async fn request_all(
    address: &Address,
    credentials: &Credentials,
    evaluator: &Evaluator,
) -> anyhow::Result<EndpointLists> {
    let client = RecommenderServiceClient::new(channel(address, credentials))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let users_per_batch = users_per_batch(evaluator);
    let progress = progress_bar(evaluator.users().len());
    let mut batches = stream::iter(evaluator.users().chunks(users_per_batch))
        .map(|users| {
            let requests = users.iter().map(|user| request(evaluator, user)).collect();
            send_batch(client.clone(), BatchRecommendRequest { requests }, address)
        })
        .buffered(BATCHES_AT_ONCE);
    let mut lists = EndpointLists::default();
    while let Some(responses) = batches.try_next().await? {
        progress.inc(responses.len() as u64);
        for response in responses {
            lists.add(response);
        }
    }
    progress.finish_and_clear();
    Ok(lists)
}

/// The request for one user, with the user's recent items if there is a file of them.
fn request(evaluator: &Evaluator, user: &str) -> RecommendRequest {
    RecommendRequest {
        user_id: user.into(),
        count: evaluator.cutoff() as u32,
        recent_item_ids: evaluator.recent(user, MAX_RECENT_ITEMS),
        ..RecommendRequest::default()
    }
}

/// Users per batch: as many as fit into a message, both as a request and as an answer.
fn users_per_batch(evaluator: &Evaluator) -> usize {
    let longest = evaluator.users().iter().map(|user| request(evaluator, user).encoded_len()).max();
    let by_request = MAX_MESSAGE_BYTES / 2 / longest.unwrap_or(1).max(1);
    (ITEMS_PER_BATCH / evaluator.cutoff()).min(by_request).clamp(1, MAX_BATCH_REQUESTS)
}

/// Sends one batch, and again while the server is overloaded or starting.
async fn send_batch(
    mut client: RecommenderServiceClient<Connection>,
    batch: BatchRecommendRequest,
    address: &Address,
) -> anyhow::Result<Vec<RecommendResponse>> {
    let requested = batch.requests.len();
    let mut backoff = Backoff::default();
    let mut attempt = 1;
    loop {
        let mut request = tonic::Request::new(batch.clone());
        request.set_timeout(BATCH_DEADLINE);
        match client.batch_recommend(request).await {
            Ok(response) => {
                let responses = response.into_inner().responses;
                if responses.len() != requested {
                    bail!("{address} gave {} answers to {requested} requests", responses.len());
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
                let code = marquee_client::code_name(status.code());
                bail!(
                    "{address} answered {code}: {}: is a model live on the default surface?",
                    innermost_reason(&status)
                );
            }
        }
    }
}

impl EndpointLists {
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

/// A progress bar over users, hidden unless stderr is a terminal.
fn progress_bar(users: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(users as u64);
    match ProgressStyle::with_template("evaluating {wide_bar} {pos}/{len} users") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_train::eval::Cutoffs;
    use marquee_train::read::read_interactions;
    use marquee_train::{ColumnArgs, Duplicates, Interactions};

    fn interactions(text: &str) -> Interactions {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rows.csv");
        std::fs::write(&path, format!("user,item,timestamp\n{text}")).expect("written");
        read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, false).expect("valid").0
    }

    fn evaluator(history: &str) -> Evaluator {
        let (train, test) = (interactions("a,1,1\n"), interactions("a,2,9\nb,2,9\n"));
        Evaluator::new(train, test, Cutoffs::new(&[5, 30]).expect("valid"))
            .expect("rows")
            .with_history(interactions(history))
    }

    #[test]
    fn histories_go_along_newest_last() {
        let evaluator = evaluator("b,7,3\nb,8,1\n");
        let asked = request(&evaluator, "b");
        assert_eq!((asked.user_id.as_str(), asked.count), ("b", 30));
        assert_eq!(asked.recent_item_ids, ["8", "7"]);
        assert!(request(&evaluator, "a").recent_item_ids.is_empty());
    }

    #[test]
    fn long_histories_make_small_batches() {
        let long = "x".repeat(200);
        let rows: String = (0..1_500).map(|n| format!("b,{long}{n:04},{n}\n")).collect();
        let evaluator = evaluator(&rows);
        let asked = request(&evaluator, "b");
        assert_eq!(asked.recent_item_ids.len(), MAX_RECENT_ITEMS);
        assert!(asked.recent_item_ids[999].ends_with("1499"));
        let batch = users_per_batch(&evaluator);
        assert!((2..=20).contains(&batch), "{batch}");
        assert!(batch * asked.encoded_len() < MAX_MESSAGE_BYTES);
    }
}
