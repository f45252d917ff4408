//! A cluster of separate processes: three control nodes, two shard nodes, two routers.

use super::data::Bundles;
use super::process::{Server, free_port};
use super::{caller, eventually};
use marquee_proto::control::v1 as pb;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use std::path::Path;
use tonic::transport::Channel;

/// A client of a control node.
pub(crate) type ControlClient = ControlServiceClient<Channel>;

/// The processes of a cluster, which end when it is dropped.
pub(crate) struct Cluster {
    pub(crate) control: Vec<Server>,
    pub(crate) shards: Vec<Server>,
    pub(crate) routers: Vec<Server>,
    control_ports: Vec<u16>,
    router_ports: Vec<u16>,
    /// The ports of metrics, with the role of the node.
    metrics_ports: Vec<(&'static str, u16)>,
    // Last, so that the processes are gone before their directory is.
    pub(crate) bundles: Bundles,
}

impl Cluster {
    /// Starts all processes, publishes a bundle of four shards as films@1 and waits until it is
    /// live on both routers.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same, with more settings in the `[control]` section of each voter.
    pub(crate) async fn start_with(control_settings: &str) -> Self {
        let bundles = Bundles::new();
        let first = bundles.train(4, 4);
        let dir = bundles.path();
        let control_ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let router_ports: Vec<u16> = (0..2).map(|_| free_port()).collect();
        let at = |port: u16| format!("\"http://127.0.0.1:{port}\"");
        let voters: Vec<String> = (1..)
            .zip(&control_ports)
            .map(|(id, &port)| format!("{{ id = {id}, address = {} }}", at(port)))
            .collect();
        let control_addresses: Vec<String> = control_ports.iter().map(|&port| at(port)).collect();
        let mut metrics_ports = Vec::new();
        let mut node = |name: String, role: &'static str, port: u16, rest: String| {
            let metrics = free_port();
            metrics_ports.push((role, metrics));
            let config = format!(
                "[node]\nid = \"{name}\"\nroles = [\"{role}\"]\nlisten = \"127.0.0.1:{port}\"\n\
                 data_dir = \"data-{name}\"\n[cluster]\nname = \"test-{}\"\n{rest}",
                control_ports[0]
            );
            start_node(dir, &name, &config, metrics)
        };
        let control = (1..)
            .zip(&control_ports)
            .map(|(id, &port)| {
                let rest = format!(
                    "[control]\nid = {id}\nvoters = [{}]\nreplication_factor = 2\n{control_settings}",
                    voters.join(", ")
                );
                node(format!("control-{id}"), "control", port, rest)
            })
            .collect();
        let follows = format!("control = [{}]\n", control_addresses.join(", "));
        let shards = (1..=2)
            .map(|n| node(format!("shard-{n}"), "shard", free_port(), follows.clone()))
            .collect();
        let routers = (1..)
            .zip(&router_ports)
            .map(|(n, &port)| node(format!("router-{n}"), "router", port, follows.clone()))
            .collect();
        let cluster =
            Self { control, shards, routers, control_ports, router_ports, metrics_ports, bundles };
        cluster.any_leader(&[0, 1, 2]).await;
        let version = cluster.publish(&first).await;
        cluster.start_rollout("films@1", vec![]).await;
        assert_eq!(version, "films@1");
        for endpoint in cluster.routers_at() {
            cluster.answers(&endpoint, "films", 1).await;
        }
        cluster
    }

    /// Endpoints of the routers.
    pub(crate) fn routers_at(&self) -> Vec<String> {
        self.router_ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect()
    }

    /// The ports at which nodes with this role show their metrics.
    pub(crate) fn metrics_of(&self, role: &str) -> Vec<u16> {
        let of_role = self.metrics_ports.iter().filter(|(of, _)| *of == role);
        of_role.map(|(_, port)| *port).collect()
    }

    /// The address of control node `n`, from 0.
    pub(crate) fn control_at(&self, n: usize) -> String {
        format!("http://127.0.0.1:{}", self.control_ports[n])
    }

    /// A client of control node `n`, from 0.
    pub(crate) fn control_client(&self, n: usize) -> ControlClient {
        let endpoint = Channel::from_shared(self.control_at(n)).expect("an endpoint");
        ControlServiceClient::new(endpoint.connect_lazy())
    }

    /// Waits until the living control nodes agree on a leader among them, and returns it, from 0.
    pub(crate) async fn any_leader(&self, living: &[usize]) -> usize {
        let found = std::sync::Mutex::new(None);
        eventually("control nodes agree on a leader", || async {
            let mut leaders = Vec::new();
            for &n in living {
                match self.control_client(n).get_status(pb::GetStatusRequest {}).await {
                    Ok(status) => leaders.push(status.into_inner().leader as usize),
                    Err(_) => return false,
                }
            }
            leaders.dedup();
            let agreed = leaders.len() == 1 && leaders[0] > 0 && living.contains(&(leaders[0] - 1));
            *found.lock().expect("not poisoned") = agreed.then(|| leaders[0] - 1);
            agreed
        })
        .await;
        found.into_inner().expect("not poisoned").expect("agreed")
    }

    /// Publishes a bundle through the last control node and returns its `model@version`.
    pub(crate) async fn publish(&self, bundle: &Path) -> String {
        let request = pb::PublishModelRequest {
            allow_older: false,
            bundle_uri: format!("file://{}", bundle.display()),
            force: true,
            ..pb::PublishModelRequest::default()
        };
        let answer =
            self.control_client(2).publish_model(request).await.expect("published").into_inner();
        format!("{}@{}", answer.model, answer.version)
    }

    /// Starts a rollout on the default surface with steps of (basis points, seconds) and returns its id.
    pub(crate) async fn start_rollout(&self, candidate: &str, steps: Vec<(u32, u64)>) -> String {
        let steps = steps.into_iter().map(|(weight_basis_points, hold_seconds)| pb::RolloutStep {
            weight_basis_points,
            hold_seconds,
            ..pb::RolloutStep::default()
        });
        let request = pb::StartRolloutRequest {
            candidate: candidate.into(),
            steps: steps.collect(),
            ..pb::StartRolloutRequest::default()
        };
        let answer = self.control_client(1).start_rollout(request).await.expect("started");
        answer.into_inner().rollout.expect("a rollout").rollout_id
    }

    /// The rollout at control node `n`; none while that does not answer.
    pub(crate) async fn rollout(&self, n: usize, rollout_id: &str) -> Option<pb::Rollout> {
        let request = pb::GetRolloutRequest { rollout_id: rollout_id.into() };
        self.control_client(n).get_rollout(request).await.ok()?.into_inner().rollout
    }

    /// Waits until the router answers with this version.
    pub(crate) async fn answers(&self, endpoint: &str, model: &str, version: u64) {
        let mut client = caller::client(endpoint);
        eventually(&format!("{endpoint} answers with {model}@{version}"), || {
            let call = client.clone();
            let mut call = std::mem::replace(&mut client, call);
            async move {
                let answer = call.recommend(caller::request("user-1")).await;
                answer.is_ok_and(|answer| {
                    let served_by = answer.into_inner().served_by.unwrap_or_default();
                    served_by.models.iter().any(|m| m.model == model && m.version == version)
                })
            }
        })
        .await;
    }
}

fn start_node(dir: &Path, name: &str, config: &str, metrics: u16) -> Server {
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, config).expect("a config file");
    let mut args = vec!["serve".into(), "--config".into(), path.display().to_string()];
    args.extend(["--metrics-listen".into(), format!("127.0.0.1:{metrics}")]);
    Server::start(dir, name, args)
}
