//! Asks all nodes that can tell something, each for a bounded time, and makes facts of what they say.

use futures::stream::{self, StreamExt as _};
use marquee_client::{
    Address, CallError, Credentials, MAX_CONTROL_MESSAGE_BYTES, channel, innermost_reason,
};
use marquee_core::bounds::MAX_NODES;
use marquee_core::id::ModelVersion;
use marquee_core::plan::{Plan as CorePlan, ReplicaState};
use marquee_core::trouble::{
    ClusterFacts, FailedReplica, NodeFacts, ReceivedReport, VoterAnswer, VoterFacts,
};
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::convert::plan::plan_from_pb;
use marquee_proto::convert::trouble::node_report_from_pb;
use marquee_proto::node::v1::node_service_client::NodeServiceClient;
use marquee_proto::node::v1::{GetNodeStatusRequest, GetNodeStatusResponse};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status};

/// How long a node may take to answer: what answers at all takes milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a majority may take to confirm that there is a leader.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
/// How many control nodes are asked to confirm it, one after the other.
const MAX_CONFIRMATIONS: usize = 2;
/// How many nodes are asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// What was gathered.
pub(super) struct Gathered {
    /// The answer of the control node that has applied most; none if none answers.
    pub(super) best: Option<pb::GetStatusResponse>,
    /// The newest plan.
    pub(super) plan: pb::Plan,
    /// The node id of each voter that answers, by raft id.
    pub(super) voter_nodes: BTreeMap<u64, String>,
    /// What the diagnosis is made of.
    pub(super) facts: ClusterFacts,
}

/// What one address said.
enum Said {
    Control(Box<pb::GetStatusResponse>),
    Node(Box<GetNodeStatusResponse>),
    Nothing(Status),
}

/// Gathers what the nodes at these addresses know, and those that they name.
pub(super) async fn gather(
    addresses: &[Address],
    credentials: &Credentials,
) -> Result<Gathered, CallError> {
    let mut said = ask_all(addresses.to_vec(), credentials).await;
    let named = named_control(&said, credentials);
    said.extend(ask_all(named, credentials).await);
    let has_control = said.values().any(|said| matches!(said, Said::Control(_)));
    if !has_control {
        // Nobody has their reports, so the nodes themselves are asked.
        let named = named_nodes(&said, credentials);
        said.extend(ask_all(named, credentials).await);
    }
    if said.values().all(|said| matches!(said, Said::Nothing(_))) {
        return Err(nobody_answers(&said));
    }
    let mut controls: Vec<(&Address, &pb::GetStatusResponse)> = Vec::new();
    for (address, said) in &said {
        if let Said::Control(status) = said {
            controls.push((address, status));
        }
    }
    controls.sort_by_key(|(_, status)| {
        (std::cmp::Reverse(status.applied_index), status.leader != status.answered_by)
    });
    let confirmed = confirmed_plan(&controls, credentials).await;
    let has_majority = confirmed.is_some();
    let plan = match confirmed {
        Some(plan) => plan,
        None => known_plan(&controls, &said, credentials).await,
    };
    let best = controls.first().map(|(_, status)| (*status).clone());
    let mut voter_nodes = BTreeMap::new();
    for (_, status) in &controls {
        if !status.own_node_id.is_empty() {
            voter_nodes.insert(status.answered_by, status.own_node_id.clone());
        }
    }
    let facts = facts_of(has_majority, best.as_ref(), &plan, &said);
    Ok(Gathered { best, plan, voter_nodes, facts })
}

async fn ask_all(addresses: Vec<Address>, credentials: &Credentials) -> BTreeMap<Address, Said> {
    let asked = addresses.into_iter().map(|address| async move {
        let said = ask(&address, credentials).await;
        (address, said)
    });
    stream::iter(asked).buffer_unordered(ASKED_AT_ONCE).collect().await
}

/// Asks a node what it knows, as a control node and else as any other.
async fn ask(address: &Address, credentials: &Credentials) -> Said {
    let mut control = ControlServiceClient::new(channel(address, credentials));
    let asked = in_time(control.get_status(pb::GetStatusRequest {})).await;
    match asked {
        Ok(status) => Said::Control(Box::new(status)),
        Err(status) if status.code() == Code::Unimplemented => {
            let mut node = NodeServiceClient::new(channel(address, credentials))
                .max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES);
            match in_time(node.get_node_status(GetNodeStatusRequest {})).await {
                Ok(status) => Said::Node(Box::new(status)),
                Err(status) => Said::Nothing(status),
            }
        }
        Err(status) => Said::Nothing(status),
    }
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::unavailable(format!("no answer within {ANSWER_TIMEOUT:?}"))),
    }
}

