//! From a batch to windows: leaves out automated traffic and what a user asked beyond what is usual, counts all other
//! requests on their arms, and rewards when the time of their answers is over. Pure.

use super::answer_id::{
    interleaved_of, may_have_been_interleaved, may_have_had, second_of, segments_of, surface_of,
    trial_of,
};
use super::automated::Callers;
use super::buffer::Batch;
use super::clock::Moment;
use super::cohorts::{Cohorts, due_second, is_plausible};
use super::draft::{Draft, PreviousLists, TrialState, maturities};
use super::observation::{AnswerOutcome, SubjectHash, hash_of};
use super::past::Pasts;
use super::request_share::Blocks;
use super::rewards::{Answers, RewardEvent, number_of_reward};
use super::scope::{AnswerScope, WindowKey};
use super::signature::{Authenticity, check};
use super::slow::UsualLatencies;
use marquee_core::plan::{Plan, Segments};
use marquee_core::ranking::interleave::Side;
use marquee_core::rollout::experiment::ExperimentState;
use marquee_core::rollout::gate::Gate;
use marquee_core::rollout::window::{Measure, Scope, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is remembered from window to window.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    callers: Callers,
    answers: Answers,
    previous: PreviousLists,
    cohorts: Cohorts,
    blocks: Blocks,
    pasts: Pasts,
    /// The baseline's latencies, of answers to callers and to mirrored requests, by the trial's id.
    usual: BTreeMap<String, [UsualLatencies; 2]>,
}

/// What is said of a trial that a plan runs.
#[derive(Clone, Copy, Default)]
struct RunningTrial<'a> {
    gates: &'a [Gate],
    /// The segments of its surface.
    segments: Option<&'a Segments>,
}

/// The trials that a plan runs, by id.
type RunningTrials<'a> = BTreeMap<&'a str, RunningTrial<'a>>;

/// Makes windows of a batch, one for each trial and share and for each surface. `now`: after all observations.
/// `plan`: says which trials and surfaces events may name.
pub(crate) fn close(
    batch: &Batch,
    memory: &mut Memory,
    plan: &Plan,
    now: Moment,
) -> Vec<(WindowKey, Window)> {
    let trials = running_trials(plan);
    let observations = batch.answers.iter().map(|(_, observation)| observation);
    let observations = observations.map(|it| (it.subject, it.at_micros));
    let interleaved = batch.interleaved.iter().map(|(_, it)| (it.subject, it.at_micros));
    let by_users = observations.chain(interleaved).filter(|(subject, _)| subject.is_user);
    memory.callers.record(by_users.map(|(subject, at)| (subject.hash, at)), now.micros);
    memory.forget(&trials, plan, now);

    let mut drafts: Vec<Draft> = Vec::with_capacity(batch.tallies.len());
    for tally in &batch.tallies {
        let mut draft = memory.draft(&trials, plan, tally.key.clone(), now);
        draft.add_tally(tally, |subject| memory.is_automated(subject, now));
        drafts.push(draft);
    }
    count_answers(batch, memory, &mut drafts, now);
    count_pairs(batch, memory, &mut drafts, now);
    count_interleaved(batch, memory, &mut drafts, now);
    for draft in &mut drafts {
        draft.give_to(&mut memory.cohorts);
    }
    for event in &batch.events {
        count_event(event, memory, &mut drafts, &trials, plan, now);
    }
    for (key, measure, cohort) in memory.cohorts.take_due(now.unix_second) {
        let number = number_of_draft(&mut drafts, key, |key| memory.draft(&trials, plan, key, now));
        drafts[number].add_cohort(measure, &cohort);
    }
    drafts.into_iter().map(|draft| memory.finish(draft)).collect()
}

fn running_trials(plan: &Plan) -> RunningTrials<'_> {
    let rollouts = plan.rollouts.iter().filter(|rollout| !rollout.state.is_over());
    let segments = |surface: &str| plan.surfaces.get(surface).map(|surface| &surface.segments);
    let rollouts = rollouts.map(|rollout| {
        let segments = segments(&rollout.surface);
        (&rollout.id[..], RunningTrial { gates: &rollout.terms.gates, segments })
    });
    let experiments = plan.experiments.iter();
    let experiments = experiments.filter(|it| it.state == ExperimentState::Running);
    let experiments = experiments.map(|experiment| {
        let segments = segments(&experiment.surface);
        (&experiment.id[..], RunningTrial { gates: &[], segments })
    });
    rollouts.chain(experiments).collect()
}

