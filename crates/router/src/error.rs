//! Why a request has no answer, and the one place that maps it to a gRPC status.

use marquee_core::overload::retry_after;
use marquee_core::plan::RouteError;
use marquee_events::RecordError;
use marquee_net::{InvalidTimeout, TIMEOUT_HEADER};
use marquee_proto::convert::caller_error::CallerError;
use marquee_proto::status::{DetailedStatus, RETRY_UNAVAILABLE};
use std::time::Duration;
use tonic::{Code, Status};

/// The metadata of a call by which it asks for a variant of a trial: `baseline`, `candidate` or the name of an arm.
pub(crate) const VARIANT_HEADER: &str = "marquee-variant";

/// Why a request has no answer. A partial answer is an answer, and no error.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The request is out of bounds.
    #[error(transparent)]
    Request(#[from] CallerError),
    /// The `grpc-timeout` of the call is none.
    #[error("{TIMEOUT_HEADER}: {0}")]
    Timeout(#[from] InvalidTimeout),
    /// The call asks for a variant, and this router gives none.
    #[error(
        "{VARIANT_HEADER}: this router lets no call choose its variant: set router.allow_forced_variants = true in its \
         config, or ask one that does"
    )]
    VariantNotAllowed,
    /// The call asks for a variant that cannot have such a name.
    #[error(
        "{VARIANT_HEADER} is no name of a variant: write baseline, candidate or the name of an arm"
    )]
    VariantMalformed,
    /// Nothing serves the surface.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The router has no plan yet.
    #[error("this router has no plan yet: it waits for a control node, try again")]
    NoPlan,
    /// An ensemble with parts that routing should have followed or decided.
    #[error(
        "ensemble {ensemble:?} cannot be executed: the plan of epoch {epoch} left it undecided"
    )]
    Undecided {
        /// The ensemble's name.
        ensemble: String,
        /// The epoch of the plan.
        epoch: u64,
    },
    /// An item that no live version of the surface has.
    #[error("item_id {item_id:?} is in no live model of surface {surface:?}")]
    UnknownItem {
        /// The id of the item.
        item_id: String,
        /// The surface's name.
        surface: String,
    },
    /// Nothing on the surface compares items.
    #[error(
        "surface {surface:?} has no live model with item vectors: ask a surface that is served by a \
         matrix factorisation"
    )]
    NoItemVectors {
        /// The surface's name.
        surface: String,
    },
    /// Nothing on the surface knows words.
    #[error(
        "surface {surface:?} has no live model of texts: ask a surface that is served by content, or by a \
         hybrid with content, trained with --items"
    )]
    NoTexts {
        /// The surface's name.
        surface: String,
    },
    /// The only shard that could have said what the item is like did not answer.
    #[error("the shard that holds item {item_id:?} did not answer ({shard}): try again")]
    ItemShardUnavailable {
        /// The id of the item.
        item_id: String,
        /// The item's shard, as `model@version/shard`.
        shard: String,
    },
    /// No shard answered.
    #[error("no shard of surface {surface:?} answered; missing: {missing}")]
    NothingAnswered {
        /// The surface's name.
        surface: String,
        /// The shards that did not answer, by name.
        missing: String,
        /// Why, where all had the same reason.
        why: NoAnswerCause,
    },
    /// Less was searched than the caller wants at least.
    #[error(
        "{answered} of {total} shards answered, below min_coverage {min_coverage}; missing: {missing}"
    )]
    Coverage {
        /// Shards that answered.
        answered: usize,
        /// Shards there are.
        total: usize,
        /// What the caller wants.
        min_coverage: f64,
        /// The shards that did not answer, by name.
        missing: String,
    },
    /// A shard found a call wrong that was made of a checked request.
    #[error("a shard refused this router's call, though the request is in order: {0}")]
    Refused(String),
    /// The caller's time is up.
    #[error("the deadline passed before any shard could be called")]
    Deadline,
    /// Too much at once.
    #[error(
        "{limit} requests are under way in this router, its limit: try again later or elsewhere"
    )]
    Overload {
        /// How many may be.
        limit: usize,
    },
    /// More requests in one batch than the router may have under way at all.
    #[error(
        "the batch has {requests} requests and this router takes at most {limit} at once: cut it"
    )]
    BatchOverLimit {
        /// How many it has.
        requests: usize,
        /// How many may be under way.
        limit: usize,
    },
    /// The router is going down.
    #[error("this router is draining: ask another")]
    Draining,
    /// A router that keeps no events.
    #[error(
        "this router records no events: set router.events.enabled = true in its config, or ask one that does"
    )]
    NoEventLog,
    /// Events that are not known to be durable.
    #[error(transparent)]
    Record(marquee_events::RecordError),
    /// More streams of events than may be.
    #[error(
        "{limit} streams of events are open in this router, its limit: end one, or ask another"
    )]
    TooManyStreams {
        /// How many may be.
        limit: usize,
    },
    /// A stream of events that brought nothing for too long.
    #[error(
        "nothing came on this stream of events for {} s, and it is closed (recorded: {accepted}, duplicates: {duplicates}, not \
         taken: {}): send what comes later on another, and again what you are not sure of",
        .patience.as_secs(),
        .not_taken
    )]
    IdleStream {
        /// How long nothing came.
        patience: Duration,
        /// Events that were recorded.
        accepted: u64,
        /// Events that had been recorded before.
        duplicates: u64,
        /// Events that were refused or quarantined.
        not_taken: u64,
    },
    /// An answer that callers could not receive.
    #[error(
        "the answer would have {bytes} bytes and a message may have {max}: ask for fewer users in a \
         batch, a smaller count, or no explanations"
    )]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many bytes it may have.
        max: usize,
    },
    /// A request whose answer would be too large.
    #[error(
        "the answer would have about {bytes} bytes for {items} items and a message may have {max}: ask for at most \
         {fitting} items in all, by fewer users in a batch or a smaller count"
    )]
    WouldBeTooLarge {
        /// How many bytes it would have, about.
        bytes: usize,
        /// How many bytes it may have.
        max: usize,
        /// How many requests the call has.
        requests: usize,
        /// How many items are asked for, of those that there are.
        items: usize,
        /// How many items fit, about.
        fitting: usize,
    },
    /// One request of a batch.
    #[error("requests[{index}]: {source}")]
    InBatch {
        /// The place of the request in the batch.
        index: usize,
        /// What is wrong with it.
        source: Box<RouterError>,
    },
}

