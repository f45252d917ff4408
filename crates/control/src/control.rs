//! A control node, assembled from its voter, its duties and its services.

use crate::audit_file::AuditFile;
use crate::bundles::{Directories, ManifestSource};
use crate::clock::incarnation;
use crate::config::{ControlConfig, ControlConfigError, store_in};
use crate::consensus::driver::{self, Consensus, Open, Outbox};
use crate::consensus::event::{RaftEvent, VoterConfig, VoterError, VoterStatus};
use crate::consensus::members::DiskId;
use crate::consensus::store::{Genesis, Store};
use crate::consensus::transport::{Peers, endpoint};
use crate::consensus::voter::Voter;
use crate::consensus::wire::MAX_RAFT_MESSAGE_BYTES;
use crate::leader::Leader;
use crate::outbound::{Notifier, Questioner};
use crate::plan_machine::{PlanMachine, Shown};
use crate::roll_call::RollCall;
use crate::service::raft::RaftApi;
use crate::service::{ControlApi, ControlParts};
use crate::submit::Submitter;
use marquee_bundle::create_private_directory;
use marquee_core::command::State;
use marquee_core::notification::AllTold;
use marquee_core::plan::Plan;
use marquee_net::{HttpClient, with_causes};
use marquee_proto::control::v1::control_service_server::ControlServiceServer;
use marquee_proto::raft::v1::raft_service_server::RaftServiceServer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;

/// How long a leader that shuts down waits for another voter to take over.
const RESIGN_TIMEOUT: Duration = Duration::from_millis(500);

