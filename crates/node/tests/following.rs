//! A node without the control role follows real control nodes that are stopped and started.

use marquee_client::{Address, ControlClient, Credentials, loopback_address, request_id};
use marquee_core::plan::Plan;
use marquee_core::trouble::NodeReport;
use marquee_net::Connector;
use marquee_node::config::Config;
use marquee_node::follow::{
    FollowerConfig, NodeIdentity, PlanCache, follow_plan, report_node, to_control_nodes,
};
use marquee_node::serve::{Listeners, RunningNode, bind};
use marquee_proto::control::v1::{AddNodeRequest, Role};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Starts a control node that is alone in its group, at this port.
async fn control(directory: &Path, at: SocketAddr) -> (RunningNode, Address) {
    let listener = bind(at, "the test").await.expect("the port is free");
    let at = listener.local_addr().expect("bound");
    let address = loopback_address(at);
    let text = format!(
        "[node]\nid = \"c\"\nroles = [\"control\"]\nlisten = \"{at}\"\ndata_dir = \"{}\"\n\
         [control]\nid = 1\nvoters = [{{ id = 1, address = \"{address}\" }}]\n",
        directory.display()
    );
    let config = Config::parse(Path::new("test.toml"), &text).expect("valid");
    let listeners = Listeners::from([(at, (listener, config.roles.clone()))]);
    (RunningNode::start(&config, listeners).await.expect("started"), address)
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Adds a node, which changes the plan.
async fn add_node(address: &Address, node_id: &str) {
    let request = AddNodeRequest {
        request_id: request_id(),
        node_id: node_id.into(),
        address: "http://127.0.0.1:9".into(),
        roles: vec![Role::Shard.into()],
        memory_budget_bytes: 0,
    };
    ControlClient::new(std::slice::from_ref(address), &Credentials::none())
        .call(request, |mut control, request| async move { control.add_node(request).await })
        .await
        .expect("added");
}

fn follower(directory: &Path, addresses: &[&Address]) -> FollowerConfig {
    FollowerConfig {
        node_id: "router".into(),
        addresses: addresses.iter().map(|address| (*address).clone()).collect(),
        cache: PlanCache::in_directory(directory),
        newest: watch::channel(0).1,
        connector: Connector::plain(),
    }
}

async fn until(plan: &mut watch::Receiver<Arc<Plan>>, node_id: &str) {
    plan.wait_for(|plan| plan.nodes.contains_key(node_id)).await.expect("the follower lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_outlives_its_control_node_and_takes_up_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let of_control = directory.path().join("control");
    let (node, address) = control(&of_control, any_port()).await;
    add_node(&address, "first").await;
    let (mut plan, task) = follow_plan(follower(directory.path(), &[&address]));
    until(&mut plan, "first").await;

    let at = node.listens_at();
    node.shutdown().await;
    assert!(plan.borrow().nodes.contains_key("first"), "the last plan stays");

    let (_node, address) = control(&of_control, at).await;
    add_node(&address, "second").await;
    until(&mut plan, "second").await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_on_disk_is_there_while_control_is_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, address) = control(&directory.path().join("control"), any_port()).await;
    add_node(&address, "first").await;
    let (mut plan, task) = follow_plan(follower(directory.path(), &[&address]));
    until(&mut plan, "first").await;
    let epoch = plan.borrow().epoch;
    let cache = PlanCache::in_directory(directory.path());
    while cache.read().is_none_or(|plan| plan.epoch < epoch) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    task.abort();
    node.shutdown().await;

    let (plan, task) = follow_plan(follower(directory.path(), &[&address]));
    // The leader's own commands may have come after it.
    assert!(plan.borrow().epoch >= epoch, "at once, without a call");
    assert!(plan.borrow().nodes.contains_key("first"));
    task.abort();
}

/// A control node that lags, or one of a new cluster, does not give a router an older plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_never_goes_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (ahead, ahead_at) = control(&directory.path().join("ahead"), any_port()).await;
    for n in 0..5 {
        add_node(&ahead_at, &format!("node-{n}")).await;
    }
    let (mut plan, task) = follow_plan(follower(directory.path(), &[&ahead_at]));
    until(&mut plan, "node-4").await;
    let at = ahead.listens_at();
    let epoch = plan.borrow().epoch;
    ahead.shutdown().await;

    let (behind, behind_at) = control(&directory.path().join("behind"), at).await;
    add_node(&behind_at, "other").await;
    // It reconnects, gets an older epoch, and keeps its plan; then the right control node is back.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(plan.borrow().epoch >= epoch, "it went back");
    behind.shutdown().await;
    let (_ahead, address) = control(&directory.path().join("ahead"), at).await;
    add_node(&address, "node-5").await;
    until(&mut plan, "node-5").await;
    assert!(!plan.borrow().nodes.contains_key("other"));
    task.abort();
}

/// Of two control nodes one is cut off and stays behind: a follower of it hears of a newer epoch from the
/// other, and moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_leaves_a_control_node_that_lags() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (_behind, behind_at) = control(&directory.path().join("behind"), any_port()).await;
    add_node(&behind_at, "old").await;
    // No node listens at the other address yet, so it starts with the one that will lag.
    let reserved = bind(any_port(), "the test").await.expect("a free port");
    let at = reserved.local_addr().expect("bound");
    drop(reserved);
    let ahead_at = loopback_address(at);
    let (newest, heard) = watch::channel(0);
    let config = follower(directory.path(), &[&behind_at, &ahead_at]);
    let (mut plan, task) = follow_plan(FollowerConfig { newest: heard, ..config });
    until(&mut plan, "old").await;

    let (ahead, _) = control(&directory.path().join("ahead"), at).await;
    for n in 0..9 {
        add_node(&ahead_at, &format!("node-{n}")).await;
    }
    newest.send_replace(ahead.plan().borrow().epoch);
    until(&mut plan, "node-8").await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_reach_whichever_control_node_lives() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, address) = control(&directory.path().join("control"), any_port()).await;
    let unreachable: Address = "http://127.0.0.1:9".parse().expect("valid");
    let sink = to_control_nodes(&[unreachable, address], &Credentials::none());
    let identity = NodeIdentity {
        node_id: "router-1".into(),
        address: "http://127.0.0.1:50051".into(),
        roles: [marquee_core::plan::Role::Router].into(),
        memory_budget_bytes: 0,
    };
    let (_replicas, receiver) = watch::channel(Vec::new());
    let task = tokio::spawn(report_node(
        identity,
        receiver,
        watch::channel(NodeReport::default()).1,
        sink,
        watch::Sender::new(0),
        watch::Sender::new(None),
    ));
    until(&mut node.plan(), "router-1").await;
    task.abort();
}
