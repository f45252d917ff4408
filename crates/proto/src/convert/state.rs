//! The whole replicated state, a snapshot, ↔ `marquee.raft.v1.State`.

use super::audit::{audit_trail_from_pb, audit_trail_to_pb};
use super::error::{Result, required};
use super::evidence::{evidence_from_pb, evidence_to_pb};
use super::notification::{all_told_from_pb, all_told_to_pb};
use super::outcome::{outcome_from_pb, outcome_to_pb};
use super::plan::{plan_from_pb, plan_to_pb};
use super::traffic::{all_traffic_from_pb, all_traffic_to_pb};
use crate::generated::raft::v1 as pb;
use marquee_core::command::State;

/// The wire form of the replicated state: a snapshot.
pub fn state_to_pb(state: &State) -> pb::State {
    let State { plan, outcomes, evidence, traffic, told, audit } = state;
    pb::State {
        plan: Some(plan_to_pb(plan)),
        audit: Some(audit_trail_to_pb(audit)),
        traffic: all_traffic_to_pb(traffic, ""),
        notifications: all_told_to_pb(told),
        evidence: evidence.iter().map(|(id, it)| evidence_to_pb(id, it)).collect(),
        outcomes: outcomes
            .iter()
            .map(|(request_id, outcome)| pb::RememberedOutcome {
                request_id: request_id.clone(),
                outcome: Some(outcome_to_pb(outcome)),
            })
            .collect(),
    }
}

/// Reads the replicated state from its wire form.
pub fn state_from_pb(state: pb::State) -> Result<State> {
    let pb::State { plan, outcomes, evidence, traffic, notifications, audit } = state;
    let outcomes = outcomes.into_iter().map(|pb::RememberedOutcome { request_id, outcome }| {
        Ok((request_id, outcome_from_pb(required(outcome, "state.outcomes.outcome")?)?))
    });
    Ok(State {
        plan: plan_from_pb(required(plan, "state.plan")?)?,
        outcomes: outcomes.collect::<Result<_>>()?,
        evidence: evidence.into_iter().map(evidence_from_pb).collect::<Result<_>>()?,
        traffic: all_traffic_from_pb(traffic)?,
        told: all_told_from_pb(notifications)?,
        audit: audit_trail_from_pb(audit)?,
    })
}

#[cfg(test)]
mod tests;
