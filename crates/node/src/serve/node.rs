//! A running node: the roles of its config, joined to each other and to their sockets.
//!
//! ```text
//!             plan                     plan
//! Control ──────────▶ watch channel ◀────────── plan follower ◀── control elsewhere
//!                         │   │
//!                   ┌─────┘   └─────┐
//!                 Shard ─────────▶ Router       in one process the router asks the shard
//!                   │               │           without a network
//!            reports│               │ready
//!                   ▼               ▼
//!               reporter         health ── one gRPC server for each address
//! ```
//!
//! The plan comes from the raft group in the process or over a stream; shard and router cannot tell.

use super::directory::Directory;
use super::edge::SharedQuotas;
use super::health::{FULL_COVERAGE, Readiness};
use super::open_files;
use super::server::{self, Entrance, ServerError, Shutdown};
use super::shard_readiness;
use super::usage::{KnownHere, Usage};
use crate::access::Security;
use crate::config::{Config, ControlSettings, EventsSettings, NotificationSettings, ServerLimits};
use crate::follow::{
    FollowerConfig, NodeIdentity, PlanCache, ReportSink, TelemetrySink, follow_plan, report_node,
    report_telemetry, telemetry_to_control_nodes, to_control_nodes,
};
use crate::log::report_left_out_for_ever;
use crate::metrics::{
    CallSource, CertificateSource, ControlSource, MetricSources, NodeSource, PlanSource,
    RouterSource, ShardSource, open_endpoint, serve_metrics,
};
use crate::troubles::{
    ControlParts, DiskProbe, Following, TroubleMemory, TroubleSources, UnopenedLog, watch_troubles,
};
use crate::warnings::Warnings;
use anyhow::Context as _;
use marquee_bundle::{BundleRoots, TrustedKeys, create_private_directory};
use marquee_client::Credentials;
use marquee_control::{Control, ControlConfig, NotificationTarget, OutboundConfig, Secret};
use marquee_core::bounds::{MAX_INTERNAL_MESSAGE_BYTES, MAX_MESSAGE_BYTES};
use marquee_core::command::ReplicaReport;
use marquee_core::limits::quota::Quotas;
use marquee_core::plan::{Plan, Role};
use marquee_core::trouble::{LogName, NodeReport};
use marquee_events::{EventLog, ExposureLog, LogError};
use marquee_net::Connector;
use marquee_net::connections::ConnectionLimits;
use marquee_proto::control::v1::control_service_server::{
    ControlService as _, SERVICE_NAME as CONTROL,
};
use marquee_proto::node::v1::node_service_server::SERVICE_NAME as NODE;
use marquee_proto::node::v1::recent_items_service_server::{
    RecentItemsServiceServer, SERVICE_NAME as RECENT_ITEMS,
};
use marquee_proto::raft::v1::raft_service_server::SERVICE_NAME as RAFT;
use marquee_proto::shard::v1::shard_service_server::{SERVICE_NAME as SHARD, ShardService};
use marquee_proto::v1::recommender_service_server::{
    RecommenderServiceServer, SERVICE_NAME as RECOMMENDER,
};
use marquee_router::{Feedback, GrpcDialer, Router, RouterConfig};
use marquee_shard::{CopiesConfig, Shard, ShardConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

/// A running node. Dropping it ends it at once; [`shutdown`](Self::shutdown) completes requests first.
pub struct RunningNode {
    at: SocketAddr,
    plan: watch::Receiver<Arc<Plan>>,
    ready: Vec<Readiness>,
    end: watch::Sender<bool>,
    servers: JoinSet<Result<(), ServerError>>,
    /// The tasks that follow the plan, report, and watch the roles' health.
    tasks: JoinSet<()>,
    control: Option<Control>,
    shard: Option<Shard>,
    router: Option<Router>,
    usage: Arc<Usage>,
    shared: SharedByAddresses,
}

/// What the servers of all addresses of a node have in common.
struct SharedByAddresses {
    quotas: SharedQuotas,
    warnings: Warnings,
    counted: CallSource,
}

/// Open sockets with the roles that are served on them, by address.
pub type Listeners = BTreeMap<SocketAddr, (TcpListener, BTreeSet<Role>)>;

/// Opens the addresses of a config. `how` names what changes them, for error messages.
pub async fn open_listeners(config: &Config, how: &'static str) -> Result<Listeners, ServerError> {
    let mut listeners = Listeners::new();
    for (at, roles) in &config.listeners {
        listeners.insert(*at, (server::bind(*at, how).await?, roles.clone()));
    }
    Ok(listeners)
}

impl RunningNode {
    /// Starts the roles of `config` on sockets that are open already. Must be called within a tokio
    /// runtime.
    pub async fn start(config: &Config, listeners: Listeners) -> anyhow::Result<Self> {
        let trusted_keys = trusted_keys(config)?;
        let security = Security::of_config(config)?;
        let (connector, credentials) =
            (security.connector(), Credentials::by(security.connector()));
        create_private_directory(&config.data_dir)?;
        let metrics = open_endpoint(config).await?;
        let mut tasks = JoinSet::new();
        security.keep_fresh(&mut tasks);
        let warnings = Warnings::new();
        let control = match &config.control {
            None => None,
            Some(settings) => {
                let connector = connector.clone();
                Some(start_control(config, settings, trusted_keys.clone(), connector).await?)
            }
        };
        // The newest epoch that the reporter hears of; by it the follower notices a control node that lags.
        let newest = watch::Sender::new(0);
        let cache = PlanCache::in_directory(&config.data_dir);
        let plan = match &control {
            Some(control) => control.plan(),
            None => {
                let (plan, follower) = follow_plan(FollowerConfig {
                    node_id: config.node_id.clone(),
                    addresses: config.control_addresses.clone(),
                    cache: cache.clone(),
                    connector: connector.clone(),
                    newest: newest.subscribe(),
                });
                tasks.spawn(aborted_with(follower));
                plan
            }
        };
        let shard = if config.roles.contains(&Role::Shard) {
            Some(start_shard(config, plan.clone(), trusted_keys)?)
        } else {
            None
        };
        let mut unopened = Vec::new();
        let mut router = if config.roles.contains(&Role::Router) {
            let feedback = open_logs(config, &mut unopened)?;
            Some(start_router(config, plan.clone(), shard.as_ref(), feedback, connector)?)
        } else {
            None
        };
        if let Some(router) = &mut router {
            let sink = match &control {
                Some(control) => telemetry_to_this_process(control),
                None => telemetry_to_control_nodes(&config.control_addresses, &credentials),
            };
            tasks.spawn(report_telemetry(config.node_id.clone(), router.reports(), sink));
        }
        let begins = NodeReport { node_id: config.node_id.clone(), ..NodeReport::default() };
        let (show_report, own_report) = watch::channel(begins);
        let report_failure = watch::Sender::new(None);
        let sources = TroubleSources {
            node_id: config.node_id.clone(),
            plan: plan.clone(),
            probe: start_probe(&config.data_dir),
            control: control.as_ref().map(|control| {
                ControlParts::new(control.api(), Control::store_of(&config.data_dir))
            }),
            router: router.as_ref().map(|router| (router.service(), router.nodes())),
            unopened,
            credentials: Arc::new(security.credential_check()),
            warnings: warnings.clone(),
            following: control.is_none().then(|| Following {
                cache,
                newest: newest.subscribe(),
                report_failure: report_failure.subscribe(),
            }),
            memory: TroubleMemory::default(),
        };
        let counted = CallSource::new(warnings.clone());
        let metric_sources = MetricSources {
            calls: counted.clone(),
            node: NodeSource {
                plan: PlanSource::start(plan.clone(), newest.subscribe(), &mut tasks),
                report: own_report.clone(),
                certificate: CertificateSource::new(Arc::clone(&sources.credentials)),
            },
            control: control.as_ref().map(|control| ControlSource {
                api: control.api(),
                plan: plan.clone(),
                store: Control::store_of(&config.data_dir),
            }),
            router: router.as_ref().map(|router| RouterSource {
                service: router.service(),
                nodes: router.nodes(),
                pressure: router.pressure(),
            }),
            shard: shard
                .as_ref()
                .map(|shard| ShardSource { service: shard.service(), replicas: shard.reports() }),
        };
        if let Some(listener) = metrics {
            tasks.spawn(serve_metrics(listener, Arc::new(metric_sources)));
        }
        tasks.spawn(watch_troubles(sources, show_report));
        if shard.is_some() || router.is_some() {
            let sink = match &control {
                Some(control) => to_this_process(control),
                None => to_control_nodes(&config.control_addresses, &credentials),
            };
            let replicas = match &shard {
                Some(shard) => shard.reports(),
                // Without a sender the reporter knows that it will not change.
                None => watch::channel(Vec::new()).1,
            };
            let own = own_report.clone();
            let identity = identity(config);
            tasks.spawn(report_node(identity, replicas, own, sink, newest, report_failure));
        }
        let at = config
            .listener_of(Role::Router)
            .or_else(|| config.listeners.keys().next().copied())
            .context("the node has no role to listen for")?;
        let usage = Usage::new(
            shard.as_ref().map(|shard| shard.service()),
            router.as_ref().map(Router::service),
            KnownHere {
                report: own_report,
                plan: plan.clone(),
                control_addresses: addresses_of_control(config),
            },
        );
        let mut node = Self {
            at,
            usage: Arc::new(usage),
            plan,
            ready: Vec::new(),
            end: watch::Sender::new(false),
            servers: JoinSet::new(),
            tasks,
            control,
            shard,
            router,
            shared: SharedByAddresses {
                quotas: SharedQuotas::new(Quotas::new(config.limits.quotas.clone())),
                warnings,
                counted,
            },
        };
        node.tasks.spawn(node.shared.warnings.clone().flush_for_ever());
        node.tasks.spawn(report_left_out_for_ever());
        for (listener, roles) in listeners.into_values() {
            node.serve(config, &security, listener, &roles).await?;
        }
        Ok(node)
    }

    /// Starts a server with the services of `roles` on one socket.
    async fn serve(
        &mut self,
        config: &Config,
        security: &Security,
        listener: TcpListener,
        roles: &BTreeSet<Role>,
    ) -> anyhow::Result<()> {
        let at = listener.local_addr()?;
        let mut routes = Routes::builder();
        // All that are served, and those whose health is told.
        let mut served: Vec<&'static str> = vec![NODE];
        let mut services: Vec<&'static str> = Vec::new();
        if let (Some(control), true) = (&self.control, roles.contains(&Role::Control)) {
            services.push(CONTROL);
            served.extend([CONTROL, RAFT]);
            routes.add_service(control.control_service()).add_service(control.raft_service());
        }
        if let (Some(shard), true) = (&self.shard, roles.contains(&Role::Shard)) {
            services.push(SHARD);
            served.push(SHARD);
            routes.add_service(shard.service().server());
        }
        if let (Some(router), true) = (&self.router, roles.contains(&Role::Router)) {
            services.extend([RECOMMENDER, FULL_COVERAGE]);
            served.push(RECOMMENDER);
            let service = RecommenderServiceServer::new(router.service())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .send_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Zstd);
            routes.add_service(service);
        }
        // At the node's address in the plan, which is that of its shard or router role.
        if let Some(recent) = self.router.as_ref().and_then(Router::recent_items)
            && (roles.contains(&Role::Router) || roles.contains(&Role::Shard))
        {
            served.push(RECENT_ITEMS);
            let service = RecentItemsServiceServer::new(recent)
                .max_decoding_message_size(MAX_INTERNAL_MESSAGE_BYTES);
            routes.add_service(service);
        }
        routes.add_service(self.usage.server());
        let (readiness, health) = Readiness::new(&services).await;
        self.watch_roles(&config.node_id, &services, &readiness);
        let routes = server::with_reflection(routes.routes().add_service(health), &served)?;
        self.ready.push(readiness.clone());
        let shutdown = Shutdown { signal: self.end.subscribe(), drain: config.drain };
        let entrance = Entrance {
            tls: security.tls.clone(),
            guard: security.guard(self.shared.warnings.clone()),
            limits: share_of_address(&config.limits, config.listeners.len()),
            quotas: self.shared.quotas.clone(),
            warnings: self.shared.warnings.clone(),
            pressure: self.router.as_ref().map(Router::pressure).unwrap_or_default(),
            counted: self.shared.counted.clone(),
            directory: Directory::new(&served, self.plan.clone(), addresses_of_control(config)),
        };
        let serving = server::serve(listener, routes, entrance, readiness, shutdown);
        self.servers.spawn(serving);
        let names: Vec<&str> = roles.iter().map(|role| role_name(*role)).collect();
        tracing::info!(node = config.node_id, %at, roles = names.join(","), "listens");
        Ok(())
    }

    /// Starts the tasks that set gRPC health to the state of the roles.
    fn watch_roles(&mut self, node_id: &str, services: &[&'static str], readiness: &Readiness) {
        for &service in services {
            let readiness = readiness.clone();
            match (service, &self.control, &self.shard, &self.router) {
                (CONTROL, Some(control), _, _) => {
                    let mut status = control.status();
                    self.tasks.spawn(async move {
                        loop {
                            let has_leader = status.borrow_and_update().leader != 0;
                            readiness.set(CONTROL, has_leader).await;
                            if status.changed().await.is_err() {
                                return readiness.set(CONTROL, false).await;
                            }
                        }
                    });
                }
                (SHARD, _, Some(shard), _) => {
                    let (plan, reports) = (self.plan.clone(), shard.reports());
                    let node_id = node_id.to_owned();
                    self.tasks.spawn(watch_replicas(node_id, plan, reports, readiness));
                }
                (RECOMMENDER, _, _, Some(router)) => {
                    self.tasks.spawn(follow_readiness(RECOMMENDER, router.ready(), readiness));
                }
                (FULL_COVERAGE, _, _, Some(router)) => {
                    self.tasks.spawn(follow_readiness(
                        FULL_COVERAGE,
                        router.full_coverage(),
                        readiness,
                    ));
                }
                _ => {}
            }
        }
    }

    /// The address for callers: the router's, or that of the first role.
    pub fn listens_at(&self) -> SocketAddr {
        self.at
    }

    /// The plan that the node follows.
    pub fn plan(&self) -> watch::Receiver<Arc<Plan>> {
        self.plan.clone()
    }

    /// Whether all services of the node serve.
    pub fn is_ready(&self) -> bool {
        self.ready.iter().all(Readiness::is_ready)
    }

    /// Serves until `end`, then shuts down; or until a server ends by itself, which is an error.
    pub async fn serve_until(mut self, end: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            () = end => {
                tracing::info!("ends: waits for requests under way");
                self.shutdown().await;
                Ok(())
            }
            Some(ended) = self.servers.join_next() => {
                let reason = match ended {
                    Ok(Err(error)) => anyhow::Error::new(error),
                    Ok(Ok(())) => anyhow::anyhow!("a server ended by itself"),
                    Err(panic) => anyhow::anyhow!("a server died: {panic}"),
                };
                Err(reason)
            }
        }
    }

    /// Sets gRPC health to NOT_SERVING, waits for requests under way as long as the config says, and ends.
    pub async fn shutdown(self) {
        let Self { end, mut servers, mut tasks, control, shard, router, .. } = self;
        tasks.shutdown().await;
        end.send_replace(true);
        // Followers of this control node move to another one while the router still answers here.
        let control = async {
            if let Some(control) = control {
                control.shutdown().await;
            }
        };
        let router = async {
            while servers.join_next().await.is_some() {}
            if let Some(router) = router {
                router.shutdown().await;
            }
            if let Some(shard) = shard {
                shard.shutdown().await;
            }
        };
        tokio::join!(control, router);
    }
}

