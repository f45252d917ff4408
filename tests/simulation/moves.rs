//! Every move that an operator can ask for, in every state: what it does, or why not. The table in `cluster/rollouts.md` is
//! made of this; `UPDATE_GOLDENFILES=1` writes it anew.

use super::Cluster;
use marquee_core::command::{Action, Refusal, RefusalKind, Reply};
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::{
    Holdout, InterleaveStage, Rollout, RolloutMove, RolloutState, RolloutStep, Safety, Shadow,
    Terms,
};
use std::fmt::Write as _;
use std::path::Path;

/// Where the table is, between these lines.
const DOCUMENT: &str = "../../cluster/rollouts.md";
const BEGIN: &str = "<!-- the table is made by tests/simulation/moves.rs -->\n";
const END: &str = "<!-- end of the table -->";

/// A rollout in this state, whose candidate is loaded or not. It has a holdout and a watch, so that it goes through
/// all states.
fn in_state(state: RolloutState, loaded: bool) -> (Cluster, String) {
    let mut cluster = Cluster::new(2);
    let shadow = Shadow { mirror_basis_points: 100, hold_seconds: 60, min_samples: 0 };
    let holdout = Some(Holdout { share_basis_points: 500, hold_seconds: 60 });
    let safety = Safety { watch_seconds: 120, holdout, ..Safety::default() };
    let interleave = InterleaveStage {
        share_basis_points: 500,
        hold_seconds: 60,
        min_samples: 0,
        how: Interleaving::TeamDraft,
    };
    let terms = Terms { shadow, interleave: Some(interleave), safety, ..Terms::unguarded() };
    cluster.start("films@2", vec![RolloutStep::new(100, 60)], terms);
    let id = cluster.state.plan.rollouts.last().expect("there").id.clone();
    let operator_asks = |requested| {
        let (rollout_id, reason) = (id.clone(), String::new());
        Action::MoveRollout { rollout_id, requested, reason }
    };
    if state != RolloutState::Preparing || loaded {
        cluster.report();
    }
    match state {
        RolloutState::Preparing => {}
        RolloutState::Shadow => cluster.tick(),
        RolloutState::Interleave => {
            cluster.tick();
            cluster.now_ms += 60_000;
            cluster.tick();
        }
        RolloutState::Canary | RolloutState::Paused | RolloutState::RolledBack => {
            cluster.tick();
            cluster.now_ms += 60_000;
            cluster.tick();
            cluster.now_ms += 60_000;
            cluster.tick();
        }
        RolloutState::Holdout | RolloutState::Watching | RolloutState::Promoted => {
            cluster.apply(operator_asks(RolloutMove::Promote));
        }
        RolloutState::Aborted => cluster.apply(operator_asks(RolloutMove::RollBack)),
    }
    match state {
        RolloutState::Paused => cluster.apply(operator_asks(RolloutMove::Pause)),
        RolloutState::RolledBack => cluster.apply(operator_asks(RolloutMove::RollBack)),
        RolloutState::Watching => cluster.apply(operator_asks(RolloutMove::EndHoldout)),
        RolloutState::Promoted => {
            cluster.apply(operator_asks(RolloutMove::EndHoldout));
            cluster.apply(operator_asks(RolloutMove::EndWatch));
        }
        RolloutState::Preparing
        | RolloutState::Shadow
        | RolloutState::Interleave
        | RolloutState::Canary
        | RolloutState::Holdout
        | RolloutState::Aborted => {}
    }
    if !loaded {
        cluster.apply(Action::SetNodeAlive { node_id: "n".into(), alive: false });
    }
    assert_eq!(cluster.state.plan.rollout(&id).expect("there").state, state);
    (cluster, id)
}

/// What the move comes to: the state after it, or the refusal.
fn outcome(state: RolloutState, requested: RolloutMove, loaded: bool) -> String {
    let (mut cluster, rollout_id) = in_state(state, loaded);
    let before: Rollout = cluster.state.plan.rollout(&rollout_id).expect("there").clone();
    let reason = String::new();
    match cluster.try_apply(Action::MoveRollout {
        rollout_id: rollout_id.clone(),
        requested,
        reason,
    }) {
        Ok(Reply::Rollout(rollout)) => {
            assert_ne!(*rollout, before, "{state} {requested}: accepted, and nothing happened");
            rollout.state.to_string()
        }
        Err(Refusal { kind: RefusalKind::FailedPrecondition, message: why }) => {
            let after = cluster.state.plan.rollout(&rollout_id).expect("there");
            assert_eq!(*after, before, "{state} {requested}: refused, and something happened");
            assert!(why.contains(&rollout_id) && why.len() > 20, "no reason: {why}");
            format!("refused: {}", why.replace(&rollout_id, "…"))
        }
        other => panic!("{state} {requested}: {other:?}"),
    }
}

fn table() -> String {
    let mut text = String::from("| state |");
    for requested in RolloutMove::ALL {
        write!(text, " {requested} |").expect("memory");
    }
    text += "\n|---|";
    text += &"---|".repeat(RolloutMove::ALL.len());
    text += "\n";
    for state in RolloutState::ALL {
        write!(text, "| {state} |").expect("memory");
        for requested in RolloutMove::ALL {
            write!(text, " {} |", outcome(state, requested, true)).expect("memory");
        }
        text += "\n";
    }
    text
}

#[test]
fn every_move_in_every_state_works_or_says_why_not() {
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
    for state in [
        RolloutState::Preparing,
        RolloutState::Shadow,
        RolloutState::Interleave,
        RolloutState::Canary,
        RolloutState::Paused,
    ] {
        let said = outcome(state, RolloutMove::Promote, false);
        assert!(said.contains("cannot be promoted"), "{state}: {said}");
        let said = outcome(state, RolloutMove::RollBack, false);
        assert!(said == "ABORTED" || said == "ROLLED_BACK", "{state}: {said}");
    }
}