/// The addresses of control nodes that others named and that were not asked yet.
fn named_control(said: &BTreeMap<Address, Said>, credentials: &Credentials) -> Vec<Address> {
    let mut named = Vec::new();
    let mut answered = Vec::new();
    for said in said.values() {
        match said {
            Said::Control(status) => {
                answered.push(status.answered_by);
                named.extend(status.voters.iter().map(|voter| (voter.id, &voter.address)));
            }
            Said::Node(status) => {
                named.extend(status.control_addresses.iter().map(|address| (0, address)));
            }
            Said::Nothing(_) => {}
        }
    }
    named.retain(|(id, _)| !answered.contains(id));
    usable(named.into_iter().map(|(_, address)| address), said, credentials)
}

/// The addresses of shard and router nodes in plans that were not asked yet.
fn named_nodes(said: &BTreeMap<Address, Said>, credentials: &Credentials) -> Vec<Address> {
    let mut named = Vec::new();
    for said in said.values() {
        if let Said::Node(status) = said {
            let nodes = status.plan.iter().flat_map(|plan| &plan.nodes);
            named.extend(nodes.map(|node| &node.address));
        }
    }
    usable(named.into_iter(), said, credentials)
}

/// Those of the addresses that were not asked yet and to which the credentials may be sent.
fn usable<'a>(
    named: impl Iterator<Item = &'a String>,
    said: &BTreeMap<Address, Said>,
    credentials: &Credentials,
) -> Vec<Address> {
    let parsed = named.filter_map(|address| address.parse::<Address>().ok());
    let mut usable: Vec<Address> = parsed
        .filter(|address| !said.contains_key(address))
        .filter(|address| credentials.check(std::slice::from_ref(address)).is_ok())
        .collect();
    usable.sort();
    usable.dedup();
    usable.truncate(MAX_NODES);
    usable
}

/// Why a node did not answer, in words.
fn reason_of(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => innermost_reason(source),
        None => status.message().to_owned(),
    }
}

fn nobody_answers(said: &BTreeMap<Address, Said>) -> CallError {
    let mut reason = String::new();
    for said in said.values() {
        if let Said::Nothing(status) = said {
            if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) {
                return CallError::Refused(Box::new(status.clone()));
            }
            reason = reason_of(status);
        }
    }
    let addresses: Vec<&str> = said.keys().map(Address::as_str).collect();
    CallError::Unreachable { addresses: addresses.join(", "), reason }
}

/// The plan, as a leader and a majority confirm it; none if they do not.
async fn confirmed_plan(
    controls: &[(&Address, &pb::GetStatusResponse)],
    credentials: &Credentials,
) -> Option<pb::Plan> {
    let with_leader = controls.iter().filter(|(_, status)| status.leader != 0);
    for (address, _) in with_leader.take(MAX_CONFIRMATIONS) {
        let asked = get_plan(address, credentials, false);
        if let Ok(Some(plan)) = tokio::time::timeout(CONFIRM_TIMEOUT, asked).await {
            return Some(plan);
        }
    }
    None
}

/// The newest plan that anyone knows.
async fn known_plan(
    controls: &[(&Address, &pb::GetStatusResponse)],
    said: &BTreeMap<Address, Said>,
    credentials: &Credentials,
) -> pb::Plan {
    for (address, _) in controls {
        let asked = get_plan(address, credentials, true);
        if let Ok(Some(plan)) = tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
            return plan;
        }
    }
    let plans = said.values().filter_map(|said| match said {
        Said::Node(status) => status.plan.clone(),
        Said::Control(_) | Said::Nothing(_) => None,
    });
    plans.max_by_key(|plan| plan.epoch).unwrap_or_default()
}

async fn get_plan(
    address: &Address,
    credentials: &Credentials,
    as_known_here: bool,
) -> Option<pb::Plan> {
    let mut control = ControlServiceClient::new(channel(address, credentials))
        .max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES);
    let answer = control.get_plan(pb::GetPlanRequest { as_known_here }).await;
    answer.ok().map(|plan| plan.into_inner().plan.unwrap_or_default())
}

