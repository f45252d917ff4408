//! A client of the control service that survives the loss of a control node.
//!
//! It is given one or more addresses and keeps to one while that answers. A call that finds nobody,
//! or a cluster between leaders (UNAVAILABLE), goes to the next address after a growing wait. Since
//! every write carries a request id, sending it again has the outcome of the first time and no
//! second effect. Any other refusal is the answer.

use crate::config::Address;
use crate::follow::Backoff;
use marquee_core::bounds::MAX_MESSAGE_BYTES;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use std::future::Future;
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// How long a TCP connection may take: control is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one attempt may take: above an election, below a person's patience.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a cluster that says UNAVAILABLE is asked again: some elections long.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(10);
/// How long addresses where nobody listens are tried again: long enough for a restart, short
/// enough for somebody who mistyped one.
const NOBODY_FOR: Duration = Duration::from_millis(1_500);
/// Most bytes that a control node's answer may have: plans of large clusters are larger than what
/// callers get.
pub const MAX_CONTROL_MESSAGE_BYTES: usize = 16 * MAX_MESSAGE_BYTES;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens at any address.
    #[error(
        "nobody answers at {addresses} ({reason}): start a node with `marquee serve`, or name another with --endpoint"
    )]
    Nobody {
        /// All that were tried.
        addresses: String,
        /// What the last attempt said.
        reason: String,
    },
    /// The cluster refused.
    #[error("{}: {}", code_name(.0.code()), .0.message())]
    Refused(#[source] Box<Status>),
}

impl CallError {
    /// The gRPC code, if a server answered.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Nobody { .. } => None,
            Self::Refused(status) => Some(status.code()),
        }
    }
}

/// A code as gRPC's documents write it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A request id of an operator's intention.
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ControlClient {
    nodes: Vec<(Address, Channel)>,
    /// Which of `nodes` answered last.
    at: usize,
}

impl ControlClient {
    /// A client of the control nodes at these addresses, at least one. Connects when first used;
    /// must be called within a tokio runtime.
    pub fn new(addresses: &[Address]) -> Self {
        let nodes = addresses.iter().map(|address| (address.clone(), channel(address))).collect();
        Self { nodes, at: 0 }
    }

    /// Calls `rpc` with `request` until it has an answer, within the bounds of this module.
    pub async fn call<Q, R, F, Fut>(&mut self, request: Q, rpc: F) -> Result<R, CallError>
    where
        Q: Clone,
        F: Fn(ControlServiceClient<Channel>, Q) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let attempt = rpc(self.service(), request.clone());
            let status = match tokio::time::timeout(ATTEMPT_TIMEOUT, attempt).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!(
                    "no answer from {} within {ATTEMPT_TIMEOUT:?}",
                    self.nodes[self.at].0
                )),
            };
            let failure = Failure::of(&status);
            if !failure.is_worth_another_try(started.elapsed()) {
                return Err(self.error(failure, status));
            }
            self.at = (self.at + 1) % self.nodes.len();
            tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
        }
    }

    /// The client of the node that answered last.
    pub fn service(&self) -> ControlServiceClient<Channel> {
        ControlServiceClient::new(self.nodes[self.at].1.clone())
            .max_decoding_message_size(MAX_CONTROL_MESSAGE_BYTES)
    }

    fn error(&self, failure: Failure, status: Status) -> CallError {
        match failure {
            Failure::Nobody => CallError::Nobody {
                addresses: self
                    .nodes
                    .iter()
                    .map(|(address, _)| address.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                reason: innermost(&status),
            },
            Failure::Unavailable | Failure::Final => CallError::Refused(Box::new(status)),
        }
    }
}

/// A channel that connects when first used, notices a dead peer and does not delay small messages.
pub fn channel(address: &Address) -> Channel {
    Endpoint::from_shared(address.to_string())
        .expect("an Address is a valid URL")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .connect_lazy()
}

/// What a failed attempt says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// No server there.
    Nobody,
    /// A server that cannot at the moment.
    Unavailable,
    /// An answer.
    Final,
}

impl Failure {
    fn of(status: &Status) -> Self {
        let transport = std::error::Error::source(status)
            .is_some_and(|source| source.is::<tonic::transport::Error>());
        match status.code() {
            _ if transport => Self::Nobody,
            Code::Unavailable => Self::Unavailable,
            _ => Self::Final,
        }
    }

    fn is_worth_another_try(self, elapsed: Duration) -> bool {
        match self {
            Self::Nobody => elapsed < NOBODY_FOR,
            Self::Unavailable => elapsed < UNAVAILABLE_FOR,
            Self::Final => false,
        }
    }
}

/// The root of a chain of errors: "connection refused" rather than "transport error".
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
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
        assert!(Failure::Nobody.is_worth_another_try(soon));
        assert!(!Failure::Nobody.is_worth_another_try(NOBODY_FOR));
        assert!(!Failure::Final.is_worth_another_try(Duration::ZERO));
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("bound");
        drop(listener);
        let address: Address = at.to_string().parse().expect("valid");
        let mut client = ControlClient::new(&[address]);
        let request = marquee_proto::control::v1::GetStatusRequest {};
        let error = client
            .call(request, |mut control, request| async move { control.get_status(request).await })
            .await
            .expect_err("nobody is there");
        assert!(error.code().is_none(), "{error}");
        assert!(error.to_string().contains(&at.to_string()), "{error}");
    }
}
