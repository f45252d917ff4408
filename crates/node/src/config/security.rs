//! What a config must say of access, so that no node is open by accident.

use super::file::{AuthSection, IdentitySection, OidcSection};
use super::settings::{AuthSettings, ControlSettings, OidcKeys, OidcSettings};
use marquee_core::access::{AccessRole, Principal, Proof, UnknownAccessRole};
use marquee_core::id::check_name;
use marquee_core::plan::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

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
    let AuthSection { insecure, trust_domain, tokens_file, oidc, identities } = section;
    let oidc = oidc.map(check_oidc).transpose()?;
    let has_tokens = tokens_file.is_some() || oidc.is_some();
    let is_enforced = !insecure && (facts.has_tls || has_tokens);
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
        oidc,
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

/// The identity provider; the path of its keys is left as it is.
fn check_oidc(section: OidcSection) -> Result<OidcSettings, Refusal> {
    let OidcSection {
        issuer,
        audience,
        jwks_url,
        jwks_file,
        withdrawn_file,
        name_claim,
        role_claim,
        roles,
    } = section;
    let refusal = |key: &str, reason: &str| Refusal::new(format!("auth.oidc.{key}"), reason);
    for (key, value) in [("issuer", &issuer), ("audience", &audience)] {
        if value.is_empty() {
            return Err(refusal(
                key,
                "is empty: without it the tokens of others would be accepted",
            ));
        }
    }
    let keys = match (jwks_url, jwks_file) {
        (Some(url), None) if is_secure(&url) => OidcKeys::Address(url),
        (Some(_), None) => {
            let reason = "is not https: who can change the answer can make tokens. http is allowed on loopback only";
            return Err(refusal("jwks_url", reason));
        }
        (None, Some(path)) => OidcKeys::File(path),
        (None, None) => return Err(refusal("jwks_url", "is missing: set it, or jwks_file")),
        (Some(_), Some(_)) => return Err(refusal("jwks_file", "is set beside jwks_url: set one")),
    };
    if roles.is_empty() {
        return Err(refusal("roles", "is empty: say which groups have which access roles"));
    }
    let mut of_groups = BTreeMap::new();
    for (group, names) in roles {
        let parsed: Result<BTreeSet<AccessRole>, UnknownAccessRole> =
            names.iter().map(|name| name.parse()).collect();
        let parsed = parsed.map_err(|error| refusal("roles", &error.to_string()))?;
        if let Some(role) = parsed.iter().find(|role| role.of_node().is_some()) {
            let reason = format!("gives {group:?} the role {role}: nodes have certificates");
            return Err(refusal("roles", &reason));
        }
        of_groups.insert(group, parsed);
    }
    Ok(OidcSettings {
        issuer,
        audience,
        keys,
        withdrawn_file,
        name_claim: name_claim.unwrap_or_else(|| "sub".into()),
        role_claim: role_claim.unwrap_or_else(|| "groups".into()),
        roles: of_groups,
    })
}

/// Whether nobody on the way can change what an address answers.
fn is_secure(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback,
        _ => false,
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
