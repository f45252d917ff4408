//! Shards and a router in this process, under a plan that the test makes. Lookups can be made to fail.

use crate::world::World;
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
use marquee_router::{Feedback, Router, RouterConfig};
use marquee_shard::{Shard, ShardApi, ShardConfig};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

const NODE: &str = "node";
/// How long bundles may take to be loaded.
const LOADED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    plan: watch::Sender<Arc<Plan>>,
    shard: Shard,
    router: Router,
    refuses_lookups: Arc<AtomicBool>,
}

/// A shard whose lookups fail when told so.
struct Failing {
    shard: Arc<ShardApi>,
    refuses_lookups: Arc<AtomicBool>,
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
        let config = ShardConfig { search_threads: 1, ..ShardConfig::default() };
        let shard = Shard::start(config, plan.subscribe(), NODE.into()).expect("a shard role");
        let shards: u32 = world.models.iter().map(|model| model.shards).sum();
        let mut reports = shard.reports();
        let loaded = reports.wait_for(|reports| {
            let available = reports.iter().filter(|report| {
                assert_ne!(report.replica.state, ReplicaState::Failed, "{report:?}");
                report.replica.state == ReplicaState::Available
            });
            available.count() == shards as usize
        });
        tokio::time::timeout(LOADED_WITHIN, loaded)
            .await
            .expect("in time")
            .expect("the node lives");
        let refuses_lookups = Arc::new(AtomicBool::new(false));
        let router = router(&plan, &shard, &refuses_lookups);
        Self { plan, shard, router, refuses_lookups }
    }

    /// From now on no shard answers lookups, and the router remembers no rows.
    pub(crate) fn refuse_lookups(&self) {
        self.refuses_lookups.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn recommend(&self, request: RecommendRequest) -> RecommendResponse {
        // A new router for each request under failures: what one learns of nodes is another test's.
        let fresh = self.refuses_lookups.load(Ordering::Relaxed);
        let fresh = fresh.then(|| router(&self.plan, &self.shard, &self.refuses_lookups));
        let service = fresh.as_ref().unwrap_or(&self.router).service();
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(20));
        service.recommend(request).await.expect("answered").into_inner()
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
        self.shard.shutdown().await;
    }
}

fn router(
    plan: &watch::Sender<Arc<Plan>>,
    shard: &Shard,
    refuses_lookups: &Arc<AtomicBool>,
) -> Router {
    let refuses_lookups = Arc::clone(refuses_lookups);
    let local: Arc<dyn ShardService> =
        Arc::new(Failing { shard: shard.service(), refuses_lookups });
    let config = RouterConfig::default();
    Router::start(config, plan.subscribe(), Some((NODE.into(), local)), Feedback::default())
}

fn plan_of(world: &World, directory: &Path) -> Plan {
    let mut plan = Plan { epoch: 1, replication_factor: 1, ..Plan::default() };
    let node = Node {
        address: "http://127.0.0.1:1".into(),
        roles: BTreeSet::from([Role::Shard, Role::Router]),
        draining: false,
        memory_budget_bytes: 0,
        alive: true,
    };
    plan.nodes.insert(NODE.into(), node);
    for (number, model) in world.models.iter().enumerate() {
        let bundle = world.bundle(directory, number);
        let (manifest, digest) = read_manifest(&bundle, &TrustedKeys::none()).expect("a manifest");
        let available = PlannedReplica { state: ReplicaState::Available, reason: String::new() };
        let placement =
            Placement { node_ids: vec![NODE.into()], replicas: [(NODE.into(), available)].into() };
        let published = PublishedVersion {
            bundle_uri: format!("file://{}", bundle.display()),
            manifest_digest: digest.to_string(),
            recipe: manifest.recipe.clone(),
            shards: model.shards,
            users: manifest.counts.users,
            items: manifest.counts.items,
            bytes: manifest.files.iter().map(|file| file.bytes).sum(),
            quality: Default::default(),
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
