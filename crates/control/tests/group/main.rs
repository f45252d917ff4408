//! Groups of control nodes over real sockets: forwarding, elections, restarts, and what callers see.

mod harness;
mod lost_disks;
mod outside;

use bytes::Bytes;
use harness::{Group, PATIENCE, publish, report};
use marquee_control::{Control, ControlConfig};
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::Plan;
use marquee_proto::control::v1::control_service_server::ControlService as _;
use marquee_proto::raft::v1::raft_service_client::RaftServiceClient;
use marquee_proto::raft::v1::{Entry, Message, ProposeRequest, Snapshot, State, StepRequest};
use prost::Message as _;
use raft::eraftpb::MessageType;
use std::time::{Duration, Instant};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

async fn versions(group: &Group, id: u64) -> Vec<(u64, String)> {
    let models = group.client(id).await.list_models(pb::ListModelsRequest {}).await;
    let versions = models.expect("a leader is there").into_inner().versions;
    versions
        .into_iter()
        .map(|it| (it.version.expect("always there").version, it.manifest_digest))
        .collect()
}

#[tokio::test]
async fn any_node_takes_a_change_and_every_node_shows_it_at_once() {
    let group = Group::start(3).await;
    let follower = group.follower().await;
    let mut client = group.client(follower).await;
    for n in 1..=4 {
        let published = client.publish_model(publish("", &format!("d{n}"))).await;
        let pb::PublishModelResponse { model, version } = published.expect("done").into_inner();
        assert_eq!((model.as_str(), version), ("films", n));
        for id in 1..=3 {
            assert_eq!(versions(&group, id).await.len() as u64, n, "a stale read on {id}");
        }
    }
}

#[tokio::test]
async fn a_retried_request_has_one_effect_wherever_it_is_sent() {
    let group = Group::start(3).await;
    group.leader().await;
    for id in [1, 2, 3, 1] {
        let published = group.client(id).await.publish_model(publish("the-same", "d1")).await;
        assert_eq!(published.expect("done").into_inner().version, 1);
    }
    // Remembered by its id, whatever it says.
    let other = group.client(2).await.publish_model(publish("the-same", "d2")).await;
    assert_eq!(other.expect("done").into_inner().version, 1);
    assert_eq!(versions(&group, 3).await, [(1, "d1".to_owned())]);
}

#[tokio::test]
async fn a_change_goes_through_once_though_its_leader_is_killed() {
    let mut group = Group::start(3).await;
    for round in 1..=3 {
        let leader = group.leader().await;
        let follower = group.follower().await;
        let mut client = group.client(follower).await;
        let digest = format!("d{round}");
        let request = publish(&format!("round-{round}"), &digest);
        let change = tokio::spawn(async move { client.publish_model(request).await });
        tokio::task::yield_now().await;
        group.kill(leader).await;
        let published = change.await.expect("no panic").expect("another one leads");
        assert_eq!(published.into_inner().version, round);
        assert_ne!(group.leader().await, leader);
        let all: Vec<_> = (1..=round).map(|n| (n, format!("d{n}"))).collect();
        assert_eq!(versions(&group, follower).await, all);
        group.restart(leader).await;
        assert_eq!(versions(&group, leader).await, all);
    }
}

#[tokio::test]
async fn a_group_that_was_down_goes_on_where_it_stood() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let mut client = group.client(leader).await;
    client.publish_model(publish("before", "d1")).await.expect("done");
    for id in 1..=3 {
        group.kill(id).await;
    }
    for id in 1..=3 {
        group.restart(id).await;
    }
    group.leader().await;
    assert_eq!(versions(&group, 2).await, [(1, "d1".to_owned())]);
    let again = group.client(3).await.publish_model(publish("before", "d9")).await;
    assert_eq!(again.expect("remembered").into_inner().version, 1);
    let next = group.client(1).await.publish_model(publish("after", "d2")).await;
    assert_eq!(next.expect("done").into_inner().version, 2);
}

/// Longer than the log that a leader keeps for those who are behind.
const MISSED_CHANGES: usize = 1_800;

