//! Sends calls when they are due and counts how they end.
//!
//! A thread of its own keeps the time: tokio's timer has a resolution of a millisecond, which would be most
//! of the measured latency. Each call is a task; a call that is due while too many are under way is counted
//! as not sent, so that a server that hangs cannot make the generator use all memory.

use super::config::LoadConfig;
use super::events::{EventGenerator, record};
use super::tally::{AnsweredBy, CallResult, CountedAnswer, LoadTally};
use marquee_client::{Connection, channel, code_name};
use marquee_core::bounds::MAX_MESSAGE_BYTES;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    BatchRecommendRequest, FallbackReason, RecommendRequest, RecommendResponse,
    RecordEventsRequest, Variant,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::{Code, Status, TimeoutExpired};

/// Connections to each endpoint: one connection would be read by one core only.
const CONNECTIONS: usize = 2;
/// Upper bound of the time that the pacing thread sleeps before it checks whether it should stop.
const MAX_SLEEP: Duration = Duration::from_millis(50);

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<LoadState>,
    pacer: Option<std::thread::JoinHandle<()>>,
    started: Instant,
}

#[derive(Debug)]
struct LoadState {
    tally: Mutex<LoadTally>,
    in_flight: AtomicUsize,
    stop: AtomicBool,
    sent_all: AtomicBool,
}

