//! From asks to answers: one plan, one round of lookups, one round of searches.
//!
//! A batch goes through the rounds as a whole, so a node gets one Lookup and one Search for all of
//! its requests and all versions that serve them. Sequences need a further Search a stage. A single
//! request is a batch of one.
//!
//! An attempt uses one plan from beginning to end. When a shard says that it does not hold what that
//! plan says it holds, and a newer plan is there or comes within a moment, the whole batch is
//! answered anew under it: nothing of the first attempt is kept, so no answer mixes the two.
//!
//! [`rounds`] has the rounds themselves.
//!
//! A mirrored request is answered by the plan and the route that it is given, once, and what its calls
//! show of nodes is forgotten ([`Engine::answer_by`]).

mod rounds;

use crate::ask::{Answer, Ask};
use crate::error::RouterError;
use crate::fanout::policy::HedgeBudget;
use crate::layout::Layout;
use crate::node::Nodes;
use crate::row_cache::{RowCache, RowCounts};
use crate::task::Task;
use marquee_core::plan::{Plan, Route};
use marquee_core::time_spent::Spent;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// An attempt ends this part of the time left before the deadline, to answer with what is there...
const RESERVE_SHARE: u32 = 20;
/// ...but no sooner than this before it.
const MAX_RESERVE: Duration = Duration::from_millis(20);
/// How long to wait for the plan that made a shard drop what we asked for: plans reach all nodes
/// within some tens of milliseconds of each other.
const PLAN_CATCH_UP: Duration = Duration::from_millis(100);
/// After this long under one plan it is not the plan that is late, and nobody waits for another.
const PLAN_CATCH_UP_WINDOW: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Engine {
    plan: watch::Receiver<Arc<Plan>>,
    nodes: Arc<Nodes>,
    /// What bundles say of those who were asked about before.
    rows: Arc<RowCache>,
    hedging: Mutex<HedgeBudget>,
    /// What mirrored requests may hedge: they take nothing from callers.
    mirror_hedging: Mutex<HedgeBudget>,
    /// Turns the choice of replicas from request to request.
    requests: AtomicU64,
    /// The epoch under which a shard first lacked something, and when.
    lagging: Mutex<Option<(u64, Instant)>>,
    /// Making lists of what nodes answered, and answers of lists.
    pub(crate) merging: Spent,
}

impl Engine {
    /// Answers by the plans of `plan` from `nodes`, and what is in `rows`.
    pub(crate) fn new(
        plan: watch::Receiver<Arc<Plan>>,
        nodes: Arc<Nodes>,
        rows: Arc<RowCache>,
    ) -> Self {
        Self {
            plan,
            nodes,
            rows,
            hedging: Mutex::default(),
            mirror_hedging: Mutex::default(),
            requests: AtomicU64::new(0),
            lagging: Mutex::default(),
            merging: Spent::default(),
        }
    }

    /// What the remembered rows were good for.
    pub(crate) fn row_counts(&self) -> RowCounts {
        self.rows.counts()
    }

    /// Answers all of a batch, in order, and says by which plan.
    ///
    /// # Errors
    /// What keeps all from an answer, or [`RouterError::InBatch`] for the first that has none.
    pub(crate) async fn answer(
        &self,
        asks: &[Ask],
        deadline: Instant,
    ) -> (Arc<Plan>, Result<Vec<Answer>, RouterError>) {
        let mut plan = self.plan.clone();
        let first = Arc::clone(&plan.borrow_and_update());
        let attempt = self.attempt(&first, asks, None, deadline).await;
        if attempt.met_another_plan
            && let Some(newer) = self.newer(&mut plan, first.epoch, deadline).await
        {
            tracing::debug!(
                from = first.epoch,
                to = newer.epoch,
                "the plan moved on: answering anew"
            );
            let result = self.attempt(&newer, asks, None, deadline).await.result;
            return (newer, result);
        }
        (first, attempt.result)
    }

    /// Answers an ask by this plan and route, whatever the ask's own route is. None if a shard did not
    /// hold what the plan says and there is a newer plan: then the answer says nothing of the route.
    pub(crate) async fn answer_by(
        &self,
        plan: &Plan,
        ask: &Ask,
        route: Route,
        deadline: Instant,
    ) -> Option<Result<Answer, RouterError>> {
        let attempt = self.attempt(plan, std::slice::from_ref(ask), Some(route), deadline).await;
        if attempt.met_another_plan && self.plan.borrow().epoch > plan.epoch {
            return None;
        }
        let one =
            |answers: Vec<Answer>| answers.into_iter().next().expect("one ask has one answer");
        Some(attempt.result.map(one))
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
        let patience = patience.min(left(deadline) / 2);
        let newer = timeout(patience, plan.wait_for(|plan| plan.epoch > epoch)).await;
        newer.ok()?.ok().map(|plan| Arc::clone(&plan))
    }

    async fn attempt(
        &self,
        plan: &Plan,
        asks: &[Ask],
        forced: Option<Route>,
        deadline: Instant,
    ) -> Attempt {
        let mut met_another_plan = false;
        let result = self.try_answer(plan, asks, forced, deadline, &mut met_another_plan).await;
        Attempt { result, met_another_plan }
    }

    async fn try_answer(
        &self,
        plan: &Plan,
        asks: &[Ask],
        forced: Option<Route>,
        deadline: Instant,
        met_another_plan: &mut bool,
    ) -> Result<Vec<Answer>, RouterError> {
        if plan.epoch == 0 {
            return Err(RouterError::NoPlan);
        }
        let deadline = deadline - (left(deadline) / RESERVE_SHARE).min(MAX_RESERVE);
        if left(deadline).is_zero() {
            return Err(RouterError::Deadline);
        }
        let is_for_somebody = forced.is_none();
        let routes = match forced {
            None => each(asks, |ask| Task::route(ask, plan))?,
            Some(route) => vec![route],
        };
        let versions: BTreeSet<_> = routes.iter().flat_map(|route| route.root.versions()).collect();
        let salt = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut layout = Layout::new(plan, &versions, &self.nodes, salt);
        layout.terrain.learns = is_for_somebody;
        let mut routes = routes.into_iter();
        let mut tasks = each(asks, |ask| {
            Task::new(ask, routes.next().expect("one was made for each ask"), &layout)
        })?;
        let lookups = self.look_up(&mut tasks, &mut layout, deadline).await;
        if lookups.is_ok() {
            self.search(&mut tasks, &mut layout, deadline).await?;
            self.spread(&mut tasks, &mut layout, deadline).await?;
            self.explain(&mut tasks, &mut layout, deadline).await?;
        }
        *met_another_plan = tasks.iter().any(Task::met_another_plan);
        lookups?;
        let began = Instant::now();
        let mut tasks = tasks.into_iter();
        let answers =
            each(asks, |_| tasks.next().expect("one was made for each ask").finish(&layout));
        self.merging.add(began.elapsed());
        answers
    }
}

struct Attempt {
    result: Result<Vec<Answer>, RouterError>,
    /// A shard did not hold what the plan says it holds.
    met_another_plan: bool,
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn in_batch(error: RouterError, index: usize) -> RouterError {
    RouterError::InBatch { index, source: Box::new(error) }
}

/// Does something for each ask; an error says for which.
fn each<'a, T>(
    asks: &'a [Ask],
    mut what: impl FnMut(&'a Ask) -> Result<T, RouterError>,
) -> Result<Vec<T>, RouterError> {
    let one = |(n, ask)| what(ask).map_err(|error| in_batch(error, n));
    asks.iter().enumerate().map(one).collect()
}