#[tokio::test]
async fn a_voter_that_missed_more_than_the_log_keeps_catches_up() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let behind = group.follower().await;
    group.kill(behind).await;
    let api = group.node(leader).control.api();
    let changes = (0..MISSED_CHANGES).map(|n| {
        let api = api.clone();
        tokio::spawn(async move {
            // Ten nodes that go on moving.
            let add = pb::AddNodeRequest {
                node_id: format!("router-{}", n % 10),
                address: format!("http://127.0.0.1:{}", 10_000 + n),
                roles: vec![pb::Role::Router as i32],
                ..Default::default()
            };
            loop {
                match api.add_node(Request::new(add.clone())).await {
                    Ok(_) => return,
                    Err(busy) => assert_eq!(busy.code(), Code::Unavailable, "{busy}"),
                }
            }
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.expect("no panic");
    }
    group.restart(behind).await;
    group.leader().await;
    let plan = |id| {
        let api = group.node(id).control.api();
        async move {
            let plan = api.get_plan(Request::new(pb::GetPlanRequest::default())).await;
            plan.expect("all run").into_inner().plan.expect("there")
        }
    };
    let (there, here) = (plan(leader).await, plan(behind).await);
    assert_eq!(there.nodes.len(), 10);
    assert_eq!(here, there);
}

#[tokio::test]
async fn without_a_majority_callers_are_told_so() {
    let mut group = Group::start(3).await;
    let survivor = group.follower().await;
    for id in (1..=3).filter(|id| *id != survivor) {
        group.kill(id).await;
    }
    let mut client = group.client(survivor).await;
    let refused = client.publish_model(publish("", "d1")).await.expect_err("no majority");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().starts_with("no leader: "), "{refused}");
    let refused = client.get_plan(pb::GetPlanRequest::default()).await.expect_err("no majority");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().starts_with("no leader: "), "{refused}");
    let status = client.get_status(pb::GetStatusRequest {}).await.expect("as it sees it");
    let status = status.into_inner();
    assert_eq!((status.answered_by, status.leader), (survivor, 0));
    assert_eq!(status.voters.len(), 3);
    // Followers of the plan are served on.
    let watch = client.watch_plan(pb::WatchPlanRequest { node_id: "router-1".into() }).await;
    let first = watch.expect("no leader needed").into_inner().next().await;
    assert!(first.expect("at once").is_ok());
}

#[tokio::test]
async fn leadership_moves_when_it_is_told_to() {
    let group = Group::start(3).await;
    let leader = group.leader().await;
    let follower = group.follower().await;
    let third = 6 - leader - follower;
    for (asked, to) in [(follower, follower), (third, leader), (follower, third)] {
        let request = pb::TransferLeadershipRequest { voter: to };
        let moved = group.client(asked).await.transfer_leadership(request).await;
        assert_eq!(moved.expect("all run").into_inner().leader, to);
        assert_eq!(group.leader().await, to);
    }
    let request = pb::TransferLeadershipRequest { voter: 9 };
    let refused = group.client(1).await.transfer_leadership(request).await;
    assert_eq!(refused.expect_err("no such voter").code(), Code::NotFound);
}

#[tokio::test]
async fn a_leader_that_shuts_down_hands_over_first() {
    let group = Group::start(3).await;
    let leader = group.leader().await;
    let term = group.node(leader).control.status().borrow().term;
    group.node(leader).control.shutdown().await;
    let other = group.nodes.iter().flatten().find(|node| node.id != leader).expect("two are left");
    let mut status = other.control.status();
    let next = status.wait_for(|status| status.leader != leader && status.leader != 0);
    let next = *tokio::time::timeout(PATIENCE, next).await.expect("in time").expect("it runs");
    // One term on: no voter had to wait for an election timeout and compete.
    assert_eq!(next.term, term + 1);
}

