//! A window in the making: counts answers on their arms. Pure.

use super::buffer::{Pair, Tally};
use super::cohorts::{CohortArm, Cohorts, due_second};
use super::observation::{AnswerOutcome, ArmAnswer, List, Observation, SubjectHash, list_of};
use super::overlap::{overlap, share_in};
use super::past::Past;
use super::request_share::Block;
use super::rewards::REWARDS;
use super::scope::WindowKey;
use super::segment_sums::SegmentSums;
use super::slow::SlowBounds;
use hdrhistogram::Histogram;
use marquee_core::plan::{SegmentSet, Segments};
use marquee_core::rollout::gate::{Gate, maturity_seconds};
use marquee_core::rollout::window::{
    ArmStats, GroupedSum, LATENCY_SLACK_MICROS, Latencies, Measure, Scope, SegmentStats, Window,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Latencies beyond an hour are an hour.
const MAX_LATENCY_MICROS: u64 = 3_600_000_000;
/// Digits of latencies that are kept: 1 %.
const LATENCY_DIGITS: u8 = 2;

/// The last lists, by the trial or surface and its arm.
pub(crate) type PreviousLists = BTreeMap<(Scope, MeasuredArm), Previous>;

/// An arm, of answers to callers or of mirrored requests: their lists are compared apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MeasuredArm {
    Live(usize),
    Mirrored(usize),
}

/// The last lists of an arm, of two users, so that there is always one of another user.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Previous {
    last: Option<(u64, List)>,
    other: Option<(u64, List)>,
}

/// What is known of a trial before the answers of a window are counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrialState {
    /// For each kind of reward, how long answers have time for it, in s.
    pub(crate) maturities: [u32; REWARDS],
    /// How often users have asked.
    pub(crate) block: Block,
    /// Which answers to callers are slow, and which to mirrored requests.
    pub(crate) slow: [SlowBounds; 2],
    /// What users did before it.
    pub(crate) past: Arc<Past>,
}

/// A window in the making.
pub(crate) struct Draft {
    pub(crate) key: WindowKey,
    pub(crate) window: Window,
    /// None of a surface.
    pub(crate) trial: Option<TrialState>,
    latencies: BTreeMap<MeasuredArm, Histogram<u64>>,
    users: HashSet<u64>,
    /// The segments of its surface.
    segments: Segments,
    /// What was measured of each segment, by number.
    segment_stats: Vec<SegmentStats>,
    /// The recommendations of each second, by arm: they wait for what comes of them.
    answered: BTreeMap<u64, Vec<AnsweredArm>>,
}

/// Recommendations of one second and arm.
#[derive(Clone, Debug, Default)]
struct AnsweredArm {
    /// For each kind of reward how many there were, and what their users did before the trial.
    before: [GroupedSum; REWARDS],
    /// How many there were in each segment.
    segments: SegmentSums,
}

/// How long answers have time for each kind of reward, in s, where these gates hold.
pub(crate) fn maturities(gates: &[Gate]) -> [u32; REWARDS] {
    Measure::REWARDS.map(|reward| maturity_seconds(gates, reward))
}

impl Draft {
    pub(crate) fn new(key: WindowKey, trial: Option<TrialState>, segments: Segments) -> Self {
        let window = Window::new(key.arms);
        Self {
            segment_stats: vec![SegmentStats::new(key.arms); segments.count()],
            segments,
            key,
            window,
            trial,
            latencies: BTreeMap::new(),
            users: HashSet::new(),
            answered: BTreeMap::new(),
        }
    }

    /// Takes what was counted at once.
    pub(crate) fn add_tally(&mut self, tally: &Tally, is_automated: impl Fn(SubjectHash) -> bool) {
        self.window.dropped += tally.dropped;
        self.window.mirror.skipped += tally.skipped;
        let diffs = tally.first.iter().chain(&tally.least);
        let of_users = diffs.filter(|(subject, _)| !is_automated(*subject));
        self.window.mirror.diffs.extend(of_users.map(|(_, diff)| diff.clone()));
    }

