//! What goes on all the time: callers who try again, events, and changes of the plan.

use crate::support::caller;
use crate::support::data::USERS;
use crate::world::World;
use marquee_client::{Address, ControlClient, Credentials, request_id};
use marquee_proto::control::v1 as pb;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    Event, EventType, RecommendRequest, RecommendResponse, RecordEventsRequest,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// Callers at the same time, each with one call under way.
const CALLERS: usize = 4;
/// Pause of a caller between two calls.
const PAUSE: Duration = Duration::from_millis(20);
/// The deadline of one attempt of a call.
const ATTEMPT: Duration = Duration::from_millis(1_000);
/// Attempts of one call, at the routers in turn: as a client with a retry policy makes them.
const ATTEMPTS: usize = 3;
/// Events of one call.
const EVENTS: usize = 5;

/// One call, however many attempts it took.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// Why all attempts failed; none if one was answered.
    pub(crate) failure: Option<String>,
}

/// What the load has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    /// Answers that had two versions of a model.
    pub(crate) mixed: Vec<String>,
    /// Ids of events that were acknowledged.
    pub(crate) events: BTreeSet<String>,
    /// Names of ensembles whose change was acknowledged.
    pub(crate) changes: BTreeSet<String>,
}

/// The load, until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that notices within seconds that its router hangs.
fn connect(url: &str) -> RecommenderServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
    let channel = endpoint
        .connect_timeout(ATTEMPT)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true)
        .connect_lazy();
    RecommenderServiceClient::new(channel)
}

impl Load {
    /// Starts calling, recording and changing.
    pub(crate) fn start(world: &World) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Seen>>::default());
        let mut tasks = Vec::new();
        for number in 0..CALLERS {
            let (routers, stop, seen) = (world.routers(), Arc::clone(&stop), Arc::clone(&seen));
            tasks.push(tokio::spawn(call(number, routers, stop, seen)));
        }
        let (routers, controls) = (world.routers(), world.controls());
        tasks.push(tokio::spawn(record(routers, Arc::clone(&stop), Arc::clone(&seen))));
        tasks.push(tokio::spawn(change(controls, Arc::clone(&stop), Arc::clone(&seen))));
        Self { stop, seen, tasks }
    }

    /// The calls that began between these moments.
    pub(crate) fn calls(&self, from: Instant, to: Instant) -> Vec<Call> {
        let seen = lock(&self.seen);
        seen.calls.iter().filter(|call| (from..to).contains(&call.began)).cloned().collect()
    }

    /// Ends all of it, and gives what was seen.
    pub(crate) async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        std::mem::take(&mut lock(&self.seen))
    }
}

async fn call(number: usize, routers: Vec<String>, stop: Arc<AtomicBool>, seen: Arc<Mutex<Seen>>) {
    let mut clients: Vec<_> = routers.iter().map(|url| connect(url)).collect();
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut first = number;
    while !stop.load(Ordering::Relaxed) {
        let user = random.usize(..USERS);
        let began = Instant::now();
        let mut failure = None;
        for attempt in 0..ATTEMPTS {
            let at = (first + attempt) % clients.len();
            let mut request = Request::new(caller::request(&format!("user-{user}")));
            request.set_timeout(ATTEMPT);
            match tokio::time::timeout(ATTEMPT, clients[at].recommend(request)).await {
                Ok(Ok(answer)) => {
                    check(answer.get_ref(), &seen);
                    // It stays with the router that answers.
                    (first, failure) = (at, None);
                    break;
                }
                Ok(Err(status)) => failure = Some(status.to_string()),
                Err(_) => failure = Some("no answer in time".into()),
            }
        }
        lock(&seen).calls.push(Call { began, took: began.elapsed(), failure });
        if random.usize(..20) == 0 {
            first += 1;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// An answer has one version of each model.
fn check(answer: &RecommendResponse, seen: &Mutex<Seen>) {
    let served_by = answer.served_by.clone().unwrap_or_default();
    let names: BTreeSet<&str> = served_by.models.iter().map(|it| it.model.as_str()).collect();
    if names.len() != served_by.models.len() {
        lock(seen).mixed.push(format!("{served_by:?}"));
    }
}

async fn record(routers: Vec<String>, stop: Arc<AtomicBool>, seen: Arc<Mutex<Seen>>) {
    let mut clients: Vec<_> = routers.iter().map(|url| connect(url)).collect();
    for group in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let ids: Vec<String> = (0..EVENTS).map(|n| format!("event-{group}-{n}")).collect();
        let event = |id: &String| Event {
            event_id: id.clone(),
            user_id: format!("user-{}", group % USERS),
            item_id: "7".into(),
            r#type: EventType::Impression.into(),
            ..Event::default()
        };
        for attempt in 0..ATTEMPTS {
            let at = (group + attempt) % clients.len();
            let events = ids.iter().map(event).collect();
            let recorded = clients[at].record_events(RecordEventsRequest { events });
            if let Ok(Ok(answer)) = tokio::time::timeout(ATTEMPT, recorded).await {
                let answer = answer.into_inner();
                if answer.accepted + answer.duplicates == EVENTS as u32 {
                    lock(&seen).events.extend(ids);
                }
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn change(controls: Vec<Address>, stop: Arc<AtomicBool>, seen: Arc<Mutex<Seen>>) {
    let mut client = ControlClient::new(&controls, &Credentials::none());
    // As many as a plan may have, and some are left for others.
    for number in 0..900 {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("change-{number}");
        let version = marquee_proto::v1::ModelVersion { model: "films".into(), version: 1 };
        let root = pb::EnsembleNode { kind: Some(pb::ensemble_node::Kind::Model(version)) };
        let ensemble = Some(pb::Ensemble { name: name.clone(), root: Some(root) });
        let request = pb::PutEnsembleRequest { request_id: request_id(), ensemble };
        let put = client.call(request, |mut control, request| async move {
            control.put_ensemble(request).await
        });
        if put.await.is_ok() {
            lock(&seen).changes.insert(name);
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

/// Calls as quickly as it can by so many at once for this time, without trying again. Gives how many were answered and how
/// many were refused because of overload.
pub(crate) async fn flood(routers: &[String], at_once: usize, time: Duration) -> (usize, usize) {
    let end = Instant::now() + time;
    let (answered, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    let clients: Vec<_> = routers.iter().map(|url| connect(url)).collect();
    for n in 0..at_once {
        let mut client = clients[n % clients.len()].clone();
        let (answered, refused) = (Arc::clone(&answered), Arc::clone(&refused));
        tasks.push(tokio::spawn(async move {
            while Instant::now() < end {
                let user_id = format!("user-{}", n % USERS);
                let mut request = Request::new(RecommendRequest { user_id, ..Default::default() });
                request.set_timeout(ATTEMPT);
                match client.recommend(request).await {
                    Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                    Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                        refused.fetch_add(1, Ordering::Relaxed)
                    }
                    Err(_) => 0,
                };
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    (answered.load(Ordering::Relaxed), refused.load(Ordering::Relaxed))
}
