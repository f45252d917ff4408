//! The config file as written: TOML, every key known, every field with its unit and bounds.
//!
//! Nothing here is trusted yet: [`Config::check`](super::Config::check) turns it into what a node
//! can run with.

use marquee_control::DEFAULT_MIN_INDEX_RECALL;
use marquee_router::DEFAULT_ROW_CACHE_BYTES;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where a node listens that isn't told: loopback, so that nothing is open by accident.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_051);

/// The whole file. Every section may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Who this node is and where it listens.
    pub node: NodeSection,
    /// The cluster it belongs to.
    pub cluster: ClusterSection,
    /// Settings of the control role.
    pub control: ControlSection,
    /// Settings of the shard role.
    pub shard: ShardSection,
    /// Settings of the router role.
    pub router: RouterSection,
    /// Which bundles are trusted.
    pub bundles: BundlesSection,
    /// Bounds of the gRPC servers.
    pub server: ServerSection,
    /// What is logged.
    pub log: LogSection,
}

/// `[node]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    /// Unique in the cluster, 1 to 128 bytes of letters, digits, `-`, `_`, `.`. Required.
    pub id: String,
    /// What the node does: any of `control`, `shard`, `router`. Default: all three.
    pub roles: Vec<RoleName>,
    /// Where it listens, `ip:port`. Default: `127.0.0.1:50051`. A role's own section may name
    /// another address for that role.
    pub listen: SocketAddr,
    /// Where others reach its shard and router roles, `http://host:port`. Default: the address
    /// that it listens on, which must then not be a wildcard such as `0.0.0.0`.
    pub advertise: Option<String>,
    /// The directory of what must outlive a restart: the raft log, the last plan. A relative path
    /// counts from the config file. Required.
    pub data_dir: Option<PathBuf>,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self {
            id: String::new(),
            roles: vec![RoleName::Control, RoleName::Shard, RoleName::Router],
            listen: DEFAULT_LISTEN,
            advertise: None,
            data_dir: None,
        }
    }
}

/// A role, as the file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// A voter of the raft group.
    Control,
    /// Holds shards of models.
    Shard,
    /// Answers callers.
    Router,
}

/// `[cluster]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// Names the cluster: control nodes refuse messages from voters of another one. 1 to 128 bytes.
    /// Default: `marquee`.
    pub name: String,
    /// Where control nodes are, `http://host:port` each, 1 to 16. Required on nodes without the
    /// control role; others take the addresses of `control.voters`.
    pub control: Vec<String>,
}

impl Default for ClusterSection {
    fn default() -> Self {
        Self { name: "marquee".into(), control: Vec::new() }
    }
}

/// `[control]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSection {
    /// Where control's services listen, `ip:port`. Default: `node.listen`.
    pub listen: Option<SocketAddr>,
    /// This voter's number among `voters`, from 1. A node that lost its disk needs a new number.
    pub id: u64,
    /// The raft group: 1, 3 or 5 voters, equal in the files of all of them.
    pub voters: Vec<VoterSection>,
    /// Replicas wanted of each shard, 1 to 16. Default: 2. Equal on all voters.
    pub replication_factor: u32,
    /// A bundle whose index finds less than this share of the best 100 rows is not published, 0 to 1.
    /// Default: 0.95.
    pub min_index_recall: f64,
}

impl Default for ControlSection {
    fn default() -> Self {
        Self {
            listen: None,
            id: 0,
            voters: Vec::new(),
            replication_factor: 2,
            min_index_recall: DEFAULT_MIN_INDEX_RECALL,
        }
    }
}

/// One entry of `control.voters`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterSection {
    /// Its number, from 1, never used again for another disk.
    pub id: u64,
    /// Where the other voters reach it, `http://host:port`.
    pub address: String,
}

/// `[shard]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardSection {
    /// Where the shard service listens, `ip:port`. Default: `node.listen`.
    pub listen: Option<SocketAddr>,
    /// MiB of bundles that the node may keep in memory, 0 to 16,777,216; exact rows of `--rows int8` stay on
    /// disk and don't count. Default: 0, unlimited.
    pub memory_budget_mib: u64,
    /// Threads that search, 0 to 512. Default: 0, one for each core.
    pub search_threads: usize,
}