/// Counts the answers to callers. All requests are recorded before any is counted, because the bound on a user's requests follows
/// from what all users asked.
fn count_answers(batch: &Batch, memory: &mut Memory, drafts: &mut [Draft], now: Moment) {
    let is_automated = |subject| memory.is_automated(subject, now);
    let automated: Vec<bool> =
        batch.answers.iter().map(|(_, it)| is_automated(it.subject)).collect();
    for ((number, observation), is_automated) in batch.answers.iter().zip(&automated) {
        if let Some(trial) = &mut drafts[*number].trial
            && !is_automated
        {
            trial.block.live.record(observation.subject.hash);
        }
    }
    let limits: Vec<u32> =
        drafts.iter().map(|draft| limit(draft, |it| it.block.live.limit())).collect();
    for ((number, observation), is_automated) in batch.answers.iter().zip(automated) {
        let (draft, subject) = (&mut drafts[*number], observation.subject);
        if is_automated {
            draft.window.automated += 1;
            continue;
        }
        let list = match &observation.answer.outcome {
            AnswerOutcome::Answered { list, .. } => list.as_ref(),
            AnswerOutcome::Failed(_) => None,
        };
        if list.is_some() && subject.is_user {
            memory.pasts.add_answer(subject.hash, now.micros);
        }
        let counts = match &mut draft.trial {
            Some(trial) => trial.block.live.admit(subject.hash, limits[*number]),
            None => true,
        };
        // A surface has no arms that an answer could be claimed for by the wrong user.
        if let Some(list) = list.filter(|_| draft.trial.is_some()) {
            memory.answers.remember(list.answer, subject.hash, counts, now.micros);
        }
        if counts {
            draft.add_answer(observation, &mut memory.previous);
        } else {
            draft.window.capped += 1;
        }
    }
}

/// Counts the mirrored requests, as answers are counted.
fn count_pairs(batch: &Batch, memory: &mut Memory, drafts: &mut [Draft], now: Moment) {
    for (number, pair) in &batch.pairs {
        if let Some(trial) = &mut drafts[*number].trial
            && !memory.is_automated(pair.subject, now)
        {
            trial.block.mirrored.record(pair.subject.hash);
        }
    }
    let limits: Vec<u32> =
        drafts.iter().map(|draft| limit(draft, |it| it.block.mirrored.limit())).collect();
    for (number, pair) in &batch.pairs {
        if memory.is_automated(pair.subject, now) {
            continue;
        }
        let draft = &mut drafts[*number];
        let counts = match &mut draft.trial {
            Some(trial) => trial.block.mirrored.admit(pair.subject.hash, limits[*number]),
            None => true,
        };
        if counts {
            draft.add_pair(pair, &mut memory.previous);
        } else {
            draft.window.capped += 1;
        }
    }
}

/// Counts the interleaved answers, as answers are counted.
fn count_interleaved(batch: &Batch, memory: &mut Memory, drafts: &mut [Draft], now: Moment) {
    for (number, observation) in &batch.interleaved {
        if let Some(trial) = &mut drafts[*number].trial
            && !memory.is_automated(observation.subject, now)
        {
            trial.block.interleaved.record(observation.subject.hash);
        }
    }
    let limits: Vec<u32> =
        drafts.iter().map(|draft| limit(draft, |it| it.block.interleaved.limit())).collect();
    for (number, observation) in &batch.interleaved {
        let (draft, subject) = (&mut drafts[*number], observation.subject);
        if memory.is_automated(subject, now) {
            draft.window.automated += 1;
            continue;
        }
        memory.pasts.add_answer(subject.hash, now.micros);
        let counts = match &mut draft.trial {
            Some(trial) => trial.block.interleaved.admit(subject.hash, limits[*number]),
            None => true,
        };
        memory.answers.remember(observation.answer, subject.hash, counts, now.micros);
        let window = &mut draft.window;
        *(if counts { &mut window.interleaved.answers } else { &mut window.capped }) += 1;
    }
}

fn limit(draft: &Draft, of: impl Fn(&TrialState) -> u32) -> u32 {
    draft.trial.as_ref().map_or(u32::MAX, of)
}

