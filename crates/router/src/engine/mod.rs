//! Takes the requests of a batch through the stages: one plan, one round of lookups, one round of searches.
//!
//! A batch goes through the rounds as a whole, so a node gets one Lookup and one Search for all of
//! its requests and all versions that serve them. Sequences need a further Search a stage. A single
//! request is a batch of one. Each stage consumes what the one before gave, so their order cannot be wrong.
//!
//! An attempt uses one plan from beginning to end. When a shard says that it does not hold what that
//! plan says it holds, and a newer plan is there or comes within a moment, the whole batch is
//! answered anew under it: nothing of the first attempt is kept, so no answer mixes the two.
//!
//! [`rounds`] has the rounds themselves.
//!
//! A mirrored request is answered by the plan and the route that it is given, once, and what its calls
//! show of nodes is forgotten ([`Engine::answer_by`]). The candidate's lists for [`interleaving`] are got in the same way.

mod interleaving;
mod rounds;
mod stage_times;

use crate::admission::deadline::time_left;
use crate::admission::request::RankingRequest;
use crate::error::RouterError;
use crate::explanation::answer::RankingAnswer;
use crate::fanout::FanOutCounts;
use crate::fanout::node::Nodes;
use crate::lookup::row_cache::{RowCache, RowCounts};
use crate::planning::planned::{PlannedRequest, route};
use crate::planning::shard_map::ShardMap;
use crate::pressure::Pressure;
use interleaving::{WantedList, interleaved, patience, wanted_lists};
use marquee_core::overload::Priority;
use marquee_core::plan::{Plan, Route};
use marquee_core::planted::{PlantedBug, is_planted};
use marquee_core::time_spent::TimeSpent;
use rounds::Rounds;
pub use stage_times::StageTimes;
use stage_times::{Stage, StageClock};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// An attempt ends this part of the time left before the deadline, to answer with what is there...
const RESERVE_SHARE: u32 = 20;
/// ...but no sooner than this before it.
const MAX_RESERVE: Duration = Duration::from_millis(20);
/// How long to wait for the plan that made a shard drop what this router needs: plans reach all nodes
/// within some tens of milliseconds of each other.
const PLAN_CATCH_UP: Duration = Duration::from_millis(100);
/// After this long under one plan it is not the plan that is late, and no request waits for another.
const PLAN_CATCH_UP_WINDOW: Duration = Duration::from_secs(1);

/// Answers batches of requests by the latest plan.
pub(crate) struct Engine {
    plan: watch::Receiver<Arc<Plan>>,
    nodes: Arc<Nodes>,
    rounds: Rounds,
    stage_times: StageTimes,
    /// Answers that take longer are logged; none: no answer is.
    slow_answer: Option<Duration>,
    /// Rotates the choice between equal replicas from batch to batch.
    replica_rotation: AtomicU64,
    /// The epoch under which a shard first lacked something, and when.
    lagging: Mutex<Option<(u64, Instant)>>,
}

impl Engine {
    /// Answers by the plans of `plan` from `nodes`, and what is in `rows`. Answers that take longer than `slow_answer` are logged.
    pub(crate) fn new(
        plan: watch::Receiver<Arc<Plan>>,
        nodes: Arc<Nodes>,
        rows: Arc<RowCache>,
        pressure: Pressure,
        slow_answer: Option<Duration>,
    ) -> Self {
        Self {
            plan,
            nodes,
            rounds: Rounds::new(rows, pressure),
            stage_times: StageTimes::default(),
            slow_answer,
            replica_rotation: AtomicU64::new(0),
            lagging: Mutex::default(),
        }
    }

