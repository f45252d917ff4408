//! What a signature says besides who made it.

/// What a signature says besides who made it. The default is what one of earlier versions says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignedTerms {
    /// Greater than that of all bundles of the model that were signed before; 0: there is none.
    pub counter: u64,
    /// From when on the bundle is not published any more, in ms since the Unix epoch; 0: never.
    pub expires_at_ms: u64,
}
