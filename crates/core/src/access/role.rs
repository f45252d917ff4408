//! The roles that principals have.

use crate::plan::Role;
use std::fmt;
use std::str::FromStr;

/// What a principal is there for. It may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessRole {
    /// Asks for recommendations.
    Caller,
    /// Records what users did.
    Events,
    /// Steers rollouts, experiments and deny lists, and sees the state of the cluster.
    Operator,
    /// Publishes models and ensembles.
    Publisher,
    /// Does what operators and publishers do, and changes nodes and retention.
    Admin,
    /// Is a control node of the cluster.
    Control,
    /// Is a shard node of the cluster.
    Shard,
    /// Is a router of the cluster.
    Router,
}

impl AccessRole {
    /// All roles, callers' first.
    pub const ALL: [Self; 8] = [
        Self::Caller,
        Self::Events,
        Self::Operator,
        Self::Publisher,
        Self::Admin,
        Self::Control,
        Self::Shard,
        Self::Router,
    ];

    /// The role's name in certificates, files of tokens and configs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Events => "events",
            Self::Operator => "operator",
            Self::Publisher => "publisher",
            Self::Admin => "admin",
            Self::Control => "control",
            Self::Shard => "shard",
            Self::Router => "router",
        }
    }

    /// The role of a node that this is; none if it is not a node's.
    pub fn of_node(self) -> Option<Role> {
        match self {
            Self::Control => Some(Role::Control),
            Self::Shard => Some(Role::Shard),
            Self::Router => Some(Role::Router),
            Self::Caller | Self::Events | Self::Operator | Self::Publisher | Self::Admin => None,
        }
    }
}

impl From<Role> for AccessRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Control => Self::Control,
            Role::Shard => Self::Shard,
            Role::Router => Self::Router,
        }
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text is no access role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no access role: caller, events, operator, publisher, admin, control, shard and router are"
)]
pub struct UnknownAccessRole(pub String);

impl FromStr for AccessRole {
    type Err = UnknownAccessRole;

    fn from_str(text: &str) -> Result<Self, UnknownAccessRole> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| UnknownAccessRole(text.chars().take(64).collect()))
    }
}