/// The limits of one of so many addresses of a node. Each has its own connections, so that a flood on one address, such as
/// that of callers, leaves those of the others. One peer gets no more than three quarters of them.
fn share_of_address(limits: &ServerLimits, addresses: usize) -> ServerLimits {
    let all = limits.connections.all.min(open_files::max_connections());
    let all = (all / addresses.max(1)).max(1);
    let of_address = limits.connections.of_address.min(all - all / 4);
    let connections = ConnectionLimits { all, of_address, ..limits.connections };
    ServerLimits { connections, ..limits.clone() }
}

/// The directory of private copies of bundles, within the node's data directory.
const COPIES_DIRECTORY: &str = "bundles";

/// Runs until the task ends, and aborts it when dropped.
async fn aborted_with(task: tokio::task::JoinHandle<()>) {
    struct Guard(tokio::task::AbortHandle);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let _guard = Guard(task.abort_handle());
    let _ = task.await;
}

fn trusted_keys(config: &Config) -> anyhow::Result<TrustedKeys> {
    let mut keys = TrustedKeys::none();
    for path in &config.trusted_keys {
        keys.add_file(path).context("bundles.trusted_keys")?;
    }
    Ok(keys)
}

async fn start_control(
    config: &Config,
    settings: &ControlSettings,
    trusted_keys: TrustedKeys,
    connector: Connector,
) -> anyhow::Result<Control> {
    let ControlSettings {
        id,
        voters,
        join,
        node_ids,
        replication_factor,
        min_index_recall,
        external_urls,
        notifications,
    } = settings;
    let targets = notifications.iter().map(notification_target).collect::<anyhow::Result<_>>()?;
    let control = Control::start(ControlConfig {
        cluster_name: config.cluster_name.clone(),
        id: *id,
        voters: voters.iter().map(|(id, address)| (*id, address.to_string())).collect(),
        join: *join,
        data_dir: config.data_dir.clone(),
        replication_factor: *replication_factor,
        trusted_keys,
        bundle_roots: BundleRoots::below(config.bundle_roots.clone()),
        min_index_recall: *min_index_recall,
        outbound: OutboundConfig { external_urls: external_urls.clone(), notifications: targets },
        node_ids: node_ids.clone(),
        connector,
    });
    control.await.context("the control role cannot start")
}

