//! Why a request has no answer, and the one place that turns it into a gRPC status.

use crate::replica_key::ReplicaKey;
use marquee_bundle::{QueryPart, SearchError};
use marquee_core::overload::retry_after;
use marquee_proto::overload::overloaded;
use tonic::Status;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The request is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field, such as `ops[0].queries[3].count`.
        field: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A shard is named that doesn't answer here.
    #[error(
        "{0} is not AVAILABLE on this node: follow a newer plan, or ask another of the shard's replicas"
    )]
    NotAvailable(ReplicaKey),
    /// As many queries are admitted as may wait.
    #[error(
        "{admitted} queries are in this node's queue, {asked} more would exceed its bound of {bound}: \
         ask another replica, or later"
    )]
    QueueFull {
        /// Queries in the queue or being answered.
        admitted: usize,
        /// Queries that this request would add.
        asked: usize,
        /// How many there may be.
        bound: usize,
    },
    /// It waited for too long, as all others do.
    #[error(
        "this node's queue stands: what it cannot answer in time is not begun; ask another replica, or later"
    )]
    QueueStands,
    /// The answer would be larger than a message may be.
    #[error("the answer exceeds {bound} bytes: ask for fewer queries, keys or results at a time")]
    AnswerTooLarge {
        /// The most bytes that an answer may have.
        bound: usize,
    },
    /// The caller's deadline passed.
    #[error("the deadline passed before the answer was complete")]
    DeadlineExceeded,
    /// The caller gave up.
    #[error("the caller gave up")]
    Cancelled,
    /// The node is going down.
    #[error("this node is shutting down: ask another of the shard's replicas")]
    ShuttingDown,
    /// A mapped file could not be read meanwhile.
    #[error("a shard's file could not be read on this node: ask another of the shard's replicas")]
    Unreadable,
    /// There is a bug in this program.
    #[error("the search failed unexpectedly; the node's log says more")]
    Internal,
}

impl RequestError {
    /// The request is wrong in `field`.
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// The request is wrong in a part of the field, such as `queries[3].count` of `ops[0]`.
    pub(crate) fn at(field: &str, part: &str, reason: impl Into<String>) -> Self {
        Self::invalid(format!("{field}.{part}"), reason)
    }

    /// What a search's refusal means for the request, whose query is at `field`.
    pub(crate) fn of_search(field: &str, error: SearchError) -> Self {
        let part = match &error {
            SearchError::Cancelled => return Self::Cancelled,
            // Bitmaps are made by the engine, for the very shard that is searched.
            SearchError::Bitmap { .. } => return Self::Internal,
            SearchError::NoSuchMatrix { .. } | SearchError::Partition { .. } => ".matrix".into(),
            // It is the vector or the weights that are too large.
            SearchError::ScoreRange { .. } => String::new(),
            SearchError::Rank { .. } => ".vector".into(),
            SearchError::NotFinite { part: QueryPart::Weights, index } => {
                format!(".weights[{index}]")
            }
            SearchError::NotFinite { part: QueryPart::Vector, index } => {
                format!(".vector[{index}]")
            }
            SearchError::Weights { .. } => ".weights".into(),
            SearchError::Row { .. } => ".rows".into(),
            SearchError::Count { .. } => ".count".into(),
            SearchError::Range { .. } => ".filter".into(),
        };
        Self::invalid(format!("{field}{part}"), error.to_string())
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match error {
            RequestError::Invalid { .. } => Self::invalid_argument(message),
            RequestError::NotAvailable(_) => Self::failed_precondition(message),
            RequestError::QueueFull { .. } | RequestError::QueueStands => {
                overloaded(message, retry_after(fastrand::f64()))
            }
            RequestError::AnswerTooLarge { .. } => Self::resource_exhausted(message),
            RequestError::DeadlineExceeded => Self::deadline_exceeded(message),
            RequestError::Cancelled => Self::cancelled(message),
            RequestError::ShuttingDown | RequestError::Unreadable => Self::unavailable(message),
            RequestError::Internal => Self::internal(message),
        }
    }
}