#[tokio::test]
async fn streams_of_the_plan_show_every_change_and_end_with_the_node() {
    let group = Group::start(3).await;
    let follower = group.follower().await;
    let mut client = group.client(follower).await;
    let request = pb::WatchPlanRequest { node_id: "router-1".into() };
    let mut plans = client.watch_plan(request).await.expect("served").into_inner();
    let first = plans.next().await.expect("at once").expect("served").plan.expect("there");
    assert!(first.versions.is_empty());
    let leader = group.leader().await;
    group.client(leader).await.publish_model(publish("", "d1")).await.expect("done");
    // The leader's own commands, such as those that draw keys, change the plan too.
    let mut second = first.clone();
    while second.versions.is_empty() {
        let next = plans.next().await.expect("changed").expect("served").plan.expect("there");
        assert!(next.epoch > second.epoch, "{} after {}", next.epoch, second.epoch);
        second = next;
    }
    assert_eq!(second.versions.len(), 1);

    let status = client.get_status(pb::GetStatusRequest {}).await.expect("served").into_inner();
    let followers: Vec<_> =
        status.followers.iter().map(|it| (it.node_id.as_str(), it.epoch >= second.epoch)).collect();
    assert_eq!(followers, [("router-1", true)]);

    group.node(follower).control.shutdown().await;
    let rest = tokio::time::timeout(PATIENCE, plans.next()).await.expect("in time");
    assert!(rest.is_none_or(|end| end.is_err()), "a stream outlives its node");
}

#[tokio::test]
async fn a_node_alone_leads_at_once_and_needs_no_socket() {
    let group = Group::start(1).await;
    let api = group.node(1).control.api();
    let published = api.publish_model(Request::new(publish("one", "d1"))).await;
    assert_eq!(published.expect("done").into_inner().version, 1);
    let plan = api.get_plan(Request::new(pb::GetPlanRequest::default())).await.expect("done");
    assert_eq!(plan.into_inner().plan.expect("there").versions.len(), 1);
}

#[tokio::test]
async fn a_first_rollout_goes_live_when_its_shards_are_there_and_a_second_one_steps() {
    let group = Group::start(1).await;
    let api = group.node(1).control.api();
    for digest in ["d1", "d2"] {
        api.publish_model(Request::new(publish("", digest))).await.expect("done");
    }
    let state = pb::ReplicaState::Available;
    api.report_node(Request::new(report(None, state))).await.expect("done");
    let start = |candidate: &str, steps: &[u32]| {
        let step =
            |weight: &u32| pb::RolloutStep { weight_basis_points: *weight, ..Default::default() };
        Request::new(pb::StartRolloutRequest {
            candidate: candidate.into(),
            steps: steps.iter().map(step).collect(),
            // Nobody calls here, and with gates no traffic is no pass.
            without_gates: true,
            ..Default::default()
        })
    };
    let started = api.start_rollout(start("films@1", &[])).await.expect("done").into_inner();
    let rollout = started.rollout.expect("there");
    assert_eq!(rollout.state(), pb::RolloutState::Preparing);
    assert!(rollout.waiting_for.contains("films@1 shard 0 on shard-1"), "{}", rollout.waiting_for);

    let watch = pb::WatchRolloutRequest { rollout_id: rollout.rollout_id };
    let mut watch = api.watch_rollout(Request::new(watch)).await.expect("there").into_inner();
    let first = watch.next().await.expect("at once").expect("served").rollout.expect("there");
    assert_eq!(first.state(), pb::RolloutState::Preparing);
    api.report_node(Request::new(report(Some(1), state))).await.expect("done");
    let changes = tokio::time::timeout(PATIENCE, watch.collect::<Vec<_>>()).await;
    let changes: Vec<_> = changes
        .expect("the leader advances it, and then the stream ends")
        .into_iter()
        .map(|change| change.expect("served").rollout.expect("there").state())
        .collect();
    assert_eq!(changes.last(), Some(&pb::RolloutState::Promoted));
    // Nothing happens any more, and still the watch of what is over ends.
    let over = pb::WatchRolloutRequest { rollout_id: "default-1".into() };
    let over = api.watch_rollout(Request::new(over)).await.expect("there").into_inner();
    let over = tokio::time::timeout(PATIENCE, over.collect::<Vec<_>>()).await.expect("it ends");
    let states: Vec<_> = over
        .into_iter()
        .map(|change| change.expect("served").rollout.expect("there").state())
        .collect();
    assert_eq!(states, [pb::RolloutState::Promoted], "once");

    let mut both = report(Some(1), state);
    both.replicas.extend(report(Some(2), state).replicas);
    let second = api.start_rollout(start("films@2", &[100, 5_000])).await.expect("done");
    let rollout_id = second.into_inner().rollout.expect("there").rollout_id;
    api.report_node(Request::new(both)).await.expect("done");
    let watch = pb::WatchRolloutRequest { rollout_id: rollout_id.clone() };
    let watch = api.watch_rollout(Request::new(watch)).await.expect("there").into_inner();
    tokio::time::timeout(PATIENCE, watch.collect::<Vec<_>>()).await.expect("it ends");
    let get = pb::GetRolloutRequest { rollout_id };
    let rollout = api.get_rollout(Request::new(get)).await.expect("there").into_inner().rollout;
    let weights: Vec<_> = rollout
        .expect("there")
        .history
        .iter()
        .map(|event| (event.weight_basis_points, event.step))
        .collect();
    assert_eq!(weights, [(0, None), (100, Some(0)), (5_000, Some(1)), (10_000, Some(1))]);
}