/// One that is told of rollouts, with its secret read from its file.
fn notification_target(settings: &NotificationSettings) -> anyhow::Result<NotificationTarget> {
    let NotificationSettings { name, url, format, secret_file, surfaces } = settings;
    let secret = match secret_file {
        None => None,
        Some(file) => {
            let contents = fs_err::read(file).context("control.notifications.secret_file")?;
            let secret = Secret::of_file(&contents);
            Some(secret.with_context(|| format!("control.notifications: {}", file.display()))?)
        }
    };
    Ok(NotificationTarget {
        name: name.clone(),
        url: url.clone(),
        format: *format,
        secret,
        surfaces: surfaces.clone(),
    })
}

fn start_shard(
    config: &Config,
    plan: watch::Receiver<Arc<Plan>>,
    trusted_keys: TrustedKeys,
) -> anyhow::Result<Shard> {
    let shard_config = ShardConfig {
        memory_budget_bytes: config.memory_budget_bytes,
        trusted_keys,
        bundle_roots: BundleRoots::below(config.bundle_roots.clone()),
        copies: config.private_copies.then(|| CopiesConfig {
            directory: config.data_dir.join(COPIES_DIRECTORY),
            budget_bytes: config.copy_budget_bytes,
        }),
        search_threads: config.search_threads,
        ..ShardConfig::default()
    };
    Shard::start(shard_config, plan, config.node_id.clone()).context("the shard role cannot start")
}

