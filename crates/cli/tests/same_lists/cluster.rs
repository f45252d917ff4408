//! A node for each model and a router in this process, under a plan that the test makes. The lookups of a node can
//! be made to fail.

use crate::world::{Model, World};
use marquee_bundle::{TrustedKeys, read_manifest};
use marquee_cli::message;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{
    Node, Placement, Plan, PlannedReplica, PublishedVersion, ReplicaState, Role, Surface,
};
use marquee_proto::control::v1::Ensemble;
use marquee_proto::convert::ensemble::ensemble_from_pb;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{LookupRequest, LookupResponse, SearchRequest, SearchResponse};
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_proto::v1::{RankItemsRequest, RecommendRequest, RecommendResponse};
use marquee_router::{Dialer, Feedback, Router, RouterConfig};
use marquee_shard::{Shard, ShardApi, ShardConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// How long bundles may take to be loaded.
const LOADED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    plan: watch::Sender<Arc<Plan>>,
    /// The node that holds each model, in the order of the models.
    nodes: Vec<Arc<Failing>>,
    shards: Vec<Shard>,
    router: Router,
}

/// The shards of a model, whose lookups fail while `refuses_lookups`.
struct Failing {
    shard: Arc<ShardApi>,
    refuses_lookups: AtomicBool,
}

/// Reaches nodes in this process by their ids.
struct InProcess(BTreeMap<String, Arc<dyn ShardService>>);

impl Dialer for InProcess {
    fn dial(&self, node_id: &str, _address: &str) -> Result<Arc<dyn ShardService>, String> {
        self.0.get(node_id).cloned().ok_or_else(|| format!("no node {node_id}"))
    }
}

#[tonic::async_trait]
impl ShardService for Failing {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        if self.refuses_lookups.load(Ordering::Relaxed) {
            return Err(Status::unavailable("no lookup is answered"));
        }
        self.shard.lookup(request).await
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        self.shard.search(request).await
    }
}

impl Cluster {
    /// Serves the world's bundles in `directory`, each ensemble on a surface of its name.
    pub(crate) async fn start(world: &World, directory: &Path) -> Self {
        let plan = watch::Sender::new(Arc::new(plan_of(world, directory)));
        let mut shards = Vec::new();
        for model in &world.models {
            let config = ShardConfig { search_threads: 1, ..ShardConfig::default() };
            let node_id = node_id(model);
            shards.push(Shard::start(config, plan.subscribe(), node_id).expect("a shard role"));
        }
        let mut nodes = Vec::new();
        for (shard, model) in shards.iter().zip(&world.models) {
            wait_until_loaded(shard, model.shards as usize).await;
            let refuses_lookups = AtomicBool::new(false);
            nodes.push(Arc::new(Failing { shard: shard.service(), refuses_lookups }));
        }
        let router = router(&plan, world, &nodes);
        Self { plan, nodes, shards, router }
    }

    /// From now on the nodes of these models, and no others, refuse lookups. The router is a new one, which
    /// remembers no rows.
    pub(crate) fn refuse_lookups(&mut self, world: &World, models: &[usize]) {
        for (model, node) in self.nodes.iter().enumerate() {
            node.refuses_lookups.store(models.contains(&model), Ordering::Relaxed);
        }
        self.router = router(&self.plan, world, &self.nodes);
    }

    pub(crate) async fn recommend(&self, request: RecommendRequest) -> RecommendResponse {
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(20));
        self.router.service().recommend(request).await.expect("answered").into_inner()
    }

    /// The items that are not known, of those that are to be ranked for a user.
    pub(crate) async fn unknown_items(
        &self,
        surface: &str,
        user: &str,
        items: &[&str],
    ) -> Vec<String> {
        let request = RankItemsRequest {
            user_id: user.into(),
            item_ids: items.iter().map(|item| (*item).into()).collect(),
            surface: surface.into(),
        };
        let answer = self.router.service().rank_items(Request::new(request)).await;
        answer.expect("answered").into_inner().unknown_item_ids
    }

    pub(crate) async fn shutdown(self) {
        drop(self.router);
        for shard in self.shards {
            shard.shutdown().await;
        }
    }
}

fn node_id(model: &Model) -> String {
    format!("node-{}", model.name)
}

async fn wait_until_loaded(shard: &Shard, replicas: usize) {
    let mut reports = shard.reports();
    let loaded = reports.wait_for(|reports| {
        let available = reports.iter().filter(|report| {
            assert_ne!(report.replica.state, ReplicaState::Failed, "{report:?}");
            report.replica.state == ReplicaState::Available
        });
        available.count() == replicas
    });
    tokio::time::timeout(LOADED_WITHIN, loaded).await.expect("in time").expect("the node lives");
}

/// A router that reaches each model's node.
fn router(plan: &watch::Sender<Arc<Plan>>, world: &World, nodes: &[Arc<Failing>]) -> Router {
    let mut by_id: BTreeMap<String, Arc<dyn ShardService>> = BTreeMap::new();
    for (model, node) in world.models.iter().zip(nodes) {
        by_id.insert(node_id(model), Arc::clone(node) as Arc<dyn ShardService>);
    }
    let (config, dialer) = (RouterConfig::default(), Arc::new(InProcess(by_id)));
    Router::start_with(config, plan.subscribe(), None, Feedback::default(), dialer)
}

fn plan_of(world: &World, directory: &Path) -> Plan {
    let mut plan = Plan { epoch: 1, replication_factor: 1, ..Plan::default() };
    for (number, model) in world.models.iter().enumerate() {
        let node = Node {
            address: format!("in-process:{}", model.name),
            roles: BTreeSet::from([Role::Shard]),
            draining: false,
            memory_budget_bytes: 0,
            alive: true,
        };
        plan.nodes.insert(node_id(model), node);
        let bundle = world.bundle(directory, number);
        let (manifest, digest) = read_manifest(&bundle, &TrustedKeys::none()).expect("a manifest");
        let available = PlannedReplica { state: ReplicaState::Available, reason: String::new() };
        let placement = Placement {
            node_ids: vec![node_id(model)],
            replicas: [(node_id(model), available)].into(),
        };
        let published = PublishedVersion {
            bundle_uri: format!("file://{}", bundle.display()),
            manifest_digest: digest.to_string(),
            recipe: manifest.recipe.clone(),
            shards: model.shards,
            users: manifest.counts.users,
            items: manifest.counts.items,
            bytes: manifest.files.iter().map(|file| file.bytes).sum(),
            quality: Default::default(),
            forgotten_up_to: 0,
            signed_counter: 0,
            published_at_ms: 0,
            placements: vec![placement; model.shards as usize],
        };
        plan.versions.insert(ModelVersion::new(model.name, 1), published);
    }
    for ensemble in &world.ensembles {
        let file = directory.join(format!("{}.yaml", ensemble.name));
        let read: Ensemble =
            message::read_file(&file, "marquee.control.v1.Ensemble").expect("read");
        let (name, root) = ensemble_from_pb(read).expect("an ensemble");
        plan.ensembles.insert(name.clone(), root);
        let surface = Surface { ensemble: Some(name.clone()), ..Surface::default() };
        plan.surfaces.insert(name, surface);
    }
    plan
}