#[tokio::test]
async fn an_unreported_node_is_noticed_and_its_reports_cost_no_log_entry() {
    let group = Group::start(3).await;
    let follower = group.follower().await;
    let mut client = group.client(follower).await;
    let same = report(None, pb::ReplicaState::Available);
    client.report_node(same.clone()).await.expect("done");
    let applied = |status: pb::GetStatusResponse| status.applied_index;
    client.get_plan(pb::GetPlanRequest::default()).await.expect("done");
    let before = client.get_status(pb::GetStatusRequest {}).await.expect("done").into_inner();
    for _ in 0..20 {
        client.report_node(same.clone()).await.expect("done");
    }
    client.get_plan(pb::GetPlanRequest::default()).await.expect("done");
    let after = client.get_status(pb::GetStatusRequest {}).await.expect("done").into_inner();
    assert_eq!(applied(after), applied(before));

    let plan = &mut group.node(follower).control.plan();
    let alive = |plan: &std::sync::Arc<marquee_core::plan::Plan>| plan.nodes["shard-1"].alive;
    assert!(alive(&plan.borrow()));
    let unreported = tokio::time::timeout(PATIENCE, plan.wait_for(|plan| !alive(plan)));
    unreported.await.expect("noticed").expect("it runs");
    client.report_node(same).await.expect("done");
    let back = tokio::time::timeout(PATIENCE, plan.wait_for(alive));
    back.await.expect("noticed").expect("it runs");
}

#[tokio::test]
async fn what_callers_get_wrong_is_named() {
    let group = Group::start(1).await;
    let mut client = group.client(1).await;
    let long = "x".repeat(129);
    let uri = |uri: &str, force| pb::PublishModelRequest {
        bundle_uri: uri.into(),
        force,
        ..Default::default()
    };
    let refused = |status: tonic::Status| (status.code(), status.message().to_owned());
    let publish = client.publish_model(publish(&long, "d1")).await.map_err(refused);
    let (code, says) = publish.expect_err("refused");
    assert_eq!(code, Code::InvalidArgument);
    assert!(says.starts_with("request_id has 129 bytes"), "{says}");

    let absent = client.publish_model(uri("/elsewhere", false)).await.map_err(refused);
    assert_eq!(absent.expect_err("refused").0, Code::NotFound);
    let poor = client.publish_model(uri("/bundles/films/poor", false)).await.map_err(refused);
    let (code, says) = poor.expect_err("refused");
    assert_eq!(code, Code::FailedPrecondition);
    assert!(says.contains("0.1000 against 0.2000"), "{says}");
    client.publish_model(uri("/bundles/films/poor", true)).await.expect("forced");

    let voter = pb::AddNodeRequest {
        node_id: "control-4".into(),
        address: "http://127.0.0.1:7004".into(),
        roles: vec![pb::Role::Control as i32],
        ..Default::default()
    };
    let added = client.add_node(voter.clone()).await.map_err(refused);
    assert_eq!(added.expect_err("refused").0, Code::FailedPrecondition);
    for (request, says) in [
        (pb::AddNodeRequest { node_id: "a b".into(), ..voter.clone() }, "node_id"),
        (pb::AddNodeRequest { address: "127.0.0.1:1".into(), ..voter.clone() }, "address"),
        (pb::AddNodeRequest { roles: vec![7], ..voter.clone() }, "roles: 7"),
        (pb::AddNodeRequest { roles: vec![], ..voter }, "roles"),
    ] {
        let (code, message) = client.add_node(request).await.map_err(refused).expect_err(says);
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.starts_with(says), "{message}");
    }
    let nothing = pb::PutEnsembleRequest::default();
    let (code, says) = client.put_ensemble(nothing).await.map_err(refused).expect_err("refused");
    assert_eq!((code, says.as_str()), (Code::InvalidArgument, "ensemble is missing"));
    let pause = pb::PauseRolloutRequest { reason: "x".repeat(257), ..Default::default() };
    let (code, says) = client.pause_rollout(pause).await.map_err(refused).expect_err("refused");
    assert_eq!(code, Code::InvalidArgument);
    assert!(says.starts_with("reason has 257 bytes"), "{says}");
    let get = pb::GetRolloutRequest { rollout_id: "default-1".into() };
    assert_eq!(client.get_rollout(get).await.expect_err("refused").code(), Code::NotFound);
    let list = pb::ListRolloutsRequest { surface: "home".into() };
    assert_eq!(client.list_rollouts(list).await.expect_err("refused").code(), Code::NotFound);
}

