//! Callers and rollouts while processes are killed.

use crate::support::caller::Caller;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use marquee_proto::control::v1::{GetStatusRequest, RolloutState};
use std::time::Duration;

/// The control leader is killed during a rollout: another one continues it, no step is skipped or repeated,
/// and no call fails.
#[tokio::test(flavor = "multi_thread")]
async fn rollout_goes_on_when_its_leader_is_killed() {
    let mut cluster = Cluster::start().await;
    let second = cluster.bundles.train(12, 4);
    let candidate = cluster.publish(&second).await;
    let caller = Caller::start(cluster.routers_at());
    let rollout_id =
        cluster.start_rollout(&candidate, vec![(1_000, 2), (5_000, 2), (10_000, 1)]).await;
    let leader = cluster.any_leader(&[0, 1, 2]).await;
    eventually("the canary has traffic", || async {
        cluster
            .rollout(leader, &rollout_id)
            .await
            .is_some_and(|r| r.state() == RolloutState::Canary)
    })
    .await;

    cluster.control[leader].kill();
    let living: Vec<usize> = (0..3).filter(|&n| n != leader).collect();
    let next = cluster.any_leader(&living).await;
    eventually("the rollout is promoted", || async {
        cluster
            .rollout(next, &rollout_id)
            .await
            .is_some_and(|r| r.state() == RolloutState::Promoted)
    })
    .await;
    let rollout = cluster.rollout(living[0], &rollout_id).await.expect("still known");
    let weights: Vec<u32> = rollout.history.iter().map(|event| event.weight_basis_points).collect();
    assert_eq!(weights, [0, 1_000, 5_000, 10_000, 10_000], "{:?}", rollout.history);
    for endpoint in cluster.routers_at() {
        cluster.answers(&endpoint, "films", 2).await;
    }
    let answers = caller.stop().await;
    answers.assert_perfect();
    answers.assert_sticky_and_monotone(&rollout_id);

    // The killed one comes back and catches up.
    cluster.control[leader].restart();
    eventually("the killed voter knows the end", || async {
        cluster
            .rollout(leader, &rollout_id)
            .await
            .is_some_and(|r| r.state() == RolloutState::Promoted)
    })
    .await;
}

/// Answers do not depend on control: while all control nodes are down every call succeeds, even on a router
/// that restarts; and restarted control nodes have the whole state.
#[tokio::test(flavor = "multi_thread")]
async fn callers_notice_nothing_while_control_is_dead() {
    let mut cluster = Cluster::start().await;
    let caller = Caller::start(cluster.routers_at());
    for voter in &mut cluster.control {
        voter.kill();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let answers = caller.stop().await;
    answers.assert_perfect();

    cluster.routers[0].kill();
    cluster.routers[0].restart();
    let endpoint = cluster.routers_at()[0].clone();
    cluster.answers(&endpoint, "films", 1).await;

    let caller = Caller::start(cluster.routers_at());
    for voter in &mut cluster.control {
        voter.restart();
    }
    cluster.any_leader(&[0, 1, 2]).await;
    let status = cluster.control_client(0).get_status(GetStatusRequest {}).await;
    assert_eq!(status.expect("status").into_inner().voters.len(), 3);
    let second = cluster.bundles.train(12, 4);
    assert_eq!(cluster.publish(&second).await, "films@2", "numbers are never given twice");
    let rollout_id = cluster.start_rollout("films@2", vec![(10_000, 0)]).await;
    eventually("the rollout is promoted", || async {
        cluster.rollout(0, &rollout_id).await.is_some_and(|r| r.state() == RolloutState::Promoted)
    })
    .await;
    for endpoint in cluster.routers_at() {
        cluster.answers(&endpoint, "films", 2).await;
    }
    // All that may have taken less time than callers need to notice something.
    tokio::time::sleep(Duration::from_secs(1)).await;
    caller.stop().await.assert_perfect();
}

/// With two replicas of each shard no answer misses a shard after a shard node was killed, and a restarted
/// node loads its shards again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shard_node_costs_no_answer() {
    let mut cluster = Cluster::start().await;
    let caller = Caller::start(cluster.routers_at());
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.shards[0].kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.shards[0].restart();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The other one now: the restarted node must answer.
    eventually("the shards are loaded again", || async {
        let plan = cluster
            .control_client(0)
            .get_plan(marquee_proto::control::v1::GetPlanRequest::default())
            .await;
        plan.is_ok_and(|plan| {
            let plan = plan.into_inner().plan.unwrap_or_default();
            plan.nodes.iter().all(|node| node.alive)
                && plan.versions.iter().flat_map(|version| &version.placements).all(|placement| {
                    placement.replicas.len() == 2
                        && placement.replicas.iter().all(|replica| replica.state == 2)
                })
        })
    })
    .await;
    cluster.shards[1].kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answers = caller.stop().await;
    answers.assert_perfect();
}
