//! A cluster in one process: every role, one voter, one address.
//!
//! The roles are those of any cluster, joined by [`RunningNode`]. Only the config is made here, and a bundle that
//! the command line names is published and made live.

use super::node::{Listeners, RunningNode};
use super::server;
use crate::config::{
    AuthSection, BundlesSection, ClusterSection, Config, ConfigFile, ControlSection, LogSection,
    MetricsSection, NodeSection, ServerSection, VoterSection,
};
use anyhow::{Context as _, bail};
use marquee_client::{ControlClient, Credentials, bundle_uri, loopback_address, request_id};
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{DEFAULT_SURFACE, Plan, PublishedVersion, ReplicaState};
use marquee_proto::control::v1::{PublishModelRequest, RolloutStep, StartRolloutRequest};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Upper bound of the time until the bundle is live: the largest bundles are verified in less.
const LIVE_WITHIN: Duration = Duration::from_secs(600);
/// Pause between two looks at the readiness until then.
const READY_POLL: Duration = Duration::from_millis(5);

/// Starts all roles on `listen` (port 0: a free one), with their state in `data_dir`. An address that other
/// machines reach is refused: this node has no certificate.
pub async fn start(listen: SocketAddr, data_dir: &Path) -> anyhow::Result<RunningNode> {
    start_for(listen, data_dir, None, false, MetricsSection::default()).await
}

/// As [`start`], for a bundle that will be served; `insecure` allows any address, and `metrics` says where metrics are. Beyond loopback bundles are published from
/// the directory of this bundle's parent and from the directory that the process was started in, and from nowhere else.
pub async fn start_for(
    listen: SocketAddr,
    data_dir: &Path,
    bundle: Option<&Path>,
    insecure: bool,
    metrics: MetricsSection,
) -> anyhow::Result<RunningNode> {
    let listener = server::bind(listen, "--listen").await?;
    let at = listener.local_addr()?;
    let mut roots = Vec::new();
    if !at.ip().is_loopback() {
        roots.push(std::env::current_dir()?);
        let bundle = bundle.map(std::path::absolute).transpose()?;
        roots.extend(bundle.as_deref().and_then(Path::parent).map(Path::to_path_buf));
    }
    let config = config(at, data_dir, roots, insecure, metrics)?;
    let listeners = Listeners::from([(at, (listener, config.roles.clone()))]);
    RunningNode::start(&config, listeners).await
}

/// The config of a cluster of one.
fn config(
    at: SocketAddr,
    data_dir: &Path,
    roots: Vec<PathBuf>,
    insecure: bool,
    metrics: MetricsSection,
) -> anyhow::Result<Config> {
    let address = loopback_address(at).to_string();
    let file = ConfigFile {
        node: NodeSection {
            id: "standalone".into(),
            listen: at,
            advertise: Some(address.clone()),
            data_dir: Some(std::path::absolute(data_dir)?),
            ..NodeSection::default()
        },
        cluster: ClusterSection { name: "standalone".into(), ..ClusterSection::default() },
        control: ControlSection {
            id: 1,
            voters: vec![VoterSection { id: 1, address, node: None }],
            replication_factor: 1,
            ..ControlSection::default()
        },
        shard: Default::default(),
        router: Default::default(),
        tls: None,
        auth: AuthSection { insecure, ..AuthSection::default() },
        bundles: BundlesSection { roots, ..BundlesSection::default() },
        server: ServerSection::default(),
        log: LogSection::default(),
        metrics,
    };
    Ok(Config::check(Path::new("the command line"), file)?)
}

/// Publishes the bundle, makes it live, and returns when the node answers with it. If the data directory of
/// an earlier run has another live version, that stays live unless the bundle is new.
pub async fn publish_and_go_live(node: &RunningNode, bundle: &Path) -> anyhow::Result<()> {
    let uri = bundle_uri(bundle.to_str().context("the bundle's path is not UTF-8")?)?;
    let mut control =
        ControlClient::new(&[loopback_address(node.listens_at())], &Credentials::none());
    let known: Vec<ModelVersion> = node.plan().borrow().versions.keys().cloned().collect();
    // Forced: a bundle that is named on the command line is served whatever its quality.
    let request = PublishModelRequest {
        request_id: request_id(),
        bundle_uri: uri,
        force: true,
        allow_older: false,
    };
    let published = control
        .call(request, |mut control, request| async move { control.publish_model(request).await })
        .await
        .with_context(|| format!("cannot serve {}", bundle.display()))?;
    let version = ModelVersion::new(published.model, published.version);
    let plan = node.plan().borrow().clone();
    warn_of_quality(&version, plan.versions.get(&version));
    let surface = plan.surfaces.get(DEFAULT_SURFACE).cloned().unwrap_or_default();
    let is_new = !known.contains(&version);
    match (&surface.ensemble, &surface.rollout_id) {
        (_, Some(rollout)) => {
            tracing::warn!(%version, rollout, "a rollout of an earlier run continues: steer it with `marquee ctl rollout`");
        }
        (Some(live), None) if *live == version.to_string() => {}
        (Some(live), None) if !is_new => {
            tracing::warn!(%version, live, "another version is live from an earlier run: change it with `marquee ctl rollout start`");
        }
        (live, None) => go_live(&mut control, &version, live.is_some()).await?,
    }
    until_ready(node, &version).await
}

/// Starts a rollout without gates that gives the version all traffic.
async fn go_live(
    control: &mut ControlClient,
    version: &ModelVersion,
    has_baseline: bool,
) -> anyhow::Result<()> {
    let all =
        RolloutStep { weight_basis_points: FULL_WEIGHT_BASIS_POINTS, ..RolloutStep::default() };
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface: DEFAULT_SURFACE.into(),
        candidate: version.to_string(),
        steps: if has_baseline { vec![all] } else { Vec::new() },
        without_gates: true,
        ..StartRolloutRequest::default()
    };
    control
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    Ok(())
}

/// Waits until the node serves; fails if a replica of the version fails.
async fn until_ready(node: &RunningNode, version: &ModelVersion) -> anyhow::Result<()> {
    let started = Instant::now();
    while !node.is_ready() {
        if let Some(reason) = failure(&node.plan().borrow(), version) {
            bail!("cannot serve {version}: {reason}");
        }
        if started.elapsed() > LIVE_WITHIN {
            bail!("{version} is not live after {LIVE_WITHIN:?}: see the log for what it waits for");
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Ok(())
}

/// Why a shard of the version cannot be loaded, if one failed.
fn failure(plan: &Plan, version: &ModelVersion) -> Option<String> {
    let placements = &plan.versions.get(version)?.placements;
    placements.iter().enumerate().find_map(|(shard, placement)| {
        let failed =
            placement.replicas.values().find(|replica| replica.state == ReplicaState::Failed)?;
        Some(format!("shard {shard}: {}", failed.reason))
    })
}

/// Warns if the version is no better than popularity.
fn warn_of_quality(version: &ModelVersion, published: Option<&PublishedVersion>) {
    let quality = published.map(|published| published.quality).unwrap_or_default();
    match (quality.recall_at_20, quality.popularity_recall_at_20) {
        (Some(model), Some(popularity)) if model <= popularity => tracing::warn!(
            %version, recall_at_20 = model, popularity_recall_at_20 = popularity,
            "the model is no better than popularity; a cluster would refuse to publish it"
        ),
        _ => {}
    }
}