/// `[router]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSection {
    /// Where callers' services listen, `ip:port`. Default: `node.listen`.
    pub listen: Option<SocketAddr>,
    /// Milliseconds that a request may take whose caller set no deadline, 1 to 30,000. Default: 1,000.
    pub default_deadline_ms: u64,
    /// MiB of rows of users and items that the router remembers, so as not to ask shards for them again, 0 to
    /// 1,048,576; 0: none. A row of 64 factors takes some 600 bytes, and each item of a history 8. Default: 64.
    pub row_cache_mib: u64,
    /// What is kept of what people do.
    pub events: EventsSection,
}

impl Default for RouterSection {
    fn default() -> Self {
        Self {
            listen: None,
            default_deadline_ms: 1_000,
            row_cache_mib: DEFAULT_ROW_CACHE_BYTES >> 20,
            events: EventsSection::default(),
        }
    }
}

/// `[router.events]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSection {
    /// Whether the router records events and exposures; if not, RecordEvents is FAILED_PRECONDITION.
    /// Default: true.
    pub enabled: bool,
    /// The directory of the logs, of no other node's. A relative path counts from the config file. Default:
    /// `events` in `node.data_dir`.
    pub directory: Option<PathBuf>,
    /// When events are acknowledged: `always`, when they are synced to the disk; `interval`, when they are
    /// written, and they are synced every `fsync_interval_ms`, so that a machine that loses its power loses
    /// so much; `never`, when they are written. Default: `always`.
    pub fsync: FsyncPolicy,
    /// Milliseconds between syncs under `fsync = "interval"`, 1 to 60,000. Default: 100.
    pub fsync_interval_ms: u64,
    /// MiB of a file of a log, 1 to 1,024. Default: 64.
    pub segment_mib: u64,
    /// MiB of the log of events, 4 to 16,777,216 and at least four segments; beyond them the oldest file is
    /// deleted, exported or not. Exposures may have as much again, the quarantine an eighth. Default: 8,192,
    /// some 60 million events.
    pub max_total_mib: u64,
    /// Answers that leave an exposure, in basis points of all, 0 to 10,000. Default: 10,000, every one.
    pub exposure_sample_basis_points: u32,
    /// Hours after which an event is too late and is quarantined, 1 to 8,760. Default: 168, a week.
    pub max_age_hours: u64,
    /// Seconds that the time of an event may be ahead of this node's clock, 0 to 86,400; beyond them it is
    /// quarantined. Default: 60.
    pub max_skew_seconds: u64,
    /// The least rating that is believed. Default: 0.
    pub rating_min: f64,
    /// The greatest, above the least. Default: 10.
    pub rating_max: f64,
}

impl Default for EventsSection {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: None,
            fsync: FsyncPolicy::Always,
            fsync_interval_ms: 100,
            segment_mib: 64,
            max_total_mib: 8_192,
            exposure_sample_basis_points: 10_000,
            max_age_hours: 168,
            max_skew_seconds: 60,
            rating_min: 0.0,
            rating_max: 10.0,
        }
    }
}

/// When events are synced, as the file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsyncPolicy {
    /// Before they are acknowledged.
    Always,
    /// From time to time.
    Interval,
    /// When the system pleases.
    Never,
}

/// `[bundles]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BundlesSection {
    /// Files of public keys (`marquee keygen` makes them), at most 64. Where any is given, a
    /// bundle without a signature by one of them is refused. Relative paths count from the config
    /// file. Default: none, any bundle is taken.
    pub trusted_keys: Vec<PathBuf>,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Requests that one address serves at once, 1 to 100,000; more are refused with
    /// RESOURCE_EXHAUSTED. Default: 4,096.
    pub max_in_flight: usize,
    /// Threads that move messages, and search where that takes less than handing it over, 0 to 64;
    /// 0: one for each core, up to 16. Fewer wake each other less; where several nodes share a machine,
    /// one each costs least. Default: 0.
    pub io_threads: usize,
    /// Seconds that requests in flight have to end after SIGTERM, 0 to 600. Default: 10.
    pub drain_seconds: u64,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self { max_in_flight: 4_096, io_threads: 0, drain_seconds: 10 }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as
    /// `info,marquee_control=debug`. Default: `info`. The variable MARQUEE_LOG goes before it.
    pub filter: String,
    /// `text` for people, `json` for machines. Default: `text`.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
