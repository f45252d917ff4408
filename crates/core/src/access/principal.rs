//! Who makes a call.

use super::role::{AccessRole, UnknownAccessRole};
use crate::id::{IdError, check_name};
use crate::plan::Role;
use std::collections::BTreeSet;
use std::fmt;

/// The path of Marquee's SPIFFE ids, after the trust domain.
pub const SPIFFE_PATH: &str = "marquee";

/// By what a principal has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate of the connection.
    Certificate,
    /// A bearer token of the cluster's own.
    Token,
    /// A token of an identity provider.
    Provider,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Provider => "identity provider",
        })
    }
}

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name; of a node, the node's id.
    pub name: String,
    /// What it is there for, at least one.
    pub roles: BTreeSet<AccessRole>,
    /// By what it proved that.
    pub proof: Proof,
}

impl Principal {
    /// Whether it is a node with this id, and has all of these roles.
    ///
    /// # Errors
    /// Says which node it is, and what that may do.
    pub fn speaks_for<'a>(
        &self,
        node_id: &str,
        roles: impl IntoIterator<Item = &'a Role>,
    ) -> Result<(), IdentityError> {
        if !self.is_node() || self.name != node_id {
            return Err(IdentityError::OtherNode { name: self.name.clone() });
        }
        match roles.into_iter().find(|role| !self.roles.contains(&AccessRole::from(**role))) {
            Some(role) => Err(IdentityError::OtherRole { role: AccessRole::from(*role) }),
            None => Ok(()),
        }
    }

    /// Whether it is a node of the cluster.
    pub fn is_node(&self) -> bool {
        self.roles.iter().any(|role| role.of_node().is_some())
    }

    /// The names of its roles, joined by commas.
    pub fn role_names(&self) -> String {
        let names: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
        names.join(",")
    }
}

/// Why a certificate does not stand for what is said with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A node speaks for another one.
    #[error("the certificate is that of {name:?}: a node speaks only for itself")]
    OtherNode {
        /// The name in the certificate.
        name: String,
    },
    /// A node has a role that its certificate does not have.
    #[error("the certificate does not have the role {role}: make one that has it")]
    OtherRole {
        /// The role that is missing.
        role: AccessRole,
    },
    /// The name in a certificate is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A role in a certificate is unknown.
    #[error(transparent)]
    Role(#[from] UnknownAccessRole),
}

/// The principal of a SPIFFE id, `spiffe://TRUST-DOMAIN/marquee/ROLES/NAME` with ROLES one access role, or
/// several joined by dots. None for a URI that is no such id, or is of another trust domain.
///
/// # Errors
/// For an id of ours with an unknown role or a malformed name: it was meant for this cluster.
pub fn principal_of_uri(uri: &str, trust_domain: &str) -> Result<Option<Principal>, IdentityError> {
    let Some(path) = uri
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(trust_domain))
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return Ok(None);
    };
    let parts: Vec<&str> = path.split('/').collect();
    let [SPIFFE_PATH, roles, name] = parts.as_slice() else { return Ok(None) };
    check_name("the name in the certificate", name)?;
    let roles = roles.split('.').map(str::parse).collect::<Result<_, _>>()?;
    Ok(Some(Principal { name: (*name).to_owned(), roles, proof: Proof::Certificate }))
}
