//! Nodes, a plan over them, and a router that follows it.

use super::bundle::Bundle;
use super::shard::{FakeShard, Mood};
use marquee_core::ensemble::EnsembleNode;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::placement::place;
use marquee_core::plan::{
    DEFAULT_SURFACE, Node, Placement, Plan, PlannedReplica, PublishedVersion, Quality,
    ReplicaState, Role, Surface,
};
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::{
    Clearance, InterleaveStage, Rollout, RolloutState, RolloutStep, Shadow, Terms,
};
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::v1;
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_router::{Dialer, Feedback, Router, RouterConfig, RouterService};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Status};

pub(crate) struct World {
    pub(crate) nodes: Vec<Arc<FakeShard>>,
    pub(crate) plan: Plan,
    pub(crate) sender: watch::Sender<Arc<Plan>>,
    pub(crate) router: Router,
}

/// Reaches fakes by their names.
struct FakeDialer(BTreeMap<String, Arc<FakeShard>>);

impl Dialer for FakeDialer {
    fn dial(&self, node_id: &str, _: &str) -> Result<Arc<dyn ShardService>, String> {
        let node = self.0.get(node_id).ok_or_else(|| format!("no node {node_id}"))?;
        Ok(Arc::clone(node) as _)
    }
}

impl World {
    /// Nodes `n0..` with `replicas` of each shard of each bundle, all AVAILABLE; surface `default`
    /// serves the first bundle.
    pub(crate) fn new(bundles: Vec<Bundle>, nodes: usize, replicas: u32) -> Self {
        Self::with_config(bundles, nodes, replicas, RouterConfig::default())
    }

    pub(crate) fn with_config(
        bundles: Vec<Bundle>,
        nodes: usize,
        replicas: u32,
        config: RouterConfig,
    ) -> Self {
        Self::with_feedback(bundles, nodes, replicas, config, Feedback::default())
    }

    pub(crate) fn with_feedback(
        bundles: Vec<Bundle>,
        nodes: usize,
        replicas: u32,
        config: RouterConfig,
        feedback: Feedback,
    ) -> Self {
        let bundles: Vec<Arc<Bundle>> = bundles.into_iter().map(Arc::new).collect();
        let ids: Vec<String> = (0..nodes).map(|n| format!("n{n}")).collect();
        let nodes: Vec<Arc<FakeShard>> =
            ids.iter().map(|id| FakeShard::new(id, &bundles)).collect();
        let mut plan = Plan { epoch: 7, replication_factor: replicas, ..Plan::default() };
        for id in &ids {
            let node = Node {
                address: format!("http://{id}"),
                roles: BTreeSet::from([Role::Shard]),
                draining: false,
                memory_budget_bytes: 0,
                alive: true,
            };
            plan.nodes.insert(id.clone(), node);
        }
        for bundle in &bundles {
            plan.versions.insert(bundle.version.clone(), published(bundle, replicas, &ids));
        }
        let first = bundles[0].version.to_string();
        let surface = Surface { ensemble: Some(first), ..Surface::default() };
        plan.surfaces.insert(DEFAULT_SURFACE.into(), surface);
        let sender = watch::Sender::new(Arc::new(plan.clone()));
        let dialer = FakeDialer(nodes.iter().map(|n| (n.id.clone(), Arc::clone(n))).collect());
        let router =
            Router::start_with(config, sender.subscribe(), None, feedback, Arc::new(dialer));
        Self { nodes, plan, sender, router }
    }

    /// Another router over the same nodes and plans.
    pub(crate) fn second_router(&self) -> Router {
        let nodes = self.nodes.iter().map(|n| (n.id.clone(), Arc::clone(n))).collect();
        let config = RouterConfig { node_id: "other".into(), ..RouterConfig::default() };
        let (none, dialer) = (Feedback::default(), Arc::new(FakeDialer(nodes)));
        Router::start_with(config, self.sender.subscribe(), None, none, dialer)
    }

    /// Has films@`version` answer by another recipe from the next epoch on.
    pub(crate) fn answer_by(&mut self, version: u64, recipe: Recipe) {
        self.change(|plan| {
            let version = ModelVersion::new("films", version);
            plan.versions.get_mut(&version).expect("published").recipe = recipe;
        });
    }

    /// Serves an ensemble on `default` from the next epoch on.
    pub(crate) fn serve(&mut self, root: EnsembleNode) {
        let name = format!("e{}", self.plan.epoch);
        self.plan.ensembles.insert(name.clone(), root);
        self.change(|plan| {
            let surface = Surface { ensemble: Some(name), ..Surface::default() };
            plan.surfaces.insert(DEFAULT_SURFACE.into(), surface);
        });
    }

