//! The config file as written: TOML without unknown keys; every field has its unit and bounds.
//!
//! The values are not checked yet: [`Config::check`](super::Config::check) does that.

use marquee_control::DEFAULT_MIN_INDEX_RECALL;
use marquee_router::{DEFAULT_ROW_CACHE_BYTES, DEFAULT_SLOW_ANSWER};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The default address to listen on: loopback, so that nothing is open to the network by accident.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_051);

/// The config file. Every section may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// The node's id, roles and addresses.
    pub node: NodeSection,
    /// The cluster that the node belongs to.
    pub cluster: ClusterSection,
    /// Settings of the control role.
    pub control: ControlSection,
    /// Settings of the shard role.
    pub shard: ShardSection,
    /// Settings of the router role.
    pub router: RouterSection,
    /// Certificates, keys and roots. Required where an address is not on loopback, unless `auth.insecure`.
    pub tls: Option<TlsSection>,
    /// Who may call this node.
    pub auth: AuthSection,
    /// The keys that bundles must be signed with.
    pub bundles: BundlesSection,
    /// Limits of the gRPC servers.
    pub server: ServerSection,
    /// Filter and format of the log.
    pub log: LogSection,
    /// Where metrics are shown.
    pub metrics: MetricsSection,
}

/// The section `[node]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    /// Unique in the cluster, 1 to 128 bytes of letters, digits, `-`, `_`, `.`. Required.
    pub id: String,
    /// The node's roles: any of `control`, `shard`, `router`. Default: all three.
    pub roles: Vec<RoleName>,
    /// The address to listen on, `ip:port`. Default: `127.0.0.1:50051`. A role's own section may name
    /// another address for that role.
    pub listen: SocketAddr,
    /// The address at which other nodes reach its shard and router roles, `http://host:port`. Default: the
    /// address that it listens on, which must then not be a wildcard such as `0.0.0.0`.
    pub advertise: Option<String>,
    /// The directory of the data that is kept over a restart: the raft log, the last plan, events. A relative
    /// path counts from the config file. Required.
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
    /// Holds shards of bundles and searches them.
    Shard,
    /// Answers the requests of callers.
    Router,
}

/// The section `[cluster]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// The cluster's name: control nodes refuse messages from voters of another cluster. 1 to 128 bytes.
    /// Default: `marquee`.
    pub name: String,
    /// Addresses of the control nodes, `http://host:port` each, 1 to 16. Required on nodes without the
    /// control role; nodes with it use the addresses of `control.voters`.
    pub control: Vec<String>,
}

impl Default for ClusterSection {
    fn default() -> Self {
        Self { name: "marquee".into(), control: Vec::new() }
    }
}

/// The section `[control]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSection {
    /// The address of the control services, `ip:port`. Default: `node.listen`.
    pub listen: Option<SocketAddr>,
    /// This voter's number, from 1: one of `voters`, unless it joins.
    pub id: u64,
    /// The voters that the group is founded with: 1, 3 or 5, the same in the files of all of them. It stays as it is:
    /// `marquee ctl voters` changes who votes after that.
    pub voters: Vec<VoterSection>,
    /// Whether this node joins a group that is there already, as a voter that `marquee ctl voters add` has announced.
    /// Default: false.
    pub join: bool,
    /// Replicas wanted of each shard, 1 to 16. Default: 2. The same on all voters.
    pub replication_factor: u32,
    /// The least recall@100 of a bundle's index, 0 to 1; a bundle below it cannot be published. Default:
    /// 0.95.
    pub min_index_recall: f64,
    /// The beginnings of the addresses that external gates of rollouts may ask, such as
    /// `http://prometheus:9090`. The same on all voters. Default: none, there are no external gates.
    pub external_urls: Vec<String>,
    /// Who is told of rollouts, at most 8. The same on all voters. Default: nobody.
    pub notifications: Vec<NotificationSection>,
}

impl Default for ControlSection {
    fn default() -> Self {
        Self {
            listen: None,
            id: 0,
            voters: Vec::new(),
            join: false,
            replication_factor: 2,
            min_index_recall: DEFAULT_MIN_INDEX_RECALL,
            external_urls: Vec::new(),
            notifications: Vec::new(),
        }
    }
}