fn start_router(
    config: &Config,
    plan: watch::Receiver<Arc<Plan>>,
    shard: Option<&Shard>,
    feedback: Feedback,
    connector: Connector,
) -> anyhow::Result<Router> {
    let router_config = RouterConfig {
        node_id: config.node_id.clone(),
        max_in_flight: u32::try_from(config.limits.max_in_flight).unwrap_or(u32::MAX),
        default_deadline: config.default_deadline,
        drain: config.drain,
        row_cache_bytes: config.row_cache_bytes,
        allow_forced_variants: config.allow_forced_variants,
        drawn_slots_basis_points: config.drawn_slots_basis_points.clone(),
        slow_answer: config.slow_answer,
    };
    router_config.validate().context("the router role cannot start")?;
    let local = shard.map(|shard| {
        let service: Arc<dyn ShardService> = shard.service();
        (config.node_id.clone(), service)
    });
    let dialer = Arc::new(GrpcDialer::by(connector));
    Ok(Router::start_with(router_config, plan, local, feedback, dialer))
}

/// Opens the logs of events and exposures, and reads back the recent events. One whose disk or content is broken is left
/// out, and noted: answers do not need it. A log that is another's, or of another kind, is a mistake in the config.
fn open_logs(config: &Config, unopened: &mut Vec<UnopenedLog>) -> anyhow::Result<Feedback> {
    let Some(EventsSettings { events, exposures }) = config.events.clone() else {
        return Ok(Feedback::default());
    };
    let mut leave_out = |log, error: LogError| {
        if !matches!(error, LogError::Io(_) | LogError::Damaged { .. } | LogError::Gap { .. }) {
            return Err(error).context("the router role cannot keep events (router.events)");
        }
        tracing::error!(%log, %error, "goes on without a log, until this node is restarted");
        unopened.push(UnopenedLog { log, reason: error.to_string() });
        Ok(())
    };
    let events = match EventLog::open(events) {
        Ok(events) => Some(events),
        Err(error) => leave_out(LogName::Events, error).map(|()| None)?,
    };
    let exposures = match ExposureLog::open(exposures) {
        Ok(exposures) => Some(exposures),
        Err(error) => leave_out(LogName::Exposures, error).map(|()| None)?,
    };
    let of_events = unopened.iter().find(|unopened| unopened.log == LogName::Events);
    let failure = of_events.map(|unopened| unopened.reason.clone());
    Ok(Feedback { events, exposures, failure })
}

