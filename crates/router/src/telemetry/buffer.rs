//! What a window is made of: filled while answers are given, emptied when the window is over.
//!
//! An answer costs one lock, held for a push. All is bounded; what has no room is counted.

use super::answer_id::may_say_what_it_is_of;
use super::clock::Clock;
use super::limits::{MAX_EVENTS, MAX_KEYS, MAX_OBSERVATIONS, MAX_PAIRS, MAX_SURFACES};
use super::observation::{ArmAnswer, Observation, SubjectHash};
use super::rewards::{Reward, RewardEvent};
use super::scope::{AnswerScope, WindowKey};
use marquee_core::plan::Trial;
use marquee_core::rollout::window::{MirrorDiff, hash_item};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Takes answers and rewards until their window is over. Cheap to share; does nothing until reports are taken.
pub struct RouterTelemetry {
    batch: Mutex<Batch>,
    is_on: AtomicBool,
    clock: Clock,
}

/// A window's worth of what was seen.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) tallies: Vec<Tally>,
    /// Each with the number of its tally.
    pub(crate) answers: Vec<(usize, Observation)>,
    /// Each with the number of its tally.
    pub(crate) pairs: Vec<(usize, Pair)>,
    /// Each with the number of its tally.
    pub(crate) interleaved: Vec<(usize, InterleavedObservation)>,
    pub(crate) events: Vec<RewardEvent>,
}

/// What is counted of one trial at one share, or of one surface, at once.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) key: WindowKey,
    /// Requests that were to be mirrored and were not.
    pub(crate) skipped: u64,
    /// What had no room.
    pub(crate) dropped: u64,
    /// The first pair of the window, which is like any other, and then the one with the least in common:
    /// what a reader wants to see. Each with its user.
    pub(crate) first: Option<(SubjectHash, MirrorDiff)>,
    pub(crate) least: Option<(SubjectHash, MirrorDiff)>,
}

/// A request that both sides answered.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) subject: SubjectHash,
    /// The baseline's answer and the candidate's.
    pub(crate) answers: [ArmAnswer; 2],
    /// What the two lists have in common, and the same with weight on the first ranks; none if there are
    /// not two lists.
    pub(crate) in_common: Option<(f64, f64)>,
}

/// An answer that was made of both sides' lists.
#[derive(Debug)]
pub(crate) struct InterleavedObservation {
    pub(crate) subject: SubjectHash,
    /// When the request came, in µs of the router's own clock.
    pub(crate) at_micros: u64,
    /// The hash of the recommendation's id.
    pub(crate) answer: u64,
}

impl Batch {
    /// The number of the tally of what is counted; none if there are too many.
    fn tally(&mut self, scope: AnswerScope<'_>) -> Option<usize> {
        let known = self.tallies.iter().position(|tally| tally.key.is_of(scope));
        if known.is_some() {
            return known;
        }
        let of_surfaces = self.tallies.iter().filter(|tally| tally.key.is_of_surface()).count();
        let has_room = !matches!(scope, AnswerScope::Surface(_)) || of_surfaces < MAX_SURFACES;
        if self.tallies.len() >= MAX_KEYS || !has_room {
            return None;
        }
        self.tallies.push(Tally {
            key: WindowKey::of(scope),
            skipped: 0,
            dropped: 0,
            first: None,
            least: None,
        });
        Some(self.tallies.len() - 1)
    }

    /// One more answer.
    pub(crate) fn observe<'a>(
        &mut self,
        scope: impl Into<AnswerScope<'a>>,
        observation: Observation,
    ) {
        let Some(number) = self.tally(scope.into()) else { return };
        if self.answers.len() < MAX_OBSERVATIONS {
            self.answers.push((number, observation));
        } else {
            self.tallies[number].dropped += 1;
        }
    }

    /// One more request that both sides answered.
    pub(crate) fn pair(&mut self, trial: &Trial, pair: Pair, diff: Option<MirrorDiff>) {
        let Some(number) = self.tally(trial.into()) else { return };
        let tally = &mut self.tallies[number];
        if self.pairs.len() >= MAX_PAIRS {
            tally.dropped += 1;
            return;
        }
        if let Some(diff) = diff {
            if tally.first.is_none() {
                tally.first = Some((pair.subject, diff));
            } else if tally.least.as_ref().is_none_or(|(_, least)| diff.overlap < least.overlap) {
                tally.least = Some((pair.subject, diff));
            }
        }
        self.pairs.push((number, pair));
    }

    /// One more interleaved answer.
    pub(crate) fn interleave(&mut self, trial: &Trial, observation: InterleavedObservation) {
        let Some(number) = self.tally(trial.into()) else { return };
        if self.interleaved.len() < MAX_OBSERVATIONS {
            self.interleaved.push((number, observation));
        } else {
            self.tallies[number].dropped += 1;
        }
    }

    /// A request that was to be mirrored and was not.
    pub(crate) fn skip(&mut self, trial: &Trial) {
        if let Some(number) = self.tally(trial.into()) {
            self.tallies[number].skipped += 1;
        }
    }

    /// Something came of an answer.
    pub(crate) fn event(&mut self, event: RewardEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        }
    }

    /// Keeps the room and nothing else.
    pub(crate) fn clear(&mut self) {
        let Self { tallies, answers, pairs, interleaved, events } = self;
        tallies.clear();
        answers.clear();
        pairs.clear();
        interleaved.clear();
        events.clear();
    }
}

impl RouterTelemetry {
    pub(crate) fn new() -> Self {
        Self { batch: Mutex::default(), is_on: AtomicBool::new(false), clock: Clock::start() }
    }

    /// Counts a reward that came of this item for what the answer's id says that it is of. Returns at once; ids that no router gave and
    /// rewards beyond what an answer can have are left out when the window is closed.
    pub fn event(&self, recommendation_id: &str, user_id: &str, item_id: &str, reward: Reward) {
        if !self.is_on() || !may_say_what_it_is_of(recommendation_id) {
            return;
        }
        let event = RewardEvent {
            recommendation_id: recommendation_id.into(),
            user_id: user_id.into(),
            item: hash_item(item_id),
            reward,
            received_second: self.clock.unix_second(Instant::now()),
        };
        self.with(|batch| batch.event(event));
    }

    /// Whether anything is noted at all.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub(crate) fn turn(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// The clock that answers and events are dated by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Does something with the open window.
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut Batch) -> T) -> T {
        // A batch is whole after every step, so a panic elsewhere leaves nothing to fear.
        what(&mut self.batch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what there is for the empty one, whose room it gets.
    pub(crate) fn take(&self, empty: Batch) -> Batch {
        self.with(|batch| std::mem::replace(batch, empty))
    }
}