#[tokio::test]
async fn messages_from_outside_the_group_are_refused() {
    let group = Group::start(1).await;
    let address = group.config(1).voters[0].1.clone();
    let mut outsider = RaftServiceClient::connect(address).await.expect("it listens");
    let cluster = group.config(1).cluster();
    let step = |cluster, to| {
        let message = Some(Message { to, from: 9, ..Default::default() });
        tokio_stream::once(StepRequest { cluster, message })
    };
    let refused = outsider.step(step(cluster + 1, 1)).await.expect_err("another cluster");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("cluster_name"), "{refused}");
    // It is all that voters tell each other apart by.
    assert!(!refused.message().contains(&format!("{cluster:016x}")), "{refused}");
    let refused = outsider.step(step(cluster, 2)).await.expect_err("another voter");
    assert_eq!(refused.code(), Code::PermissionDenied);
    // Of the right cluster, but no voter: dropped without harm.
    outsider.step(step(cluster, 1)).await.expect("taken, to no effect");
    let propose = ProposeRequest { cluster: cluster + 1, command: None };
    let refused = outsider.propose(propose).await.expect_err("another cluster");
    assert_eq!(refused.code(), Code::PermissionDenied);
    group.client(1).await.publish_model(publish("", "d1")).await.expect("it runs on");
}

/// What no honest voter sends, to voter `to` as from voter `from`, whose group is at `term` and `index` and has these
/// disks.
fn hostile_messages(
    to: u64,
    from: u64,
    (term, index): (u64, u64),
    disks: &[Bytes],
) -> Vec<Message> {
    let entry = |data: &'static [u8]| Entry {
        term: term + 1,
        index: index + 1,
        data: data.into(),
        ..Default::default()
    };
    let message = |kind: MessageType, term| Message {
        r#type: kind as u32,
        to,
        from,
        term,
        from_disk: disks[from as usize - 1].clone(),
        to_disk: disks[to as usize - 1].clone(),
        members_at: index,
        ..Default::default()
    };
    let append = |data| Message {
        index,
        log_term: term,
        commit: index + 1,
        entries: vec![entry(data)],
        ..message(MessageType::MsgAppend, term + 1)
    };
    let empty = State {
        plan: Some(Plan { replication_factor: 1, ..Default::default() }),
        ..Default::default()
    };
    let snapshot = |data: Vec<u8>| Message {
        snapshot: Some(Snapshot {
            index: index + 50,
            term,
            voters: vec![1, 2, 3],
            data: data.into(),
            ..Default::default()
        }),
        ..message(MessageType::MsgSnapshot, term + 1)
    };
    vec![
        message(MessageType::MsgHeartbeat, u64::MAX),
        message(MessageType::MsgAppendResponse, u64::MAX - 1),
        message(MessageType::MsgRequestVote, 1 << 61),
        Message {
            context: "CampaignTransfer".into(),
            log_term: 1,
            ..message(MessageType::MsgRequestVote, 1 << 40)
        },
        Message { commit: u64::MAX, ..message(MessageType::MsgHeartbeat, term + 1) },
        append(b"\xff\xff\xff"),
        append(b"\x0a\x00"),
        snapshot(empty.encode_to_vec()),
        snapshot(Vec::new()),
        snapshot(vec![0xff; 64]),
        Message {
            index: index + 9,
            log_term: 0,
            commit: index + 9,
            ..message(MessageType::MsgAppend, term)
        },
        message(MessageType::MsgTransferLeader, term),
        message(MessageType::MsgHup, term),
    ]
}