    /// Changes the plan and sends it.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan);
        self.plan.epoch += 1;
        self.sender.send_replace(Arc::new(self.plan.clone()));
    }

    pub(crate) fn service(&self) -> RouterService {
        self.router.service()
    }

    /// The node that alone is to fail, and those that hold the shard too are to stay well.
    pub(crate) fn node(&self, id: &str) -> &Arc<FakeShard> {
        self.nodes.iter().find(|node| node.id == id).expect("a node of this name")
    }

    pub(crate) fn all_feel(&self, mood: Mood) {
        self.nodes.iter().for_each(|node| node.feels(mood));
    }

    /// The nodes that hold a shard of the first bundle.
    pub(crate) fn holders(&self, shard: u32) -> Vec<String> {
        let published = self.plan.versions.values().next().expect("a bundle");
        published.placements[shard as usize].node_ids.clone()
    }

    pub(crate) async fn recommend(
        &self,
        request: v1::RecommendRequest,
    ) -> Result<v1::RecommendResponse, Status> {
        Ok(self.service().recommend(Request::new(request)).await?.into_inner())
    }

    pub(crate) async fn recommend_within(
        &self,
        request: v1::RecommendRequest,
        deadline: Duration,
    ) -> Result<v1::RecommendResponse, Status> {
        let mut request = Request::new(request);
        request.set_timeout(deadline);
        Ok(self.service().recommend(request).await?.into_inner())
    }

    pub(crate) async fn batch(
        &self,
        requests: Vec<v1::RecommendRequest>,
    ) -> Result<Vec<v1::RecommendResponse>, Status> {
        let request = Request::new(v1::BatchRecommendRequest { requests });
        Ok(self.service().batch_recommend(request).await?.into_inner().responses)
    }

    pub(crate) async fn similar(&self, item_id: &str) -> Result<v1::SimilarItemsResponse, Status> {
        let request = v1::SimilarItemsRequest { item_id: item_id.into(), ..Default::default() };
        Ok(self.service().similar_items(Request::new(request)).await?.into_inner())
    }

    pub(crate) async fn rank(
        &self,
        user_id: &str,
        item_ids: &[&str],
    ) -> Result<v1::RankItemsResponse, Status> {
        let item_ids = item_ids.iter().map(|id| (*id).into()).collect();
        let request =
            v1::RankItemsRequest { user_id: user_id.into(), item_ids, surface: String::new() };
        Ok(self.service().rank_items(Request::new(request)).await?.into_inner())
    }
}

fn published(bundle: &Bundle, replicas: u32, nodes: &[String]) -> PublishedVersion {
    let placements = place(&bundle.version.model, bundle.shards, replicas, nodes)
        .into_iter()
        .map(|node_ids| {
            let available =
                PlannedReplica { state: ReplicaState::Available, reason: String::new() };
            let replicas = node_ids.iter().map(|id| (id.clone(), available.clone())).collect();
            Placement { node_ids, replicas }
        })
        .collect();
    PublishedVersion {
        bundle_uri: "file:///nowhere".into(),
        manifest_digest: format!("digest of {}", bundle.version),
        recipe: match bundle.version.model.as_str() {
            "popular" => Recipe::Popularity,
            _ => Recipe::MatrixFactorisation {
                user_factors: "users".into(),
                item_factors: "items".into(),
                fold_in: None,
            },
        },
        shards: bundle.shards,
        users: bundle.users.len() as u64,
        items: bundle.items.len() as u64,
        bytes: 0,
        quality: Quality::default(),
        forgotten_up_to: 0,
        signed_counter: 0,
        published_at_ms: 0,
        placements,
    }
}

/// The id of the rollout of [`roll_out`].
pub(crate) const TRIAL: &str = "default-1";

/// Moves `default` from films@1 to a candidate, with this share of it and of mirrored requests; without
/// a share of it, in the shadow stage.
pub(crate) fn roll_out(plan: &mut Plan, candidate: &str, weight: u32, mirror_basis_points: u32) {
    let hold_seconds = if weight == 0 { 600 } else { 0 };
    let shadow = Shadow { mirror_basis_points, hold_seconds, min_samples: 0 };
    let mut rollout = Rollout::start(
        TRIAL.into(),
        DEFAULT_SURFACE.into(),
        Some("films@1".into()),
        candidate.into(),
        vec![RolloutStep::new(weight.max(1), 3_600)],
        Terms { shadow, ..Terms::unguarded() },
        1_000,
    );
    assert!(rollout.advance(None, &Clearance::Clear, 2_000));
    let state = if weight == 0 { RolloutState::Shadow } else { RolloutState::Canary };
    assert_eq!((rollout.state, rollout.weight_basis_points()), (state, weight));
    plan.rollouts = vec![rollout];
    let surface = Surface {
        ensemble: Some("films@1".into()),
        rollout_id: Some(TRIAL.into()),
        ..Surface::default()
    };
    plan.surfaces.insert(DEFAULT_SURFACE.into(), surface);
}

/// Lets the rollout of [`roll_out`] interleave the answers to this share of the users.
pub(crate) fn interleave(plan: &mut Plan, share_basis_points: u32, how: Interleaving) {
    let rollout = &mut plan.rollouts[0];
    rollout.terms.interleave =
        Some(InterleaveStage { share_basis_points, hold_seconds: 60, min_samples: 0, how });
    (rollout.state, rollout.resumes_to) = (RolloutState::Interleave, RolloutState::Interleave);
    rollout.step = None;
}

pub(crate) fn user(id: &str, count: u32) -> v1::RecommendRequest {
    v1::RecommendRequest { user_id: id.into(), count, ..Default::default() }
}

/// Known users, one that is not, and one without a history.
pub(crate) fn users(count: u32) -> Vec<v1::RecommendRequest> {
    let known = (0..count).map(|n| user(&format!("u{n}"), 5 + n % 10));
    known.chain([user("unknown", 8), user("empty", 8)]).collect()
}

pub(crate) fn leaf(version: u64) -> EnsembleNode {
    EnsembleNode::Model(ModelVersion::new("films", version))
}
