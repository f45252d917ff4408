//! Control nodes in one process, over real sockets and real directories.

use marquee_bundle::{BundleRoots, TrustedKeys};
use marquee_control::bundles::{DescribedBundle, ManifestSource, PublishError};
use marquee_control::{
    Control, ControlConfig, DEFAULT_MIN_INDEX_RECALL, OutboundConfig, VoterStatus,
};
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{PublishedVersion, Quality};
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};

/// Longer than anything here takes on a busy machine; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Bundles that exist by name only: `/bundles/MODEL/DIGEST`, `/bundles/MODEL/poor` is worse than
/// popularity, and anything else is absent.
pub(crate) struct Named;

impl ManifestSource for Named {
    fn read(&self, uri: &str) -> Result<DescribedBundle, PublishError> {
        let absent = || PublishError::Absent { uri: uri.into(), error: "no such name".into() };
        let name = uri.strip_prefix("/bundles/").ok_or_else(absent)?;
        let (model, digest) = name.split_once('/').ok_or_else(absent)?;
        let recall = if digest == "poor" { 0.1 } else { 0.3 };
        let version = PublishedVersion {
            bundle_uri: uri.into(),
            manifest_digest: digest.into(),
            recipe: Recipe::Popularity,
            shards: 2,
            users: 1,
            items: 1,
            bytes: 1,
            quality: Quality {
                recall_at_20: Some(recall),
                popularity_recall_at_20: Some(0.2),
                ..Quality::default()
            },
            forgotten_up_to: 0,
            signed_counter: 0,
            published_at_ms: 0,
            placements: Vec::new(),
        };
        Ok(DescribedBundle {
            model: model.into(),
            version,
            index_recall_at_100: None,
            forgotten_list: String::new(),
            expires_at_ms: 0,
        })
    }
}

/// A running node, on a runtime of its own so that killing it closes its sockets as the end of its
/// process would.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) control: Control,
    runtime: Option<Runtime>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A group, its nodes running or not.
pub(crate) struct Group {
    directory: TempDir,
    addresses: Vec<SocketAddr>,
    outbound: OutboundConfig,
    pub(crate) nodes: Vec<Option<Node>>,
}

impl Group {
    /// Starts all voters of a new group.
    pub(crate) async fn start(voters: usize) -> Self {
        Self::start_with(voters, OutboundConfig::default()).await
    }

    /// Starts all voters of a new group that may ask and tell others.
    pub(crate) async fn start_with(voters: usize, outbound: OutboundConfig) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut reserved = Vec::new();
        for _ in 0..voters {
            reserved.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let address = |listener: &TcpListener| listener.local_addr().expect("bound");
        let addresses = reserved.iter().map(address).collect();
        drop(reserved);
        let mut group = Self { directory, addresses, outbound, nodes: Vec::new() };
        for id in 1..=voters as u64 {
            let node = group.run(id).await;
            group.nodes.push(Some(node));
        }
        group
    }

    pub(crate) fn config(&self, id: u64) -> ControlConfig {
        let voters = (1..).zip(&self.addresses);
        ControlConfig {
            cluster_name: "test".into(),
            id,
            voters: voters.map(|(id, address)| (id, format!("http://{address}"))).collect(),
            join: false,
            data_dir: self.data_dir(id),
            replication_factor: 1,
            trusted_keys: TrustedKeys::none(),
            bundle_roots: BundleRoots::anywhere(),
            min_index_recall: DEFAULT_MIN_INDEX_RECALL,
            outbound: self.outbound.clone(),
            node_ids: Default::default(),
            connector: Default::default(),
        }
    }

    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.directory.path().join(format!("voter-{id}"))
    }

    async fn run(&self, id: u64) -> Node {
        let builder = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = builder.expect("a runtime");
        let (config, address) = (self.config(id), self.addresses[id as usize - 1]);
        let started = runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("it is ours");
            let control = Control::start_with(config, Arc::new(Named)).await;
            let control = control.expect("a config and directory of our own");
            let server = Server::builder()
                .add_service(control.control_service())
                .add_service(control.raft_service());
            let serve = server.serve_with_incoming(TcpListenerStream::new(listener));
            tokio::spawn(async move { serve.await.expect("it serves until it is killed") });
            control
        });
        Node { id, control: started.await.expect("it starts"), runtime: Some(runtime) }
    }

    /// Ends a node as a crash would: no other node is told.
    pub(crate) async fn kill(&mut self, id: u64) {
        let mut node = self.nodes[id as usize - 1].take().expect("it runs");
        node.runtime.take().expect("it runs").shutdown_background();
        node.control.halt().await;
    }

    /// Loses the disk of a node that does not run.
    pub(crate) fn empty(&self, id: u64) {
        assert!(self.nodes[id as usize - 1].is_none());
        std::fs::remove_dir_all(self.data_dir(id)).expect("ours");
    }

    /// Starts a node again where its directory stands.
    pub(crate) async fn restart(&mut self, id: u64) {
        let node = self.run(id).await;
        self.nodes[id as usize - 1] = Some(node);
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    pub(crate) fn node(&self, id: u64) -> &Node {
        self.nodes[id as usize - 1].as_ref().expect("it runs")
    }

    /// A real client of a node.
    pub(crate) async fn client(&self, id: u64) -> ControlServiceClient<Channel> {
        let address = format!("http://{}", self.addresses[id as usize - 1]);
        ControlServiceClient::connect(address).await.expect("it listens")
    }

    /// Waits until all running nodes follow the same leader, one of them.
    pub(crate) async fn leader(&self) -> u64 {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let statuses: Vec<VoterStatus> =
                    self.running().map(|node| *node.control.status().borrow()).collect();
                let leader = statuses[0].leader;
                let agreed = statuses.iter().all(|status| status.leader == leader);
                if agreed && statuses.iter().any(|status| status.leads()) {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("a majority runs, so it elects a leader")
    }

    /// A running node that does not lead.
    pub(crate) async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        let follower = self.running().find(|node| node.id != leader);
        follower.expect("more than one node runs").id
    }
}

/// A request to publish `/bundles/films/DIGEST`.
pub(crate) fn publish(request_id: &str, digest: &str) -> pb::PublishModelRequest {
    pb::PublishModelRequest {
        request_id: request_id.into(),
        allow_older: false,
        bundle_uri: format!("/bundles/films/{digest}"),
        force: false,
    }
}

/// What shard node `shard-1` says of both shards of a version of `films`.
pub(crate) fn report(version: Option<u64>, state: pb::ReplicaState) -> pb::ReportNodeRequest {
    let replica = |version, shard| pb::ReplicaReport {
        version: Some(marquee_proto::v1::ModelVersion { model: "films".into(), version }),
        shard,
        state: state as i32,
        reason: String::new(),
    };
    let replicas = version.into_iter().flat_map(|version| [0, 1].map(|s| replica(version, s)));
    pb::ReportNodeRequest {
        node_id: "shard-1".into(),
        address: "http://127.0.0.1:7001".into(),
        roles: vec![pb::Role::Shard as i32],
        memory_budget_bytes: 0,
        replicas: replicas.collect(),
        report: None,
    }
}
