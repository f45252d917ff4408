//! What is found of a signature that is right.

use super::terms::SignedTerms;

/// Whose a signature is.
pub(crate) enum Verdict {
    /// Of a key that is trusted, with what it says.
    Trusted(SignedTerms),
    /// Of another key, whose owner can say anything: its name.
    Other(String),
}
