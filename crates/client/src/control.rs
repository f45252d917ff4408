//! A client of the control service that survives the loss of a control node.
//!
//! It is given one or more addresses and keeps to one while that answers. A call that reaches no node, or
//! a cluster between leaders (UNAVAILABLE), is sent to the next address after a growing wait. A node that does not
//! answer for a while, because it is frozen or cut off, keeps its attempt, and the next node gets one, too. Every write
//! has a request id, so a second attempt has no second effect. Any other refusal is returned.
//!
//! A node that is none of control's knows where control is: it is asked once, and control's nodes take the place of the addresses
//! that were given.

use crate::address::Address;
use crate::backoff::Backoff;
use crate::channel::{Connection, MAX_CONTROL_MESSAGE_BYTES, channel};
use crate::credentials::Credentials;
use crate::rotation::Rotation;
use crate::status::{innermost_reason, status_in_words};
use futures::stream::{FuturesUnordered, StreamExt as _};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::node::v1::GetNodeStatusRequest;
use marquee_proto::node::v1::node_service_client::NodeServiceClient;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tonic::{Code, Response, Status};

/// Upper bound of one attempt: longer than an election.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an attempt is waited for before another node is asked beside it: what answers at all mostly does so sooner.
const NEXT_NODE_AFTER: Duration = Duration::from_millis(1_500);
/// How long a call is tried again while the cluster says UNAVAILABLE: the time of several elections.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(10);
/// Control nodes that a node may name: a group has at most five voters, and some may have been replaced.
const MAX_CONTROL_NODES: usize = 16;
/// How long a call is tried again while no address accepts connections: long enough for a restart, short
/// enough for a user who mistyped an address.
const UNREACHABLE_FOR: Duration = Duration::from_millis(1_500);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No address accepts connections.
    #[error(
        "no node answers at {addresses} ({reason}): start one with `marquee serve`, or name another with --endpoint"
    )]
    Unreachable {
        /// The addresses that were tried, separated by commas.
        addresses: String,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The cluster refused the call.
    #[error("{}", status_in_words(.0))]
    Refused(#[source] Box<Status>),
}

impl CallError {
    /// The gRPC code, if a server answered.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Unreachable { .. } => None,
            Self::Refused(status) => Some(status.code()),
        }
    }
}

/// A new random request id: the cluster applies a write with this id once, however often it is sent.
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A client of one or more control nodes, which moves to the next node when one is lost.
#[derive(Clone, Debug)]
pub struct ControlClient {
    nodes: Vec<(Address, Connection)>,
    /// Which of them is called next.
    rotation: Rotation,
    credentials: Credentials,
    /// Told where control was found, where it was not at the addresses that were given.
    on_found: Option<fn(&str)>,
    has_looked: bool,
}

impl ControlClient {
    /// A client of the control nodes at these addresses, at least one. Connects when first used;
    /// must be called within a tokio runtime.
    pub fn new(addresses: &[Address], credentials: &Credentials) -> Self {
        let connection = |address: &Address| (address.clone(), channel(address, credentials));
        let nodes: Vec<_> = addresses.iter().map(connection).collect();
        let rotation = Rotation::new(nodes.len(), 0);
        let credentials = credentials.clone();
        Self { nodes, rotation, credentials, on_found: None, has_looked: false }
    }

    /// The same, telling this function in words where control was found, if it is not at the addresses that were given.
    #[must_use]
    pub fn telling(self, on_found: fn(&str)) -> Self {
        Self { on_found: Some(on_found), ..self }
    }

