//! From a token to a principal.

use super::key_source::KeySource;
use super::ring_provider::{ALGORITHMS, install};
use super::withdrawn::Withdrawn;
use crate::access::reloaded::Reloaded;
use crate::config::OidcSettings;
use jsonwebtoken::{Validation, decode, decode_header};
use marquee_core::access::{AccessRole, Principal, Proof};
use marquee_core::bounds::MAX_NAME_BYTES;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of a token: groups of a large company make some kilobytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// How far the provider's clock may be off, in s.
const LEEWAY_SECONDS: i64 = 60;

/// Checks the tokens of one provider.
pub(in crate::access) struct Verifier {
    settings: OidcSettings,
    keys: KeySource,
    /// None where the config names no file of them.
    withdrawn: Option<Arc<Reloaded<Withdrawn>>>,
    validation: Validation,
}

impl Verifier {
    /// A verifier of tokens by these settings. `keys`: the provider's. `withdrawn`: what is refused nevertheless.
    pub(in crate::access) fn new(
        settings: OidcSettings,
        keys: KeySource,
        withdrawn: Option<Arc<Reloaded<Withdrawn>>>,
    ) -> Self {
        install();
        let mut validation = Validation::new(ALGORITHMS[0]);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are checked below, by the clock that calls are checked by.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        Self { settings, keys, withdrawn, validation }
    }

    /// Where the provider's keys come from.
    pub(in crate::access) fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// The file of what was withdrawn, if there is one.
    pub(in crate::access) fn withdrawn(&self) -> Option<&Arc<Reloaded<Withdrawn>>> {
        self.withdrawn.as_ref()
    }

    /// Whether a bearer token looks like one of a provider: three parts. Tokens of the cluster's own have no dots.
    pub(in crate::access) fn may_read(token: &str) -> bool {
        token.bytes().filter(|&byte| byte == b'.').count() == 2
    }

    /// Who a token stands for at `now_ms`, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Says what is wrong with it, and nothing of what it says of anybody.
    pub(in crate::access) fn identify(
        &self,
        token: &str,
        now_ms: i64,
    ) -> Result<Principal, String> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(format!("the token has more than {MAX_TOKEN_BYTES} bytes"));
        }
        let header = decode_header(token).map_err(|_| "the token is malformed".to_owned())?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("tokens signed by {:?} are not accepted", header.alg));
        }
        let keys = self.keys.current().ok_or("the identity provider's keys are not known yet")?;
        let Some(key) = keys.find(header.kid.as_deref()) else {
            self.keys.ask_again(now_ms);
            return Err("the token is signed by a key that is not the identity provider's".into());
        };
        // The library wants those of one family. A key of another one does not verify.
        let validation = Validation { algorithms: vec![header.alg], ..self.validation.clone() };
        let decoded = decode::<Map<String, Value>>(token, key, &validation)
            .map_err(|error| format!("the token is not accepted: {error}"))?;
        self.check_times(&decoded.claims, now_ms / 1_000)?;
        self.principal(&decoded.claims)
    }

    fn check_times(&self, claims: &Map<String, Value>, now_second: i64) -> Result<(), String> {
        let second = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => {
                // NumericDate may have a fraction (RFC 7519, section 2).
                let number = value.as_f64().filter(|number| number.is_finite());
                number
                    .map(|number| Some(number as i64))
                    .ok_or(format!("the token's {name} is no time"))
            }
        };
        let expires = second("exp")?.ok_or("the token does not say when it expires")?;
        if now_second >= expires.saturating_add(LEEWAY_SECONDS) {
            return Err("the token has expired: get a new one".into());
        }
        match second("nbf")? {
            Some(from) if now_second < from.saturating_sub(LEEWAY_SECONDS) => {
                Err("the token is not valid yet: compare the clocks".into())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, String> {
        let OidcSettings { name_claim, role_claim, roles, .. } = &self.settings;
        let name = claim(claims, name_claim).and_then(Value::as_str);
        let name = name.ok_or_else(|| format!("the token has no {name_claim:?}"))?;
        let token_id = claims.get("jti").and_then(Value::as_str);
        if self.withdrawn.as_ref().is_some_and(|it| it.current().has(token_id, name)) {
            return Err(
                "the token, or all of its user, were withdrawn: ask those who run the cluster"
                    .into(),
            );
        }
        // Providers name users by addresses and numbers of all kinds, so any text that a log can have is a name.
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control) {
            return Err(format!(
                "the token's {name_claim:?} is no name: 1 to {MAX_NAME_BYTES} bytes without control characters"
            ));
        }
        let groups: Vec<&str> = match claim(claims, role_claim) {
            // One group, or several in one text as scopes are (RFC 8693, section 4.2).
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        let given = groups.iter().filter_map(|group| roles.get(*group)).flatten();
        let roles: BTreeSet<AccessRole> = given.copied().collect();
        if roles.is_empty() {
            return Err(format!(
                "nothing in the token's {role_claim:?} has an access role here: see auth.oidc.roles"
            ));
        }
        Ok(Principal { name: name.to_owned(), roles, proof: Proof::Provider })
    }
}

/// The claim of this name. Providers nest some of them: `realm_access.roles` is `roles` within `realm_access`, unless there is a
/// claim of the whole name.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |inside, part| inside.get(part))
}
