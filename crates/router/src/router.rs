//! The router role of a node: built, watched, drained.

mod readiness;

use self::readiness::{Readiness, watch_readiness};
use crate::admission::limit::Admission;
use crate::config::RouterConfig;
use crate::engine::Engine;
use crate::events::erasing::{WeakFeedback, erase_forgotten};
use crate::events::recorder::Feedback;
use crate::events::sharing::{RecentItems, share};
use crate::fanout::grpc::GrpcDialer;
use crate::fanout::node::{Dialer, Nodes};
use crate::fanout::node_states::NodeStates;
use crate::lookup::row_cache::RowCache;
use crate::pressure::Pressure;
use crate::service::drawn_slots::DrawnSlots;
use crate::service::recommender::{RouterService, ServiceSettings};
use crate::telemetry::{
    Authenticity, Mirror, Observer, Report, Reporting, Reward, RouterTelemetry, check,
    start_reporting,
};
use marquee_core::plan::Plan;
use marquee_events::{Event, EventSink, EventType};
use marquee_proto::shard::v1::shard_service_server::ShardService;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Bytes of the hash that begins recommendation ids: 2⁻³² for a clash among 65,536 processes.
const ID_PREFIX_BYTES: usize = 8;

/// A running router.
pub struct Router {
    service: RouterService,
    admission: Admission,
    pressure: Pressure,
    readiness: Arc<Readiness>,
    watching: JoinHandle<()>,
    /// Tells other routers of events.
    sharing: Option<JoinHandle<()>>,
    /// Erases users who are forgotten.
    erasing: Option<JoinHandle<()>>,
    drain: Duration,
    plan: watch::Receiver<Arc<Plan>>,
    telemetry: Arc<RouterTelemetry>,
    reporting: Option<Reporting>,
    nodes: NodeStates,
}

impl Router {
    /// Starts answering by the plans of `plan`, and calls other nodes in plain text; must be called inside a tokio runtime. The node
    /// `local` is this very process and is called without a network; events and exposures go to the logs
    /// of `feedback`. `config` is expected to be
    /// [valid](RouterConfig::validate).
    pub fn start(
        config: RouterConfig,
        plan: watch::Receiver<Arc<Plan>>,
        local: Option<(String, Arc<dyn ShardService>)>,
        feedback: Feedback,
    ) -> Self {
        Self::start_with(config, plan, local, feedback, Arc::new(GrpcDialer::default()))
    }

    /// The same with another dialer for other nodes.
    pub fn start_with(
        config: RouterConfig,
        plan: watch::Receiver<Arc<Plan>>,
        local: Option<(String, Arc<dyn ShardService>)>,
        feedback: Feedback,
        dialer: Arc<dyn Dialer>,
    ) -> Self {
        let RouterConfig {
            node_id,
            max_in_flight,
            default_deadline,
            drain,
            row_cache_bytes,
            allow_forced_variants,
            drawn_slots_basis_points,
            slow_answer,
        } = config;
        let connector = dialer.connector();
        let nodes = Arc::new(Nodes::new(dialer, local));
        let readiness = Arc::new(Readiness::of(&plan.borrow(), &nodes));
        let rows = Arc::new(RowCache::new(row_cache_bytes));
        let watching = tokio::spawn(watch_readiness(
            plan.clone(),
            Arc::clone(&nodes),
            Arc::clone(&rows),
            Arc::clone(&readiness),
        ));
        let pressure = Pressure::default();
        let admission = Admission::new(max_in_flight as usize, pressure.clone());
        let states = NodeStates(Arc::clone(&nodes));
        let engine =
            Arc::new(Engine::new(plan.clone(), nodes, rows, pressure.clone(), slow_answer));
        let telemetry = Arc::new(RouterTelemetry::new());
        let observer = {
            let (engine, telemetry) = (Arc::clone(&engine), Arc::clone(&telemetry));
            let mirror = Mirror::new(
                engine,
                Arc::clone(&telemetry),
                admission.clone(),
                max_in_flight as usize,
            );
            Observer::new(telemetry, mirror)
        };
        let sharing = feedback
            .events
            .clone()
            .map(|events| tokio::spawn(share(events, node_id.clone(), plan.clone(), connector)));
        let has_logs = feedback.events.is_some() || feedback.exposures.is_some();
        let erasing = has_logs
            .then(|| tokio::spawn(erase_forgotten(WeakFeedback::from(&feedback), plan.clone())));
        if let Some(events) = &feedback.events {
            events.add_sink(Arc::new(Rewarding(Arc::clone(&telemetry))));
            let keys = plan.clone();
            events.check_recommendation_ids(Arc::new(move |event| {
                let keys = &keys.borrow().answer_keys;
                check(&event.recommendation_id, &event.user_id, keys) == Authenticity::False
            }));
        }
        let service = RouterService::new(
            engine,
            admission.clone(),
            observer,
            feedback,
            ServiceSettings {
                drawn_slots: DrawnSlots::new(drawn_slots_basis_points),
                default_deadline,
                allows_forced_variants: allow_forced_variants,
                id_prefix: id_prefix(&node_id),
            },
        );
        Self {
            service,
            admission,
            pressure,
            readiness,
            watching,
            sharing,
            erasing,
            drain,
            plan,
            telemetry,
            reporting: None,
            nodes: states,
        }
    }

