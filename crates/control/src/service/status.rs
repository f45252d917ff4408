//! The one place where control's errors become gRPC statuses.

use super::reason::ReasonTooLong;
use crate::bundles::PublishError;
use crate::consensus::event::Refused;
use crate::consensus::members::change::ChangeRefused;
use crate::submit::SubmitError;
use marquee_bundle::BundleError;
use marquee_core::command::{Refusal, RefusalKind};
use marquee_core::id::IdError;
use marquee_core::rollout::tried::TryGatesError;
use marquee_proto::convert::ConvertError;
use marquee_proto::status::{DetailedStatus, RETRY_OVERLOAD, RETRY_UNAVAILABLE};
use tonic::{Code, Status};

/// An error of control as callers see it.
pub(crate) trait IntoStatus {
    /// The gRPC status of the error.
    fn into_status(self) -> Status;
}

impl IntoStatus for Refusal {
    fn into_status(self) -> Status {
        let Self { kind, message } = self;
        match kind {
            RefusalKind::Invalid => Status::invalid_argument(message),
            RefusalKind::NotFound => Status::not_found(message),
            RefusalKind::AlreadyExists => Status::already_exists(message),
            RefusalKind::FailedPrecondition => Status::failed_precondition(message),
            // A bound of the plan: it does not go by itself.
            RefusalKind::Exhausted => {
                DetailedStatus::new(Code::ResourceExhausted, "PLAN_FULL", message).into()
            }
        }
    }
}

impl IntoStatus for SubmitError {
    fn into_status(self) -> Status {
        match self {
            Self::NoLeader(_) => unavailable("NO_LEADER", &self),
            Self::Refused(refused) => refused.into_status(),
            Self::Change(says) => Status::failed_precondition(says),
            Self::Protocol(_) => Status::internal(self.to_string()),
        }
    }
}

impl IntoStatus for Refused {
    fn into_status(self) -> Status {
        match self {
            Self::NotLeader { .. } | Self::NoLeader | Self::Lost | Self::Stopped(_) => {
                unavailable("NO_LEADER", &self)
            }
            Self::Busy => {
                let busy = DetailedStatus::new(Code::ResourceExhausted, "BUSY", self.to_string());
                busy.retry_after(RETRY_OVERLOAD).into()
            }
            Self::TooLarge { .. } | Self::Unreadable(_) => {
                Status::invalid_argument(self.to_string())
            }
            Self::Change(ChangeRefused::Unknown(_)) => Status::not_found(self.to_string()),
            Self::Change(ChangeRefused::Address(_)) => {
                DetailedStatus::of_field("address", self.to_string()).into()
            }
            Self::Change(_) => Status::failed_precondition(self.to_string()),
        }
    }
}

impl IntoStatus for TryGatesError {
    fn into_status(self) -> Status {
        let says = self.to_string();
        match self {
            Self::Gates(_) | Self::OtherQuantile { .. } | Self::OtherMaturity { .. } => {
                Status::invalid_argument(says)
            }
            Self::NothingRecorded { .. } => Status::failed_precondition(says),
        }
    }
}

impl IntoStatus for ReasonTooLong {
    fn into_status(self) -> Status {
        DetailedStatus::of_field("reason", self.to_string()).into()
    }
}

impl IntoStatus for PublishError {
    fn into_status(self) -> Status {
        match &self {
            Self::Uri { .. } => DetailedStatus::of_field("bundle_uri", self.to_string()).into(),
            Self::Absent { .. } => Status::not_found(self.to_string()),
            Self::Bundle { error: BundleError::Io(_), .. } => {
                unavailable("BUNDLE_UNREADABLE", &self)
            }
            Self::Bundle { .. }
            | Self::Expired { .. }
            | Self::IndexRecall { .. }
            | Self::Coverage { .. }
            | Self::NotBetterThanPopularity { .. } => Status::failed_precondition(self.to_string()),
        }
    }
}

impl IntoStatus for ConvertError {
    fn into_status(self) -> Status {
        DetailedStatus::from(self).into()
    }
}

impl IntoStatus for IdError {
    fn into_status(self) -> Status {
        match self.field() {
            Some(field) => DetailedStatus::of_field(field, self.to_string()).into(),
            None => Status::invalid_argument(self.to_string()),
        }
    }
}

/// What comes back by itself.
fn unavailable(reason: &'static str, error: &impl ToString) -> Status {
    let status = DetailedStatus::new(Code::Unavailable, reason, error.to_string());
    status.retry_after(RETRY_UNAVAILABLE).into()
}
