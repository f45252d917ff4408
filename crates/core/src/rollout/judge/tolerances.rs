//! How large effects are looked for, and how sure a finding must be.

/// How far the users' shares may be off before the split itself is doubted, as a part of the share: users who
/// return sooner because of the candidate do not make the split wrong.
pub const SHARE_TOLERANCE: f64 = 0.1;
/// The chance of error that is accepted for leaving a step early.
pub(super) const PROOF_ALPHA: f64 = 0.05;
/// Tests find effects of this size first, as a part of the baseline's value.
pub(super) const SCALE_OF_EFFECTS: f64 = 0.2;
