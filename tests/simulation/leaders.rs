//! The leader dies at every command that it proposes, before it is committed or after: the rollout goes
//! through the same states all the same.

use super::Cluster;
use marquee_core::command::Action;
use marquee_core::rollout::gate::{OnBreach, OnNoData, default_gates};
use marquee_core::rollout::window::{GROUPS, Measure, Window, hash_user};
use marquee_core::rollout::{Pace, Rollout, RolloutMove, RolloutState, RolloutStep, Shadow, Terms};

/// Between two looks of a leader.
const TICK_MS: u64 = 500;
/// How long no voter leads after a death.
const ELECTION_MS: u64 = 1_500;
/// Longer than any story.
const MAX_MS: u64 = 200_000;

/// When the leader dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Its proposal is lost.
    BeforeCommit,
    /// Its proposal is committed, and proposed again by its successor, who had not applied it yet.
    AfterCommit,
}

/// A rollout, what is measured of it, and what operators do.
#[derive(Clone)]
struct Story {
    name: &'static str,
    steps: Vec<RolloutStep>,
    terms: Terms,
    /// Errors of the candidate in a window, of 50 requests, by time.
    errors: fn(u64) -> u64,
    /// Resumes as soon as the rollout is paused.
    resumes: bool,
    ends: RolloutState,
}

fn stories() -> Vec<Story> {
    let steps = |weights: &[u32]| -> Vec<RolloutStep> {
        weights.iter().map(|&weight| RolloutStep::new(weight, 10)).collect()
    };
    let shadow = Shadow { mirror_basis_points: 500, hold_seconds: 8, min_samples: 0 };
    let mut declared = default_gates();
    declared.truncate(1);
    declared[0].on_no_data = OnNoData::Hold;
    let terms = Terms { gates: declared, shadow, pace: Pace::Fixed };
    let mut pausing = terms.clone();
    pausing.gates[0].on_breach = OnBreach::Pause;
    let hasty = Terms { pace: Pace::Evidence, ..terms.clone() };
    let approved: Vec<RolloutStep> = steps(&[1_000, 5_000, 10_000])
        .into_iter()
        .map(|step| RolloutStep { requires_approval: true, ..step })
        .collect();
    let story = |name, steps: &[RolloutStep], terms: &Terms, errors, resumes, ends| Story {
        name,
        steps: steps.to_vec(),
        terms: terms.clone(),
        errors,
        resumes,
        ends,
    };
    let plain = steps(&[1_000, 3_000, 9_000]);
    let late = |now_ms| if now_ms > 25_000 { 10 } else { 0 };
    let (promoted, rolled_back) = (RolloutState::Promoted, RolloutState::RolledBack);
    vec![
        story("a good one", &plain, &terms, |_| 0, false, promoted),
        story("one that fails late", &plain, &terms, late, false, rolled_back),
        story("one that fails in the shadow", &plain, &terms, |_| 25, false, RolloutState::Aborted),
        story("one that is paused and accepted", &plain, &pausing, late, true, promoted),
        story("one that waits for approval", &approved, &terms, |_| 0, true, promoted),
        story("one in haste", &plain, &hasty, |_| 0, false, promoted),
        story("one by time alone", &plain, &Terms::unguarded(), |_| 0, false, promoted),
    ]
}

fn window(rollout: &Rollout, errors: u64) -> Window {
    let mut window = Window::new(2);
    let in_shadow = rollout.resumes_to == RolloutState::Shadow;
    let arms = if in_shadow { window.mirror.arms.as_mut_slice() } else { &mut window.arms };
    for (arm, failing) in arms.iter_mut().zip([1, errors]) {
        for n in 0..50 {
            let failed = if n < failing { 1.0 } else { 0.0 };
            arm.measure(Measure::Failed, n as usize % GROUPS, failed);
            if n < failing {
                arm.note_fault(Measure::Failed, hash_user(&format!("user-{n}")));
            }
        }
        arm.errors.insert(14, failing);
    }
    window
}

/// Plays a story. The leader dies at its `death.0`-th proposal. Gives the states that the rollout went
/// through and how many proposals there were.
fn play(story: &Story, death: Option<(usize, Death)>) -> (Vec<(RolloutState, Option<u32>)>, usize) {
    let mut cluster = Cluster::new(2);
    cluster.start("films@2", story.steps.clone(), story.terms.clone());
    cluster.report();
    let id = cluster.state.plan.rollouts.last().expect("there").id.clone();
    let (mut proposals, mut no_leader_until) = (0, 0);
    let mut states: Vec<(RolloutState, Option<u32>)> = Vec::new();
    while cluster.now_ms < MAX_MS {
        cluster.now_ms += TICK_MS;
        if cluster.now_ms < no_leader_until {
            continue;
        }
        // A leader's duties, in its order; the list is made anew after each commit.
        let mut judged = false;
        loop {
            let rollout = cluster.state.plan.rollout(&id).expect("there").clone();
            let state = (rollout.state, rollout.step);
            if states.last() != Some(&state) {
                states.push(state);
            }
            if rollout.state.is_over() {
                return (states, proposals);
            }
            let is_measured = !matches!(rollout.resumes_to, RolloutState::Preparing);
            let action = if !judged && is_measured && !story.terms.gates.is_empty() {
                judged = true;
                cluster.judgement(&id, window(&rollout, (story.errors)(cluster.now_ms)))
            } else if let Some(due) = cluster.state.due(cluster.now_ms).pop() {
                due
            } else if story.resumes && rollout.state == RolloutState::Paused {
                let reason = "goes on".into();
                let requested = RolloutMove::Resume;
                // An operator's command has a request id of its own and is sent until it is done.
                cluster.apply(Action::MoveRollout { rollout_id: id.clone(), requested, reason });
                continue;
            } else {
                break;
            };
            proposals += 1;
            match death {
                Some((at, kind)) if at == proposals => {
                    if matches!(kind, Death::AfterCommit) {
                        cluster.apply(action.clone());
                        cluster.apply(action);
                    }
                    no_leader_until = cluster.now_ms + ELECTION_MS;
                    break;
                }
                _ => cluster.apply(action),
            }
        }
    }
    panic!("{}: not over after {MAX_MS} ms: {states:?}", story.name);
}

#[test]
fn leaders_die_at_every_command_and_nothing_is_skipped_or_repeated() {
    for story in stories() {
        let (undisturbed, proposals) = play(&story, None);
        assert_eq!(undisturbed.last().map(|(state, _)| *state), Some(story.ends), "{}", story.name);
        assert!(proposals >= 2, "{}: {proposals}", story.name);
        for at in 1..=proposals {
            for kind in [Death::BeforeCommit, Death::AfterCommit] {
                // A death is seen in the clock only: what comes late may lead to a pause less or
                // more in time, never to other states.
                let (states, _) = play(&story, Some((at, kind)));
                assert_eq!(states, undisturbed, "{}: dead at proposal {at}, {kind:?}", story.name);
            }
        }
        println!("{}: {} deaths, always {undisturbed:?}", story.name, 2 * proposals);
    }
}
