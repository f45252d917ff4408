//! The checked config of a node.

use super::file::LogSection;
use super::metrics_address::{MetricsListen, default_metrics_address};
use marquee_client::Address;
use marquee_control::{AllowedUrls, NotificationFormat};
use marquee_core::access::{AccessRole, Principal};
use marquee_core::limits::quota::QuotaRules;
use marquee_core::plan::Role;
use marquee_events::{EventSettings, ExposureSettings};
use marquee_net::connections::ConnectionLimits;
use marquee_net::tls::TlsFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The checked config of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's id, unique in the cluster.
    pub node_id: String,
    /// The node's roles, at least one.
    pub roles: BTreeSet<Role>,
    /// The roles by the address that their services listen on.
    pub listeners: BTreeMap<SocketAddr, BTreeSet<Role>>,
    /// The address at which others reach the shard or router role, if it differs from the one it listens on.
    pub advertise: Option<Address>,
    /// The directory of the data that is kept over a restart.
    pub data_dir: PathBuf,
    /// The cluster's name.
    pub cluster_name: String,
    /// Addresses of the control nodes; empty on a node with the control role.
    pub control_addresses: Vec<Address>,
    /// Settings of the control role, if the node has it.
    pub control: Option<ControlSettings>,
    /// Upper bound of the bytes of mapped bundles; 0: unlimited.
    pub memory_budget_bytes: u64,
    /// Number of search threads; 0: one for each core.
    pub search_threads: usize,
    /// Deadline of a request without one.
    pub default_deadline: Duration,
    /// Bytes of the router's cache of rows; 0: no cache.
    pub row_cache_bytes: u64,
    /// Whether calls may ask for one variant of a trial.
    pub allow_forced_variants: bool,
    /// The share of recommendations with a drawn slot, in basis points, by surface.
    pub drawn_slots_basis_points: BTreeMap<String, u32>,
    /// Answers that take longer are logged; none: no answer is.
    pub slow_answer: Option<Duration>,
    /// Settings of the logs of events and exposures, if the router records them.
    pub events: Option<EventsSettings>,
    /// The files of certificates, keys and roots, if the node speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Who may call this node.
    pub auth: AuthSettings,
    /// Files of public keys; if there are any, bundles must be signed by one of them.
    pub trusted_keys: Vec<PathBuf>,
    /// The directories below which bundles may be; none: anywhere.
    pub bundle_roots: Vec<PathBuf>,
    /// Whether shards are served from private copies.
    pub private_copies: bool,
    /// Upper bound of the bytes of private copies; 0: unlimited.
    pub copy_budget_bytes: u64,
    /// Limits of what others may have of this node.
    pub limits: ServerLimits,
    /// Number of I/O threads; 0: one for each core, up to 16.
    pub io_threads: usize,
    /// The time that requests in flight get to complete after SIGTERM.
    pub drain: Duration,
    /// Filter and format of the log.
    pub log: LogSection,
    /// Where metrics are shown.
    pub metrics_listen: MetricsListen,
}

/// Settings of the control role.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// This voter's number.
    pub id: u64,
    /// Number and address of the voters that the group is founded with.
    pub voters: Vec<(u64, Address)>,
    /// Whether this node joins a group that is there already.
    pub join: bool,
    /// The node ids of voters, by number, as far as the config has them.
    pub node_ids: BTreeMap<u64, String>,
    /// Replicas wanted of each shard.
    pub replication_factor: u32,
    /// The least recall@100 of the index of a bundle that can be published.
    pub min_index_recall: f64,
    /// The beginnings of the addresses that external gates may ask.
    pub external_urls: AllowedUrls,
    /// Who is told of rollouts.
    pub notifications: Vec<NotificationSettings>,
}

/// One that is told of rollouts, with its secret still in its file.
#[derive(Clone)]
pub struct NotificationSettings {
    /// A name of its own.
    pub name: String,
    /// Where transitions are posted to. It may be a secret itself, as those of chats are.
    pub url: String,
    /// What is posted.
    pub format: NotificationFormat,
    /// A file with the secret that messages are signed with; none: they are not signed.
    pub secret_file: Option<PathBuf>,
    /// The surfaces whose rollouts it is told of; none: all.
    pub surfaces: BTreeSet<String>,
}

impl fmt::Debug for NotificationSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url: _, format, secret_file, surfaces } = self;
        write!(f, "NotificationSettings {{ {name}, {format:?}, {secret_file:?}, {surfaces:?} }}")
    }
}

/// Who may call a node.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// Whether callers must prove who they are.
    pub is_enforced: bool,
    /// The trust domain of SPIFFE ids.
    pub trust_domain: String,
    /// The file of hashed tokens.
    pub tokens_file: Option<PathBuf>,
    /// The identity provider whose tokens are accepted.
    pub oidc: Option<OidcSettings>,
    /// Principals by another name in their certificates.
    pub identities: BTreeMap<String, Principal>,
}

/// An identity provider, and what its tokens give.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// The provider, as its tokens name it.
    pub issuer: String,
    /// What tokens must be for.
    pub audience: String,
    /// Where the provider's keys are.
    pub keys: OidcKeys,
    /// The file of withdrawn tokens and users.
    pub withdrawn_file: Option<PathBuf>,
    /// The claim that names the user.
    pub name_claim: String,
    /// The claim with the user's groups.
    pub role_claim: String,
    /// The access roles of each group.
    pub roles: BTreeMap<String, BTreeSet<AccessRole>>,
}

/// Where an identity provider's keys are.
#[derive(Clone, Debug)]
pub enum OidcKeys {
    /// In this file.
    File(PathBuf),
    /// At this address.
    Address(String),
}

/// Limits of what others may have of a node.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Upper bound of the concurrent requests of callers on one address, and of those of nodes.
    pub max_in_flight: usize,
    /// Upper bound of the calls under way on one connection.
    pub streams_per_connection: u32,
    /// How many connections there may be, and how long they may do nothing.
    pub connections: ConnectionLimits,
    /// The time that a request has to arrive.
    pub request: Duration,
    /// The pause after which a quiet peer is asked whether it is still there.
    pub keepalive: Duration,
    /// Calls a second.
    pub quotas: QuotaRules,
}

/// Settings of a router's logs.
#[derive(Clone, Debug)]
pub struct EventsSettings {
    /// The log of events, and the limits beyond which events are quarantined.
    pub events: EventSettings,
    /// The log of exposures, and the share of answers that are recorded.
    pub exposures: ExposureSettings,
}

impl Config {
    /// The node's address in the plan: that of its shard role if it has it, since routers must reach it.
    pub fn plan_address(&self) -> String {
        let role = if self.roles.contains(&Role::Shard) { Role::Shard } else { Role::Router };
        match &self.advertise {
            Some(address) => address.to_string(),
            None => self.listener_of(role).map_or_else(String::new, |at| {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{at}")
            }),
        }
    }

    /// Where metrics are shown if nothing says where.
    pub(crate) fn default_metrics_address(&self) -> SocketAddr {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first =
            self.listener_of(Role::Router).or_else(|| self.listeners.keys().next().copied());
        default_metrics_address(first.unwrap_or(any))
    }

    /// The address that a role listens on.
    pub fn listener_of(&self, role: Role) -> Option<SocketAddr> {
        self.listeners.iter().find(|(_, roles)| roles.contains(&role)).map(|(at, _)| *at)
    }
}