    /// Which shard nodes it does not ask at the moment.
    pub fn nodes(&self) -> NodeStates {
        self.nodes.clone()
    }

    /// Begins to observe trials and to mirror requests, and gives what is measured, window by window. Must
    /// be called inside a tokio runtime. Ends after the window that a shutdown closes, or when the
    /// receiver is dropped; a second call ends the first receiver and gives all later windows to the new one.
    pub fn reports(&mut self) -> mpsc::Receiver<Report> {
        if let Some(before) = self.reporting.take() {
            before.abort();
        }
        let (reporting, reports) = start_reporting(Arc::clone(&self.telemetry), self.plan.clone());
        self.reporting = Some(reporting);
        reports
    }

    /// The counters of clicks, plays and purchases.
    pub fn telemetry(&self) -> Arc<RouterTelemetry> {
        Arc::clone(&self.telemetry)
    }

    /// The service for callers.
    pub fn service(&self) -> RouterService {
        self.service.clone()
    }

    /// Where the server of this router is to note how hard pressed the process is.
    pub fn pressure(&self) -> Pressure {
        self.pressure.clone()
    }

    /// Whether it can answer anything, as far as is known: some shard of what is live has a reachable replica. At the
    /// start it waits a few seconds for full coverage. False from the beginning of a shutdown.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.readiness.serves.subscribe()
    }

    /// Whether every shard of all that is live has a reachable replica, as far as is known; false from the beginning of a
    /// shutdown.
    pub fn full_coverage(&self) -> watch::Receiver<bool> {
        self.readiness.covers_all.subscribe()
    }

    /// The service that takes other routers' events, where this one keeps any.
    pub fn recent_items(&self) -> Option<RecentItems> {
        self.service.feedback().events.clone().map(RecentItems)
    }

    fn end_tasks(&self) {
        self.watching.abort();
        self.sharing.iter().chain(&self.erasing).for_each(JoinHandle::abort);
    }

    /// Refuses new requests with UNAVAILABLE and waits for those under way, so long as it was set up
    /// to. Hands the last window of telemetry over.
    pub async fn shutdown(mut self) {
        self.end_tasks();
        self.readiness.end();
        if !self.admission.drain(self.drain).await {
            tracing::warn!(patience = ?self.drain, "requests were still under way at the end");
        }
        if let Some(reporting) = self.reporting.take() {
            reporting.finish().await;
        }
    }
}

/// Tells telemetry what came of answers.
struct Rewarding(Arc<RouterTelemetry>);

impl EventSink for Rewarding {
    fn accepted(&self, events: &[Event]) {
        for event in events {
            let reward = match event.event_type {
                EventType::Click => Reward::Click,
                EventType::Play => Reward::Play { seconds: event.value },
                EventType::Purchase => Reward::Purchase,
                EventType::Unknown | EventType::Impression | EventType::Rating => continue,
            };
            self.0.event(&event.recommendation_id, &event.user_id, &event.item_id, reward);
        }
    }
}

/// Differs from process to process: node ids may repeat over restarts and clusters.
fn id_prefix(node_id: &str) -> String {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(node_id.as_bytes());
    hasher.update(&since_epoch.as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    let hash = hasher.finalize();
    hash.as_bytes()[..ID_PREFIX_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Drop for Router {
    fn drop(&mut self) {
        self.end_tasks();
        if let Some(reporting) = &self.reporting {
            reporting.abort();
        }
    }
}
