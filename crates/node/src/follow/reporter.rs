//! Reports to control that the node is alive, and the state of its replicas.

use futures::future::BoxFuture;
use marquee_client::{Address, Backoff, Credentials, Rotation, channel, innermost_reason};
use marquee_core::command::ReplicaReport;
use marquee_core::plan::Role;
use marquee_core::trouble::NodeReport;
use marquee_proto::control::v1 as wire;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::convert::node::replica_report_to_pb;
use marquee_proto::convert::trouble::node_report_to_pb;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Code, Status};

/// Interval of reports without changes. Control takes the node for dead after a few missing reports.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Upper bound of one report: control forwards it to the leader.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Upper bound of one attempt where there are several control nodes: while one is frozen, two more can be asked before
/// the others take this node for dead.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(700);

/// The receiver of reports: the control node of this process, or others. It returns the plan's epoch at the
/// control node that took the report.
pub type ReportSink =
    Arc<dyn Fn(wire::ReportNodeRequest) -> BoxFuture<'static, Result<u64, Status>> + Send + Sync>;

/// What control registers about a node.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// The node's id.
    pub node_id: String,
    /// The address at which routers reach it.
    pub address: String,
    /// The node's roles; control itself is not reported.
    pub roles: BTreeSet<Role>,
    /// Upper bound of the bytes of mapped bundles; 0: unlimited.
    pub memory_budget_bytes: u64,
}

/// A sink that reports to one of these control nodes, and to the next one after a failure or when it takes too long.
/// Must be called within a tokio runtime.
pub fn to_control_nodes(addresses: &[Address], credentials: &Credentials) -> ReportSink {
    let channels = addresses.iter().map(|address| channel(address, credentials));
    let channels: Arc<Vec<_>> = Arc::new(channels.collect());
    let rotation = Rotation::new(channels.len(), fastrand::usize(..));
    let rotation = Arc::new(Mutex::new(rotation));
    Arc::new(move |request| {
        let (channels, rotation) = (channels.clone(), rotation.clone());
        Box::pin(async move {
            let attempt = Attempt::begin(&rotation);
            let mut control = ControlServiceClient::new(channels[attempt.server].clone());
            let limit = if channels.len() > 1 { ATTEMPT_TIMEOUT } else { REPORT_TIMEOUT };
            let taken = tokio::time::timeout(limit, control.report_node(request)).await;
            let taken = taken.map_err(|_| Status::unavailable("no answer in time"))??;
            attempt.succeeded();
            Ok(taken.into_inner().plan_epoch)
        })
    })
}

/// A report under way to one control node, which has failed unless it says otherwise: where it is no longer waited for,
/// another one is asked next.
struct Attempt<'a> {
    rotation: &'a Mutex<Rotation>,
    server: usize,
    has_succeeded: bool,
}

impl<'a> Attempt<'a> {
    fn begin(rotation: &'a Mutex<Rotation>) -> Self {
        let server = lock(rotation).best();
        Self { rotation, server, has_succeeded: false }
    }

    fn succeeded(mut self) {
        self.has_succeeded = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.has_succeeded {
            lock(self.rotation).failed(self.server);
        }
    }
}

fn lock(rotation: &Mutex<Rotation>) -> MutexGuard<'_, Rotation> {
    // It is whole after every step, so a panic elsewhere leaves nothing to fear.
    rotation.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports until aborted: each [`REPORT_EVERY`], and at once when the replicas change. The control node that
