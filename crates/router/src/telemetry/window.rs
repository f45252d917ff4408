//! From a batch to windows: leaves out automated traffic, and counts all other requests on their arms. Pure.

use super::automated::Callers;
use super::buffer::{Batch, Pair};
use super::observation::{
    AnswerOutcome, AnswerScope, ArmAnswer, List, Observation, SubjectHash, WindowKey, hash_of,
};
use super::overlap::share_in;
use super::rewards::{Answers, RewardEvent, may_have_had, surface_of, trial_of};
use hdrhistogram::Histogram;
use marquee_core::plan::Plan;
use marquee_core::rollout::window::{
    ArmStats, LATENCY_SLACK_MICROS, Latencies, Measure, Scope, Window,
};
use std::collections::{BTreeMap, HashSet};

/// Latencies beyond an hour are an hour.
const MAX_LATENCY_MICROS: u64 = 3_600_000_000;
/// Digits of latencies that are kept: 1 %.
const LATENCY_DIGITS: u8 = 2;

/// What is remembered from window to window.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    callers: Callers,
    answers: Answers,
    /// The last lists, by the trial or surface and its arm.
    previous: BTreeMap<(Scope, MeasuredArm), Previous>,
}

/// An arm, of answers to callers or of mirrored requests: their lists are compared apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MeasuredArm {
    Live(usize),
    Mirrored(usize),
}

/// The last lists of an arm, of two users, so that there is always one of another user.
#[derive(Clone, Copy, Debug, Default)]
struct Previous {
    last: Option<(u64, List)>,
    other: Option<(u64, List)>,
}

/// A window in the making.
struct Draft {
    key: WindowKey,
    window: Window,
    latencies: BTreeMap<MeasuredArm, Histogram<u64>>,
    users: HashSet<u64>,
}

/// Makes windows of a batch, one for each trial and share and for each surface. `now`: µs of the clock of the observations.
/// `plan`: says which trials and surfaces events may name.
pub(crate) fn close(
    batch: &Batch,
    memory: &mut Memory,
    plan: &Plan,
    now: u64,
) -> Vec<(WindowKey, Window)> {
    let Memory { callers, answers, previous } = memory;
    let observations = batch.answers.iter().map(|(_, observation)| observation);
    let by_users = observations.filter(|observation| observation.subject.is_user);
    callers.record(by_users.map(|it| (it.subject.hash, it.at_micros)), now);
    let is_automated =
        |subject: SubjectHash| subject.is_user && callers.is_automated(subject.hash, now);

    previous.retain(|(scope, _), _| batch.tallies.iter().any(|tally| tally.key.scope == *scope));
    let mut drafts: Vec<Draft> = Vec::with_capacity(batch.tallies.len());
    for tally in &batch.tallies {
        let mut draft = Draft::new(tally.key.clone());
        draft.window.dropped = tally.dropped;
        draft.window.mirror.skipped = tally.skipped;
        let diffs = tally.first.iter().chain(&tally.least);
        let of_users = diffs.filter(|(subject, _)| !is_automated(*subject));
        draft.window.mirror.diffs.extend(of_users.map(|(_, diff)| diff.clone()));
        drafts.push(draft);
    }
    for (number, observation) in &batch.answers {
        let draft = &mut drafts[*number];
        if is_automated(observation.subject) {
            draft.window.automated += 1;
            continue;
        }
        draft.add_answer(observation, previous);
        // A surface has no arms that an answer could be claimed for by the wrong user.
        if draft.key.is_of_surface() {
            continue;
        }
        if let AnswerOutcome::Answered { list: Some(list), .. } = &observation.answer.outcome {
            answers.remember(list.answer, observation.subject.hash, now);
        }
    }
    for (number, pair) in &batch.pairs {
        if !is_automated(pair.subject) {
            drafts[*number].add_pair(pair, previous);
        }
    }
    for event in &batch.events {
        let Some((key, arm, subject)) = whose(event, answers, plan, now) else { continue };
        if is_automated(subject) {
            continue;
        }
        let answer = hash_of(&event.recommendation_id);
        let Some((measure, value)) = answers.reward(answer, event.reward) else { continue };
        draft_of(&mut drafts, key).window.arms[arm].reward(measure, subject.group(), value);
    }
    drafts.into_iter().map(Draft::finish).collect()
}

/// What an event counts for and whose it is. An answer that is not known here counts as the
/// event's user's if that user is on its arm.
fn whose(
    event: &RewardEvent,
    answers: &mut Answers,
    plan: &Plan,
    now: u64,
) -> Option<(WindowKey, usize, SubjectHash)> {
    let id = &event.recommendation_id;
    let trial = trial_of(id, plan);
    let scope = match &trial {
        Some(trial) => AnswerScope::Trial(trial),
        None => AnswerScope::Surface(surface_of(id, plan)?),
    };
    let (key, arm) = (WindowKey::of(scope), scope.arm());
    let answer = hash_of(id);
    if let Some(hash) = answers.user_of(answer) {
        return Some((key, arm, SubjectHash { hash, is_user: true }));
    }
    let is_possible = trial.as_ref().is_none_or(|trial| may_have_had(trial, &event.user_id, plan));
    if event.user_id.is_empty() || !is_possible {
        return None;
    }
    let subject = SubjectHash::user(&event.user_id);
    answers.remember(answer, subject.hash, now);
    Some((key, arm, subject))
}

