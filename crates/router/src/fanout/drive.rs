//! Makes the calls that [`FanOut`] decides on, and tells it what became of them.

use super::counts::FanOutCounts;
use super::decide::{CallFailure, Cause, FanOut, ShardCall};
use super::policy::{
    CallBudgets, MIN_PATIENCE, SUSPECT_PATIENCE, hedge_delay, is_own_delay, patience,
};
use super::select::{Assignment, Replicas, Standing};
use crate::fanout::health::CallKind;
use crate::fanout::node::{NodeHandle, usual_latency};
use crate::pressure::Pressure;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use marquee_core::overload::Priority;
use marquee_proto::overload::set_priority;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Request, Status};

/// What a call of a round is.
pub(crate) trait Round: Send {
    /// A node's answer.
    type Reply: Send;

    /// Which latencies its calls are comparable with.
    fn kind(&self) -> CallKind;

    /// Asks a node for these shards. The call must not outlive the timeout of its terms.
    fn call(
        &self,
        service: Arc<dyn ShardService>,
        shards: &[usize],
        terms: CallTerms,
    ) -> BoxFuture<'static, Result<Self::Reply, Status>>;

    /// Takes an answer in, or says why it makes no sense; nothing of such an answer is used.
    fn absorb(&mut self, shards: &[usize], reply: Self::Reply) -> Result<(), String>;
}

/// What every call of a round tells its node besides what it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTerms {
    /// The time that is left for the answer.
    pub(crate) timeout: Duration,
    /// What the answer is worth.
    pub(crate) priority: Priority,
}

impl CallTerms {
    /// A call by these terms.
    pub(crate) fn request<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        set_priority(request.metadata_mut(), self.priority);
        request
    }
}

/// The results of a reply, each with the operation of the round that it answers.
///
/// # Errors
/// There are more or fewer results than operations, called `what` in the message.
pub(crate) fn pair_results<T>(
    operations: Vec<usize>,
    results: Vec<T>,
    what: &str,
) -> Result<Vec<(usize, T)>, String> {
    if results.len() != operations.len() {
        return Err(format!("{} results for {} {what}", results.len(), operations.len()));
    }
    Ok(operations.into_iter().zip(results).collect())
}

/// The nodes that a round may call, and the shards that each holds.
pub(crate) struct CallTargets {
    /// Numbered as in `replicas`.
    pub(crate) nodes: Vec<Arc<NodeHandle>>,
    /// The nodes that hold each shard.
    pub(crate) replicas: Replicas,
    /// What answers to this request are worth.
    pub(crate) priority: Priority,
}

impl CallTargets {
    /// Whether the health that calls show of nodes is remembered for other requests. A candidate that hangs in
    /// mirrored requests must not make nodes look dead that answer callers well.
    fn records_health(&self) -> bool {
        self.priority != Priority::Mirrored
    }

    fn is_suspect(&self, call: &ShardCall) -> bool {
        let suspect = (call.node, Standing::Suspect);
        call.shards.iter().any(|&shard| self.replicas.shards[shard].contains(&suspect))
    }
}

/// How long a round may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundLimit {
    /// It ends then.
    pub(crate) at: Instant,
    /// It is sooner than the request's own deadline. A call that is late by it says nothing of the node's health.
    pub(crate) is_shortened: bool,
}

/// What came of a round besides answers.
#[derive(Debug, Default)]
pub(crate) struct RoundOutcome {
    /// The shards without an answer, and why.
    pub(crate) unanswered: Vec<(usize, CallFailure)>,
    /// Nodes that could not be reached or kept us waiting for nothing: not to be asked in the next round of the
    /// same request while others have the shard.
    pub(crate) suspected: BTreeSet<usize>,
}

/// What rounds share with those of other requests.
#[derive(Clone, Copy)]
pub(crate) struct DriveAids<'a> {
    /// What may be hedged and retried.
    pub(crate) budgets: &'a Mutex<CallBudgets>,
    /// How late this process itself is.
    pub(crate) pressure: &'a Pressure,
    /// What is counted of calls.
    pub(crate) counts: &'a FanOutCounts,
}

