//! The leader dies at every command that it proposes, before it is committed or after: the rollout goes
//! through the same states all the same.

use super::Cluster;
use marquee_core::command::Action;
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::gate::{OnBreach, OnNoData, default_gates, default_preference_gate};
use marquee_core::rollout::window::{GROUPS, Measure, Window, group_of_hash, hash_user};
use marquee_core::rollout::{
    Holdout, InterleaveStage, Pace, Rollout, RolloutMove, RolloutState, RolloutStep, Safety,
    Shadow, Terms,
};

/// Between two looks of a leader.
const TICK_MS: u64 = 1_000;
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
    /// How many of a hundred requests to the candidate fail, by time.
    errors: fn(u64) -> u64,
    /// How many of a hundred credited clicks on interleaved answers are the candidate's.
    clicks_percent: u64,
    /// Whether the candidate is loaded at all.
    loads: bool,
    /// What an operator asks for whenever the rollout is in this state.
    asks: Option<(RolloutState, RolloutMove)>,
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
    let terms = Terms { gates: declared, shadow, ..Terms::unguarded() };
    let mut pausing = terms.clone();
    pausing.gates[0].on_breach = OnBreach::Pause;
    let hasty = Terms { pace: Pace::Evidence, ..terms.clone() };
    let approved: Vec<RolloutStep> = steps(&[1_000, 5_000, 10_000])
        .into_iter()
        .map(|step| RolloutStep { requires_approval: true, ..step })
        .collect();
    let story = |name, steps: &[RolloutStep], terms: &Terms, errors, asks, ends| Story {
        name,
        steps: steps.to_vec(),
        terms: terms.clone(),
        errors,
        clicks_percent: 50,
        loads: true,
        asks,
        ends,
    };
    let resumes = Some((RolloutState::Paused, RolloutMove::Resume));
    let holdout = Some(Holdout { share_basis_points: 1_000, hold_seconds: 20 });
    let after = |watch_seconds, holdout| Terms {
        safety: Safety { prepare_seconds: 30, watch_seconds, holdout, ..Safety::default() },
        ..terms.clone()
    };
    let (watched, held_out) = (after(20, None), after(0, holdout));
    let both = after(40, holdout);
    let plain = steps(&[1_000, 3_000, 9_000]);
    let late = |now_ms| if now_ms > 22_000 { 50 } else { 0 };
    let (promoted, rolled_back) = (RolloutState::Promoted, RolloutState::RolledBack);
    // The holdout begins at 41 s, when the shadow stage of 8 s and three steps of 10 s are over.
    let much_later = |now_ms| if now_ms > 45_000 { 50 } else { 0 };
    let undo = |state| Some((state, RolloutMove::Undo));
    let (watching, in_holdout) = (RolloutState::Watching, RolloutState::Holdout);
    let mut stories = vec![
        story("a good one", &plain, &terms, |_| 0, None, promoted),
        story("one that fails late", &plain, &terms, late, None, rolled_back),
        story("one that fails in the shadow", &plain, &terms, |_| 50, None, RolloutState::Aborted),
        story("one that is paused and accepted", &plain, &pausing, late, resumes, promoted),
        story("one that waits for approval", &approved, &terms, |_| 0, resumes, promoted),
        story("one in haste", &plain, &hasty, |_| 0, None, promoted),
        story("one by time alone", &plain, &Terms::unguarded(), |_| 0, None, promoted),
        story("one that is watched", &plain, &watched, |_| 0, None, promoted),
        story("one with a holdout", &plain, &held_out, |_| 0, None, promoted),
        story("one with a holdout and a watch", &plain, &both, |_| 0, None, promoted),
        story("one that fails in the holdout", &plain, &held_out, much_later, None, rolled_back),
        story("one undone in the holdout", &plain, &both, |_| 0, undo(in_holdout), rolled_back),
        story("one undone in the watch", &plain, &both, |_| 0, undo(watching), rolled_back),
        story(
            "one whose holdout is ended",
            &plain,
            &both,
            |_| 0,
            Some((in_holdout, RolloutMove::EndHoldout)),
            promoted,
        ),
        story(
            "one whose watch is ended",
            &plain,
            &watched,
            |_| 0,
            Some((watching, RolloutMove::EndWatch)),
            promoted,
        ),
        story(
            "one that is promoted by hand",
            &plain,
            &both,
            |_| 0,
            Some((RolloutState::Canary, RolloutMove::Promote)),
            promoted,
        ),
    ];
    let never_loaded = story("one never loaded", &plain, &both, |_| 0, None, RolloutState::Aborted);
    stories.push(Story { loads: false, ..never_loaded });
    let interleave = InterleaveStage {
        share_basis_points: 500,
        hold_seconds: 10,
        min_samples: 100,
        how: Interleaving::TeamDraft,
    };
    let mut interleaved = Terms { interleave: Some(interleave), ..terms.clone() };
    interleaved.gates.push(default_preference_gate());
    let unshadowed = Terms { shadow: Terms::unguarded().shadow, ..interleaved.clone() };
    let worse = story("one that is liked less", &plain, &interleaved, |_| 0, None, rolled_back);
    stories.extend([
        story("one that is interleaved", &plain, &interleaved, |_| 0, None, promoted),
        story("one interleaved first", &approved, &unshadowed, |_| 0, resumes, promoted),
        Story { clicks_percent: 20, ..worse },
        story(
            "one rolled back while it is interleaved",
            &plain,
            &interleaved,
            |_| 0,
            Some((RolloutState::Interleave, RolloutMove::RollBack)),
            rolled_back,
        ),
    ]);
    stories
}

