//! From the certificate of a connection, or the token of a call, to a principal.

use super::oidc::Verifier;
use super::reloaded::Reloaded;
use super::token::Tokens;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use marquee_core::access::{AccessRole, Principal, principal_of_uri};
use marquee_net::tls::{PeerCertificate, PeerInfo, Tls};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which principals certificates stand for.
#[derive(Clone, Debug)]
pub(super) struct Identities {
    /// The trust domain of SPIFFE ids.
    pub(super) trust_domain: String,
    /// Principals by another name in their certificates.
    pub(super) by_san: Arc<BTreeMap<String, Principal>>,
}

impl Identities {
    /// The principal of a verified certificate; none if no name in it is known.
    ///
    /// # Errors
    /// For a certificate with more than one principal, or a malformed one, or with a role that its root may not
    /// give.
    pub(super) fn principal(
        &self,
        certificate: &PeerCertificate,
    ) -> Result<Option<Principal>, String> {
        let PeerCertificate { uris, hosts, is_of_peers, .. } = certificate;
        let mut found: Option<Principal> = None;
        for name in uris.iter().chain(hosts) {
            let principal = match self.by_san.get(name) {
                Some(principal) => Some(principal.clone()),
                None => principal_of_uri(name, &self.trust_domain).map_err(|e| e.to_string())?,
            };
            match (&found, principal) {
                (Some(_), Some(_)) => return Err("the certificate has several identities".into()),
                (None, principal @ Some(_)) => found = principal,
                (_, None) => {}
            }
        }
        if let Some(principal) = &found
            && !is_of_peers
            && let Some(role) = principal.roles.iter().find(|role| !is_callers(**role))
        {
            return Err(format!("the root of the certificate may not give the role {role}"));
        }
        Ok(found)
    }
}

/// Whether the roots of clients may give this role.
fn is_callers(role: AccessRole) -> bool {
    match role {
        AccessRole::Caller | AccessRole::Events => true,
        AccessRole::Operator
        | AccessRole::Publisher
        | AccessRole::Admin
        | AccessRole::Control
        | AccessRole::Shard
        | AccessRole::Router => false,
    }
}

/// Finds the principals of calls.
pub struct Authenticator {
    pub(super) identities: Identities,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) tokens: Option<Arc<Reloaded<Tokens>>>,
    /// Checks tokens of an identity provider.
    pub(super) provider: Option<Arc<Verifier>>,
}

impl Authenticator {
    /// Who makes a call with these headers at `now_ms`, in milliseconds since the Unix epoch; none if nothing was
    /// shown. Where a token is shown it is the proof, whatever the certificate is: one that is not valid is never
    /// ignored.
    ///
    /// # Errors
    /// Says why the proof is not accepted, and nothing of what is secret in it.
    pub fn identify(
        &self,
        peer: Option<&PeerInfo>,
        headers: &HeaderMap,
        now_ms: i64,
    ) -> Result<Option<Principal>, String> {
        if let Some(header) = headers.get(AUTHORIZATION) {
            let token = header.to_str().ok().and_then(bearer_token);
            let token = token.ok_or("the header `authorization` is not `Bearer TOKEN`")?;
            return self.of_token(token, now_ms).map(Some);
        }
        let Some(certificate) = peer.and_then(|peer| peer.certificate.as_deref()) else {
            return Ok(None);
        };
        if let Some(tls) = &self.tls {
            tls.check(certificate).map_err(|error| error.to_string())?;
        }
        match self.identities.principal(certificate)? {
            Some(principal) => Ok(Some(principal)),
            None => Err(format!(
                "the certificate has no identity of this cluster: spiffe://{}/marquee/ROLE/NAME",
                self.identities.trust_domain
            )),
        }
    }

    fn of_token(&self, token: &str, now_ms: i64) -> Result<Principal, String> {
        if let Some(tokens) = &self.tokens
            && let Some(principal) = tokens.current().find(token, now_ms)
        {
            return Ok(principal.clone());
        }
        match &self.provider {
            Some(provider) if Verifier::may_read(token) => provider.identify(token, now_ms),
            Some(_) | None => Err("the bearer token is unknown here, or has expired".into()),
        }
    }
}

/// The token of a header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
