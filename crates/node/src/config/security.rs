//! What a config must say of access, so that no node is open by accident.

use super::file::{AuthSection, IdentitySection};
use super::settings::{AuthSettings, ControlSettings};
use marquee_core::access::{Principal, Proof, UnknownAccessRole};
use marquee_core::id::check_name;
use marquee_core::plan::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Upper bound of `auth.identities`: above the services of any company's backend.
const MAX_IDENTITIES: usize = 1_000;
/// Upper bound of the bytes of a name in a certificate: what a URI may have in practice.
const MAX_SAN_BYTES: usize = 2_048;

/// Why a value is refused.
pub(crate) struct Refusal {
    /// The key of the value, such as `auth.identities[0].san`.
    pub(crate) key: String,
    /// What is wrong and what is allowed.
    pub(crate) reason: String,
}

impl Refusal {
    pub(super) fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }
}

/// What else the config says of the node.
pub(super) struct NodeFacts<'a> {
    /// Whether there is a section `[tls]`.
    pub(super) has_tls: bool,
    /// The cluster's name.
    pub(super) cluster_name: &'a str,
    /// The node's roles.
    pub(super) roles: &'a BTreeSet<Role>,
    /// The roles by the address that their services listen on.
    pub(super) listeners: &'a BTreeMap<SocketAddr, BTreeSet<Role>>,
    /// Settings of the control role, if the node has it.
    pub(super) control: Option<&'a ControlSettings>,
}

/// Checks the section `[auth]`; paths in it are left as they are.
pub(super) fn check_auth(
    section: AuthSection,
    facts: &NodeFacts<'_>,
) -> Result<AuthSettings, Refusal> {
    let AuthSection { insecure, trust_domain, tokens_file, identities } = section;
    let is_enforced = !insecure && (facts.has_tls || tokens_file.is_some());
    if !insecure && !facts.has_tls {
        if let Some(at) = facts.listeners.keys().find(|at| !at.ip().is_loopback()) {
            let reason = format!(
                "is missing: other machines reach {at}, and without TLS all of them may do all things; set \
                 certificate, key and trust (`marquee certs` makes them), or start with --insecure on a network \
                 that is closed in another way"
            );
            return Err(Refusal::new("tls", reason));
        }
        let is_whole = facts.roles.len() == 3
            && facts.control.is_some_and(|control| control.voters.len() == 1);
        if is_enforced && !is_whole {
            let reason = "is missing: nodes prove who they are by certificates, to control and to each other";
            return Err(Refusal::new("tls", reason));
        }
    }
    if let Some(control) = facts.control.filter(|control| is_enforced && control.voters.len() > 1) {
        let unknown = control.voters.iter().position(|(id, _)| !control.node_ids.contains_key(id));
        if let Some(n) = unknown {
            let reason = "is missing: give the voter's node.id, by which its certificate is known";
            return Err(Refusal::new(format!("control.voters[{n}].node"), reason));
        }
    }
    let trust_domain = trust_domain.unwrap_or_else(|| facts.cluster_name.to_owned());
    check_name("the trust domain", &trust_domain)
        .map_err(|error| Refusal::new("auth.trust_domain", error.to_string()))?;
    Ok(AuthSettings {
        is_enforced,
        trust_domain,
        tokens_file,
        identities: check_identities(identities)?,
    })
}

/// Refuses other roles on the callers' address where other machines reach it.
pub(super) fn check_callers_address(facts: &NodeFacts<'_>) -> Result<(), Refusal> {
    let shared = facts.listeners.iter().find(|(at, roles)| {
        roles.contains(&Role::Router) && roles.len() > 1 && !at.ip().is_loopback()
    });
    match shared {
        None => Ok(()),
        Some((at, _)) => Err(Refusal::new(
            "router.listen",
            format!(
                "shares {at} with control or shard services, which callers should not reach: give the router an \
                 address of its own, or set router.carries_other_roles"
            ),
        )),
    }
}

/// The principals of certificates with other names.
fn check_identities(
    sections: Vec<IdentitySection>,
) -> Result<BTreeMap<String, Principal>, Refusal> {
    if sections.len() > MAX_IDENTITIES {
        let reason = format!("has {}: at most {MAX_IDENTITIES} are allowed", sections.len());
        return Err(Refusal::new("auth.identities", reason));
    }
    let mut identities = BTreeMap::new();
    for (n, IdentitySection { san, roles, name }) in sections.into_iter().enumerate() {
        let refusal =
            |key: &str, reason: String| Refusal::new(format!("auth.identities[{n}].{key}"), reason);
        if san.is_empty() || san.len() > MAX_SAN_BYTES {
            let reason = format!("has {} bytes: 1 to {MAX_SAN_BYTES} are allowed", san.len());
            return Err(refusal("san", reason));
        }
        check_name("the name", &name).map_err(|error| refusal("name", error.to_string()))?;
        let roles: Result<BTreeSet<_>, UnknownAccessRole> =
            roles.iter().map(|role| role.parse()).collect();
        let roles = roles.map_err(|error| refusal("roles", error.to_string()))?;
        if roles.is_empty() {
            return Err(refusal("roles", "is empty: name at least one".into()));
        }
        let principal = Principal { name, roles, proof: Proof::Certificate };
        if identities.insert(san, principal).is_some() {
            return Err(refusal("san", "is there twice".into()));
        }
    }
    Ok(identities)
}