/// A hundred requests, each of another user, of which two in a hundred fail with the baseline.
fn window(rollout: &Rollout, story: &Story, now_ms: u64) -> Window {
    let mut window = Window::new(2);
    let errors_percent = (story.errors)(now_ms);
    if rollout.resumes_to == RolloutState::Interleave {
        window.interleaved.answers = 100;
        for group in 0..GROUPS {
            let is_candidates = (37 * group as u64 + now_ms / 100) % 100 < story.clicks_percent;
            window.interleaved.clicks.add(group, f64::from(u8::from(is_candidates)));
        }
    }
    let in_shadow = rollout.resumes_to == RolloutState::Shadow;
    let of_candidate = if in_shadow { 50 } else { u64::from(rollout.weight_basis_points()) / 100 };
    let arms = if in_shadow { window.mirror.arms.as_mut_slice() } else { &mut window.arms };
    let shares = [(100 - of_candidate, 2), (of_candidate, errors_percent)];
    for (arm, (requests, percent)) in arms.iter_mut().zip(shares) {
        let failing = requests * percent / 100;
        for n in 0..requests {
            let user = hash_user(&format!("user-{now_ms}-{requests}-{n}"));
            let failed = if n < failing { 1.0 } else { 0.0 };
            arm.measure(Measure::Failed, group_of_hash(user), failed);
            if n < failing {
                arm.note_fault(Measure::Failed, user);
            }
        }
        arm.errors.insert(14, failing);
    }
    if in_shadow {
        window.mirror.overlap.add(0, 1.0);
    }
    window
}

/// Plays a story. The leader dies at its `death.0`-th proposal. Gives the states that the rollout went
/// through and how many proposals there were.
fn play(story: &Story, death: Option<(usize, Death)>) -> (Vec<(RolloutState, Option<u32>)>, usize) {
    let mut cluster = Cluster::new(2);
    cluster.start("films@2", story.steps.clone(), story.terms.clone());
    if story.loads {
        cluster.report();
    }
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
                cluster.judgement(&id, window(&rollout, story, cluster.now_ms))
            } else if let Some(due) = cluster.state.due(cluster.now_ms).pop() {
                due
            } else if let Some((state, requested)) = story.asks
                && rollout.state == state
            {
                let reason = "as told".into();
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
        assert!(proposals >= 1, "{}: {proposals}", story.name);
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