/// Why a control node does not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The config is refused.
    #[error(transparent)]
    Config(#[from] ControlConfigError),
    /// The log or the state cannot be opened.
    #[error(transparent)]
    Voter(#[from] VoterError),
    /// The system gives it no thread.
    #[error("cannot start the control thread: {0}")]
    Thread(std::io::Error),
}

/// A running control node: its voter, its duties, its services. Dropping it without
/// [`shutdown`](Self::shutdown) leaves the voter's thread running until the last service is gone.
pub struct Control {
    consensus: Consensus,
    plan: watch::Receiver<Arc<Plan>>,
    told: watch::Receiver<Arc<AllTold>>,
    api: ControlApi,
    raft: RaftApi,
    /// Connections to peers and the leader's duties; ended when dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Control {
    /// Starts a control node from what its data directory has. It publishes bundles that it can read from its
    /// own disk. Must be called within a tokio runtime.
    pub async fn start(config: ControlConfig) -> Result<Self, ControlError> {
        let manifests =
            Arc::new(Directories::new(config.trusted_keys.clone(), config.bundle_roots.clone()));
        Self::start_with(config, manifests).await
    }

    /// Starts a control node that reads manifests from `manifests`.
    pub async fn start_with(
        config: ControlConfig,
        manifests: Arc<dyn ManifestSource>,
    ) -> Result<Self, ControlError> {
        config.validate()?;
        check_addresses(&config)?;
        let incarnation = incarnation();
        let initial = State::new(config.replication_factor).plan;
        let (show_plan, plan) = watch::channel(Arc::new(initial));
        let (show_evidence, evidence) = watch::channel(Arc::default());
        let (show_traffic, traffic) = watch::channel(Arc::default());
        let (show_told, told) = watch::channel(Arc::default());
        let audit = Arc::new(AuditFile::new(config.data_dir.clone()));
        let shown = Shown {
            audit: Some(Arc::clone(&audit)),
            plan: Arc::new(show_plan),
            evidence: Arc::new(show_evidence),
            traffic: Arc::new(show_traffic),
            told: Arc::new(show_told),
        };
        let mut open = opener(&config, shown, incarnation);
        // Opening checks the whole file.
        let opened = tokio::task::spawn_blocking(move || open().map(|voter| (voter, open))).await;
        let (voter, open) = match opened {
            Ok(opened) => opened?,
            Err(panic) => return Err(VoterError::Raft(panic.to_string()).into()),
        };

        let (consensus, driver) = driver::channel();
        let mut tasks = JoinSet::new();
        let cluster = config.cluster();
        let peers = Arc::new(Peers::new(cluster, &consensus, &config.connector));
        let network = peers.clone();
        let outbox: Outbox = Arc::new(move |message| network.send(message));
        let roll_call = RollCall::new(config.id, &config.voters, &config.node_ids, &consensus);
        // One voter need not wait for silence. Of several, the first asks at once, so that a new
        // cluster has a leader as soon as it has a majority; pre-vote keeps it from disturbing an
        // old one.
        let first = config.voter_ids().first() == Some(&config.id);
        driver.spawn(voter, open, outbox, first).map_err(ControlError::Thread)?;
        tasks.spawn(roll_call.clone().keep(peers.clone()));

        let roots = config.bundle_roots.clone();
        let leader = Leader::new(consensus.clone(), plan.clone(), evidence.clone(), roots);
        let leader = Arc::new(leader);
        tasks.spawn(leader.clone().run());
        let client = Arc::new(HttpClient::default());
        let allowed = config.outbound.external_urls.clone();
        let (plans, evidences) = (plan.clone(), evidence.clone());
        tasks.spawn(
            Questioner::new(leader.clone(), client.clone(), allowed, plans, evidences).run(),
        );
        let (name, plans) = (&config.cluster_name, plan.clone());
        let notifier = Notifier::new(leader.clone(), client, name, plans, told.clone());
        let errors = notifier.errors();
        tasks.spawn(notifier.run(config.outbound.notifications.clone()));
        let submitter = Submitter::new(cluster, consensus.clone(), leader.clone(), peers);
        let raft = RaftApi::new(cluster, config.id, roll_call.clone(), consensus.clone(), leader);
        let api = ControlApi::new(ControlParts {
            id: config.id,
            cluster,
            roll_call,
            min_index_recall: config.min_index_recall,
            consensus: consensus.clone(),
            submitter,
            plan: plan.clone(),
            evidence,
            traffic,
            told: told.clone(),
            errors,
            outbound: config.outbound,
            audit,
            manifests,
            incarnation,
        });
        Ok(Self { consensus, plan, told, api, raft, tasks: Mutex::new(tasks) })
    }

    /// The path of the store of the control node with this data directory.
    pub fn store_of(data_dir: &Path) -> PathBuf {
        store_in(data_dir)
    }

    /// `marquee.control.v1.ControlService`, to be added to a server.
    pub fn control_service(&self) -> ControlServiceServer<ControlApi> {
        ControlServiceServer::new(self.api.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
    }

    /// `marquee.raft.v1.RaftService`, to be added to a server that only the other voters reach.
    pub fn raft_service(&self) -> RaftServiceServer<RaftApi> {
        RaftServiceServer::new(self.raft.clone()).max_decoding_message_size(MAX_RAFT_MESSAGE_BYTES)
    }

    /// The control service without a socket, through the generated trait.
    pub fn api(&self) -> ControlApi {
        self.api.clone()
    }

    /// The plan as far as this node has applied it, and when that changes.
    pub fn plan(&self) -> watch::Receiver<Arc<Plan>> {
        self.plan.clone()
    }

    /// How far others have been told of rollouts, as far as this node has applied it.
    pub fn told(&self) -> watch::Receiver<Arc<AllTold>> {
        self.told.clone()
    }

    /// The status of this node's voter, and when it changes. Callers can be served once it knows a leader.
    pub fn status(&self) -> watch::Receiver<VoterStatus> {
        self.consensus.status()
    }

    /// Hands leadership over if this node has it, writes what it knows, and ends all streams. Call
    /// it before draining the servers: their streams end with it.
    pub async fn shutdown(&self) {
        let mut status = self.consensus.status();
        if status.borrow().leads() {
            self.consensus.tell(RaftEvent::Resign);
            let resigned = status.wait_for(|status| !status.leads());
            // If no other voter can take over, it stops as the leader.
            let _ = tokio::time::timeout(RESIGN_TIMEOUT, resigned).await;
        }
        self.halt().await;
    }

    /// Stops without handing leadership over: the other voters notice its silence.
    pub async fn halt(&self) {
        self.consensus.stop().await;
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

fn check_addresses(config: &ControlConfig) -> Result<(), ControlConfigError> {
    for (id, address) in config.voters.iter().filter(|(id, _)| *id != config.id) {
        let refused =
            |why: String| ControlConfigError::Address { id: *id, address: address.clone(), why };
        let endpoint = endpoint(address).map_err(|error| refused(with_causes(&error)))?;
        if !matches!(endpoint.uri().scheme_str(), Some("http" | "https")) {
            return Err(refused("it begins with neither http:// nor https://".into()));
        }
    }
    Ok(())
}

/// Opens the voter, at the start and again after each failure.
fn opener(config: &ControlConfig, shown: Shown, incarnation: u64) -> Open<PlanMachine> {
    let data_dir: PathBuf = config.data_dir.clone();
    let (identity, path) = (config.identity(), config.store_path());
    let factor = config.replication_factor;
    let mut opened = 0;
    Box::new(move || {
        opened += 1;
        create_private_directory(&data_dir)
            .map_err(|error| VoterError::DataDir(error.to_string()))?;
        let disk = DiskId::draw().map_err(VoterError::DataDir)?;
        let genesis = Genesis { state: PlanMachine::genesis(factor), disk };
        let store = Store::open(&path, &identity, &genesis)?;
        let machine = PlanMachine::new(factor, shown.clone());
        let config = VoterConfig { incarnation: incarnation ^ opened, ..VoterConfig::default() };
        Voter::open(identity.id, store, machine, config)
    })
}
