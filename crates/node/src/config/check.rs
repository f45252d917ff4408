//! From a config file as written to the settings of a node: every value is checked, and what is refused is
//! named by its file and key.

use super::error::NodeConfigError;
use super::file::{
    ConfigFile, ControlSection, EventsSection, FormatName, FsyncPolicy, NotificationSection,
    RoleName, TlsSection, VoterSection,
};
use super::limits::check_limits;
use super::log_filter::parse_log_filter;
use super::metrics_address::MetricsListen;
use super::security::{NodeFacts, Refusal, check_auth, check_callers_address};
use super::settings::{
    AuthSettings, Config, ControlSettings, EventsSettings, NotificationSettings, OidcKeys,
    OidcSettings,
};
use marquee_bundle::read_text_input;
use marquee_client::{Address, AddressError};
use marquee_control::{AllowedUrls, NotificationFormat};
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::bounds::VOTER_COUNTS;
use marquee_core::id::check_name;
use marquee_core::plan::Role;
use marquee_events::log::LogOptions;
use marquee_events::rules::EventLimits;
use marquee_events::{Contents, EXPOSURES_DIRECTORY, EventSettings, ExposureSettings, Fsync};
use marquee_net::tls::TlsFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The default directory of a router's events, within the node's data directory.
pub const EVENTS_DIRECTORY: &str = "events";
/// Upper bound of a follower's control addresses: more than any group has, for a move to other machines.
const MAX_CONTROL_ADDRESSES: usize = 16;
/// Upper bound of the replicas of a shard: more only take memory.
const MAX_REPLICATION_FACTOR: u32 = 16;
/// Upper bound of a memory budget in MiB: 16 TiB, above any machine, so that a typing error is found.
const MAX_MEMORY_BUDGET_MIB: u64 = 16 << 20;
/// Upper bound of search threads: above the cores of any machine.
const MAX_SEARCH_THREADS: usize = marquee_shard::MAX_SEARCH_THREADS;
/// The longest default deadline: callers do not wait longer.
const MAX_DEFAULT_DEADLINE_MS: u64 = 30_000;
/// Upper bound of the milliseconds between two syncs: longer is as good as `never`.
const MAX_FSYNC_INTERVAL_MS: u64 = 60_000;
/// Upper bound of a file of events in MiB: a start reads the last one.
const MAX_SEGMENT_MIB: u64 = 1_024;
/// Least number of files of a log: retention deletes one at a time.
const MIN_SEGMENTS: u64 = 4;
/// Upper bound of the events in MiB: 16 TiB, above any disk, so that a typing error is found.
const MAX_EVENTS_MIB: u64 = 16 << 20;
/// Upper bound of the age of events in hours: a year, for imported events.
const MAX_EVENT_AGE_HOURS: u64 = 8_760;
/// Upper bound of the seconds that callers' clocks may be ahead: a day, as with a wrong time zone.
const MAX_EVENT_SKEW_SECONDS: u64 = 86_400;
/// Upper bound of the directories that bundles may be in.
const MAX_BUNDLE_ROOTS: usize = 64;
/// Upper bound of the keys that are tried for one signature.
const MAX_TRUSTED_KEYS: usize = 64;
/// Upper bound of I/O threads: more only wake each other.
const MAX_IO_THREADS: usize = 64;
/// The longest drain: orchestrators kill a process sooner.
const MAX_DRAIN_SECONDS: u64 = 600;
/// Upper bound of the bytes of a config file: a few hundred lines.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads and checks a file. `insecure` overrules `auth.insecure`.
    pub fn read(path: &Path, insecure: bool) -> Result<Self, NodeConfigError> {
        let bytes = fs_err::metadata(path)?.len();
        if bytes > MAX_FILE_BYTES {
            let reason = format!("it has {bytes} bytes: a config has at most {MAX_FILE_BYTES}");
            return Err(NodeConfigError::Syntax { path: path.into(), line: 1, reason });
        }
        let mut file = ConfigFile::parse(path, &read_text_input(path, MAX_FILE_BYTES)?)?;
        file.auth.insecure |= insecure;
        Self::check(path, file)
    }

    /// Checks the text of a file; `path` is for messages and for relative paths in it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, NodeConfigError> {
        Self::check(path, ConfigFile::parse(path, text)?)
    }

    /// Checks a file's content as a whole.
    pub fn check(path: &Path, file: ConfigFile) -> Result<Self, NodeConfigError> {
        let ConfigFile {
            node,
            cluster,
            control,
            shard,
            router,
            tls,
            auth,
            bundles,
            server,
            log,
            metrics,
        } = file;
        let check = ValueChecks { path, has_tls: tls.is_some() };
        let auth_is_insecure = auth.insecure;
        check.name("node.id", &node.id)?;
        check.name("cluster.name", &cluster.name)?;
        let roles = check.roles(&node.roles)?;
        let mut listeners: BTreeMap<SocketAddr, BTreeSet<Role>> = BTreeMap::new();
        for (role, key, listen) in [
            (Role::Control, "control.listen", control.listen),
            (Role::Shard, "shard.listen", shard.listen),
            (Role::Router, "router.listen", router.listen),
        ] {
            if roles.contains(&role) {
                let key = if listen.is_some() { key } else { "node.listen" };
                let listen = check.listen(key, listen.unwrap_or(node.listen))?;
                listeners.entry(listen).or_default().insert(role);
            }
        }
        let data_dir = node.data_dir.ok_or_else(|| {
            check.error("node.data_dir", "is missing: name a directory that this node may write to")
        })?;
        let control_settings =
            if roles.contains(&Role::Control) { Some(check.control(&control)?) } else { None };
        let control_addresses = match control_settings {
            Some(_) => Vec::new(),
            None => check.control_addresses(&cluster.control)?,
        };
        let advertise = check.advertise(node.advertise.as_deref(), &roles, &listeners)?;
        check.at_most("shard.memory_budget_mib", shard.memory_budget_mib, MAX_MEMORY_BUDGET_MIB)?;
        check.at_most("shard.search_threads", shard.search_threads, MAX_SEARCH_THREADS)?;
        let deadline_ms = router.default_deadline_ms;
        check.within("router.default_deadline_ms", deadline_ms, 1, MAX_DEFAULT_DEADLINE_MS)?;
        let most_mib = marquee_router::MAX_ROW_CACHE_BYTES >> 20;
        check.at_most("router.row_cache_mib", router.row_cache_mib, most_mib)?;
        check.at_most("router.slow_answer_ms", router.slow_answer_ms, MAX_DEFAULT_DEADLINE_MS)?;
        for (surface, &share) in &router.drawn_slots_basis_points {
            let key = format!("router.drawn_slots_basis_points.{surface}");
            check.name(&key, surface)?;
            check.at_most(&key, share, FULL_WEIGHT_BASIS_POINTS)?;
        }
        let facts = NodeFacts {
            has_tls: tls.is_some(),
            cluster_name: &cluster.name,
            roles: &roles,
            listeners: &listeners,
            control: control_settings.as_ref(),
        };
        let refused = |Refusal { key, reason }| check.error(&key, &reason);
        let auth = check.auth_paths(check_auth(auth, &facts).map_err(refused)?)?;
        if !router.carries_other_roles && !auth_is_insecure {
            check_callers_address(&facts).map_err(refused)?;
        }
        let tls = tls.map(|section| check.tls(&section)).transpose()?;
        let data_dir = check.path(&data_dir)?;
        let events = check.events(&router.events, &data_dir)?;
        check.at_most(
            "number of bundles.trusted_keys",
            bundles.trusted_keys.len(),
            MAX_TRUSTED_KEYS,
        )?;
        if bundles.require_signatures && bundles.trusted_keys.is_empty() {
            let reason = "is true and there are no bundles.trusted_keys: name the files of the public keys \
                          that bundles are signed by";
            return Err(check.error("bundles.require_signatures", reason));
        }
        check.at_most("number of bundles.roots", bundles.roots.len(), MAX_BUNDLE_ROOTS)?;
        check.at_most("bundles.copy_budget_mib", bundles.copy_budget_mib, MAX_MEMORY_BUDGET_MIB)?;
        let bundle_roles = BTreeSet::from([Role::Control, Role::Shard]);
        let is_open = |(at, roles): (&SocketAddr, &BTreeSet<Role>)| {
            !at.ip().is_loopback() && !roles.is_disjoint(&bundle_roles)
        };
        if bundles.roots.is_empty() && listeners.iter().any(is_open) {
            let reason = "is missing: a node that is reached from other machines must say below which \
                          directories bundles are, as in [\"/bundles\"]";
            return Err(check.error("bundles.roots", reason));
        }
        let limits = check_limits(&server).map_err(refused)?;
        check.at_most("server.io_threads", server.io_threads, MAX_IO_THREADS)?;
        check.at_most("server.drain_seconds", server.drain_seconds, MAX_DRAIN_SECONDS)?;
        parse_log_filter(&log.filter).map_err(|reason| check.error("log.filter", &reason))?;
        let metrics_listen = match metrics.listen.as_deref().map(str::parse) {
            None => MetricsListen::Default,
            Some(listen) => {
                listen.map_err(|reason: String| check.error("metrics.listen", &reason))?
            }
        };
        if let MetricsListen::At(at) = metrics_listen
            && listeners.contains_key(&at)
        {
            let reason = "is the address of a service of this node: metrics have one of their own";
            return Err(check.error("metrics.listen", reason));
        }
        Ok(Self {
            node_id: node.id,
            roles,
            listeners,
            advertise,
            data_dir,
            cluster_name: cluster.name,
            control_addresses,
            control: control_settings,
            memory_budget_bytes: shard.memory_budget_mib << 20,
            search_threads: shard.search_threads,
            default_deadline: Duration::from_millis(deadline_ms),
            row_cache_bytes: router.row_cache_mib << 20,
            allow_forced_variants: router.allow_forced_variants,
            drawn_slots_basis_points: router.drawn_slots_basis_points,
            slow_answer: Some(router.slow_answer_ms)
                .filter(|&ms| ms > 0)
                .map(Duration::from_millis),
            events,
            tls,
            auth,
            trusted_keys: bundles
                .trusted_keys
                .iter()
                .map(|key| check.path(key))
                .collect::<Result<_, _>>()?,
            bundle_roots: bundles
                .roots
                .iter()
                .map(|root| check.path(root))
                .collect::<Result<_, _>>()?,
            private_copies: bundles.private_copies,
            copy_budget_bytes: bundles.copy_budget_mib << 20,
            limits,
            io_threads: server.io_threads,
            drain: Duration::from_secs(server.drain_seconds),
            log,
            metrics_listen,
        })
    }
}