    /// Counts an answer to a caller.
    pub(crate) fn add_answer(&mut self, observation: &Observation, previous: &mut PreviousLists) {
        let Observation { arm, subject, at_micros: _, answered_second, segments, answer } =
            observation;
        self.add_to_segments(*segments, *arm, *subject, answer);
        self.add_arm_answer(MeasuredArm::Live(*arm), *subject, answer, previous);
        let stats = &mut self.window.arms[*arm];
        if subject.is_user && self.users.insert(subject.hash) {
            stats.measure(Measure::Users, subject.group(), 1.0);
        }
        let AnswerOutcome::Answered { list: Some(_), .. } = &answer.outcome else { return };
        let Some(trial) = &self.trial else {
            // Nothing is compared: what comes of it is added when it comes.
            for measure in Measure::REWARDS {
                self.window.arms[*arm].measure(measure, subject.group(), 0.0);
                self.measure_in_segments(*segments, *arm, *subject, measure, 0.0);
            }
            return;
        };
        let nothing = || vec![AnsweredArm::default(); self.key.arms];
        let arms = self.answered.entry(*answered_second).or_insert_with(nothing);
        let answered = &mut arms[*arm];
        for (sums, before) in answered.before.iter_mut().zip(trial.past.of(subject.hash)) {
            sums.add(subject.group(), before);
        }
        if self.segments.mark() == segments.mark() {
            answered.segments.add_answer(*segments, subject.group());
        }
    }

    /// Whether these are segments that the surface has now.
    pub(crate) fn knows(&self, segments: SegmentSet) -> bool {
        segments.mark() == self.segments.mark()
    }

    /// Counts what came of an answer at once, where nothing is compared.
    pub(crate) fn add_reward(
        &mut self,
        segments: SegmentSet,
        subject: SubjectHash,
        measure: Measure,
        value: f64,
    ) {
        self.window.arms[0].reward(measure, subject.group(), value);
        for stats in self.stats_of(segments) {
            stats.arms[0].entry(measure).or_default().sum[subject.group()] += value;
        }
    }

    /// Counts an answer in the segments of its request.
    fn add_to_segments(
        &mut self,
        segments: SegmentSet,
        arm: usize,
        subject: SubjectHash,
        answer: &ArmAnswer,
    ) {
        let ArmAnswer { latency_micros, outcome } = answer;
        let mut measured = Vec::with_capacity(4);
        match outcome {
            AnswerOutcome::Failed(_) => measured.push((Measure::Failed, 1.0)),
            AnswerOutcome::Answered { is_empty, is_partial: _, is_fallback, list: _ } => {
                measured.push((Measure::Failed, 0.0));
                measured.push((Measure::Empty, f64::from(u8::from(*is_empty))));
                measured.push((Measure::Fallback, f64::from(u8::from(*is_fallback))));
            }
        }
        measured.extend(latency_micros.map(|micros| (Measure::LogLatency, log_latency(micros))));
        for (measure, value) in measured {
            self.measure_in_segments(segments, arm, subject, measure, value);
        }
    }

    fn measure_in_segments(
        &mut self,
        segments: SegmentSet,
        arm: usize,
        subject: SubjectHash,
        measure: Measure,
        value: f64,
    ) {
        for stats in self.stats_of(segments) {
            stats.arms[arm].entry(measure).or_default().add(subject.group(), value);
        }
    }

    /// What was measured of these segments; of none if they are of others than the surface has now.
    fn stats_of(&mut self, segments: SegmentSet) -> impl Iterator<Item = &mut SegmentStats> {
        let is_known = self.knows(segments);
        let all = self.segment_stats.iter_mut().enumerate();
        all.filter(move |(number, _)| is_known && segments.has(*number)).map(|(_, stats)| stats)
    }

    /// Counts a mirrored request.
    pub(crate) fn add_pair(&mut self, pair: &Pair, previous: &mut PreviousLists) {
        let Pair { subject, answers, in_common } = pair;
        let personal = self.personalisation(pair, previous);
        for (arm, answer) in answers.iter().enumerate() {
            self.add_arm_answer(MeasuredArm::Mirrored(arm), *subject, answer, previous);
        }
        if let Some((overlap, rank_biased)) = in_common {
            self.window.mirror.overlap.add(subject.group(), *overlap);
            self.window.mirror.rank_biased_overlap.add(subject.group(), *rank_biased);
        }
        for (arm, value) in self.window.mirror.arms.iter_mut().zip(personal.into_iter().flatten()) {
            arm.measure(Measure::Personalisation, subject.group(), value);
        }
    }

    /// How personal the lists of both sides are: what each has in common with the baseline's list for this user, less what
    /// it has in common with that for the user before. None where a list is missing.
    fn personalisation(&self, pair: &Pair, previous: &PreviousLists) -> Option<[f64; 2]> {
        let baseline = (self.key.scope.clone(), MeasuredArm::Mirrored(0));
        let of_another = previous.get(&baseline)?.of_another(pair.subject.hash)?;
        let [baseline, candidate] = &pair.answers;
        let (baseline, candidate) = (list_of(baseline)?, list_of(candidate)?);
        Some([baseline, candidate].map(|list| {
            overlap(list.items(), baseline.items()) - overlap(list.items(), of_another.items())
        }))
    }

