//! The newest rollout of each surface, with the evidence of its gates.

use crate::metrics::list::{
    GATE_AGAINST, GATE_ALLOWED, GATE_BASELINE, GATE_CANDIDATE, GATE_REQUIRED, GATE_SAMPLES,
    GATE_VERDICT, ROLLOUT_FINISHED, ROLLOUT_STATE, ROLLOUT_TRANSITIONS, ROLLOUT_WEIGHT,
    ROLLOUT_WINDOWS, ROLLOUTS,
};
use crate::metrics::samples::Samples;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::plan::Plan;
use marquee_core::rollout::judge::{AllEvidence, Evidence, GateEvidence, Verdict};
use marquee_core::rollout::{Rollout, RolloutState};
use std::collections::BTreeMap;

/// Every verdict that a gate can have.
const VERDICTS: [Verdict; 4] =
    [Verdict::Inconclusive, Verdict::Holds, Verdict::Proven, Verdict::Breached];

/// All rollouts by state, and the newest of each surface.
pub(super) fn of_rollouts(plan: &Plan, evidence: &AllEvidence, samples: &mut Samples) {
    for state in RolloutState::ALL {
        let count = plan.rollouts.iter().filter(|rollout| rollout.state == state).count();
        samples.count(&ROLLOUTS, &[&state.to_string()], count);
    }
    // The plan has them oldest first.
    let mut newest: BTreeMap<&str, &Rollout> = BTreeMap::new();
    for rollout in &plan.rollouts {
        newest.insert(&rollout.surface, rollout);
    }
    for (surface, rollout) in newest {
        let names = [surface, rollout.id.as_str()];
        for state in RolloutState::ALL {
            let labels = [names[0], names[1], &state.to_string()];
            samples.count(&ROLLOUT_STATE, &labels, usize::from(rollout.state == state));
        }
        let weight = f64::from(rollout.weight_basis_points()) / f64::from(FULL_WEIGHT_BASIS_POINTS);
        samples.gauge(&ROLLOUT_WEIGHT, &names, weight);
        samples.counter(&ROLLOUT_TRANSITIONS, &names, rollout.transitions);
        samples.gauge(&ROLLOUT_FINISHED, &names, rollout.finished_at_ms as f64 / 1e3);
        let known = evidence.get(&rollout.id);
        samples.counter(&ROLLOUT_WINDOWS, &names, known.map_or(0, |known| known.windows));
        if let Some(known) = known {
            of_gates(rollout, known, samples);
        }
    }
}

fn of_gates(rollout: &Rollout, known: &Evidence, samples: &mut Samples) {
    for (n, (gate, found)) in rollout.terms.gates.iter().zip(&known.gates).enumerate() {
        // Two gates may compare one metric.
        let gate = format!("{n}_{}", gate.metric);
        let names = [rollout.surface.as_str(), rollout.id.as_str(), gate.as_str()];
        let [surface, id, gate] = names;
        for verdict in VERDICTS {
            let labels = [surface, id, gate, verdict.name()];
            samples.count(&GATE_VERDICT, &labels, usize::from(found.verdict == verdict));
        }
        let GateEvidence { baseline, candidate, allowed, samples: requests, .. } = found;
        for (definition, value) in
            [(&GATE_BASELINE, baseline), (&GATE_CANDIDATE, candidate), (&GATE_ALLOWED, allowed)]
        {
            if let Some(value) = value {
                samples.gauge(definition, &names, *value);
            }
        }
        for (variant, count) in ["baseline", "candidate"].into_iter().zip(requests) {
            samples.gauge(&GATE_SAMPLES, &[surface, id, gate, variant], *count as f64);
        }
        samples.gauge(&GATE_AGAINST, &names, found.log_evidence_against);
        samples.gauge(&GATE_REQUIRED, &names, found.log_required);
    }
}