    /// Moves to the control nodes that a node at one of the addresses knows of; false if none does.
    async fn find_control(&mut self) -> bool {
        if std::mem::replace(&mut self.has_looked, true) {
            return false;
        }
        for (asked, connection) in &self.nodes {
            let mut node = NodeServiceClient::new(connection.clone())
                .max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES);
            let status = node.get_node_status(GetNodeStatusRequest {});
            let Ok(Ok(status)) = timeout(NEXT_NODE_AFTER, status).await else { continue };
            let mut found: Vec<Address> = Vec::new();
            for address in status.into_inner().control_addresses.iter().take(MAX_CONTROL_NODES) {
                found.extend(address.parse::<Address>());
            }
            if found.is_empty() || self.credentials.check(&found).is_err() {
                continue;
            }
            let words: Vec<&str> = found.iter().map(Address::as_str).collect();
            let words = format!("{asked} is not a control node; it names {}", words.join(", "));
            let Self { credentials, on_found, .. } = self;
            let (credentials, on_found) = (credentials.clone(), *on_found);
            *self = Self { on_found, has_looked: true, ..Self::new(&found, &credentials) };
            if let Some(tell) = on_found {
                tell(&words);
            }
            return true;
        }
        false
    }

    /// Calls `rpc` with `request` until a node answers or refuses, or the time for attempts is over.
    pub async fn call<Q, R, F, Fut>(&mut self, request: Q, rpc: F) -> Result<R, CallError>
    where
        Q: Clone,
        F: Fn(ControlServiceClient<Connection>, Q) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        let mut under_way = FuturesUnordered::new();
        let mut unavailable: Option<Status> = None;
        loop {
            let at = self.rotation.best();
            let attempt = rpc(self.service(), request.clone());
            under_way.push(async move { (at, timeout(ATTEMPT_TIMEOUT, attempt).await) });
            // As many attempts as there are nodes: then all that is left is to wait.
            let patience =
                if under_way.len() < self.nodes.len() { NEXT_NODE_AFTER } else { ATTEMPT_TIMEOUT };
            let Ok(Some((ended, outcome))) = timeout(patience, under_way.next()).await else {
                self.rotation.failed(at);
                continue;
            };
            let status = match outcome {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!(
                    "no answer from {} within {ATTEMPT_TIMEOUT:?}",
                    self.nodes[ended].0
                )),
            };
            if status.code() == Code::Unimplemented && self.find_control().await {
                under_way = FuturesUnordered::new();
                continue;
            }
            let failure = Failure::of(&status);
            // Where one node answers, the call is not lost for the others, which do not.
            let (failure, status) = match (failure, unavailable.take()) {
                (Failure::Unreachable, Some(answer)) => (Failure::Unavailable, answer),
                (failure, _) => (failure, status),
            };
            if !failure.is_worth_another_try(started.elapsed()) {
                return Err(self.error(failure, status));
            }
            if failure == Failure::Unavailable {
                unavailable = Some(status);
            }
            self.rotation.failed(ended);
            tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
        }
    }

    /// The generated client of the node that is called next.
    pub fn service(&self) -> ControlServiceClient<Connection> {
        ControlServiceClient::new(self.nodes[self.rotation.best()].1.clone())
            .max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES)
    }

    fn error(&self, failure: Failure, status: Status) -> CallError {
        match failure {
            Failure::Unreachable => CallError::Unreachable {
                addresses: self
                    .nodes
                    .iter()
                    .map(|(address, _)| address.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                reason: innermost_reason(&status),
            },
            Failure::Unavailable | Failure::Final => CallError::Refused(Box::new(status)),
        }
    }
}

/// What a failed attempt says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// No server listens there.
    Unreachable,
    /// The server cannot answer at the moment.
    Unavailable,
    /// The server refused: another attempt would fail alike.
    Final,
}

impl Failure {
    fn of(status: &Status) -> Self {
        let transport = std::error::Error::source(status)
            .is_some_and(|source| source.is::<tonic::transport::Error>());
        match status.code() {
            _ if transport => Self::Unreachable,
            Code::Unavailable => Self::Unavailable,
            _ => Self::Final,
        }
    }

    fn is_worth_another_try(self, elapsed: Duration) -> bool {
        match self {
            Self::Unreachable => elapsed < UNREACHABLE_FOR,
            Self::Unavailable => elapsed < UNAVAILABLE_FOR,
            Self::Final => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let soon = Duration::from_millis(100);
        let failure = |status: Status| Failure::of(&status);
        assert_eq!(failure(Status::unavailable("no leader")), Failure::Unavailable);
        assert_eq!(failure(Status::failed_precondition("paused")), Failure::Final);
        assert!(Failure::Unavailable.is_worth_another_try(soon));
        assert!(!Failure::Unavailable.is_worth_another_try(UNAVAILABLE_FOR));
        assert!(Failure::Unreachable.is_worth_another_try(soon));
        assert!(!Failure::Unreachable.is_worth_another_try(UNREACHABLE_FOR));
        assert!(!Failure::Final.is_worth_another_try(Duration::ZERO));
    }

    #[tokio::test]
    async fn an_address_where_no_node_listens_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("bound");
        drop(listener);
        let address: Address = at.to_string().parse().expect("valid");
        let mut client = ControlClient::new(&[address], &Credentials::none());
        let request = marquee_proto::control::v1::GetStatusRequest {};
        let error = client
            .call(request, |mut control, request| async move { control.get_status(request).await })
            .await
            .expect_err("no node listens there");
        assert!(error.code().is_none(), "{error}");
        assert!(error.to_string().contains(&at.to_string()), "{error}");
    }

    /// A frozen node accepts connections, and answers nothing.
    #[tokio::test(start_paused = true)]
    async fn a_frozen_node_costs_a_call_a_moment() {
        let at = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
        let at = at.map(|address| -> Address { address.parse().expect("valid") });
        let mut client = ControlClient::new(&at, &Credentials::none());
        // Asked of the first, it never ends; the second one refuses for good.
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let error = client
            .call((), |_, ()| {
                let turn = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                async move {
                    if turn == 0 {
                        std::future::pending::<()>().await;
                    }
                    Err::<Response<()>, _>(Status::failed_precondition("paused"))
                }
            })
            .await
            .expect_err("refused");
        assert_eq!(error.code(), Some(Code::FailedPrecondition), "{error}");
        assert_eq!(client.rotation.best(), 1, "the next call begins at the node that answers");
    }
}
