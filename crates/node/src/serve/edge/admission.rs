//! The limits of concurrent calls of an address, and the count that a shutdown waits for.
//!
//! A call counts from the moment it has arrived as a whole. Against its limit it counts until its answer is made: one who
//! does not take an answer keeps no one else from getting theirs. A shutdown waits for it until the last byte was taken
//! or its caller went away. Above the limit calls are refused with RESOURCE_EXHAUSTED, so that an overload takes no
//! memory. Callers, nodes and operators have limits of their own.

use marquee_core::limits::budget::Budget;
use marquee_proto::status::{DetailedStatus, RETRY_OVERLOAD, RETRY_UNAVAILABLE};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tonic::Code;

/// Calls of operators at once: those of a team, and of its scripts.
const MAX_OPERATORS_CALLS: usize = 256;

/// The counts and limits of one address. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Admission {
    shared: Arc<AdmissionState>,
}

#[derive(Debug)]
struct AdmissionState {
    under_way: AtomicUsize,
    budgets: BTreeMap<Budget, Limit>,
    draining: AtomicBool,
}

#[derive(Debug)]
struct Limit {
    running: AtomicUsize,
    max: usize,
}

/// A call whose answer is being made; ends when dropped.
#[derive(Debug)]
pub(super) struct RunningCall(Arc<AdmissionState>, Budget);

impl Drop for RunningCall {
    fn drop(&mut self) {
        if let Some(limit) = self.0.budgets.get(&self.1) {
            limit.running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A call that a shutdown waits for; ends when dropped.
#[derive(Debug)]
pub(super) struct CallUnderWay(Arc<AdmissionState>);

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    /// Admits `max` calls of callers at once, and as many of nodes.
    pub(in crate::serve) fn new(max: usize) -> Self {
        let limit_of = |budget| match budget {
            Budget::Callers | Budget::Peers => max,
            Budget::Operators => MAX_OPERATORS_CALLS.min(max),
        };
        let limit =
            |budget| (budget, Limit { running: AtomicUsize::new(0), max: limit_of(budget) });
        let shared = AdmissionState {
            under_way: AtomicUsize::new(0),
            budgets: Budget::ALL.map(limit).into(),
            draining: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many calls are under way.
    pub(in crate::serve) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::Acquire)
    }

    /// Refuses new calls with UNAVAILABLE from now on.
    pub(in crate::serve) fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Counts a new call of this budget, or refuses it.
    pub(super) fn admit(
        &self,
        budget: Budget,
    ) -> Result<(RunningCall, CallUnderWay), DetailedStatus> {
        // First, so that a shutdown that was not seen here waits for this call.
        self.shared.under_way.fetch_add(1, Ordering::AcqRel);
        let under_way = CallUnderWay(Arc::clone(&self.shared));
        if self.shared.draining.load(Ordering::Acquire) {
            let says = "this node is shutting down: try another one";
            let draining = DetailedStatus::new(Code::Unavailable, "DRAINING", says);
            return Err(draining.retry_after(RETRY_UNAVAILABLE));
        }
        let running = RunningCall(Arc::clone(&self.shared), budget);
        let Some(limit) = self.shared.budgets.get(&budget) else { return Ok((running, under_way)) };
        let before = limit.running.fetch_add(1, Ordering::AcqRel);
        if before >= limit.max {
            let says = format!(
                "this node serves {max} of the {name} calls, the limit of server.max_in_flight: try again later or another \
                 node",
                max = limit.max,
                name = budget.name(),
            );
            let full = DetailedStatus::new(Code::ResourceExhausted, "TOO_MANY_IN_FLIGHT", says);
            return Err(full.retry_after(RETRY_OVERLOAD));
        }
        Ok((running, under_way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_until_its_answer_is_made_and_is_waited_for_until_it_is_taken() {
        let admission = Admission::new(1);
        let (running, under_way) = admission.admit(Budget::Callers).expect("there is room");
        let refused = admission.admit(Budget::Callers).map(drop).expect_err("one too many");
        assert_eq!(tonic::Status::from(refused).code(), Code::ResourceExhausted);
        assert_eq!(admission.under_way(), 1, "a refused call does not stay in the count");
        let of_others = [Budget::Peers, Budget::Operators].map(|it| admission.admit(it));
        assert!(of_others.iter().all(Result::is_ok), "they have limits of their own");
        drop(of_others);
        drop(running);
        let next = admission.admit(Budget::Callers).expect("the answer is made");
        assert_eq!(admission.under_way(), 2, "and not yet taken");
        drop((next, under_way));
        assert_eq!(admission.under_way(), 0);
        admission.drain();
        let refused = admission.admit(Budget::Peers).map(drop).expect_err("it drains");
        assert_eq!(tonic::Status::from(refused).code(), Code::Unavailable);
    }
}