/// Adds what came of an answer to the answer's cohort, or for a surface and an interleaved answer to its window. An answer that is not known here counts as the
/// event's user's if that user is on its arm.
fn count_event(
    event: &RewardEvent,
    memory: &mut Memory,
    drafts: &mut Vec<Draft>,
    trials: &RunningTrials<'_>,
    plan: &Plan,
    now: Moment,
) {
    let id = &event.recommendation_id;
    let Authenticity::Genuine(name) = check(id, &event.user_id, &plan.answer_keys) else { return };
    let (Some(second), Some((measure, _))) = (second_of(name), event.reward.worth()) else {
        return;
    };
    let (trial, interleaved) = (trial_of(name, plan), interleaved_of(name, plan));
    let scope = match (&trial, &interleaved, surface_of(name, plan)) {
        (Some(trial), _, _) => AnswerScope::Trial(trial),
        (None, Some((trial, credits)), _) => AnswerScope::Interleaved { trial, credits },
        (None, None, Some(surface)) => AnswerScope::Surface(surface),
        (None, None, None) => return,
    };
    let answer = hash_of(id);
    let known = memory.answers.user_of(answer);
    let is_possible = match scope {
        AnswerScope::Trial(trial) => may_have_had(trial, &event.user_id, plan),
        AnswerScope::Interleaved { trial, .. } => {
            may_have_been_interleaved(trial, &event.user_id, plan)
        }
        AnswerScope::Surface(_) => true,
    };
    let subject = match known {
        Some(hash) => SubjectHash { hash, is_user: true },
        None if event.user_id.is_empty() || !is_possible => return,
        None => SubjectHash::user(&event.user_id, &plan.privacy),
    };
    if memory.is_automated(subject, now) || !is_plausible(second, event.received_second) {
        return;
    }
    let (key, arm) = (WindowKey::of(scope), scope.arm());
    let number = number_of_draft(drafts, key, |key| memory.draft(trials, plan, key, now));
    let draft = &mut drafts[number];
    let due = match (&draft.trial, number_of_reward(measure)) {
        (Some(trial), Some(kind)) => Some(due_second(second, trial.maturities[kind])),
        (None, _) | (_, None) => None,
    };
    if due.is_some_and(|due| event.received_second >= due) {
        draft.window.late += 1;
        return;
    }
    if known.is_none() {
        let counts = draft.trial.as_mut().is_none_or(|trial| {
            let elsewhere = &mut trial.block.elsewhere;
            elsewhere.record(subject.hash);
            let limit = elsewhere.limit();
            elsewhere.admit(subject.hash, limit)
        });
        draft.window.capped += u64::from(!counts);
        memory.answers.remember(answer, subject.hash, counts, now.micros);
    }
    // An item is credited once, however often it and the others are clicked.
    if let AnswerScope::Interleaved { credits, .. } = scope
        && measure == Measure::Clicks
        && let Some((item, side)) = credits.find(event.item)
        && memory.answers.credit(answer, item)
    {
        let is_candidates = f64::from(u8::from(side == Side::Candidate));
        draft.window.interleaved.clicks.add(subject.group(), is_candidates);
    }
    let Some((measure, value)) = memory.answers.reward(answer, event.reward) else { return };
    memory.pasts.add_reward(subject.hash, measure, value, now.micros);
    if matches!(scope, AnswerScope::Interleaved { .. }) {
        return;
    }
    let segments = segments_of(name);
    match due {
        None => draft.add_reward(segments, subject, measure, value),
        Some(due) => {
            let is_known_set = draft.knows(segments);
            let has_room = memory.cohorts.add(&draft.key, measure, due, |cohort| {
                cohort[arm].rewards.sum[subject.group()] += value;
                if is_known_set {
                    cohort[arm].segments.add_reward(segments, subject.group(), value);
                }
            });
            draft.window.dropped += u64::from(!has_room);
        }
    }
}

/// The number of the draft of this key, a new one if there is none.
fn number_of_draft(
    drafts: &mut Vec<Draft>,
    key: WindowKey,
    new: impl FnOnce(WindowKey) -> Draft,
) -> usize {
    drafts.iter().position(|draft| draft.key == key).unwrap_or_else(|| {
        drafts.push(new(key));
        drafts.len() - 1
    })
}

impl Memory {
    fn is_automated(&self, subject: SubjectHash, now: Moment) -> bool {
        subject.is_user && self.callers.is_automated(subject.hash, now.micros)
    }

    /// Forgets what belongs to no trial and no surface of the plan any more, and prepares for trials that are new.
    fn forget(&mut self, trials: &RunningTrials<'_>, plan: &Plan, now: Moment) {
        let runs = |trial: &str| trials.contains_key(trial);
        self.previous.retain(|(scope, _), _| match scope {
            Scope::Trial(id) => runs(id),
            Scope::Surface(name) => plan.surfaces.contains_key(name),
        });
        self.usual.retain(|trial, _| runs(trial));
        self.cohorts.keep_trials(|window| window.trial_id().is_some_and(runs));
        self.pasts.keep_trials(trials.keys().copied());
        self.blocks.expire(now.micros);
    }

    /// A draft without answers.
    fn draft(
        &mut self,
        trials: &RunningTrials<'_>,
        plan: &Plan,
        key: WindowKey,
        now: Moment,
    ) -> Draft {
        let segments = match &key.scope {
            Scope::Trial(id) => trials.get(id.as_str()).and_then(|trial| trial.segments),
            Scope::Surface(name) => plan.surfaces.get(name).map(|surface| &surface.segments),
        };
        let segments = segments.cloned().unwrap_or_default();
        let trial = key.trial_id().map(|id| {
            let gates = trials.get(id).map(|trial| trial.gates).unwrap_or_default();
            let nothing = Default::default();
            let usual = self.usual.get(id).unwrap_or(&nothing);
            TrialState {
                maturities: maturities(gates),
                block: self.blocks.take(&key, now.micros),
                slow: usual.each_ref().map(|usual| usual.bounds(gates)),
                past: self.pasts.of_trial(id).map(Arc::clone).unwrap_or_default(),
            }
        });
        Draft::new(key, trial, segments)
    }

    /// Keeps of a draft what the next windows need.
    fn finish(&mut self, draft: Draft) -> (WindowKey, Window) {
        let (key, window, trial) = draft.finish();
        if let (Some(id), Some(TrialState { block, .. })) = (key.trial_id(), trial) {
            self.blocks.put(&key, block);
            let usual = self.usual.entry(id.to_owned()).or_default();
            let measured = [&window.arms[0], &window.mirror.arms[0]];
            for (usual, baseline) in usual.iter_mut().zip(measured) {
                usual.add(&baseline.latencies);
            }
        }
        (key, window)
    }
}
