//! Sketches: what can be said of many answers without keeping them, and added up over routers.
//!
//! [`Distinct`] counts different items, [`Scores`] holds a distribution. The size of both has a bound that
//! does not depend on how much went into them. They are our own, and no other crate's, because they cross the
//! wire and the log of control: their parts must be checked where they come in, and be the same on every
//! node.

mod distinct;
mod scores;
#[cfg(test)]
mod tests;

pub use distinct::{Distinct, MAX_REGISTER, REGISTERS};
pub use scores::{MAX_BUCKET, Scores};