impl ConfigFile {
    /// Reads the text of a file; `path` is for messages.
    fn parse(path: &Path, text: &str) -> Result<Self, NodeConfigError> {
        toml::from_str(text).map_err(|error| NodeConfigError::syntax(path, text, &error))
    }
}

/// Checks single values; its errors name the file and the key.
struct ValueChecks<'a> {
    path: &'a Path,
    /// Whether the node speaks TLS, and so all that it connects to.
    has_tls: bool,
}

impl ValueChecks<'_> {
    /// The error for the value of `key`.
    fn error(&self, key: &str, reason: &str) -> NodeConfigError {
        NodeConfigError::Value { path: self.path.into(), key: key.into(), reason: reason.into() }
    }

    /// Checks a name.
    fn name(&self, key: &str, name: &str) -> Result<(), NodeConfigError> {
        check_name("the name", name).map_err(|e| self.error(key, &e.to_string()))
    }

    /// Checks that a value is within `min..=max`.
    fn within<T: PartialOrd + std::fmt::Display>(
        &self,
        key: &str,
        value: T,
        min: T,
        max: T,
    ) -> Result<(), NodeConfigError> {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(self.error(key, &format!("{value} is not within {min} to {max}")))
    }

    /// Checks that a value is within `0..=max`.
    fn at_most<T: PartialOrd + std::fmt::Display + Default>(
        &self,
        key: &str,
        value: T,
        max: T,
    ) -> Result<(), NodeConfigError> {
        self.within(key, value, T::default(), max)
    }

    /// The node's roles, at least one.
    fn roles(&self, names: &[RoleName]) -> Result<BTreeSet<Role>, NodeConfigError> {
        if names.is_empty() {
            return Err(
                self.error("node.roles", "is empty: name control, shard, router or several")
            );
        }
        Ok(names
            .iter()
            .map(|name| match name {
                RoleName::Control => Role::Control,
                RoleName::Shard => Role::Shard,
                RoleName::Router => Role::Router,
            })
            .collect())
    }

    /// Checks an address to listen on.
    fn listen(&self, key: &str, at: SocketAddr) -> Result<SocketAddr, NodeConfigError> {
        if at.port() == 0 {
            let reason = "port 0 would be another one at every start: choose 1 to 65535";
            return Err(self.error(key, reason));
        }
        Ok(at)
    }

    /// Parses the address of a server.
    fn address(&self, key: &str, text: &str) -> Result<Address, NodeConfigError> {
        let address: Address =
            text.parse().map_err(|e: AddressError| self.error(key, &e.to_string()))?;
        match (address.is_tls(), self.has_tls) {
            (true, false) => {
                let reason =
                    format!("{text:?} speaks TLS, for which this node needs a section [tls]");
                Err(self.error(key, &reason))
            }
            (false, true) => {
                let reason =
                    format!("{text:?} is plain text, and this node speaks TLS: write https://");
                Err(self.error(key, &reason))
            }
            (true, true) | (false, false) => Ok(address),
        }
    }

    /// Checks the section `[control]`.
    fn control(&self, control: &ControlSection) -> Result<ControlSettings, NodeConfigError> {
        let count = control.voters.len();
        if !VOTER_COUNTS.contains(&count) {
            let reason = format!(
                "lists {count}: a raft group has 1, 3 or 5 voters, as in voters = [{{ id = 1, address = \"http://127.0.0.1:50061\" }}]"
            );
            return Err(self.error("control.voters", &reason));
        }
        let mut voters: Vec<(u64, Address)> = Vec::with_capacity(count);
        let mut node_ids = BTreeMap::new();
        for (n, VoterSection { id, address, node }) in control.voters.iter().enumerate() {
            if *id == 0 || voters.iter().any(|(other, _)| other == id) {
                let reason = format!("{id} is 0 or taken: voters have distinct numbers from 1");
                return Err(self.error(&format!("control.voters[{n}].id"), &reason));
            }
            let address = self.address(&format!("control.voters[{n}].address"), address)?;
            if voters.iter().any(|(_, other)| *other == address) {
                let reason = format!("{address} is another voter's too");
                return Err(self.error(&format!("control.voters[{n}].address"), &reason));
            }
            if let Some(node_id) = node {
                self.name(&format!("control.voters[{n}].node"), node_id)?;
                node_ids.insert(*id, node_id.clone());
            }
            voters.push((*id, address));
        }
        let is_founder = voters.iter().any(|(id, _)| *id == control.id);
        if !is_founder && (!control.join || control.id == 0) {
            let ids: Vec<String> = voters.iter().map(|(id, _)| id.to_string()).collect();
            let reason = format!(
                "{} is none of control.voters, which are {}; control.join = true lets a new voter join them",
                control.id,
                ids.join(", ")
            );
            return Err(self.error("control.id", &reason));
        }
        let replication_factor = control.replication_factor;
        self.within("control.replication_factor", replication_factor, 1, MAX_REPLICATION_FACTOR)?;
        let min_index_recall = control.min_index_recall;
        if !(0.0..=1.0).contains(&min_index_recall) {
            let reason = format!("is {min_index_recall}: 0 to 1 are allowed");
            return Err(self.error("control.min_index_recall", &reason));
        }
        let external_urls = AllowedUrls::parse(&control.external_urls)
            .map_err(|error| self.error("control.external_urls", &error.to_string()))?;
        let notifications = control
            .notifications
            .iter()
            .map(|section| self.notification(section))
            .collect::<Result<_, _>>()?;
        Ok(ControlSettings {
            id: control.id,
            voters,
            join: control.join,
            node_ids,
            replication_factor,
            min_index_recall,
            external_urls,
            notifications,
        })
    }

    /// The settings of an entry of `control.notifications`; the control role checks them when it starts.
    fn notification(
        &self,
        section: &NotificationSection,
    ) -> Result<NotificationSettings, NodeConfigError> {
        let NotificationSection { name, url, format, secret_file, surfaces } = section;
        Ok(NotificationSettings {
            name: name.clone(),
            url: url.clone(),
            format: match format {
                FormatName::Json => NotificationFormat::Json,
                FormatName::Slack => NotificationFormat::Slack,
            },
            secret_file: secret_file.as_deref().map(|file| self.path(file)).transpose()?,
            surfaces: surfaces.iter().cloned().collect(),
        })
    }

    /// Checks the section `[router.events]`; none if events are not recorded.
    fn events(
        &self,
        section: &EventsSection,
        data_dir: &Path,
    ) -> Result<Option<EventsSettings>, NodeConfigError> {
        let EventsSection {
            enabled,
            directory,
            fsync,
            fsync_interval_ms,
            segment_mib,
            max_total_mib,
            exposure_sample_basis_points,
            max_age_hours,
            max_skew_seconds,
            rating_min,
            rating_max,
        } = section;
        let key = |name: &str| format!("router.events.{name}");
        self.within(&key("fsync_interval_ms"), *fsync_interval_ms, 1, MAX_FSYNC_INTERVAL_MS)?;
        self.within(&key("segment_mib"), *segment_mib, 1, MAX_SEGMENT_MIB)?;
        let least_mib = MIN_SEGMENTS * segment_mib;
        self.within(&key("max_total_mib"), *max_total_mib, least_mib, MAX_EVENTS_MIB)?;
        let sample = *exposure_sample_basis_points;
        let sample_key = key("exposure_sample_basis_points");
        self.at_most(&sample_key, sample, FULL_WEIGHT_BASIS_POINTS)?;
        self.within(&key("max_age_hours"), *max_age_hours, 1, MAX_EVENT_AGE_HOURS)?;
        self.at_most(&key("max_skew_seconds"), *max_skew_seconds, MAX_EVENT_SKEW_SECONDS)?;
        if !(rating_min.is_finite() && rating_max.is_finite() && rating_min < rating_max) {
            let reason = format!("{rating_max} is not a number above rating_min, {rating_min}");
            return Err(self.error(&key("rating_max"), &reason));
        }
        if !enabled {
            return Ok(None);
        }
        let directory = match directory {
            Some(directory) => self.path(directory)?,
            None => data_dir.join(EVENTS_DIRECTORY),
        };
        let fsync = match fsync {
            FsyncPolicy::Always => Fsync::Always,
            FsyncPolicy::Interval => Fsync::IntervalMs(*fsync_interval_ms),
            FsyncPolicy::Never => Fsync::Never,
        };
        let limits = EventLimits {
            max_age_ms: max_age_hours * 3_600_000,
            max_skew_ms: max_skew_seconds * 1_000,
            ratings: (*rating_min, *rating_max),
        };
        let (segment_bytes, max_bytes) = (segment_mib << 20, max_total_mib << 20);
        let exposures = LogOptions {
            fsync,
            segment_bytes,
            max_bytes,
            ..LogOptions::new(directory.join(EXPOSURES_DIRECTORY), Contents::Exposures)
        };
        let events = LogOptions {
            fsync,
            segment_bytes,
            max_bytes,
            ..LogOptions::new(directory, Contents::Events)
        };
        Ok(Some(EventsSettings {
            events: EventSettings { log: events, limits },
            exposures: ExposureSettings { log: exposures, sample_basis_points: sample },
        }))
    }

    /// Parses the addresses of the control nodes.
    fn control_addresses(&self, addresses: &[String]) -> Result<Vec<Address>, NodeConfigError> {
        if addresses.is_empty() {
            return Err(self.error(
                "cluster.control",
                "is missing: a node without the control role follows one, as in control = [\"http://127.0.0.1:50061\"]",
            ));
        }
        self.at_most("number of cluster.control", addresses.len(), MAX_CONTROL_ADDRESSES)?;
        addresses
            .iter()
            .enumerate()
            .map(|(n, address)| self.address(&format!("cluster.control[{n}]"), address))
            .collect()
    }

    /// The address at which others reach the node, if it must differ from the one it listens on.
    fn advertise(
        &self,
        given: Option<&str>,
        roles: &BTreeSet<Role>,
        listeners: &BTreeMap<SocketAddr, BTreeSet<Role>>,
    ) -> Result<Option<Address>, NodeConfigError> {
        if let Some(given) = given {
            return self.address("node.advertise", given).map(Some);
        }
        let reached = if roles.contains(&Role::Shard) { Role::Shard } else { Role::Router };
        for (at, roles) in listeners {
            if at.ip().is_unspecified() && roles.contains(&reached) {
                let reason = format!(
                    "is missing: no other node can connect to {at}; give the address of this node, as in \"http://10.0.0.7:{}\"",
                    at.port()
                );
                return Err(self.error("node.advertise", &reason));
            }
        }
        Ok(None)
    }

    /// The files of the section `[tls]`. They are read when the node starts.
    fn tls(&self, section: &TlsSection) -> Result<TlsFiles, NodeConfigError> {
        let TlsSection { certificate, key, trust, client_trust, revoked } = section;
        Ok(TlsFiles {
            own: Some((self.path(certificate)?, self.path(key)?)),
            trust: self.path(trust)?,
            client_trust: client_trust.as_deref().map(|path| self.path(path)).transpose()?,
            revoked: revoked.as_deref().map(|path| self.path(path)).transpose()?,
        })
    }

    /// The settings with absolute paths.
    fn auth_paths(&self, auth: AuthSettings) -> Result<AuthSettings, NodeConfigError> {
        let tokens_file = auth.tokens_file.as_deref().map(|path| self.path(path)).transpose()?;
        let mut oidc = auth.oidc;
        if let Some(OidcSettings { keys, withdrawn_file, .. }) = &mut oidc {
            if let OidcKeys::File(path) = keys {
                *path = self.path(path)?;
            }
            if let Some(path) = withdrawn_file {
                *path = self.path(path)?;
            }
        }
        Ok(AuthSettings { tokens_file, oidc, ..auth })
    }

    /// The absolute path; a relative one counts from the config file.
    fn path(&self, path: &Path) -> Result<PathBuf, NodeConfigError> {
        let beside = self.path.parent().unwrap_or(Path::new("")).join(path);
        Ok(std::path::absolute(beside)?)
    }
}
