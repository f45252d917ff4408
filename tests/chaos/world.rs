//! The cluster: its processes, their disks, and what `status` says of them.

use crate::machine::Machine;
use crate::support::data::Bundles;
use crate::support::process::{MARQUEE, Server, marquee_ok, text};
use crate::support::{caller, eventually};
use marquee_client::Address;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

pub(crate) const CONTROL: [&str; 3] = ["control-1", "control-2", "control-3"];
pub(crate) const SHARDS: [&str; 3] = ["shard-1", "shard-2", "shard-3"];
pub(crate) const ROUTERS: [&str; 2] = ["router-1", "router-2"];
/// The nodes with disks of their own, where that is possible.
const WITH_DISKS: [&str; 3] = ["control-3", "shard-1", "router-1"];

/// The cluster: its processes, addresses and disks.
pub(crate) struct World {
    servers: BTreeMap<&'static str, Server>,
    at: BTreeMap<&'static str, String>,
    /// Directories of events that were moved away.
    pub(crate) moved_events: Vec<PathBuf>,
    pub(crate) bundles: Bundles,
    // Last: disks and networks go when the processes are gone.
    pub(crate) machine: Machine,
}

/// What `marquee ctl status` said.
pub(crate) struct Status {
    /// Whether it exited with success.
    pub(crate) is_well: bool,
    /// Each trouble as `subject: what`.
    pub(crate) troubles: Vec<String>,
    /// The raft id of the leader; 0 for none.
    pub(crate) leader: u64,
}

impl World {
    /// Starts all processes, makes films@1 live, and waits until nothing is wrong.
    pub(crate) async fn start() -> Self {
        let bundles = Bundles::new();
        let first = bundles.train(4, 4);
        let names: Vec<&'static str> =
            CONTROL.iter().chain(&SHARDS).chain(&ROUTERS).copied().collect();
        let machine = Machine::new(&names, bundles.path(), &WITH_DISKS);
        let at: BTreeMap<&'static str, String> =
            names.iter().map(|name| (*name, machine.listen(name))).collect();
        let mut world =
            Self { servers: BTreeMap::new(), at, moved_events: Vec::new(), bundles, machine };
        for name in names {
            let config = world.config(name);
            let dir = world.bundles.path();
            let path = dir.join(format!("{name}.toml"));
            std::fs::write(&path, config).expect("a config file");
            let args = vec!["serve".into(), "--config".into(), path.display().to_string()];
            let server = Server::start_by(world.machine.launcher(name), dir, name, args);
            world.servers.insert(name, server);
        }
        let controls = CONTROL.map(|name| world.url(name)).join(",");
        marquee_ok(["ctl", "--endpoint", &controls, "health", "--wait-seconds", "60"]);
        world.ctl(&["publish", &first.display().to_string(), "--force"]);
        world.ctl(&["rollout", "start", "--candidate", "films@1", "--steps", "100%:0s"]);
        for router in ROUTERS {
            let url = world.url(router);
            eventually("a router answers", || async {
                caller::client(&url).recommend(caller::request("user-1")).await.is_ok()
            })
            .await;
        }
        eventually("nothing is wrong at the start", || async { world.status().await.is_well })
            .await;
        world
    }

    fn config(&self, name: &str) -> String {
        let role = name.split('-').next().expect("a role");
        let listen = &self.at[name];
        let controls: Vec<String> =
            CONTROL.iter().map(|name| format!("\"{}\"", self.url(name))).collect();
        let rest = if role == "control" {
            let voters: Vec<String> = (1..)
                .zip(&controls)
                .map(|(id, address)| format!("{{ id = {id}, address = {address} }}"))
                .collect();
            let id = name.split('-').nth(1).expect("a number");
            format!(
                "[control]\nid = {id}\nreplication_factor = 2\nvoters = [{}]\n",
                voters.join(", ")
            )
        } else {
            format!("control = [{}]\n", controls.join(", "))
        };
        // Nodes with addresses of their own may be reached from other machines.
        let open = if self.machine.has_networks() {
            let roots = self.bundles.path().display();
            format!("[auth]\ninsecure = true\n[bundles]\nroots = [\"{roots}\"]\n")
        } else {
            String::new()
        };
        format!(
            "[node]\nid = \"{name}\"\nroles = [\"{role}\"]\nlisten = \"{listen}\"\ndata_dir = \"data-{name}\"\n\
             [cluster]\nname = \"chaos-{}\"\n{rest}{open}",
            self.at[CONTROL[0]].replace([':', '.'], "-")
        )
    }

    /// The URL of a node.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}", self.at[name])
    }

    /// The URLs of the routers.
    pub(crate) fn routers(&self) -> Vec<String> {
        ROUTERS.iter().map(|name| self.url(name)).collect()
    }

    /// The addresses of control.
    pub(crate) fn controls(&self) -> Vec<Address> {
        CONTROL.iter().map(|name| self.url(name).parse().expect("an address")).collect()
    }

    /// The data directory of a node.
    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.bundles.path().join(format!("data-{name}"))
    }

    /// The process of a node.
    pub(crate) fn server(&mut self, name: &str) -> &mut Server {
        self.servers.get_mut(name).expect("a node")
    }

    fn endpoints(&self) -> String {
        CONTROL.map(|name| self.url(name)).join(",")
    }

    /// Runs `marquee ctl ARGS`, which must succeed.
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        marquee_ok([&["ctl", "--endpoint", &self.endpoints()], args].concat())
    }

    /// Asks `marquee ctl status`, without keeping the callers' threads.
    pub(crate) async fn status(&self) -> Status {
        let endpoints = self.endpoints();
        let asked = tokio::task::spawn_blocking(move || {
            let args = ["ctl", "--endpoint", &endpoints, "status", "--json"];
            Command::new(MARQUEE).args(args).output().expect("the binary starts")
        });
        let output = asked.await.expect("no panic");
        let says: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mut troubles = Vec::new();
        for trouble in says["troubles"].as_array().into_iter().flatten() {
            let text = |key: &str| trouble[key].as_str().unwrap_or_default().to_owned();
            troubles.push(format!("{}: {}", text("subject"), text("what")));
        }
        if says.is_null() {
            troubles.push(text(&output.stderr));
        }
        let leader = says["leader"].as_u64().unwrap_or_default();
        Status { is_well: output.status.success(), troubles, leader }
    }

    /// The name of the control node that leads.
    pub(crate) async fn leader(&self) -> &'static str {
        loop {
            let leader = self.status().await.leader;
            if leader > 0 {
                return CONTROL[leader as usize - 1];
            }
        }
    }

    /// The name of a control node that does not lead, and that has no disk of its own.
    pub(crate) async fn follower(&self) -> &'static str {
        let leader = self.leader().await;
        if leader == CONTROL[0] { CONTROL[1] } else { CONTROL[0] }
    }
}
