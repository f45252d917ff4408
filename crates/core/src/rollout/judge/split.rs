//! Whether users and requests are split as the weights say. If they are not, the variants cannot be compared.

use super::gate_evidence::{GateEvidence, Verdict};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::machine::Rollout;
use crate::rollout::sequential::{Estimate, MIN_GROUPS, join, mean_above, required_log_evidence};
use crate::rollout::window::GroupedSum;

/// How far the users' shares may be off before the split itself is doubted, as a part of the share: users who
/// return sooner because of the candidate do not make the split wrong.
pub const SHARE_TOLERANCE: f64 = 0.1;
/// How far the requests' shares may be off, as a part of the share: the more a user asks, the more they count.
pub const REQUESTS_TOLERANCE: f64 = 0.2;
/// Differences of this size are looked for, as a part of the share.
const SCALE_OF_EFFECTS: f64 = 0.2;

/// What is known of the candidate's share of users or requests on the present step, `alpha` being the chance of a false
/// alarm over all steps. `counted`: users or requests of the step, the sum being the candidate's, and how far their share may be off.
pub(super) fn examine_split(
    rollout: &Rollout,
    mut found: GateEvidence,
    (counted, tolerance): (&GroupedSum, f64),
    alpha: f64,
) -> GateEvidence {
    // Each step is another test, and so is the holdout.
    let holdouts = usize::from(rollout.terms.safety.holdout.is_some());
    let splits = (rollout.steps.len() + holdouts).max(1);
    found.log_required = required_log_evidence(alpha / splits as f64);
    let share = f64::from(rollout.weight_basis_points()) / f64::from(FULL_WEIGHT_BASIS_POINTS);
    found.candidate = counted.mean();
    found.allowed = Some(share);
    found.samples = [counted.total(); 2];
    let is_split = share > 0.0 && share < 1.0 && counted.filled() >= MIN_GROUPS;
    let Some(estimate) = Estimate::of_share(counted, share).filter(|_| is_split) else {
        found.verdict = Verdict::Inconclusive;
        (found.log_evidence_against, found.log_evidence_for) = (0.0, 0.0);
        return found;
    };
    let (scale, slack) = (SCALE_OF_EFFECTS * share, tolerance * share);
    let above = mean_above(estimate.minus_constant(share + slack), scale);
    let below = mean_above(estimate.minus_constant(share - slack).negated(), scale);
    found.log_evidence_against = join(&[above, below]);
    found.verdict = if found.log_evidence_against >= found.log_required {
        Verdict::Breached
    } else {
        Verdict::Holds
    };
    found
}