/// takes a report returns the epoch of its plan, and `newest` is set to the highest.
///
/// Each has what the node says of itself, and `failure` why the last one was not taken.
pub async fn report_node(
    identity: NodeIdentity,
    mut replicas: watch::Receiver<Vec<ReplicaReport>>,
    own: watch::Receiver<NodeReport>,
    sink: ReportSink,
    newest: watch::Sender<u64>,
    failure: watch::Sender<Option<String>>,
) {
    let mut backoff = Backoff::default();
    let mut is_failing = false;
    let mut replicas_end = false;
    loop {
        let report = request(&identity, &replicas.borrow_and_update(), &own.borrow());
        let sent = tokio::time::timeout(REPORT_TIMEOUT, sink(report)).await;
        let wait = match sent {
            Ok(Ok(epoch)) => {
                newest.send_if_modified(|newest| {
                    let is_newer = epoch > *newest;
                    *newest = epoch.max(*newest);
                    is_newer
                });
                failure.send_replace(None);
                if std::mem::take(&mut is_failing) {
                    tracing::info!("control accepts reports again");
                }
                backoff.reset();
                REPORT_EVERY
            }
            Ok(Err(status)) => {
                failure.send_replace(Some(reason_of(&status)));
                log_failure(&mut is_failing, &status);
                backoff.after_failure(fastrand::f64())
            }
            Err(_) => {
                let status = Status::unavailable("no answer in time");
                failure.send_replace(Some(reason_of(&status)));
                log_failure(&mut is_failing, &status);
                backoff.after_failure(fastrand::f64())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = replicas.changed(), if !replicas_end => replicas_end = changed.is_err(),
        }
    }
}

fn reason_of(status: &Status) -> String {
    match status.code() {
        Code::Unavailable => innermost_reason(status),
        _ => status.message().to_owned(),
    }
}

/// Logs a failure once, until a report is accepted again.
fn log_failure(is_failing: &mut bool, status: &Status) {
    if !std::mem::replace(is_failing, true) {
        let reason = reason_of(status);
        tracing::warn!(reason, "control does not accept this node's reports; trying again");
    }
}

/// The role as a report has it; none for the control role, which is not reported.
fn role_to_report(role: &Role) -> Option<i32> {
    match role {
        Role::Control => None,
        Role::Shard => Some(wire::Role::Shard as i32),
        Role::Router => Some(wire::Role::Router as i32),
    }
}

/// The report of a node's replicas.
fn request(
    identity: &NodeIdentity,
    replicas: &[ReplicaReport],
    own: &NodeReport,
) -> wire::ReportNodeRequest {
    let NodeIdentity { node_id, address, roles, memory_budget_bytes } = identity;
    wire::ReportNodeRequest {
        node_id: node_id.clone(),
        address: address.clone(),
        roles: roles.iter().filter_map(role_to_report).collect(),
        memory_budget_bytes: *memory_budget_bytes,
        replicas: replicas.iter().map(replica_report_to_pb).collect(),
        report: Some(node_report_to_pb(own, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::id::ModelVersion;
    use marquee_core::plan::{PlannedReplica, ReplicaState};
    use tokio::sync::mpsc;

    fn identity() -> NodeIdentity {
        NodeIdentity {
            node_id: "n".into(),
            address: "http://127.0.0.1:1".into(),
            roles: BTreeSet::from([Role::Control, Role::Shard]),
            memory_budget_bytes: 7,
        }
    }

    fn own() -> watch::Receiver<NodeReport> {
        watch::channel(NodeReport { node_id: "n".into(), ..NodeReport::default() }).1
    }

    fn report(state: ReplicaState) -> Vec<ReplicaReport> {
        let replica = PlannedReplica { state, reason: String::new() };
        vec![ReplicaReport { version: ModelVersion::new("films", 1), shard: 3, replica }]
    }

    #[tokio::test(start_paused = true)]
    async fn reports_come_each_second_and_at_once_on_a_change() {
        let (reports, mut seen) = mpsc::unbounded_channel();
        let sink: ReportSink = Arc::new(move |request| {
            let reports = reports.clone();
            Box::pin(async move {
                reports.send((tokio::time::Instant::now(), request)).expect("the test listens");
                Ok(17)
            })
        });
        let (replicas, receiver) = watch::channel(report(ReplicaState::Loading));
        let (newest, epoch) = watch::channel(0);
        let task = tokio::spawn(report_node(
            identity(),
            receiver,
            own(),
            sink,
            newest,
            watch::Sender::new(None),
        ));
        let (first, request) = seen.recv().await.expect("reports");
        assert_eq!(
            request.roles,
            [wire::Role::Shard as i32],
            "voters are none of the plan's nodes"
        );
        assert_eq!(request.replicas[0].state(), wire::ReplicaState::Loading);
        assert_eq!(request.report.expect("what it says of itself").node_id, "n");
        let (second, _) = seen.recv().await.expect("reports");
        assert_eq!(second - first, REPORT_EVERY);
        replicas.send(report(ReplicaState::Available)).expect("the reporter listens");
        let (third, request) = seen.recv().await.expect("reports");
        assert!(third - second < REPORT_EVERY, "{:?}", third - second);
        assert_eq!(request.replicas[0].state(), wire::ReplicaState::Available);
        assert_eq!(*epoch.borrow(), 17, "what control said is passed on");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_report_is_sent_again_soon() {
        let (reports, mut seen) = mpsc::unbounded_channel();
        let sink: ReportSink = Arc::new(move |_| {
            let reports = reports.clone();
            Box::pin(async move {
                reports.send(tokio::time::Instant::now()).expect("the test listens");
                Err(Status::unavailable("no leader"))
            })
        });
        let (_replicas, receiver) = watch::channel(Vec::new());
        let newest = watch::Sender::new(0);
        let task = tokio::spawn(report_node(
            identity(),
            receiver,
            own(),
            sink,
            newest,
            watch::Sender::new(None),
        ));
        let first = seen.recv().await.expect("reports");
        let second = seen.recv().await.expect("reports");
        assert!(second - first <= marquee_client::FIRST_WAIT + Duration::from_millis(2));
        task.abort();
    }

    #[test]
    fn an_attempt_that_nobody_waits_for_has_failed() {
        let rotation = Mutex::new(Rotation::new(3, 0));
        Attempt::begin(&rotation).succeeded();
        assert_eq!(lock(&rotation).best(), 0);
        drop(Attempt::begin(&rotation));
        assert_eq!(lock(&rotation).best(), 1, "whether its time was up here or further out");
    }
}