/// One entry of `control.notifications`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationSection {
    /// A name of its own, 1 to 128 bytes of letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where transitions are posted to. It is never printed.
    pub url: String,
    /// `json`, all that is known of a transition, or `slack`, a line of text. Default: `json`.
    #[serde(default)]
    pub format: FormatName,
    /// A file with the secret that messages are signed with, 16 to 4,096 bytes. A relative path counts from the config file.
    /// Required with `format = "json"`.
    pub secret_file: Option<PathBuf>,
    /// The surfaces whose rollouts it is told of. Default: none, all surfaces.
    #[serde(default)]
    pub surfaces: Vec<String>,
}

/// The format of notifications, as the file writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// All that is known of a transition, as JSON.
    #[default]
    Json,
    /// A line of text, as chats take it.
    Slack,
}

/// One entry of `control.voters`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterSection {
    /// The voter's number, from 1. A voter that lost its disk needs a new number.
    pub id: u64,
    /// The address at which the other voters reach it, `http://host:port`.
    pub address: String,
    /// The voter's `node.id`, which its certificate must have. Required where there are several voters and access
    /// is controlled.
    pub node: Option<String>,
}

/// The section `[tls]`. All files are PEM; they are read again when they change. Relative paths count from the
/// config file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// This node's certificate, and those between it and a root. It names the hosts at which others reach the
    /// node, and has a SPIFFE id with the node's roles and its id.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The roots of the certificates of nodes, and of callers and operators too.
    pub trust: PathBuf,
    /// Further roots, of callers' certificates alone: these have no other roles than `caller` and `events`.
    /// Default: none.
    pub client_trust: Option<PathBuf>,
    /// Lists of revoked certificates (CRLs), one of each authority that has any. Default: none.
    pub revoked: Option<PathBuf>,
}

/// The section `[auth]`. Access is controlled where there is a section `[tls]` or a file of tokens: then all calls but health checks are refused to those who have not proved who they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSection {
    /// Lets all who reach the node do all things. For networks that are closed in another way. Default: false.
    pub insecure: bool,
    /// The trust domain of SPIFFE ids, `spiffe://TRUST-DOMAIN/marquee/ROLES/NAME`. Default: the cluster's name.
    pub trust_domain: Option<String>,
    /// A file of hashed tokens, which `marquee token` writes. It is read again when it changes. Default: none.
    pub tokens_file: Option<PathBuf>,
    /// An identity provider whose tokens are accepted (OpenID Connect). Default: none.
    pub oidc: Option<OidcSection>,
    /// Certificates with other names than the trust domain's SPIFFE ids, at most 1,000. Default: none.
    pub identities: Vec<IdentitySection>,
}

/// The section `[auth.oidc]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSection {
    /// The provider, to the letter as in the claim `iss` of its tokens.
    pub issuer: String,
    /// What tokens must be for: an entry of their claim `aud`.
    pub audience: String,
    /// Where the provider's keys are, as a JSON Web Key Set. This or `jwks_file`.
    pub jwks_url: Option<String>,
    /// A file of the provider's keys, which is read again when it changes. This or `jwks_url`.
    pub jwks_file: Option<PathBuf>,
    /// A file of tokens and users that are refused before their tokens expire: TOML with `tokens`, a list of claims `jti`,
    /// and `users`, a list of names. It is read again when it changes. Default: none.
    pub withdrawn_file: Option<PathBuf>,
    /// The claim that names the user in logs. Default: `sub`.
    pub name_claim: Option<String>,
    /// The claim with the user's groups; dots lead into nested ones, as in `realm_access.roles`. Default: `groups`.
    pub role_claim: Option<String>,
    /// For each group the access roles that it has, none of a node.
    pub roles: BTreeMap<String, Vec<String>>,
}

/// One entry of `auth.identities`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitySection {
    /// A URI or a host name in the subject alternative names of the certificate, to the letter.
    pub san: String,
    /// The access roles of those who have it, at least one.
    pub roles: Vec<String>,
    /// Their name; of a node, its id.
    pub name: String,
}

/// The section `[shard]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardSection {
    /// The address of the shard service, `ip:port`. Default: `node.listen`.
    pub listen: Option<SocketAddr>,
    /// Upper bound of the bundles in memory in MiB, 0 to 16,777,216; exact rows of `--rows int8` stay on
    /// disk and don't count. Default: 0, unlimited.
    pub memory_budget_mib: u64,
    /// Search threads, 0 to 512. Default: 0, one for each core.
    pub search_threads: usize,
}