impl LoadState {
    fn tally(&self) -> std::sync::MutexGuard<'_, LoadTally> {
        // The sums are valid even if a task panicked while it held the lock.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Starts sending. Must be called within a tokio runtime.
    pub fn start(config: LoadConfig) -> std::io::Result<Self> {
        let shared = Arc::new(LoadState {
            tally: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            sent_all: AtomicBool::new(false),
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .flat_map(|_| &config.endpoints)
            .map(|address| {
                RecommenderServiceClient::new(channel(address, &config.credentials))
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
            })
            .collect();
        let runtime = tokio::runtime::Handle::current();
        let started = Instant::now();
        let pacer = std::thread::Builder::new().name("load-pacer".into()).spawn({
            let shared = shared.clone();
            move || pace(&config, &clients, &shared, &runtime, started)
        })?;
        Ok(Self { shared, pacer: Some(pacer), started })
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes what was counted since the start or the last call of this.
    pub fn take(&self) -> LoadTally {
        std::mem::take(&mut *self.shared.tally())
    }

    /// Calls `read` with what was counted since the last [`take`](Self::take).
    pub fn read_tally<R>(&self, read: impl FnOnce(&LoadTally) -> R) -> R {
        read(&self.shared.tally())
    }

    /// Whether everything was sent and has ended.
    pub fn is_done(&self) -> bool {
        self.shared.sent_all.load(Ordering::Acquire)
            && self.shared.in_flight.load(Ordering::Acquire) == 0
    }

    /// Stops sending, waits for calls under way, at most for their deadline, and returns what was counted
    /// since the last [`take`](Self::take).
    pub async fn stop(mut self) -> LoadTally {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(pacer) = self.pacer.take() {
            let _ = tokio::task::spawn_blocking(move || pacer.join()).await;
        }
        while self.shared.in_flight.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.take()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// Sends every call when it is due, until the schedule ends or the load is stopped.
fn pace(
    config: &LoadConfig,
    clients: &[RecommenderServiceClient<Connection>],
    shared: &Arc<LoadState>,
    runtime: &tokio::runtime::Handle,
    started: Instant,
) {
    let mut random = fastrand::Rng::with_seed(config.seed);
    let generator = EventGenerator::new();
    for n in 0.. {
        if config.schedule.rate.is_none() {
            wait_for_free_client(config, shared);
        }
        let Some(due) = config.schedule.due(n, started.elapsed()) else { break };
        let intended = started + due;
        if !sleep_until(intended, shared) {
            return;
        }
        if shared.in_flight.load(Ordering::Acquire) >= config.max_in_flight {
            shared.tally().not_sent();
            continue;
        }
        shared.in_flight.fetch_add(1, Ordering::AcqRel);
        let call = if config.events {
            Call::Record(generator.request(n, config, &mut random))
        } else {
            let request = |_| request(config, config.users.pick(random.f64()));
            Call::Recommend((0..config.batch).map(request).collect())
        };
        let mut client = clients[(n % clients.len() as u64) as usize].clone();
        let (shared, deadline, pacer) = (shared.clone(), config.deadline, std::thread::current());
        runtime.spawn(async move {
            let result = match call {
                Call::Recommend(requests) => recommend(&mut client, requests, deadline).await,
                Call::Record(request) => record(&mut client, request, deadline).await,
            };
            shared.tally().count(intended.elapsed(), result);
            shared.in_flight.fetch_sub(1, Ordering::AcqRel);
            // In a closed loop the pacing thread waits for this.
            pacer.unpark();
        });
    }
    shared.sent_all.store(true, Ordering::Release);
}

/// In a closed loop: waits until fewer calls are under way than there are clients, or the load is stopped.
fn wait_for_free_client(config: &LoadConfig, shared: &LoadState) {
    while !shared.stop.load(Ordering::Acquire)
        && shared.in_flight.load(Ordering::Acquire) >= config.max_in_flight
    {
        std::thread::park_timeout(MAX_SLEEP);
    }
}

/// Sleeps until `intended`; false if the load was stopped meanwhile.
fn sleep_until(intended: Instant, shared: &LoadState) -> bool {
    loop {
        if shared.stop.load(Ordering::Acquire) {
            return false;
        }
        match intended.checked_duration_since(Instant::now()) {
            Some(wait) if !wait.is_zero() => std::thread::sleep(wait.min(MAX_SLEEP)),
            _ => return true,
        }
    }
}

/// The request of one call.
enum Call {
    /// Recommendations for one or more users.
    Recommend(Vec<RecommendRequest>),
    /// Events to be recorded.
    Record(RecordEventsRequest),
}

/// A request for one user.
fn request(config: &LoadConfig, user_id: &str) -> RecommendRequest {
    RecommendRequest {
        user_id: user_id.into(),
        count: config.count,
        surface: config.surface.clone(),
        ..RecommendRequest::default()
    }
}

/// Requests recommendations by `Recommend` for one user, and by `BatchRecommend` for more.
async fn recommend(
    client: &mut RecommenderServiceClient<Connection>,
    requests: Vec<RecommendRequest>,
    deadline: Duration,
) -> CallResult {
    let requested = requests.len();
    match tokio::time::timeout(deadline, responses(client, requests, deadline)).await {
        Ok(Ok(responses)) if responses.len() == requested => {
            CallResult::Answered(responses.iter().map(counted).collect())
        }
        Ok(Ok(_)) => CallResult::Failed("WRONG_COUNT"),
        // Where the client's own clock is first, tonic says CANCELLED.
        Ok(Err(status)) if is_timeout(&status) => {
            CallResult::Failed(code_name(Code::DeadlineExceeded))
        }
        Ok(Err(status)) => CallResult::Failed(code_name(status.code())),
        Err(_) => CallResult::Failed(code_name(Code::DeadlineExceeded)),
    }
}

/// Whether the deadline of a call passed at this client.
fn is_timeout(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The responses to one or more requests.
async fn responses(
    client: &mut RecommenderServiceClient<Connection>,
    mut requests: Vec<RecommendRequest>,
    deadline: Duration,
) -> Result<Vec<RecommendResponse>, Status> {
    if requests.len() > 1 {
        let mut batch = tonic::Request::new(BatchRecommendRequest { requests });
        batch.set_timeout(deadline);
        return Ok(client.batch_recommend(batch).await?.into_inner().responses);
    }
    let mut request = tonic::Request::new(requests.pop().unwrap_or_default());
    request.set_timeout(deadline);
    Ok(vec![client.recommend(request).await?.into_inner()])
}

/// What is counted of a response.
fn counted(response: &RecommendResponse) -> CountedAnswer {
    let served_by = response.served_by.clone().unwrap_or_default();
    let models: Vec<String> =
        served_by.models.iter().map(|model| format!("{}@{}", model.model, model.version)).collect();
    let variant = match served_by.variant() {
        Variant::Unspecified => "-",
        Variant::Baseline => "baseline",
        Variant::Candidate => "candidate",
        Variant::Interleaved => "interleaved",
    };
    let coverage = response.coverage.clone().unwrap_or_default();
    CountedAnswer {
        answered_by: AnsweredBy { models: models.join("+"), variant },
        fallback: response.fallback_reason() != FallbackReason::Unspecified,
        partial: coverage.shards_answered < coverage.shards_total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::load::schedule::Schedule;
    use crate::commands::load::users::Users;
    use marquee_client::testing::GatedRecommender;
    use marquee_client::{Address, loopback_address};
    use tokio::sync::watch;
    use tonic::transport::Server;
    use tonic::transport::server::TcpIncoming;

    async fn serve(open: bool) -> (Address, GatedRecommender, watch::Sender<bool>) {
        let (recommender, gate) = GatedRecommender::new(open);
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = loopback_address(incoming.local_addr().expect("bound"));
        let server = Server::builder().add_service(recommender.server());
        tokio::spawn(server.serve_with_incoming(incoming));
        (address, recommender, gate)
    }

    fn config(address: Address, user: &str, calls: u64) -> LoadConfig {
        let rate = 1_000.0;
        LoadConfig {
            credentials: marquee_client::Credentials::none(),
            endpoints: vec![address],
            schedule: Schedule { rate: Some(rate), duration: Some(Duration::from_millis(calls)) },
            users: Arc::new(Users::equal(vec![user.into()], "test").expect("a user")),
            count: 10,
            batch: 1,
            events: false,
            surface: "default".into(),
            max_in_flight: 1_000,
            deadline: Duration::from_secs(60),
            seed: 1,
        }
    }

    async fn until_done(load: &Load) {
        while !load.is_done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stall_counts_for_every_call_that_it_held_up() {
        let (address, recommender, gate) = serve(false).await;
        let load = Load::start(config(address, "u", 50)).expect("started");
        while recommender.asked() < 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // All are sent though none was answered; now they wait for so long.
        let stall = Duration::from_millis(200);
        tokio::time::sleep(stall).await;
        gate.send_replace(true);
        until_done(&load).await;
        let tally = load.stop().await;
        assert_eq!((tally.answered, tally.failed(), tally.not_sent), (50, 0, 0));
        assert!(tally.latency(0.0) >= stall, "even the last call waited: {:?}", tally.latency(0.0));
        let films = AnsweredBy { models: "films@1".into(), variant: "baseline" };
        assert_eq!(tally.answered_by, [(films, 50)].into());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_due_while_too_many_are_under_way_counts_as_not_sent() {
        let (address, _, gate) = serve(false).await;
        let load = Load::start(LoadConfig { max_in_flight: 3, ..config(address, "u", 10) });
        let load = load.expect("started");
        while load.read_tally(|tally| tally.not_sent) < 7 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gate.send_replace(true);
        until_done(&load).await;
        let tally = load.stop().await;
        assert_eq!((tally.answered, tally.not_sent), (3, 7));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clients_ask_again_when_they_were_answered() {
        let (address, recommender, gate) = serve(false).await;
        let closed = Schedule { rate: None, duration: Some(Duration::from_millis(300)) };
        let config = LoadConfig { schedule: closed, max_in_flight: 2, ..config(address, "u", 1) };
        let load = Load::start(config).expect("started");
        while recommender.asked() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Both wait for their answers, and nothing counts as not sent.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!((recommender.asked(), load.read_tally(|tally| tally.not_sent)), (2, 0));
        gate.send_replace(true);
        until_done(&load).await;
        let tally = load.stop().await;
        assert!(tally.answered > 2, "{} answered", tally.answered);
        assert_eq!((tally.answered, tally.not_sent), (recommender.asked(), 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_are_counted_when_they_are_acknowledged() {
        let (address, recommender, _) = serve(true).await;
        let load = LoadConfig { events: true, batch: 7, ..config(address, "u", 5) };
        let load = Load::start(load).expect("started");
        until_done(&load).await;
        let tally = load.stop().await;
        assert_eq!((tally.answered, tally.users(), recommender.asked()), (5, 35, 5));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn failures_are_counted_by_code_and_batches_by_user() {
        let (address, _, _gate) = serve(true).await;
        let load = Load::start(config(address.clone(), "unknown", 5)).expect("started");
        until_done(&load).await;
        let tally = load.stop().await;
        assert_eq!((tally.errors, tally.answered), ([("NOT_FOUND", 5)].into(), 0));
        let load =
            Load::start(LoadConfig { batch: 4, ..config(address, "u", 5) }).expect("started");
        until_done(&load).await;
        let tally = load.stop().await;
        assert_eq!((tally.answered, tally.users()), (5, 20));
    }
}