fn facts_of(
    has_majority: bool,
    best: Option<&pb::GetStatusResponse>,
    plan: &pb::Plan,
    said: &BTreeMap<Address, Said>,
) -> ClusterFacts {
    let voters = best.iter().flat_map(|status| &status.voters);
    // What cannot be read here is a newer release's: then no shard is said to lack replicas.
    let core = plan_from_pb(plan.clone()).unwrap_or_default();
    ClusterFacts {
        has_majority,
        voters: voters.map(|voter| voter_facts(voter, said)).collect(),
        newest_epoch: plan.epoch,
        nodes: plan.nodes.iter().map(node_facts).collect(),
        failed_replicas: failed_replicas(&core),
        shards_without_replica: shards_without_replica(&core),
        reports: newest_reports(said),
        untold: best.map_or_else(Vec::new, untold),
    }
}

fn voter_facts(voter: &pb::Voter, said: &BTreeMap<Address, Said>) -> VoterFacts {
    let mut silent =
        "it was not asked: its address is none, or a token may not be sent there".into();
    for (address, said) in said {
        match said {
            Said::Control(status) if status.answered_by == voter.id => {
                return VoterFacts {
                    id: voter.id,
                    address: voter.address.clone(),
                    answer: VoterAnswer::Answers {
                        leader: (status.leader != 0).then_some(status.leader),
                        term: status.term,
                        applied: status.applied_index,
                    },
                    trouble: trouble_of(voter, &status.voters),
                };
            }
            Said::Nothing(status) if address.as_str() == voter.address => {
                silent = reason_of(status);
            }
            Said::Control(_) | Said::Node(_) | Said::Nothing(_) => {}
        }
    }
    let answer = VoterAnswer::Silent { reason: silent };
    let trouble = voter.trouble.clone();
    VoterFacts { id: voter.id, address: voter.address.clone(), answer, trouble }
}

/// What a voter says that is wrong with it, else what the node with the newest state says of it.
fn trouble_of(voter: &pb::Voter, by_itself: &[pb::Voter]) -> String {
    let own = by_itself.iter().find(|it| it.id == voter.id && !it.trouble.is_empty());
    own.unwrap_or(voter).trouble.clone()
}

fn node_facts(node: &pb::Node) -> NodeFacts {
    NodeFacts { node_id: node.node_id.clone(), address: node.address.clone(), is_alive: node.alive }
}

fn failed_replicas(plan: &CorePlan) -> Vec<FailedReplica> {
    let mut failed = Vec::new();
    for (version, published) in &plan.versions {
        for (shard, placement) in (0..).zip(&published.placements) {
            for (node_id, replica) in &placement.replicas {
                if replica.state == ReplicaState::Failed {
                    failed.push(FailedReplica {
                        version: version.clone(),
                        shard,
                        node_id: node_id.clone(),
                        reason: replica.reason.clone(),
                    });
                }
            }
        }
    }
    failed
}

/// The shards of what is live of which no replica is available on a node that is alive.
fn shards_without_replica(plan: &CorePlan) -> Vec<(ModelVersion, u32)> {
    let is_alive = |node_id: &String| plan.nodes.get(node_id).is_some_and(|node| node.alive);
    let mut lacking = Vec::new();
    for version in plan.live_versions() {
        let Some(published) = plan.versions.get(&version) else { continue };
        for (shard, placement) in (0..).zip(&published.placements) {
            let mut replicas = placement.replicas.iter();
            let has_one = replicas.any(|(node_id, replica)| {
                replica.state == ReplicaState::Available && is_alive(node_id)
            });
            if !has_one {
                lacking.push((version.clone(), shard));
            }
        }
    }
    lacking
}

/// The newest report of each node, by its id.
fn newest_reports(said: &BTreeMap<Address, Said>) -> Vec<ReceivedReport> {
    let mut newest: BTreeMap<String, ReceivedReport> = BTreeMap::new();
    for said in said.values() {
        let reports = match said {
            Said::Control(status) => status.reports.clone(),
            Said::Node(status) => status.report.clone().into_iter().collect(),
            Said::Nothing(_) => continue,
        };
        for wire in reports {
            let (report, age_ms) = node_report_from_pb(wire);
            let known = newest.get(&report.node_id);
            if known.is_none_or(|known| known.age_ms > age_ms) {
                newest.insert(report.node_id.clone(), ReceivedReport { report, age_ms });
            }
        }
    }
    newest.into_values().collect()
}

/// What targets of notifications were not told.
fn untold(status: &pb::GetStatusResponse) -> Vec<(String, String)> {
    let mut untold = Vec::new();
    for pb::NotificationStatus { target, waiting, dropped, last_error } in &status.notifications {
        // What waits for its first attempt is no trouble.
        if *dropped > 0 || !last_error.is_empty() {
            let because = if last_error.is_empty() { "" } else { ": " };
            let what = format!("{waiting} wait, {dropped} were given up{because}{last_error}");
            untold.push((target.clone(), what));
        }
    }
    untold
}