/// The section `[router]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSection {
    /// The address of the services for callers, `ip:port`. Default: `node.listen`.
    pub listen: Option<SocketAddr>,
    /// Whether the callers' address may carry services of other roles too, on an address that other machines
    /// reach. Default: false.
    pub carries_other_roles: bool,
    /// Deadline in milliseconds of a request without one, 1 to 30,000. Default: 1,000.
    pub default_deadline_ms: u64,
    /// Size in MiB of the router's cache of users' and items' rows, 0 to 1,048,576; 0: no cache. A row of 64
    /// factors takes some 600 bytes, and each item of a history 8. Default: 64.
    pub row_cache_mib: u64,
    /// Whether calls may ask for one variant of a trial by the metadata `marquee-variant`, for testers. Default: false.
    pub allow_forced_variants: bool,
    /// The share of recommendations in which one slot has an item drawn from the candidates beyond the list, in
    /// basis points by surface, 0 to 10,000, as in `{ home = 200 }`. Default: none, on all surfaces.
    pub drawn_slots_basis_points: BTreeMap<String, u32>,
    /// Answers that take longer than so many milliseconds are logged, with how long each stage took, 0 to 30,000; 0: none is.
    /// Default: 500.
    pub slow_answer_ms: u64,
    /// How events and exposures are recorded.
    pub events: EventsSection,
}

impl Default for RouterSection {
    fn default() -> Self {
        Self {
            listen: None,
            carries_other_roles: false,
            default_deadline_ms: 1_000,
            row_cache_mib: DEFAULT_ROW_CACHE_BYTES >> 20,
            allow_forced_variants: false,
            drawn_slots_basis_points: BTreeMap::new(),
            slow_answer_ms: DEFAULT_SLOW_ANSWER.as_millis() as u64,
            events: EventsSection::default(),
        }
    }
}

/// The section `[router.events]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSection {
    /// Whether the router records events and exposures; otherwise RecordEvents fails with
    /// FAILED_PRECONDITION. Default: true.
    pub enabled: bool,
    /// The directory of the logs; no other node may use it. A relative path counts from the config file.
    /// Default: `events` in `node.data_dir`.
    pub directory: Option<PathBuf>,
    /// When events are acknowledged: `always`, when they are synced to the disk; `interval`, when they are
    /// written, with a sync every `fsync_interval_ms`, so that a power failure loses at most that much;
    /// `never`, when they are written, without syncs. Default: `always`.
    pub fsync: FsyncPolicy,
    /// Milliseconds between syncs under `fsync = "interval"`, 1 to 60,000. Default: 100.
    pub fsync_interval_ms: u64,
    /// Size in MiB of a file of a log, 1 to 1,024. Default: 64.
    pub segment_mib: u64,
    /// Upper bound in MiB of the log of events, 4 to 16,777,216 and at least four segments; above it the
    /// oldest file is deleted, exported or not. Exposures may take as much again, the quarantine an eighth.
    /// Default: 8,192, some 60 million events.
    pub max_total_mib: u64,
    /// The share of answers that are recorded as exposures, in basis points, 0 to 10,000. Default: 10,000,
    /// all.
    pub exposure_sample_basis_points: u32,
    /// The age in hours above which an event is quarantined, 1 to 8,760. Default: 168, a week.
    pub max_age_hours: u64,
    /// Seconds by which the time of an event may be ahead of this node's clock, 0 to 86,400; above that it is
    /// quarantined. Default: 60.
    pub max_skew_seconds: u64,
    /// The lowest rating that is accepted; others are quarantined. Default: 0.
    pub rating_min: f64,
    /// The highest rating that is accepted, above `rating_min`. Default: 10.
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
    /// Events are synced before they are acknowledged.
    Always,
    /// Events are synced at intervals.
    Interval,
    /// Events are never synced by the router.
    Never,
}

/// The section `[bundles]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BundlesSection {
    /// Files of public keys (`marquee keygen` makes them), at most 64. If any is given, a
    /// bundle without a signature by one of them is refused. Relative paths count from the config
    /// file. Default: none, any bundle is accepted.
    pub trusted_keys: Vec<PathBuf>,
    /// Whether a node without trusted keys refuses to start, so that a list that is lost lets no unsigned bundle
    /// in. Default: false.
    pub require_signatures: bool,
    /// The directories below which bundles may be, at most 64: others are neither published nor loaded nor
    /// deleted, and not looked at. Relative paths count from the config file. Default: none, which means anywhere, and is
    /// allowed for services on loopback only.
    pub roots: Vec<PathBuf>,
    /// Whether shards are served from private copies in `node.data_dir`, so that nothing that happens to the published
    /// files changes what is served. A copy takes room where the file system cannot share blocks between files.
    /// Otherwise the published files must never change. Default: true.
    pub private_copies: bool,
    /// Upper bound of the private copies in MiB, 0 to 16,777,216; 0: unlimited. Default: 0.
    pub copy_budget_mib: u64,
}