/// Probes the disk of the data directory, unless the system has no thread for that.
fn start_probe(data_dir: &Path) -> Option<DiskProbe> {
    DiskProbe::start(data_dir)
        .inspect_err(|error| tracing::warn!(%error, "the disk is not probed"))
        .ok()
}

/// The addresses of control nodes that a config names.
fn addresses_of_control(config: &Config) -> Vec<String> {
    let followed = config.control_addresses.iter().map(ToString::to_string);
    let voters = config.control.iter().flat_map(|settings| &settings.voters);
    followed.chain(voters.map(|(_, address)| address.to_string())).collect()
}

fn identity(config: &Config) -> NodeIdentity {
    NodeIdentity {
        node_id: config.node_id.clone(),
        address: config.plan_address(),
        roles: config.roles.clone(),
        memory_budget_bytes: config.memory_budget_bytes,
    }
}

/// A sink of reports to the control node of this process, without a socket.
fn to_this_process(control: &Control) -> ReportSink {
    let api = control.api();
    Arc::new(move |request| {
        let api = api.clone();
        Box::pin(async move {
            let taken = api.report_node(tonic::Request::new(request)).await?;
            Ok(taken.into_inner().plan_epoch)
        })
    })
}

/// A sink of telemetry to the control node of this process, without a socket.
fn telemetry_to_this_process(control: &Control) -> TelemetrySink {
    let api = control.api();
    Arc::new(move |mut windows| {
        let api = api.clone();
        Box::pin(async move {
            while let Some(window) = windows.recv().await {
                api.take_telemetry(window).await?;
            }
            Ok(())
        })
    })
}