/// Makes the calls of `first` and what follows from them, until all is answered, nothing is left to
/// try, or the deadline is there.
///
/// # Errors
/// A node found the request itself wrong (INVALID_ARGUMENT): asking another would not help.
pub(crate) async fn drive<R: Round>(
    round: &mut R,
    targets: &CallTargets,
    DriveAids { budgets, pressure, counts }: DriveAids<'_>,
    first: &Assignment,
    limit: RoundLimit,
) -> Result<RoundOutcome, Status> {
    let RoundLimit { at: deadline, is_shortened } = limit;
    let mut fanout = FanOut::new(&targets.replicas, first);
    // Of all nodes: by its own, a slow node would be given all the time it takes.
    let usual = usual_latency(&targets.nodes, round.kind());
    let mut under_way = FuturesUnordered::new();
    let mut alarms: Vec<Alarm> = Vec::new();
    let mut begun: Vec<Instant> = Vec::new();
    let mut suspected = BTreeSet::new();
    let mut new: Vec<usize> = (0..fanout.calls()).collect();
    loop {
        for number in new.drain(..) {
            let call = fanout.call(number);
            let node = &targets.nodes[call.node];
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            tracing::trace!(node = node.id, shards = ?call.shards, cause = ?call.cause, "asking");
            counts.call(call.cause);
            if call.cause == Cause::First {
                lock(budgets).earn();
            }
            alarms.extend(Alarm::both(number, now, left, usual));
            if targets.is_suspect(call) {
                alarms.push(Alarm {
                    at: now + SUSPECT_PATIENCE,
                    call: number,
                    sign: Sign::Hopeless,
                });
            }
            begun.push(now);
            let terms = CallTerms { timeout: left, priority: targets.priority };
            let reply = round.call(Arc::clone(&node.service), &call.shards, terms);
            let counted = node.begin_call();
            under_way.push(async move {
                let reply = reply.await;
                drop(counted);
                (number, reply)
            });
        }
        if fanout.is_over() {
            break;
        }
        alarms.retain(|alarm| fanout.is_awaited(alarm.call));
        let next = alarms.iter().map(|alarm| alarm.at).min().unwrap_or(deadline).min(deadline);
        tokio::select! {
            biased;
            Some((number, reply)) = under_way.next() => {
                let call = fanout.call(number);
                let node = Arc::clone(&targets.nodes[call.node]);
                let took = begun[number].elapsed();
                let result = reply
                    .map_err(|status| (classify(&status), status))
                    .and_then(|reply| {
                        round.absorb(&call.shards, reply).map_err(|reason| {
                            (Some(CallFailure::Broken), Status::internal(reason))
                        })
                    });
                match result {
                    Ok(()) => {
                        suspected.remove(&call.node);
                        if targets.records_health() {
                            node.answered(round.kind(), took, usual);
                        }
                        fanout.answered(number);
                    }
                    Err((None, status)) => return Err(status),
                    Err((Some(failure), status)) => {
                        // A late router sees late answers.
                        let is_excused = is_shortened || is_own_delay(Duration::ZERO, pressure.own_delay());
                        let was_rushed = is_excused && failure == CallFailure::Timeout;
                        counts.failure(failure);
                        if failure == CallFailure::Overloaded {
                            pressure.shard_refused();
                        }
                        if targets.records_health() && !was_rushed {
                            note(&node, failure, took, &status);
                        }
                        if !was_rushed && matches!(failure, CallFailure::Unreachable | CallFailure::Timeout) {
                            suspected.insert(fanout.call(number).node);
                        }
                        new = fanout.failed(number, failure, &mut |calls| {
                            lock(budgets).spend_retries(calls)
                        });
                    }
                }
            }
            () = sleep_until(next) => {
                let now = Instant::now();
                if now >= deadline {
                    break;
                }
                for alarm in alarms.extract_if(.., |alarm| alarm.at <= now) {
                    new.extend(match alarm.sign {
                        Sign::Slow => {
                            fanout.slow(alarm.call, &mut |calls| lock(budgets).spend_hedges(calls))
                        }
                        Sign::Overdue => {
                            let node = fanout.call(alarm.call).node;
                            let late = now.saturating_duration_since(alarm.at);
                            let is_excused = is_shortened || is_own_delay(late, pressure.own_delay());
                            if !is_excused {
                                suspected.insert(node);
                            }
                            if targets.records_health() && !is_excused {
                                note_hang(&targets.nodes[node], begun[alarm.call]);
                            }
                            fanout.overdue(alarm.call, &mut |calls| {
                                lock(budgets).spend_retries(calls)
                            })
                        }
                        Sign::Hopeless => {
                            fanout.failed(alarm.call, CallFailure::Timeout, &mut |calls| {
                                lock(budgets).spend_retries(calls)
                            })
                        }
                    });
                }
            }
        }
    }
    let is_excused = is_shortened || is_own_delay(Duration::ZERO, pressure.own_delay());
    if targets.records_health() && !is_excused {
        for number in (0..fanout.calls()).filter(|&number| fanout.is_under_way(number)) {
            let node = &targets.nodes[fanout.call(number).node];
            node.was_beaten(begun[number].elapsed(), usual);
        }
    }
    let unanswered = fanout.unanswered();
    counts.unanswered(unanswered.len());
    Ok(RoundOutcome { unanswered, suspected })
}

