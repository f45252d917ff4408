//! Messages to the other voters: for each a bounded queue, a connection of its own, one stream.
//!
//! Nothing here waits for anything on behalf of raft: a message that finds its queue full or its voter
//! unreachable is dropped and reported, and raft sends what matters again. While a voter cannot be
//! reached its messages are dropped and not kept, because stale ones do not help it.

use super::driver::Consensus;
use super::event::RaftEvent;
use super::wire::MAX_RAFT_MESSAGE_BYTES;
use marquee_net::{Connector, with_causes};
use marquee_proto::raft::v1 as pb;
use marquee_proto::raft::v1::raft_service_client::RaftServiceClient;
use raft::eraftpb::MessageType;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// How many messages may wait for one voter: a second of a busy leader.
const MAX_QUEUE: usize = 1_024;
/// Messages handed to the connection ahead of the network.
const MAX_AHEAD: usize = 16;
/// Waits before a lost connection is tried again: the first and the longest. The longest is below
/// an election, so that a voter that comes back is reached before it starts one.
const RECONNECT_WAIT: std::ops::Range<Duration> =
    Duration::from_millis(20)..Duration::from_millis(500);
/// A connection that lived this long begins again with the shortest wait.
const STABLE_AFTER: Duration = Duration::from_secs(2);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that does not answer a ping this long is gone, even if TCP has not noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// An endpoint for a voter's address, `http://host:port` or `https://host:port`.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(address.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

/// Where another voter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VoterAddress {
    /// The address at which it listens, `http://host:port` or `https://host:port`.
    pub(crate) address: String,
    /// Its node id, which its certificate must have; none: any voter's may be behind the address.
    pub(crate) node_id: Option<String>,
}

/// One other voter, as a place to send to.
struct Place {
    at: VoterAddress,
    queue: mpsc::Sender<pb::Message>,
    /// A connection for proposals, apart from the stream of raft's messages.
    client: RaftServiceClient<Channel>,
}

/// The other voters, as places to send to. They change as the members of the group do.
pub(crate) struct Peers {
    cluster: u64,
    consensus: Consensus,
    connector: Connector,
    places: Mutex<HashMap<u64, Place>>,
}