/// Sets a service's health to what the receiver has, until its sender is gone.
async fn follow_readiness(
    service: &'static str,
    mut ready: watch::Receiver<bool>,
    readiness: Readiness,
) {
    loop {
        let serves = *ready.borrow_and_update();
        readiness.set(service, serves).await;
        if ready.changed().await.is_err() {
            return readiness.set(service, false).await;
        }
    }
}

/// Sets the health of the shard role to the state of the replicas that the plan wants of the node.
async fn watch_replicas(
    node_id: String,
    mut plan: watch::Receiver<Arc<Plan>>,
    mut reports: watch::Receiver<Vec<ReplicaReport>>,
    readiness: Readiness,
) {
    let mut serves = false;
    loop {
        let wanted = shard_readiness::wanted_states(
            &node_id,
            &plan.borrow_and_update(),
            &reports.borrow_and_update(),
        );
        if let Some(wanted) = wanted {
            let served = serves;
            serves = shard_readiness::serves(served, &wanted);
            if served && !serves {
                tracing::warn!(
                    node = node_id,
                    "every replica of this node has failed: it does not serve"
                );
            }
            readiness.set(SHARD, serves).await;
        }
        tokio::select! {
            changed = plan.changed() => if changed.is_err() { return },
            changed = reports.changed() => if changed.is_err() { return },
        }
    }
}

/// The name of a role.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Control => "control",
        Role::Shard => "shard",
        Role::Router => "router",
    }
}
