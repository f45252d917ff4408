//! Every wish of an operator in every state: what it does, or why not. The table in `cluster/rollouts.md` is
//! made of this; `UPDATE_GOLDENFILES=1` writes it anew.

use super::Cluster;
use marquee_core::command::{Action, Refusal, Reply};
use marquee_core::rollout::{Pace, Rollout, RolloutMove, RolloutState, RolloutStep, Shadow, Terms};
use std::fmt::Write as _;
use std::path::Path;

/// Where the table is, between these lines.
const DOCUMENT: &str = "../../cluster/rollouts.md";
const BEGIN: &str = "<!-- the table is made by tests/simulation/moves.rs -->\n";
const END: &str = "<!-- end of the table -->";

const WISHES: [RolloutMove; 4] =
    [RolloutMove::Pause, RolloutMove::Resume, RolloutMove::Promote, RolloutMove::RollBack];

/// A rollout in this state, whose candidate is loaded or not.
fn in_state(state: RolloutState, loaded: bool) -> (Cluster, String) {
    let mut cluster = Cluster::new(2);
    let shadow = Shadow { mirror_basis_points: 100, hold_seconds: 60, min_samples: 0 };
    let terms = Terms { gates: Vec::new(), shadow, pace: Pace::Fixed };
    cluster.start("films@2", vec![RolloutStep::new(100, 60)], terms);
    let id = cluster.state.plan.rollouts.last().expect("there").id.clone();
    let wish = |wish| Action::MoveRollout { rollout_id: id.clone(), wish, reason: String::new() };
    if state != RolloutState::Preparing || loaded {
        cluster.report();
    }
    match state {
        RolloutState::Preparing => {}
        RolloutState::Shadow => cluster.tick(),
        RolloutState::Canary | RolloutState::Paused | RolloutState::RolledBack => {
            cluster.tick();
            cluster.now_ms += 60_000;
            cluster.tick();
        }
        RolloutState::Promoted => cluster.apply(wish(RolloutMove::Promote)),
        RolloutState::Aborted => cluster.apply(wish(RolloutMove::RollBack)),
    }
    match state {
        RolloutState::Paused => cluster.apply(wish(RolloutMove::Pause)),
        RolloutState::RolledBack => cluster.apply(wish(RolloutMove::RollBack)),
        _ => {}
    }
    if !loaded {
        cluster.apply(Action::SetNodeAlive { node_id: "n".into(), alive: false });
    }
    assert_eq!(cluster.state.plan.rollout(&id).expect("there").state, state);
    (cluster, id)
}

/// What the wish comes to: the state after it, or the refusal.
fn outcome(state: RolloutState, wish: RolloutMove, loaded: bool) -> String {
    let (mut cluster, rollout_id) = in_state(state, loaded);
    let before: Rollout = cluster.state.plan.rollout(&rollout_id).expect("there").clone();
    let reason = String::new();
    match cluster.try_apply(Action::MoveRollout { rollout_id: rollout_id.clone(), wish, reason }) {
        Ok(Reply::Rollout(rollout)) => {
            assert_ne!(*rollout, before, "{state} {wish}: accepted, and nothing happened");
            rollout.state.to_string()
        }
        Err(Refusal::FailedPrecondition(why)) => {
            let after = cluster.state.plan.rollout(&rollout_id).expect("there");
            assert_eq!(*after, before, "{state} {wish}: refused, and something happened");
            assert!(why.contains(&rollout_id) && why.len() > 20, "no reason: {why}");
            format!("refused: {}", why.replace(&rollout_id, "…"))
        }
        other => panic!("{state} {wish}: {other:?}"),
    }
}

fn table() -> String {
    let mut text = String::from("| state |");
    for wish in WISHES {
        write!(text, " {wish} |").expect("memory");
    }
    text += "\n|---|---|---|---|---|\n";
    for state in RolloutState::ALL {
        write!(text, "| {state} |").expect("memory");
        for wish in WISHES {
            write!(text, " {} |", outcome(state, wish, true)).expect("memory");
        }
        text += "\n";
    }
    text
}

#[test]
fn every_wish_in_every_state_works_or_says_why_not() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = std::fs::read_to_string(&path).expect("the document is there");
    let (head, rest) = document.split_once(BEGIN).expect("the table has a beginning");
    let (written, tail) = rest.split_once(END).expect("and an end");
    let table = table();
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).expect("written");
    } else {
        assert_eq!(written, table, "run with UPDATE_GOLDENFILES=1 and review cluster/rollouts.md");
    }
}

#[test]
fn nothing_is_promoted_that_is_not_loaded() {
    for state in
        [RolloutState::Preparing, RolloutState::Shadow, RolloutState::Canary, RolloutState::Paused]
    {
        let said = outcome(state, RolloutMove::Promote, false);
        assert!(said.contains("cannot be promoted"), "{state}: {said}");
        let said = outcome(state, RolloutMove::RollBack, false);
        assert!(said == "ABORTED" || said == "ROLLED_BACK", "{state}: {said}");
    }
}
