//! What a node runs with: the values of a config file that was checked.

use super::file::LogSection;
use marquee_client::Address;
use marquee_core::plan::Role;
use marquee_events::{EventSettings, ExposureSettings};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A config that a node can run with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unique in the cluster.
    pub node_id: String,
    /// What the node does; at least one.
    pub roles: BTreeSet<Role>,
    /// The role services by the address that they listen on.
    pub listeners: BTreeMap<SocketAddr, BTreeSet<Role>>,
    /// Where others reach the shard or router role, if not just where it listens.
    pub advertise: Option<Address>,
    /// What must outlive a restart.
    pub data_dir: PathBuf,
    /// Names the cluster.
    pub cluster_name: String,
    /// Where control nodes are; empty on a node that plays control itself.
    pub control_addresses: Vec<Address>,
    /// Settings of the control role, if it is played.
    pub control: Option<ControlSettings>,
    /// Bytes of bundles that the node may map; 0: unlimited.
    pub memory_budget_bytes: u64,
    /// Threads that search; 0: one for each core.
    pub search_threads: usize,
    /// What a request may take whose caller set no deadline.
    pub default_deadline: Duration,
    /// Bytes of rows that the router remembers; 0: none.
    pub row_cache_bytes: u64,
    /// How the router keeps events and exposures, if it does.
    pub events: Option<EventsSettings>,
    /// Files of public keys; bundles must be signed by one of them if there are any.
    pub trusted_keys: Vec<PathBuf>,
    /// Requests that one address serves at once.
    pub max_in_flight: usize,
    /// Threads that move messages; 0: as many as there are cores, within reason.
    pub io_threads: usize,
    /// What requests in flight have to end after SIGTERM.
    pub drain: Duration,
    /// What is logged.
    pub log: LogSection,
}

/// The control role's part of a [`Config`].
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// This voter's number.
    pub id: u64,
    /// All voters.
    pub voters: Vec<(u64, Address)>,
    /// Replicas wanted of each shard.
    pub replication_factor: u32,
    /// The recall@100 that a bundle's index must have to be published.
    pub min_index_recall: f64,
}

/// The logs of a router in a [`Config`].
#[derive(Clone, Debug)]
pub struct EventsSettings {
    /// Where, and what is believed.
    pub events: EventSettings,
    /// Where, and how many.
    pub exposures: ExposureSettings,
}

impl Config {
    /// The address that the plan has of this node: of its shard role where it plays it, since
    /// routers must reach that.
    pub fn plan_address(&self) -> String {
        let role = if self.roles.contains(&Role::Shard) { Role::Shard } else { Role::Router };
        match &self.advertise {
            Some(address) => address.to_string(),
            None => self.listener_of(role).map_or_else(String::new, |at| format!("http://{at}")),
        }
    }

    /// Where a role listens.
    pub fn listener_of(&self, role: Role) -> Option<SocketAddr> {
        self.listeners.iter().find(|(_, roles)| roles.contains(&role)).map(|(at, _)| *at)
    }
}