    /// Adds the rewards of a cohort whose time is over.
    pub(crate) fn add_cohort(&mut self, measure: Measure, cohort: &[CohortArm]) {
        for (arm, CohortArm { segments, .. }) in cohort.iter().enumerate() {
            segments.add_to(arm, measure, &mut self.segment_stats);
        }
        for (stats, CohortArm { rewards, before, segments: _ }) in
            self.window.arms.iter_mut().zip(cohort)
        {
            let sums = [(Some(measure), rewards), (measure.before(), before)];
            for (measure, sums) in sums {
                if let Some(measure) = measure {
                    stats.measures.entry(measure).or_default().absorb(sums);
                }
            }
        }
    }

    /// Gives the recommendations of the window to their cohorts. What finds no room counts as dropped.
    pub(crate) fn give_to(&mut self, cohorts: &mut Cohorts) {
        let Some(trial) = &self.trial else { return };
        for (second, arms) in std::mem::take(&mut self.answered) {
            let mut has_room = true;
            for (kind, measure) in Measure::REWARDS.into_iter().enumerate() {
                let due = due_second(second, trial.maturities[kind]);
                has_room &= cohorts.add(&self.key, measure, due, |cohort| {
                    for (theirs, answered) in cohort.iter_mut().zip(&arms) {
                        let before = &answered.before[kind];
                        theirs.before.absorb(before);
                        for (all, count) in theirs.rewards.count.iter_mut().zip(&before.count) {
                            *all += count;
                        }
                        theirs.segments.absorb(&answered.segments);
                    }
                });
            }
            if !has_room {
                self.window.dropped +=
                    arms.iter().map(|answered| answered.before[0].total()).sum::<u64>();
            }
        }
    }

    /// Counts one answer of an arm, live or mirrored.
    fn add_arm_answer(
        &mut self,
        arm: MeasuredArm,
        subject: SubjectHash,
        answer: &ArmAnswer,
        previous: &mut PreviousLists,
    ) {
        let group = subject.group();
        let ArmAnswer { latency_micros, outcome } = answer;
        if let Some(micros) = *latency_micros {
            self.add_latency(arm, subject, micros);
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

    fn add_latency(&mut self, arm: MeasuredArm, subject: SubjectHash, micros: u64) {
        let group = subject.group();
        self.stats(arm).measure(Measure::LogLatency, group, log_latency(micros));
        if let Some(trial) = &self.trial {
            let (slow, number, stats) = match arm {
                MeasuredArm::Live(number) => {
                    (&trial.slow[0], number, &mut self.window.arms[number])
                }
                MeasuredArm::Mirrored(number) => {
                    (&trial.slow[1], number, &mut self.window.mirror.arms[number])
                }
            };
            for (measure, is_slow) in slow.compare(number, micros) {
                stats.measure(measure, group, f64::from(u8::from(is_slow)));
                if is_slow {
                    stats.note_fault(measure, subject.hash);
                }
            }
        }
        let latencies = self.latencies.entry(arm).or_insert_with(|| {
            Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, LATENCY_DIGITS)
                .expect("the bounds are in order")
        });
        latencies.saturating_record(micros.max(1));
    }

    fn stats(&mut self, arm: MeasuredArm) -> &mut ArmStats {
        match arm {
            MeasuredArm::Live(arm) => &mut self.window.arms[arm],
            MeasuredArm::Mirrored(arm) => &mut self.window.mirror.arms[arm],
        }
    }

    /// The window, and what is known of its trial now.
    pub(crate) fn finish(mut self) -> (WindowKey, Window, Option<TrialState>) {
        for (arm, histogram) in std::mem::take(&mut self.latencies) {
            let mut latencies = Latencies::default();
            for value in histogram.iter_recorded() {
                latencies.add(value.value_iterated_to(), value.count_at_value());
            }
            self.stats(arm).latencies = latencies;
        }
        let measured = self.segments.names().into_iter().zip(self.segment_stats);
        self.window.segments =
            measured.filter(|(_, stats)| stats.arms.iter().any(|arm| !arm.is_empty())).collect();
        (self.key, self.window, self.trial)
    }
}

/// A latency as means of latencies are taken.
fn log_latency(micros: u64) -> f64 {
    ((micros + LATENCY_SLACK_MICROS) as f64).ln()
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
