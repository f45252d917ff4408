//! Which transitions of rollouts are to be told to others, and how far each has been told.
//!
//! Whom to tell is in the config of control, where names, addresses and secrets belong. What is replicated is how far each
//! *target* has been told: the number of the last transition of each rollout that it has confirmed. The history of the
//! rollout is the queue. So a new leader goes on where the last one was, and what it does not know to be
//! confirmed it tells again: at least once, with an id by which the target recognises what it knows.
//!
//! Pure: who sends, and how, is control's part.

use crate::plan::Plan;
use crate::rollout::{Rollout, RolloutEvent};
use std::collections::{BTreeMap, BTreeSet};

/// The most targets of one cluster: each is told of everything apart.
pub const MAX_TARGETS: usize = 8;
/// The most transitions that wait for one target. Beyond that the oldest are given up.
pub const MAX_WAITING: usize = 1_000;
/// After this time a transition is no news and is given up, in ms: a day.
pub const GIVE_UP_AFTER_MS: u64 = 24 * 3_600 * 1_000;

/// How far one target has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many transitions were given up.
    pub dropped: u64,
    /// The last transition of each rollout that it need not be told any more; none: 0.
    pub rollouts: BTreeMap<String, u64>,
}

/// How far all targets have been told, by name.
pub type AllTold = BTreeMap<String, Told>;

/// One transition of a rollout, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The rollout's id.
    pub rollout_id: String,
    /// Its number in the rollout, from 1.
    pub number: u64,
    /// The rollout's surface.
    pub surface: String,
    /// The ensemble that traffic moves from; empty for the first of a surface.
    pub baseline: String,
    /// The ensemble that traffic moves to.
    pub candidate: String,
    /// What happened, when and why.
    pub event: RolloutEvent,
}

impl Transition {
    /// What tells it from all others of the cluster, however often it is told.
    pub fn delivery_id(&self) -> String {
        format!("{}.{}", self.rollout_id, self.number)
    }
}

/// What is to be done next for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextNotification {
    /// It knows everything.
    Nothing,
    /// It is to be told this.
    Tell(Box<Transition>),
    /// Transitions of a rollout are to be given up, up to this one.
    GiveUp {
        /// The rollout's id.
        rollout_id: String,
        /// The number of the last transition that is given up.
        number: u64,
        /// How many are.
        dropped: u64,
    },
}

/// The transitions of a rollout that a target has not been told, oldest first, and how many are forgotten already.
fn untold<'a>(
    rollout: &'a Rollout,
    told: &Told,
) -> (u64, impl Iterator<Item = (u64, &'a RolloutEvent)>) {
    let known = told.rollouts.get(&rollout.id).copied().unwrap_or_default();
    let forgotten = rollout.transitions.saturating_sub(rollout.history.len() as u64);
    let numbered = (forgotten + 1..).zip(&rollout.history);
    (forgotten.saturating_sub(known), numbered.filter(move |(number, _)| *number > known))
}

fn is_of_interest(rollout: &Rollout, surfaces: &BTreeSet<String>) -> bool {
    surfaces.is_empty() || surfaces.contains(&rollout.surface)
}

/// How many transitions wait for a target. `surfaces`: those that it wants to know of; empty: all.
pub fn waiting(plan: &Plan, told: &Told, surfaces: &BTreeSet<String>) -> u64 {
    let of_interest = plan.rollouts.iter().filter(|rollout| is_of_interest(rollout, surfaces));
    of_interest.map(|rollout| untold(rollout, told).1.count() as u64).sum()
}

/// What is to be done next for a target at `now_ms`: transitions are told in the order that they happened in. `surfaces`: those
/// that it wants to know of; empty: all.
pub fn next_notification(
    plan: &Plan,
    told: &Told,
    surfaces: &BTreeSet<String>,
    now_ms: u64,
) -> NextNotification {
    let mut oldest: Option<(&Rollout, u64, &RolloutEvent)> = None;
    let mut count = 0;
    for rollout in plan.rollouts.iter().filter(|rollout| is_of_interest(rollout, surfaces)) {
        let (forgotten, events) = untold(rollout, told);
        if forgotten > 0 {
            let number = rollout.transitions.saturating_sub(rollout.history.len() as u64);
            let rollout_id = rollout.id.clone();
            return NextNotification::GiveUp { rollout_id, number, dropped: forgotten };
        }
        for (number, event) in events {
            count += 1;
            if oldest.is_none_or(|(_, _, known)| event.at_ms < known.at_ms) {
                oldest = Some((rollout, number, event));
            }
        }
    }
    let Some((rollout, number, event)) = oldest else { return NextNotification::Nothing };
    let is_old = now_ms.saturating_sub(event.at_ms) > GIVE_UP_AFTER_MS;
    if is_old || count > MAX_WAITING {
        let rollout_id = rollout.id.clone();
        return NextNotification::GiveUp { rollout_id, number, dropped: 1 };
    }
    NextNotification::Tell(Box::new(Transition {
        rollout_id: rollout.id.clone(),
        number,
        surface: rollout.surface.clone(),
        baseline: rollout.baseline.clone().unwrap_or_default(),
        candidate: rollout.candidate.clone(),
        event: event.clone(),
    }))
}

/// The targets are these from now on. One that is new is told of what happens from now on.
pub fn set_targets(plan: &Plan, all_told: &mut AllTold, targets: &[String]) {
    all_told.retain(|name, _| targets.contains(name));
    for name in targets {
        all_told.entry(name.clone()).or_insert_with(|| Told {
            dropped: 0,
            rollouts: plan.rollouts.iter().map(|it| (it.id.clone(), it.transitions)).collect(),
        });
    }
}

/// A target need not be told a rollout's transitions up to `number` any more; `dropped` of them were given up. What is known
/// already changes nothing.
pub fn confirm(all_told: &mut AllTold, target: &str, rollout_id: &str, number: u64, dropped: u64) {
    let Some(told) = all_told.get_mut(target) else { return };
    let known = told.rollouts.entry(rollout_id.into()).or_default();
    if number > *known {
        *known = number;
        told.dropped += dropped;
    }
}

/// Forgets the rollouts that the plan has forgotten.
pub fn forget(plan: &Plan, all_told: &mut AllTold) {
    for told in all_told.values_mut() {
        told.rollouts.retain(|id, _| plan.rollout(id).is_some());
    }
}