    /// The newest plan. An answer may be by an older or a newer one.
    pub(crate) fn latest_plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.borrow())
    }

    /// How often remembered rows spared a lookup.
    pub(crate) fn row_counts(&self) -> RowCounts {
        self.rounds.rows.counts()
    }

    /// How many calls of shard nodes it made so far, and how they ended.
    pub(crate) fn fan_out_counts(&self) -> &FanOutCounts {
        &self.rounds.calls
    }

    /// How long the stages of answers took so far.
    pub(crate) fn stage_times(&self) -> &StageTimes {
        &self.stage_times
    }

    /// The time that making lists of what nodes answered, and answers of lists, took so far.
    pub(crate) fn merging(&self) -> &TimeSpent {
        &self.rounds.merging
    }

    /// Answers all of a batch, in order, and says by which plan. `may_interleave`: whether there is room to ask for two lists
    /// where a rollout interleaves them.
    ///
    /// # Errors
    /// What keeps all from an answer, or [`RouterError::InBatch`] for the first that has none.
    pub(crate) async fn answer_batch(
        &self,
        requests: &[RankingRequest],
        may_interleave: bool,
        deadline: Instant,
    ) -> (Arc<Plan>, Result<Vec<RankingAnswer>, RouterError>) {
        let mut plan = self.plan.clone();
        let first = Arc::clone(&plan.borrow_and_update());
        let wanted = if may_interleave { wanted_lists(&first, requests) } else { Vec::new() };
        let mut attempt = if wanted.is_empty() {
            self.attempt(&first, requests, None, deadline).await
        } else {
            self.attempt_interleaved(&first, requests, wanted, deadline).await
        };
        if attempt.is_outdated
            && let Some(newer) = self.newer(&mut plan, first.epoch, deadline).await
        {
            tracing::debug!(
                from = first.epoch,
                to = newer.epoch,
                "the plan moved on: answering anew"
            );
            let result = self.attempt(&newer, requests, None, deadline).await.result;
            return (newer, result);
        }
        if is_planted(PlantedBug::BatchSeesTwoPlans)
            && requests.len() > 1
            && let Ok(answers) = &mut attempt.result
        {
            let latest = self.latest_plan();
            if let Ok(again) = self.attempt(&latest, &requests[1..], None, deadline).await.result {
                answers.splice(1.., again);
            }
        }
        (first, attempt.result)
    }

    /// Answers a request by this plan and route, whatever its own route is. None if a shard did not
    /// hold what the plan says and there is a newer plan: then the answer says nothing of the route.
    pub(crate) async fn answer_by(
        &self,
        plan: &Plan,
        request: &RankingRequest,
        route: Route,
        deadline: Instant,
    ) -> Option<Result<RankingAnswer, RouterError>> {
        let attempt =
            self.attempt(plan, std::slice::from_ref(request), Some(vec![route]), deadline).await;
        if attempt.is_outdated && self.plan.borrow().epoch > plan.epoch {
            return None;
        }
        let answers = attempt.result.map(Vec::into_iter);
        Some(answers.map(|mut answers| answers.next().expect("one request has one answer")))
    }

    /// A plan of a later epoch, if there is one or one comes soon.
    async fn newer(
        &self,
        plan: &mut watch::Receiver<Arc<Plan>>,
        epoch: u64,
        deadline: Instant,
    ) -> Option<Arc<Plan>> {
        let patience = {
            let mut lagging = self.lagging.lock().unwrap_or_else(PoisonError::into_inner);
            match *lagging {
                Some((since_epoch, since)) if since_epoch == epoch => {
                    if since.elapsed() < PLAN_CATCH_UP_WINDOW {
                        PLAN_CATCH_UP
                    } else {
                        Duration::ZERO
                    }
                }
                _ => {
                    *lagging = Some((epoch, Instant::now()));
                    PLAN_CATCH_UP
                }
            }
        };
        let patience = patience.min(time_left(deadline) / 2);
        let newer = timeout(patience, plan.wait_for(|plan| plan.epoch > epoch)).await;
        newer.ok()?.ok().map(|plan| Arc::clone(&plan))
    }

    /// Answers a batch and, where both lists are there in time, interleaves them.
    async fn attempt_interleaved(
        &self,
        plan: &Plan,
        requests: &[RankingRequest],
        wanted: Vec<WantedList>,
        deadline: Instant,
    ) -> Attempt {
        let began = Instant::now();
        let (numbers, routes): (Vec<usize>, Vec<Route>) =
            wanted.into_iter().map(|WantedList { number, route }| (number, route)).unzip();
        let asked: Vec<RankingRequest> = numbers.iter().map(|&n| requests[n].clone()).collect();
        let mut candidates = pin!(self.attempt(plan, &asked, Some(routes), deadline));
        let mut baselines = pin!(self.attempt(plan, requests, None, deadline));
        let mut found = None;
        let mut attempt = loop {
            tokio::select! {
                attempt = &mut baselines => break attempt,
                lists = &mut candidates, if found.is_none() => found = Some(lists),
            }
        };
        let (Ok(answers), false) = (&mut attempt.result, attempt.is_outdated) else {
            return attempt;
        };
        if found.is_none() {
            let patience = patience(began.elapsed()).min(time_left(deadline));
            found = timeout(patience, candidates).await.ok();
        }
        let Some(Attempt { result: Ok(lists), is_outdated: false }) = found else { return attempt };
        let mut lists = numbers.into_iter().zip(lists).peekable();
        let plain = std::mem::take(answers).into_iter().enumerate();
        *answers = plain
            .map(|(number, answer)| match lists.next_if(|(of, _)| *of == number) {
                None => answer,
                Some((_, list)) => {
                    interleaved(answer, list, requests[number].count, fastrand::bool)
                }
            })
            .collect();
        attempt
    }

    async fn attempt(
        &self,
        plan: &Plan,
        requests: &[RankingRequest],
        forced: Option<Vec<Route>>,
        deadline: Instant,
    ) -> Attempt {
        let mut is_outdated = false;
        let result = self.try_answer(plan, requests, forced, deadline, &mut is_outdated).await;
        Attempt { result, is_outdated }
    }

    async fn try_answer(
        &self,
        plan: &Plan,
        requests: &[RankingRequest],
        forced: Option<Vec<Route>>,
        deadline: Instant,
        is_outdated: &mut bool,
    ) -> Result<Vec<RankingAnswer>, RouterError> {
        if plan.epoch == 0 {
            return Err(RouterError::NoPlan);
        }
        let ends = deadline - (time_left(deadline) / RESERVE_SHARE).min(MAX_RESERVE);
        if time_left(ends).is_zero() {
            return Err(RouterError::Deadline);
        }
        let is_mirrored = forced.is_some();
        let routes = match forced {
            None => for_each(requests, |request| route(request, plan))?,
            Some(routes) => routes,
        };
        let versions: BTreeSet<_> = routes.iter().flat_map(|route| route.root.versions()).collect();
        let rotation = self.replica_rotation.fetch_add(1, Ordering::Relaxed);
        let mut shards = ShardMap::new(plan, &versions, &self.nodes, rotation);
        shards.targets.priority = match requests.len() {
            _ if is_mirrored => Priority::Mirrored,
            0 | 1 => Priority::Interactive,
            2.. => Priority::Batch,
        };
        let planned = for_each(requests.iter().zip(routes), |(request, route)| {
            PlannedRequest::new(request, route, &shards)
        })?;
        let result = self.run_stages(planned, &mut shards, ends).await;
        *is_outdated = shards.is_outdated();
        result
    }

    /// Takes planned requests through the stages that follow. Says where the time went, if it was much.
    async fn run_stages<'a>(
        &self,
        planned: Vec<PlannedRequest<'a>>,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<Vec<RankingAnswer>, RouterError> {
        let requests = planned.len();
        let mut clock = StageClock::start(Instant::now());
        let result = self.run_timed(planned, shards, deadline, &mut clock).await;
        self.stage_times.add(&clock);
        let now = Instant::now();
        let took = clock.total(now);
        if self.slow_answer.is_some_and(|slow| took > slow) {
            let error = result.as_ref().err().map(tracing::field::display);
            let (priority, stages) = (shards.targets.priority, clock.describe(now));
            tracing::warn!(?took, stages, requests, ?priority, error, "a slow answer");
        }
        result
    }

    async fn run_timed<'a>(
        &self,
        planned: Vec<PlannedRequest<'a>>,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
        clock: &mut StageClock,
    ) -> Result<Vec<RankingAnswer>, RouterError> {
        let looked_up = self.rounds.look_up(planned, shards, deadline).await?;
        clock.end(Stage::Lookup, Instant::now());
        let fused = self.rounds.search_and_fuse(looked_up, shards, deadline).await?;
        clock.end(Stage::Search, Instant::now());
        let diversified = self.rounds.diversify(fused, shards, deadline).await?;
        clock.end(Stage::Diversify, Instant::now());
        let explained = self.rounds.explain(diversified, shards, deadline).await?;
        let began = Instant::now();
        clock.end(Stage::Explain, began);
        let left = time_left(deadline);
        let answers = for_each(explained, |request| {
            request.into_answer(shards).map_err(|error| error.with_time_left(left))
        });
        let ended = Instant::now();
        clock.end(Stage::Answer, ended);
        self.rounds.merging.add(ended - began);
        answers
    }
}

/// What came of a batch under one plan.
struct Attempt {
    result: Result<Vec<RankingAnswer>, RouterError>,
    /// A shard did not hold what the plan says it holds.
    is_outdated: bool,
}

/// Does a step for each request of a batch; an error says for which.
fn for_each<T, U>(
    requests: impl IntoIterator<Item = T>,
    mut step: impl FnMut(T) -> Result<U, RouterError>,
) -> Result<Vec<U>, RouterError> {
    let requests = requests.into_iter();
    let mut done = Vec::with_capacity(requests.size_hint().0);
    for (n, request) in requests.enumerate() {
        done.push(step(request).map_err(|error| error.in_batch(n))?);
    }
    Ok(done)
}