/// Why no shard answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswerCause {
    /// Nodes are down, or do not hold what was asked for, or shards failed in different ways.
    Unavailable,
    /// All nodes had too much to do.
    Overload,
    /// No node answered in time.
    Timeout,
}

impl RouterError {
    /// The same, told with the time that is left: that no shard answered is a matter of the deadline only where it has
    /// passed. Before that another router, or the same one in a moment, may have an answer.
    pub(crate) fn with_time_left(self, left: Duration) -> Self {
        match self {
            Self::NothingAnswered { surface, missing, why: NoAnswerCause::Timeout }
                if !left.is_zero() =>
            {
                Self::NothingAnswered { surface, missing, why: NoAnswerCause::Unavailable }
            }
            other => other,
        }
    }

    /// The error of a whole batch whose request at this place, from 0, has this error.
    pub(crate) fn in_batch(self, index: usize) -> Self {
        Self::InBatch { index, source: Box::new(self) }
    }

    /// The error of a part of a batch, told by places in the whole: the part begins at this one, from 0.
    pub(crate) fn in_batch_from(self, first: usize) -> Self {
        match self {
            Self::InBatch { index, source } => Self::InBatch { index: first + index, source },
            other => other,
        }
    }

    /// The code of an error that the arm of a trial is to blame for if it is to blame for any, none for
    /// those that no arm can help: what the caller asked for does not exist or is out of bounds, the
    /// deadline had passed before any shard was called, or the router is full, draining or without a plan.
    /// Shards that are too busy count: a candidate may be what keeps them busy.
    pub(crate) fn blames_arm(&self) -> Option<Code> {
        match self {
            Self::Undecided { .. }
            | Self::NoItemVectors { .. }
            | Self::NoTexts { .. }
            | Self::ItemShardUnavailable { .. }
            | Self::NothingAnswered { .. }
            | Self::Coverage { .. }
            | Self::Refused(_) => Some(self.code()),
            Self::Request(_)
            | Self::Timeout(_)
            | Self::VariantNotAllowed
            | Self::VariantMalformed
            | Self::Route(_)
            | Self::NoPlan
            | Self::UnknownItem { .. }
            | Self::Deadline
            | Self::Overload { .. }
            | Self::BatchOverLimit { .. }
            | Self::Draining
            | Self::NoEventLog
            | Self::Record(_)
            | Self::TooManyStreams { .. }
            | Self::IdleStream { .. }
            | Self::TooLarge { .. }
            | Self::WouldBeTooLarge { .. } => None,
            Self::InBatch { source, .. } => source.blames_arm(),
        }
    }

    /// What is wrong with a field of the request, if that is it.
    fn caller_error(&self) -> Option<&CallerError> {
        match self {
            Self::Request(error) => Some(error),
            Self::InBatch { source, .. } => source.caller_error(),
            _ => None,
        }
    }

