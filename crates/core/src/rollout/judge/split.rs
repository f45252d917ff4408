//! Whether users are split as the weights say. If they are not, the variants cannot be compared.

use super::evidence::{GateEvidence, Stage, Verdict};
use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::rollout::machine::Rollout;
use crate::rollout::sequential::{Estimate, MIN_GROUPS, join, mean_above, required_log_evidence};

/// How far the users' shares may be off before the split itself is doubted, as a part of the share: users who
/// return sooner because of the candidate do not make the split wrong.
pub const SHARE_TOLERANCE: f64 = 0.1;
/// Differences of this size are looked for, as a part of the share.
const SCALE_OF_EFFECTS: f64 = 0.2;

/// What is known of the candidate's share of users on the present step, `alpha` being the chance of a false
/// alarm over all steps.
pub(super) fn examine_split(
    rollout: &Rollout,
    mut found: GateEvidence,
    stage: &Stage,
    alpha: f64,
) -> GateEvidence {
    // Each step is another test, and so is the holdout.
    let holdouts = usize::from(rollout.terms.safety.holdout.is_some());
    let splits = (rollout.steps.len() + holdouts).max(1);
    found.log_required = required_log_evidence(alpha / splits as f64);
    let share = f64::from(rollout.weight_basis_points()) / f64::from(FULL_WEIGHT_BASIS_POINTS);
    found.candidate = stage.users.mean();
    found.allowed = Some(share);
    found.samples = [stage.users.total(); 2];
    let is_split = share > 0.0 && share < 1.0 && stage.users.filled() >= MIN_GROUPS;
    let Some(estimate) = Estimate::of_share(&stage.users, share).filter(|_| is_split) else {
        found.verdict = Verdict::Inconclusive;
        (found.log_evidence_against, found.log_evidence_for) = (0.0, 0.0);
        return found;
    };
    let (scale, slack) = (SCALE_OF_EFFECTS * share, SHARE_TOLERANCE * share);
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