/// The draft of this key, a new one if no answer of the window has made it.
fn draft_of(drafts: &mut Vec<Draft>, key: WindowKey) -> &mut Draft {
    let number = drafts.iter().position(|draft| draft.key == key).unwrap_or_else(|| {
        drafts.push(Draft::new(key));
        drafts.len() - 1
    });
    &mut drafts[number]
}

impl Draft {
    fn new(key: WindowKey) -> Self {
        let window = Window::new(key.arms);
        Self { key, window, latencies: BTreeMap::new(), users: HashSet::new() }
    }

    /// Counts an answer to a caller.
    fn add_answer(
        &mut self,
        observation: &Observation,
        previous: &mut BTreeMap<(Scope, MeasuredArm), Previous>,
    ) {
        let Observation { arm, subject, at_micros: _, answer } = observation;
        self.add_arm_answer(MeasuredArm::Live(*arm), *subject, answer, previous);
        let stats = &mut self.window.arms[*arm];
        if subject.is_user && self.users.insert(subject.hash) {
            stats.measure(Measure::Users, subject.group(), 1.0);
        }
        if let AnswerOutcome::Answered { list: Some(_), .. } = answer.outcome {
            for measure in Measure::REWARDS {
                stats.measure(measure, subject.group(), 0.0);
            }
        }
    }

    /// Counts a mirrored request.
    fn add_pair(&mut self, pair: &Pair, previous: &mut BTreeMap<(Scope, MeasuredArm), Previous>) {
        let Pair { subject, answers, in_common } = pair;
        for (arm, answer) in answers.iter().enumerate() {
            self.add_arm_answer(MeasuredArm::Mirrored(arm), *subject, answer, previous);
        }
        if let Some((overlap, rank_biased)) = in_common {
            self.window.mirror.overlap.add(subject.group(), *overlap);
            self.window.mirror.rank_biased_overlap.add(subject.group(), *rank_biased);
        }
    }

    /// Counts one answer of an arm, live or mirrored.
    fn add_arm_answer(
        &mut self,
        arm: MeasuredArm,
        subject: SubjectHash,
        answer: &ArmAnswer,
        previous: &mut BTreeMap<(Scope, MeasuredArm), Previous>,
    ) {
        let group = subject.group();
        let ArmAnswer { latency_micros, outcome } = answer;
        if let Some(micros) = *latency_micros {
            let slow = (micros + LATENCY_SLACK_MICROS) as f64;
            self.stats(arm).measure(Measure::LogLatency, group, slow.ln());
            let latencies = self.latencies.entry(arm).or_insert_with(|| {
                Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, LATENCY_DIGITS)
                    .expect("the bounds are in order")
            });
            latencies.saturating_record(micros.max(1));
        }
        let stats = self.stats(arm);
        let (is_empty, is_partial, is_fallback, list) = match outcome {
            AnswerOutcome::Failed(code) => {
                *stats.errors.entry(*code).or_insert(0) += 1;
                stats.measure(Measure::Failed, group, 1.0);
                stats.note_fault(Measure::Failed, subject.hash);
                return;
            }
            AnswerOutcome::Answered { is_empty, is_partial, is_fallback, list } => {
                (*is_empty, *is_partial, *is_fallback, list)
            }
        };
        stats.measure(Measure::Failed, group, 0.0);
        for (fault, has_it) in [
            (Measure::Empty, is_empty),
            (Measure::Partial, is_partial),
            (Measure::Fallback, is_fallback),
        ] {
            stats.measure(fault, group, f64::from(u8::from(has_it)));
            if has_it {
                stats.note_fault(fault, subject.hash);
            }
        }
        let Some(list) = list else { return };
        if let Some(score) = list.score {
            stats.measure(Measure::Score, group, score);
            stats.scores.add(score);
        }
        list.items().iter().for_each(|&item| stats.items.add(item));
        // Lists without items are no lists to compare with; they are counted as empty.
        if list.items().is_empty() {
            return;
        }
        let before = previous.entry((self.key.scope.clone(), arm)).or_default();
        let same =
            before.of_another(subject.hash).and_then(|it| share_in(list.items(), it.items()));
        before.take(subject.hash, *list);
        if let Some(same) = same {
            self.stats(arm).measure(Measure::ListSimilarity, group, same);
        }
    }

    fn stats(&mut self, arm: MeasuredArm) -> &mut ArmStats {
        match arm {
            MeasuredArm::Live(arm) => &mut self.window.arms[arm],
            MeasuredArm::Mirrored(arm) => &mut self.window.mirror.arms[arm],
        }
    }

    fn finish(mut self) -> (WindowKey, Window) {
        for (arm, histogram) in std::mem::take(&mut self.latencies) {
            let mut latencies = Latencies::default();
            for value in histogram.iter_recorded() {
                latencies.add(value.value_iterated_to(), value.count_at_value());
            }
            self.stats(arm).latencies = latencies;
        }
        (self.key, self.window)
    }
}

impl Previous {
    /// The last list of another user than this one.
    fn of_another(&self, user: u64) -> Option<&List> {
        let all = [&self.last, &self.other].into_iter().flatten();
        all.into_iter().find(|(whose, _)| *whose != user).map(|(_, list)| list)
    }

    fn take(&mut self, user: u64, list: List) {
        if self.last.as_ref().is_some_and(|(whose, _)| *whose != user) {
            self.other = self.last;
        }
        self.last = Some((user, list));
    }
}