/// The ids of the disks of all voters, once the group knows them.
async fn disks(group: &Group) -> Vec<Bytes> {
    loop {
        let listed = group.client(1).await.list_voters(pb::ListVotersRequest {}).await;
        let voters = listed.expect("it runs").into_inner().voters;
        if voters.iter().all(|voter| !voter.disk.is_empty()) {
            let bytes = |voter: &pb::Voter| hex::decode(&voter.disk).expect("hexadecimal").into();
            return voters.iter().map(bytes).collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How soon a group writes again after a message that costs it its leader, such as a wish to lead.
const WRITES_AGAIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_no_honest_voter_sends_leaves_term_plan_and_leader_as_they_were() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    group.client(leader).await.publish_model(publish("", "d1")).await.expect("done");
    let cluster = group.config(1).cluster();
    for target in 1..=3 {
        // Nothing is believed like what the leader says.
        let leads = group.leader().await;
        let from = if target == leads { target % 3 + 1 } else { leads };
        let before = *group.node(target).control.status().borrow();
        let disks = disks(&group).await;
        let messages = hostile_messages(target, from, (before.term, before.applied), &disks);
        for (n, message) in messages.into_iter().enumerate() {
            let address = group.config(1).voters[target as usize - 1].1.clone();
            let mut outsider = RaftServiceClient::connect(address).await.expect("it listens");
            let step = StepRequest { cluster, message: Some(message.clone()) };
            outsider.step(tokio_stream::once(step)).await.expect("taken, to no effect");
            let name = format!("d{target}-{n}");
            let end = Instant::now() + WRITES_AGAIN;
            while let Err(error) =
                group.client(target).await.publish_model(publish(&name, &name)).await
            {
                assert!(Instant::now() < end, "{error} after {message:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let after = *group.node(target).control.status().borrow();
            // An election or two, and none of the terms that were made up.
            assert!(after.term <= before.term + 8, "term {} after {message:?}", after.term);
        }
    }
    let versions_before = versions(&group, leader).await;
    for id in 1..=3 {
        group.kill(id).await;
    }
    for id in 1..=3 {
        group.restart(id).await;
    }
    group.leader().await;
    assert_eq!(versions(&group, 2).await, versions_before);
}

#[cfg(unix)]
#[tokio::test]
async fn the_store_is_readable_by_its_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    let group = Group::start(1).await;
    group.leader().await;
    let directory = group.data_dir(1);
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("control.redb")), 0o600);
}

#[tokio::test]
async fn a_directory_of_another_node_or_group_is_refused() {
    let mut group = Group::start(1).await;
    group.leader().await;
    group.kill(1).await;
    let good = group.config(1);
    let start = async |config: ControlConfig| match Control::start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    };
    let voters = vec![(2, good.voters[0].1.clone())];
    let refused = start(ControlConfig { id: 2, voters, ..good.clone() }).await;
    assert!(refused.contains("belongs to voter 1 of [1]"), "{refused}");
    let refused = start(ControlConfig { cluster_name: "other".into(), ..good.clone() }).await;
    assert!(refused.contains("name has changed"), "{refused}");
    let file = good.data_dir.join("control.redb");
    std::fs::write(&file, b"this is no database, though it has some bytes").expect("ours");
    let refused = start(good.clone()).await;
    assert!(refused.contains("control.redb"), "{refused}");
    std::fs::remove_file(&file).expect("ours");
    std::fs::remove_dir_all(&good.data_dir).expect("ours");
    std::fs::write(&good.data_dir, b"a file where the directory should be").expect("ours");
    let refused = start(good).await;
    assert!(refused.starts_with("control.data_dir: "), "{refused}");
    tokio::time::sleep(Duration::ZERO).await;
}