impl Default for BundlesSection {
    fn default() -> Self {
        Self {
            trusted_keys: Vec::new(),
            require_signatures: false,
            roots: Vec::new(),
            private_copies: true,
            copy_budget_mib: 0,
        }
    }
}

/// The section `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Upper bound of the concurrent requests of callers on one address, 1 to 100,000, and of those of nodes; more are
    /// refused with RESOURCE_EXHAUSTED. Default: 4,096.
    pub max_in_flight: usize,
    /// Upper bound of the connections to all addresses of this node, 1 to 100,000, and no more than three quarters of the
    /// files that the process may have open. Where all are taken, one without a call gives way. Default: 4,096.
    pub max_connections: usize,
    /// Upper bound of the connections from one IP address to one address of this node, 1 to 100,000. Default: 1,024.
    pub max_connections_per_address: usize,
    /// Upper bound of the calls under way on one connection, 1 to 65,536; clients wait with more. Default: 4,096.
    pub streams_per_connection: u32,
    /// Seconds in which a new connection must have shaken hands and begun HTTP/2, 1 to 60. Default: 5.
    pub handshake_seconds: u64,
    /// Seconds in which a request must have arrived after its headers, 1 to 600; streams have no such limit. Default: 10.
    pub request_seconds: u64,
    /// Seconds without a call after which a connection is closed, 1 to 86,400. Default: 900.
    pub idle_seconds: u64,
    /// Seconds after which a quiet peer is asked whether it is still there, 1 to 3,600. One that does not answer in half of
    /// that, as it sends half of a request's headers, loses its connection. Default: 20.
    pub keepalive_seconds: u64,
    /// Calls a second, at most 1,000 entries. Default: none, nobody is limited.
    pub quotas: Vec<QuotaSection>,
    /// I/O threads, which also run searches that are shorter than a hand-over, 0 to 64; 0: one for each core,
    /// up to 16. If several nodes share a machine, one each costs least CPU. Default: 0.
    pub io_threads: usize,
    /// Seconds that requests in flight get to complete after SIGTERM, 0 to 600. Default: 10.
    pub drain_seconds: u64,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            max_in_flight: 4_096,
            max_connections: 4_096,
            max_connections_per_address: 1_024,
            streams_per_connection: 4_096,
            handshake_seconds: 5,
            request_seconds: 10,
            idle_seconds: 900,
            keepalive_seconds: 20,
            quotas: Vec::new(),
            io_threads: 0,
            drain_seconds: 10,
        }
    }
}

/// One entry of `server.quotas`. It names an identity, or a role, or `anonymous`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaSection {
    /// The name of a certificate or token whose calls are limited.
    pub identity: Option<String>,
    /// An access role: each identity that has it is limited by itself, unless it has an entry of its own. Of several
    /// roles the highest limit holds.
    pub role: Option<String>,
    /// Each IP address of those who have not proved who they are.
    #[serde(default)]
    pub anonymous: bool,
    /// Calls a second in the long run, 1 to 1,000,000.
    pub calls_per_second: u32,
    /// Calls at once, 1 to 1,000,000. Default: those of one second.
    pub burst: Option<u32>,
}

/// The section `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as
    /// `info,marquee_control=debug`. Default: `info`. The environment variable MARQUEE_LOG overrules it.
    pub filter: String,
    /// `text`, `json`, or `auto`: text where a terminal shows it, else JSON. Default: `auto`. The environment variable
    /// MARQUEE_LOG_FORMAT overrules it.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Auto }
    }
}

/// The section `[metrics]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// The address of the metrics for Prometheus, `ip:port`, or `off`. They have no secrets and name no users, and all who
    /// reach the address can read them, without TLS. Default: on loopback, at 20,000 and the last four digits of
    /// the port of the node's first service; if something else listens there, the node warns and goes without.
    pub listen: Option<String>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines of text where a terminal shows them, else JSON.
    #[default]
    Auto,
    /// Lines of text.
    Text,
    /// One JSON object per line.
    Json,
}
