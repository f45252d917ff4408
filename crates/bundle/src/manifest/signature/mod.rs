//! Signatures: who made a bundle. One of two files has one, and it speaks for the manifest, which names the checksum of
//! every other file:
//!
//! - `model.sig`, in the OpenSSF model-signing form ([`openssf`]): an in-toto statement ([`statement`]) of all files and
//!   their checksums, signed by an ECDSA key ([`ecdsa`]). Other programs verify it, and can write it.
//! - `manifest.sig`, by an Ed25519 key ([`ed25519`]), for clusters that have such keys.
//!
//! Both say a counter and an expiry ([`terms`]). Who loads a bundle checks the signature and no clock: a version that is
//! live must load on a node that restarts. Who publishes one checks the numbers, too.
//!
//! What is deliberately missing: certificates, passwords and transparency logs. A cluster lists the few keys it trusts
//! ([`trusted`]); removing one from the list revokes it.

pub(crate) mod ecdsa;
pub(crate) mod ed25519;
mod key_file;
pub(crate) mod openssf;
mod statement;
mod terms;
mod trusted;
mod verdict;

pub(crate) use key_file::{bytes_of, key_text};
pub(crate) use statement::Statement;
pub use terms::SignedTerms;
pub use trusted::TrustedKeys;
pub(crate) use verdict::Verdict;