impl Peers {
    /// No voters yet.
    pub(crate) fn new(cluster: u64, consensus: &Consensus, connector: &Connector) -> Self {
        let (consensus, connector) = (consensus.clone(), connector.clone());
        Self { cluster, consensus, connector, places: Mutex::default() }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<u64, Place>> {
        // Places are inserted and removed in one call each: no panic leaves the map half done.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to these voters from now on, each on a task of its own, which ends when the voter is none of them any more.
    /// Must be called within a tokio runtime.
    pub(crate) fn send_to(&self, voters: &BTreeMap<u64, VoterAddress>) {
        let mut places = self.places();
        // Dropping a queue ends its task.
        places.retain(|id, place| voters.get(id) == Some(&place.at));
        for (id, at) in voters {
            if places.contains_key(id) {
                continue;
            }
            let endpoint = match endpoint(&at.address) {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    tracing::error!(voter = id, error = %with_causes(&error), "a voter's address is malformed");
                    continue;
                }
            };
            let connector = match &at.node_id {
                Some(node_id) => self.connector.to(node_id),
                None => self.connector.clone(),
            };
            let (queue, queued) = mpsc::channel(MAX_QUEUE);
            let channel = endpoint.connect_with_connector_lazy(connector.clone());
            let peer = Peer {
                cluster: self.cluster,
                voter: *id,
                endpoint,
                connector,
                queue: queued,
                consensus: self.consensus.clone(),
            };
            tokio::spawn(peer.run());
            let client = RaftServiceClient::new(channel);
            places.insert(*id, Place { at: at.clone(), queue, client });
        }
    }

    /// Queues a message, or drops it and tells raft.
    pub(crate) fn send(&self, message: pb::Message) {
        let queue = self.places().get(&message.to).map(|place| place.queue.clone());
        let Some(queue) = queue else { return };
        if let Err(dropped) = queue.try_send(message) {
            report_lost(&self.consensus, &dropped.into_inner());
        }
    }

    /// A client for proposals to a voter; none if it is not known.
    pub(crate) fn client(&self, voter: u64) -> Option<RaftServiceClient<Channel>> {
        self.places().get(&voter).map(|place| place.client.clone())
    }
}

fn is_snapshot(message: &pb::Message) -> bool {
    message.r#type == MessageType::MsgSnapshot as u32
}

fn report_lost(consensus: &Consensus, message: &pb::Message) {
    let voter = message.to;
    consensus.tell(RaftEvent::Unreachable { voter });
    if is_snapshot(message) {
        consensus.tell(RaftEvent::SnapshotSent { voter, sent: false });
    }
}

struct Peer {
    cluster: u64,
    voter: u64,
    endpoint: Endpoint,
    connector: Connector,
    queue: mpsc::Receiver<pb::Message>,
    consensus: Consensus,
}

/// Why a connection is over.
enum Over {
    /// The queue is closed: this node shuts down.
    Shutdown,
    /// It was lost, or could not be made.
    Lost(String),
}

impl Peer {
    async fn run(mut self) {
        let mut wait = RECONNECT_WAIT.start;
        let mut complained = false;
        loop {
            let began = Instant::now();
            let why = match self.connection().await {
                Over::Shutdown => return,
                Over::Lost(why) => why,
            };
            if began.elapsed() > STABLE_AFTER {
                wait = RECONNECT_WAIT.start;
                complained = false;
            }
            if !complained {
                tracing::warn!(
                    voter = self.voter,
                    why,
                    "lost a voter; trying again until it is back"
                );
                complained = true;
            }
            self.consensus.tell(RaftEvent::Unreachable { voter: self.voter });
            let until = tokio::time::Instant::now() + wait;
            loop {
                match tokio::time::timeout_at(until, self.queue.recv()).await {
                    Ok(Some(message)) => report_lost(&self.consensus, &message),
                    Ok(None) => return,
                    Err(_) => break,
                }
            }
            wait = (wait * 2).min(RECONNECT_WAIT.end);
        }
    }

    /// One connection and its stream, for as long as they last.
    async fn connection(&mut self) -> Over {
        let channel = match self.endpoint.connect_with_connector(self.connector.clone()).await {
            Ok(channel) => channel,
            Err(error) => return Over::Lost(with_causes(&error)),
        };
        let mut client =
            RaftServiceClient::new(channel).max_encoding_message_size(MAX_RAFT_MESSAGE_BYTES);
        let (ahead, stream) = mpsc::channel(MAX_AHEAD);
        let cluster = self.cluster;
        let stream = ReceiverStream::new(stream)
            .map(move |message| pb::StepRequest { cluster, message: Some(message) });
        let call = client.step(stream);
        tokio::pin!(call);
        loop {
            let message = tokio::select! {
                ended = &mut call => return lost(ended),
                message = self.queue.recv() => message,
            };
            let Some(message) = message else { return Over::Shutdown };
            let (voter, snapshot) = (message.to, is_snapshot(&message));
            tokio::select! {
                ended = &mut call => {
                    if snapshot {
                        self.consensus.tell(RaftEvent::SnapshotSent { voter, sent: false });
                    }
                    return lost(ended);
                }
                _ = ahead.send(message) => {}
            }
            if snapshot {
                // Raft probes from here on and sends another one if this is lost on the way.
                self.consensus.tell(RaftEvent::SnapshotSent { voter, sent: true });
            }
        }
    }
}

fn lost(ended: Result<tonic::Response<pb::StepResponse>, tonic::Status>) -> Over {
    Over::Lost(match ended {
        Ok(_) => "it closed the stream".into(),
        Err(status) => status.message().to_owned(),
    })
}
