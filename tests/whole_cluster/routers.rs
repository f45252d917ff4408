//! The routers: real ones, which reach shard nodes over the made-up network.

use crate::chance::Chance;
use crate::follower::Follower;
use crate::links::{Links, Party};
use crate::shards::{Link, Process, USERS};
use marquee_core::plan::Plan;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::v1;
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_router::{Dialer, Feedback, Report, Router, RouterConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Status};

/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_millis(900);
/// Items that each request wants.
pub(crate) const COUNT: u32 = 5;

/// Reaches shard nodes by their names.
struct SimulatedDialer {
    from: Party,
    links: Links,
    processes: BTreeMap<String, (usize, Arc<Process>)>,
    began: tokio::time::Instant,
}

impl Dialer for SimulatedDialer {
    fn dial(&self, node_id: &str, _: &str) -> Result<Arc<dyn ShardService>, String> {
        let (number, process) = self.processes.get(node_id).ok_or("there is no such node")?;
        Ok(Arc::new(Link {
            from: self.from,
            to: Party::Shard(*number),
            links: self.links.clone(),
            process: Arc::clone(process),
            began: self.began,
        }))
    }
}

/// What a caller asked, and what came of it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) router: usize,
    pub(crate) surface: &'static str,
    pub(crate) users: Vec<String>,
    /// The epoch of the router's plan when it was asked.
    pub(crate) asked_at_epoch: u64,
    pub(crate) asked_ms: u64,
    pub(crate) result: Result<Vec<v1::RecommendResponse>, Status>,
}

/// A router that runs.
pub(crate) struct Running {
    pub(crate) follower: Follower,
    router: Router,
    reports: mpsc::Receiver<Report>,
    pub(crate) next_report_ms: u64,
    next_query_ms: u64,
}

pub(crate) struct RouterNode {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) running: Option<Running>,
    pub(crate) restart_at_ms: Option<u64>,
    /// The plan on its disk.
    pub(crate) on_disk: Option<Arc<Plan>>,
}

impl RouterNode {
    pub(crate) fn new(number: usize) -> Self {
        let name = format!("router-{number}");
        Self { number, name, running: None, restart_at_ms: Some(0), on_disk: None }
    }

    pub(crate) fn start(
        &mut self,
        controls: usize,
        links: &Links,
        processes: &BTreeMap<String, (usize, Arc<Process>)>,
        now_ms: u64,
        chance: &mut Chance,
    ) {
        let follower = Follower::start(&self.on_disk, controls, now_ms, chance);
        let config = RouterConfig { node_id: self.name.clone(), ..RouterConfig::default() };
        let dialer = SimulatedDialer {
            from: Party::Router(self.number),
            links: links.clone(),
            processes: processes.clone(),
            began: tokio::time::Instant::now(),
        };
        let plans = follower.current.subscribe();
        let mut router =
            Router::start_with(config, plans, None, Feedback::default(), Arc::new(dialer));
        let reports = router.reports();
        let (next_report_ms, next_query_ms) = (now_ms, now_ms);
        self.running = Some(Running { follower, router, reports, next_report_ms, next_query_ms });
        self.restart_at_ms = None;
    }

    /// The epoch of the plan that it follows; none while it is down.
    pub(crate) fn followed_epoch(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.follower.plan().epoch)
    }

    pub(crate) fn crash(&mut self, restart_at_ms: Option<u64>) {
        self.running = None;
        self.restart_at_ms = restart_at_ms;
    }

    /// Time has come to this moment. Returns what was measured.
    pub(crate) fn step(
        &mut self,
        now_ms: u64,
        answers: &mpsc::UnboundedSender<Answered>,
        chance: &mut Chance,
    ) -> Vec<Report> {
        let Some(running) = &mut self.running else { return Vec::new() };
        if let Some(plan) = running.follower.accept(now_ms) {
            let before = running.follower.began_with;
            assert!(
                plan.epoch >= before || !running.follower.keeps_to_disk(now_ms),
                "{} went from epoch {before} back to {}",
                self.name,
                plan.epoch
            );
            if let Some(older) = &self.on_disk {
                assert!(
                    plan.epoch >= older.epoch,
                    "{} went from epoch {} back to {}",
                    self.name,
                    older.epoch,
                    plan.epoch
                );
            }
            self.on_disk = Some(plan);
        }
        if running.next_query_ms <= now_ms {
            running.next_query_ms = now_ms + 20 + chance.below(60);
            // A day has hours of many users, and some ask far more than others.
            let users = (0..1 + chance.below(5)).map(|_| {
                let user = chance.below(u64::from(USERS)).min(chance.below(u64::from(USERS)));
                format!("u{user}")
            });
            running.ask(self.number, "default", users.collect(), now_ms, answers.clone());
        }
        let mut reports = Vec::new();
        while let Ok(report) = running.reports.try_recv() {
            reports.push(report);
        }
        reports
    }
}

impl Running {
    fn ask(
        &self,
        router: usize,
        surface: &'static str,
        users: Vec<String>,
        asked_ms: u64,
        answers: mpsc::UnboundedSender<Answered>,
    ) {
        let service = self.router.service();
        let asked_at_epoch = self.follower.plan().epoch;
        tokio::spawn(async move {
            let requests = users
                .iter()
                .map(|user| v1::RecommendRequest {
                    user_id: user.clone(),
                    count: COUNT,
                    surface: surface.into(),
                    ..v1::RecommendRequest::default()
                })
                .collect();
            let mut request = Request::new(v1::BatchRecommendRequest { requests });
            request.set_timeout(DEADLINE);
            let result = service.batch_recommend(request).await;
            let result = result.map(|response| response.into_inner().responses);
            // The world may have ended.
            let _ =
                answers.send(Answered { router, surface, users, asked_at_epoch, asked_ms, result });
        });
    }
}
