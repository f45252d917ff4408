//! Measures what operators wait for: a committed change on three voters over loopback sockets, and
//! the time from a leader's death to the next change. Prints JSON.
//!
//! `cargo run --release -p marquee-control --example commit_latency`

use marquee_bundle::{BundleRoots, TrustedKeys};
use marquee_control::{Control, ControlConfig, DEFAULT_MIN_INDEX_RECALL};
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// Changes that are timed, one after the other.
const CHANGES: usize = 500;
/// Leaders that are killed.
const KILLS: usize = 20;

type Failure = Box<dyn std::error::Error>;

/// A node with a runtime of its own, so that killing it closes its sockets as a process's end does.
struct Node {
    control: Control,
    runtime: Runtime,
}

async fn start(config: ControlConfig, address: SocketAddr) -> Result<Node, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let started = runtime.spawn(async move {
        let listener = TcpListener::bind(address).await.map_err(|e| e.to_string())?;
        let control = Control::start(config).await.map_err(|e| e.to_string())?;
        let server = Server::builder()
            .add_service(control.control_service())
            .add_service(control.raft_service())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move { drop(server.await) });
        Ok::<_, String>(control)
    });
    Ok(Node { control: started.await??, runtime })
}

async fn leader(nodes: &[Option<Node>]) -> usize {
    loop {
        let leads = |node: &Option<Node>| {
            node.as_ref().is_some_and(|node| node.control.status().borrow().leads())
        };
        if let Some(at) = nodes.iter().position(leads) {
            return at;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn change(n: usize) -> pb::AddNodeRequest {
    pb::AddNodeRequest {
        node_id: "router-1".into(),
        address: format!("http://127.0.0.1:{}", 10_000 + n % 50_000),
        roles: vec![pb::Role::Router as i32],
        ..Default::default()
    }
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let directory = tempfile::TempDir::new()?;
    let mut reserved = Vec::new();
    for _ in 0..3 {
        reserved.push(TcpListener::bind("127.0.0.1:0").await?);
    }
    let addresses = reserved.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    drop(reserved);
    let voters: Vec<_> =
        (1..).zip(&addresses).map(|(id, address)| (id, format!("http://{address}"))).collect();
    let config = |id: u64| ControlConfig {
        cluster_name: "latency".into(),
        id,
        voters: voters.clone(),
        join: false,
        data_dir: directory.path().join(id.to_string()),
        replication_factor: 2,
        trusted_keys: TrustedKeys::none(),
        bundle_roots: BundleRoots::anywhere(),
        min_index_recall: DEFAULT_MIN_INDEX_RECALL,
        outbound: marquee_control::OutboundConfig::default(),
        node_ids: Default::default(),
        connector: Default::default(),
    };
    let began = Instant::now();
    let mut nodes = Vec::new();
    for (id, address) in (1..).zip(&addresses) {
        nodes.push(Some(start(config(id), *address).await?));
    }
    let first = leader(&nodes).await;
    let first_leader_ms = began.elapsed().as_secs_f64() * 1_000.0;

    let mut report = Vec::new();
    for (name, at) in [("leader", first), ("follower", (first + 1) % 3)] {
        let mut client = ControlServiceClient::connect(voters[at].1.clone()).await?;
        let mut times = Vec::new();
        for n in 0..CHANGES {
            let began = Instant::now();
            client.add_node(change(n)).await?;
            times.push(began.elapsed());
        }
        times.sort();
        report.push(format!(
            "\"{name}_p50_ms\": {:.2}, \"{name}_p99_ms\": {:.2}",
            percentile(&times, 0.5),
            percentile(&times, 0.99)
        ));
    }

    let mut times = Vec::new();
    for n in 0..KILLS {
        let dead = leader(&nodes).await;
        let other = (dead + 1) % 3;
        let mut client = ControlServiceClient::connect(voters[other].1.clone()).await?;
        client.add_node(change(n)).await?;
        if let Some(node) = nodes[dead].take() {
            node.runtime.shutdown_background();
            node.control.halt().await;
        }
        let began = Instant::now();
        client.add_node(change(n + 1)).await?;
        times.push(began.elapsed());
        nodes[dead] = Some(start(config(dead as u64 + 1), addresses[dead]).await?);
        // The next kill must leave a majority that is up to date.
        let mut client = ControlServiceClient::connect(voters[dead].1.clone()).await?;
        client.get_plan(pb::GetPlanRequest::default()).await?;
    }
    times.sort();
    println!(
        "{{\"first_leader_ms\": {first_leader_ms:.1}, {}, \"replaced_p50_ms\": {:.0}, \"replaced_max_ms\": {:.0}}}",
        report.join(", "),
        percentile(&times, 0.5),
        percentile(&times, 1.0)
    );
    for node in nodes.into_iter().flatten() {
        node.runtime.shutdown_background();
    }
    Ok(())
}
