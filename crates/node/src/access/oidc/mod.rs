//! Tokens of an identity provider: JSON Web Tokens (RFC 7519) as OpenID Connect has them.
//!
//! The provider signs who a user is and in which groups; the config says which groups have which access roles here.
//! Roles of nodes are never given by a token. What is checked: an asymmetric signature by one of the provider's keys, issuer,
//! audience, expiry and `nbf`. Keys come from a file or an address, and are read again while the node runs.
//!
//! - `signing_keys`: the provider's keys.
//! - `key_source`: where they come from, and how they stay fresh.
//! - `ring_provider`: signatures are checked by ring, which TLS uses too.
//! - `withdrawn`: tokens and users that are refused before their time.
//! - `verifier`: from a token to a principal.

mod key_source;
mod ring_provider;
mod signing_keys;
#[cfg(test)]
mod tests;
mod verifier;
mod withdrawn;

pub(super) use key_source::KeySource;
pub(super) use verifier::Verifier;
pub(super) use withdrawn::Withdrawn;
