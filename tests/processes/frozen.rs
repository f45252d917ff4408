//! Control nodes that are frozen or gone, one or two of three.

use crate::support::caller::Caller;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::process::{marquee, text};
use marquee_proto::control::v1::GetPlanRequest;
use std::time::{Duration, Instant};

/// Whether all nodes are seen as alive at a control node.
async fn all_alive(cluster: &Cluster, control: usize) -> bool {
    let plan = cluster.control_client(control).get_plan(GetPlanRequest::default()).await;
    plan.is_ok_and(|plan| {
        let nodes = plan.into_inner().plan.unwrap_or_default().nodes;
        nodes.len() == 4 && nodes.iter().all(|node| node.alive)
    })
}

/// A follower of the control group stops without a word: no shard and no router is taken for dead, a rollout reaches
/// all routers, and commands that are given the frozen node's address first get their answer from another.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_control_node_blinds_nobody() {
    let cluster = Cluster::start().await;
    let second = cluster.bundles.train(12, 4);
    let candidate = cluster.publish(&second).await;
    let leader = cluster.any_leader(&[0, 1, 2]).await;
    // Of the two followers the one through which the test gives no commands.
    let frozen = if leader == 0 { 1 } else { 0 };
    let living = if leader == 0 { 0 } else { leader };
    eventually("all nodes are alive", || all_alive(&cluster, living)).await;
    let caller = Caller::start(cluster.routers_at());

    cluster.control[frozen].freeze();
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        assert!(all_alive(&cluster, living).await, "a node is taken for dead");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let endpoints = format!("{},{}", cluster.control_at(frozen), cluster.control_at(living));
    let started = marquee([
        "ctl",
        "--endpoint",
        &endpoints,
        "rollout",
        "start",
        "--candidate",
        &candidate,
        "--steps",
        "100%:0s",
        "--no-gates",
    ]);
    assert!(started.status.success(), "{}", text(&started.stderr));
    for endpoint in cluster.routers_at() {
        cluster.answers(&endpoint, "films", 2).await;
    }
    caller.stop().await.assert_perfect();
    cluster.control[frozen].thaw();
    eventually("the node that was frozen catches up", || async {
        let known = GetPlanRequest { as_known_here: true };
        let plan = cluster.control_client(frozen).get_plan(known).await;
        let plan = plan.ok().and_then(|plan| plan.into_inner().plan).unwrap_or_default();
        plan.surfaces.iter().any(|surface| surface.ensemble == candidate)
    })
    .await;
}

/// With one control node alive of three, `ctl status` shows what it knows, says that there is no majority, and fails.
#[tokio::test(flavor = "multi_thread")]
async fn status_is_there_without_a_majority() {
    let mut cluster = Cluster::start().await;
    cluster.control[0].kill();
    cluster.control[1].kill();
    let endpoints: Vec<String> = (0..3).map(|n| cluster.control_at(n)).collect();
    let status = marquee(["ctl", "--endpoint", &endpoints.join(","), "status"]);
    let (out, err) = (text(&status.stdout), text(&status.stderr));
    assert_eq!(status.status.code(), Some(1), "{out}\n{err}");
    for expected in ["NO MAJORITY", "voter 3", "shard-1", "router-2", "films@1"] {
        assert!(out.contains(expected), "{expected} is missing\n{out}\n{err}");
    }
}
