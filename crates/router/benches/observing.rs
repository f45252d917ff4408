//! What it costs to observe an answer: `cargo bench -p marquee-router`.
//!
//! A whole answer of ten items over a shard that answers from memory at once: without a trial, in one
//! without reports, and in one with reports. What differs is the cost: 0.8 µs of 10 on
//! the machine this was written on. `close` is what an answer costs when windows are made of them, on a thread
//! of its own: 0.6 µs.

use divan::Bencher;
use divan::counter::ItemsCount;
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::plan::{
    Placement, Plan, PlannedReplica, PublishedVersion, Quality, ReplicaState, Surface,
};
use marquee_core::rollout::{Clearance, Rollout, RolloutStep, Terms};
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::*;
use marquee_proto::v1::RecommendRequest;
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_router::{Feedback, Report, Router, RouterConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tonic::{Request, Response, Status, async_trait};

/// Answers of one window in `close`; on a slow machine some windows are closed before.
const ANSWERS: usize = 20_000;

fn main() {
    divan::main();
}

/// Has the same ten items for all users.
struct TenItems;

#[async_trait]
impl ShardService for TenItems {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let results = request.into_inner().ops.into_iter().map(|op| LookupResult {
            rows: op.keys.iter().map(|_| Row { found: true, ..Row::default() }).collect(),
            ..LookupResult::default()
        });
        Ok(Response::new(LookupResponse { results: results.collect() }))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let ten = || QueryResult {
            scores: (0..10).map(|n| -(n as f32)).collect(),
            ordinals: (0..10).collect(),
            item_ids: (0..10).map(|n| format!("item-{n}")).collect(),
            titles: vec![String::new(); 10],
            ..QueryResult::default()
        };
        let results = request
            .into_inner()
            .ops
            .into_iter()
            .map(|op| SearchResult { queries: op.queries.iter().map(|_| ten()).collect() });
        Ok(Response::new(SearchResponse { results: results.collect() }))
    }
}

struct World {
    runtime: Runtime,
    router: Router,
    reports: Option<mpsc::Receiver<Report>>,
    _plan: watch::Sender<Arc<Plan>>,
}

impl World {
    fn new(has_trial: bool, is_watched: bool) -> Self {
        let mut plan = Plan { epoch: 1, ..Plan::default() };
        for version in [1, 2] {
            let available =
                PlannedReplica { state: ReplicaState::Available, reason: String::new() };
            let placement = Placement {
                node_ids: vec!["here".into()],
                replicas: BTreeMap::from([("here".into(), available)]),
            };
            let published = PublishedVersion {
                bundle_uri: String::new(),
                manifest_digest: String::new(),
                recipe: Recipe::Popularity,
                shards: 1,
                users: 0,
                items: 10,
                bytes: 0,
                quality: Quality::default(),
                forgotten_up_to: 0,
                signed_counter: 0,
                published_at_ms: 0,
                placements: vec![placement],
            };
            plan.versions.insert(ModelVersion::new("films", version), published);
        }
        let mut surface = Surface { ensemble: Some("films@1".into()), ..Surface::default() };
        if has_trial {
            let mut rollout = Rollout::start(
                "default-1".into(),
                "default".into(),
                Some("films@1".into()),
                "films@2".into(),
                vec![RolloutStep::new(5_000, 3_600)],
                Terms::unguarded(),
                0,
            );
            rollout.advance(None, &Clearance::Clear, 0);
            plan.rollouts = vec![rollout];
            surface.rollout_id = Some("default-1".into());
        }
        plan.surfaces.insert("default".into(), surface);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let inside = runtime.enter();
        let sender = watch::Sender::new(Arc::new(plan));
        let local: (String, Arc<dyn ShardService>) = ("here".into(), Arc::new(TenItems));
        let mut router = Router::start(
            RouterConfig::default(),
            sender.subscribe(),
            Some(local),
            Feedback::default(),
        );
        let reports = is_watched.then(|| router.reports());
        drop(inside);
        Self { runtime, router, reports, _plan: sender }
    }

    fn answer(&self, number: usize) {
        let request =
            RecommendRequest { user_id: format!("user-{number}"), ..RecommendRequest::default() };
        let answer = self.runtime.block_on(self.router.service().recommend(Request::new(request)));
        assert_eq!(answer.expect("an answer").into_inner().items.len(), 10);
    }
}

#[divan::bench(args = ["no trial", "a trial, unwatched", "a trial, watched"], sample_count = 400, sample_size = 100)]
fn answer(bencher: Bencher<'_, '_>, what: &str) {
    let world = World::new(what != "no trial", what == "a trial, watched");
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        world.answer(number % 10_000);
    });
}

/// The whole of a shutdown: the last window, of [`ANSWERS`] answers.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn close(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(ANSWERS))
        .with_inputs(|| {
            let mut world = World::new(true, true);
            let reports = world.reports.take();
            (0..ANSWERS).for_each(|number| world.answer(number));
            (world, reports)
        })
        .bench_local_values(|(world, mut reports)| {
            let World { runtime, router, .. } = world;
            runtime.block_on(router.shutdown());
            let last = reports.as_mut().and_then(|reports| reports.blocking_recv());
            assert!(last.is_some());
        });
}