/// A moment at which to look after a call.
struct Alarm {
    at: Instant,
    call: usize,
    sign: Sign,
}

/// What it means if the call is still under way then.
#[derive(Clone, Copy)]
enum Sign {
    /// It takes longer than most.
    Slow,
    /// Its node seems to hang.
    Overdue,
    /// Its node failed lately and does so again.
    Hopeless,
}

impl Alarm {
    fn both(
        call: usize,
        now: Instant,
        left: Duration,
        p95: Option<Duration>,
    ) -> impl Iterator<Item = Self> {
        let slow = hedge_delay(p95).map(|delay| Self { at: now + delay, call, sign: Sign::Slow });
        let overdue = Self { at: now + patience(p95, left), call, sign: Sign::Overdue };
        slow.into_iter().chain([overdue])
    }
}

/// How a status counts; none if the request itself is at fault.
fn classify(status: &Status) -> Option<CallFailure> {
    match status.code() {
        Code::InvalidArgument => None,
        // The transport reports a broken connection as Unknown.
        Code::Unavailable | Code::Unknown => Some(CallFailure::Unreachable),
        Code::FailedPrecondition => Some(CallFailure::NotHeld),
        Code::ResourceExhausted => Some(CallFailure::Overloaded),
        Code::DeadlineExceeded | Code::Cancelled => Some(CallFailure::Timeout),
        _ => Some(CallFailure::Broken),
    }
}

fn note(node: &NodeHandle, failure: CallFailure, took: Duration, status: &Status) {
    tracing::debug!(
        node = node.id,
        ?failure,
        code = ?status.code(),
        message = status.message(),
        "a shard node failed a call"
    );
    match failure {
        CallFailure::Unreachable => node.failed(status.message()),
        // A caller in a hurry does not make a node hang.
        CallFailure::Timeout if took >= MIN_PATIENCE => node.failed("no answer in time"),
        CallFailure::Timeout
        | CallFailure::NotHeld
        | CallFailure::Overloaded
        | CallFailure::Broken => {}
    }
}

fn note_hang(node: &NodeHandle, begun: Instant) {
    if begun.elapsed() >= MIN_PATIENCE {
        node.failed("no answer in time");
    }
}

fn lock(budgets: &Mutex<CallBudgets>) -> std::sync::MutexGuard<'_, CallBudgets> {
    // Budgets are whole after every step, so a panic elsewhere leaves nothing to fear.
    budgets.lock().unwrap_or_else(PoisonError::into_inner)
}