    /// After how long the same call may succeed; none if it will not.
    fn retry_after(&self) -> Option<Duration> {
        match (self, self.code()) {
            // A larger batch than there are places never fits.
            (Self::BatchOverLimit { .. }, _) => None,
            (Self::InBatch { source, .. }, _) => source.retry_after(),
            (_, Code::ResourceExhausted) => Some(retry_after(fastrand::f64())),
            (_, Code::Unavailable) => Some(RETRY_UNAVAILABLE),
            _ => None,
        }
    }

    /// The reason by which programs tell it apart, within its code.
    fn reason(&self) -> &'static str {
        match self {
            Self::Request(_) => "INVALID_FIELD",
            Self::Timeout(_) => "INVALID_TIMEOUT",
            Self::VariantNotAllowed => "VARIANT_NOT_ALLOWED",
            Self::VariantMalformed => "INVALID_VARIANT",
            Self::Route(RouteError::UnknownSurface(_)) => "UNKNOWN_SURFACE",
            Self::Route(RouteError::UnknownVariant { .. }) => "UNKNOWN_VARIANT",
            Self::Route(RouteError::NotLive(_)) => "NOT_LIVE",
            Self::Route(RouteError::NoTrial(_)) => "NO_TRIAL",
            Self::Route(RouteError::Broken { .. }) | Self::Undecided { .. } => "BROKEN_PLAN",
            Self::NoPlan => "NO_PLAN",
            Self::UnknownItem { .. } => "UNKNOWN_ITEM",
            Self::NoItemVectors { .. } => "NO_ITEM_VECTORS",
            Self::NoTexts { .. } => "NO_TEXTS",
            Self::ItemShardUnavailable { .. } | Self::NothingAnswered { .. } => "NO_SHARD_ANSWERED",
            Self::Coverage { .. } => "COVERAGE_TOO_LOW",
            Self::Refused(_) => "REFUSED_BY_SHARD",
            Self::Deadline => "DEADLINE_PASSED",
            Self::Overload { .. } => "OVERLOAD",
            Self::BatchOverLimit { .. } => "BATCH_TOO_LARGE",
            Self::Draining => "DRAINING",
            Self::NoEventLog => "NO_EVENT_LOG",
            Self::Record(_) => "EVENTS_NOT_RECORDED",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::IdleStream { .. } => "IDLE_STREAM",
            Self::TooLarge { .. } | Self::WouldBeTooLarge { .. } => "ANSWER_TOO_LARGE",
            Self::InBatch { source, .. } => source.reason(),
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Request(_)
            | Self::Timeout(_)
            | Self::VariantMalformed
            | Self::TooLarge { .. }
            | Self::WouldBeTooLarge { .. }
            | Self::Route(RouteError::UnknownVariant { .. }) => Code::InvalidArgument,
            Self::VariantNotAllowed => Code::PermissionDenied,
            Self::Route(RouteError::UnknownSurface(_)) | Self::UnknownItem { .. } => Code::NotFound,
            Self::Route(RouteError::NotLive(_))
            | Self::NoPlan
            | Self::ItemShardUnavailable { .. }
            | Self::NothingAnswered { why: NoAnswerCause::Unavailable, .. }
            | Self::Coverage { .. }
            | Self::Record(RecordError::Closed | RecordError::Failed(_))
            | Self::Draining => Code::Unavailable,
            Self::Route(RouteError::Broken { .. }) | Self::Undecided { .. } | Self::Refused(_) => {
                Code::Internal
            }
            Self::NoItemVectors { .. }
            | Self::NoTexts { .. }
            | Self::NoEventLog
            | Self::Route(RouteError::NoTrial(_)) => Code::FailedPrecondition,
            Self::NothingAnswered { why: NoAnswerCause::Timeout, .. }
            | Self::Deadline
            | Self::IdleStream { .. } => Code::DeadlineExceeded,
            Self::Overload { .. }
            | Self::BatchOverLimit { .. }
            | Self::Record(RecordError::Full)
            | Self::TooManyStreams { .. }
            | Self::NothingAnswered { why: NoAnswerCause::Overload, .. } => Code::ResourceExhausted,
            Self::InBatch { source, .. } => source.code(),
        }
    }
}

impl From<RouterError> for Status {
    fn from(error: RouterError) -> Self {
        let status = match error.caller_error() {
            Some(request) => DetailedStatus::of_field(request.field(), error.to_string()),
            None => match &error {
                RouterError::WouldBeTooLarge { requests, .. } => {
                    let field = if *requests == 1 { "count" } else { "requests" };
                    DetailedStatus::of_field(field, error.to_string())
                }
                other => DetailedStatus::new(other.code(), other.reason(), other.to_string()),
            },
        };
        match error.retry_after() {
            Some(delay) => status.retry_after(delay).into(),
            None => status.into(),
        }
    }
}
