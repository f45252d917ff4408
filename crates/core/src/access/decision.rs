//! Whether a call is allowed.

use super::principal::Principal;
use super::table::{Access, access_to};

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The caller has not proved who it is.
    #[error(
        "this call needs a client certificate of the cluster or a bearer token: give --cert and --key, or --token-file"
    )]
    Unauthenticated,
    /// The principal may not do it.
    #[error("{name:?} ({roles}) may not do this: it is for {allowed}")]
    Denied {
        /// The principal's name.
        name: String,
        /// Its access roles.
        roles: String,
        /// Who may do it.
        allowed: String,
    },
}

/// Whether a principal, or a caller who is none, may call the RPC of this path.
///
/// # Errors
/// For all that the [`TABLE`](super::TABLE) does not allow.
pub fn decide(path: &str, principal: Option<&Principal>) -> Result<(), AccessError> {
    let access = access_to(path);
    if access == Some(Access::Public) {
        return Ok(());
    }
    let Some(principal) = principal else { return Err(AccessError::Unauthenticated) };
    let allowed = match access {
        Some(Access::Public | Access::Identified) => return Ok(()),
        Some(Access::Roles(roles)) => {
            if roles.iter().any(|role| principal.roles.contains(role)) {
                return Ok(());
            }
            let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            names.join(", ")
        }
        None => "no one".to_owned(),
    };
    let Principal { name, .. } = principal;
    Err(AccessError::Denied { name: name.clone(), roles: principal.role_names(), allowed })
}
