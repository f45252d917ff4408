//! Who calls this node, and whether they may.
//!
//! [`Security`] is made of a config: certificates, tokens, and how this node reaches others. An [`Authenticator`]
//! finds the principal of a call, by the certificate of its connection or by a bearer token; a [`Guard`] is the
//! layer around all services that asks core's table whether the principal may make the call, before anything of
//! it is decoded. Files are read again when they change.
//!
//! Deliberately missing: which role may do what. That is `marquee_core::access`.

mod authenticator;
mod credential_check;
mod guard;
mod node_check;
mod oidc;
mod reloaded;
mod security;
mod token;

pub use authenticator::Authenticator;
pub(crate) use credential_check::CredentialCheck;
pub(crate) use guard::Guard;
pub use security::Security;
pub use token::{HashedToken, TokenFile, TokenFileError, hash_of_token};
