//! What is to be done so that a surface has the rollout that a file says. Pure.

use marquee_core::plan::Plan;
use marquee_core::rollout::external::ExternalGate;
use marquee_core::rollout::gate::{Gate, OnBreach};
use marquee_core::rollout::{Pace, Rollout, RolloutState, RolloutStep, Terms};

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) surface: String,
    pub(super) candidate: String,
    pub(super) steps: Vec<RolloutStep>,
    pub(super) terms: Terms,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    /// Start it; this is what will be there.
    Start(Vec<String>),
    /// Nothing, and why.
    Nothing(String),
    /// It cannot be done, and why; the lines are what differs, if anything does.
    Refuse(String, Vec<String>),
}

/// What is to be done, given the plan. `again`: whether to start what was rolled back before.
pub(super) fn decide(plan: &Plan, wanted: &Wanted, again: bool) -> Decision {
    let surface = plan.surfaces.get(&wanted.surface);
    let running = surface.and_then(|it| plan.rollout(it.rollout_id.as_deref()?));
    if let Some(running) = running {
        let (id, state) = (&running.id, running.state);
        if running.candidate != wanted.candidate {
            let says = format!(
                "{id} runs there ({state}) with another candidate, {}: end it first",
                running.candidate
            );
            return Decision::Refuse(says, Vec::new());
        }
        let lines = changes(running, wanted);
        return if lines.is_empty() {
            Decision::Nothing(format!("{id} is what the file says, and is {state}"))
        } else {
            let says = format!(
                "{id} runs there ({state}) and is another one: a rollout does not change; roll it back first"
            );
            Decision::Refuse(says, lines)
        };
    }
    let live = surface.and_then(|it| it.ensemble.as_deref());
    if live == Some(wanted.candidate.as_str()) {
        return Decision::Nothing(format!("{} is live on {}", wanted.candidate, wanted.surface));
    }
    let of_surface = plan.rollouts.iter().rev().find(|it| it.surface == wanted.surface);
    if let Some(last) = of_surface.filter(|last| is_same(last, wanted) && !again) {
        let why = last.history.last().map_or("", |event| event.reason.as_str());
        let says = format!(
            "{} was the same and is {}: {why}; --again starts it once more",
            last.id, last.state
        );
        if last.state != RolloutState::Promoted {
            return Decision::Refuse(says, Vec::new());
        }
    }
    let mut lines = vec![format!("surface {}: live {}", wanted.surface, live.unwrap_or("nothing"))];
    let described = describe(&wanted.steps, &wanted.terms, true);
    lines.push(format!("+ rollout of {}", wanted.candidate));
    lines.extend(described.into_iter().map(|line| format!("+   {line}")));
    Decision::Start(lines)
}

/// Whether a rollout that is over is the one that a file says: its lists of users are forgotten.
fn is_same(over: &Rollout, wanted: &Wanted) -> bool {
    let mut terms = wanted.terms.clone();
    terms.listed = over.terms.listed.clone();
    over.candidate == wanted.candidate && over.steps == wanted.steps && over.terms == terms
}

/// What differs, as lines with - and +.
fn changes(running: &Rollout, wanted: &Wanted) -> Vec<String> {
    let is_first = running.baseline.is_none();
    let has_listed = !is_first;
    let there = describe(&running.steps, &running.terms, has_listed);
    let asked = describe(&wanted.steps, &wanted.terms, has_listed);
    let mut lines: Vec<String> =
        there.iter().filter(|line| !asked.contains(line)).map(|line| format!("- {line}")).collect();
    lines.extend(asked.iter().filter(|line| !there.contains(line)).map(|line| format!("+ {line}")));
    if lines.is_empty() && (running.steps != wanted.steps || running.terms != wanted.terms) {
        // Lists of users are hashes, and equal numbers of them may be others.
        lines.push("~ users who always or never get the candidate".into());
    }
    lines
}

/// A rollout in lines, one for each thing that can be said.
fn describe(steps: &[RolloutStep], terms: &Terms, has_listed: bool) -> Vec<String> {
    let Terms { gates, external_gates, shadow, interleave, pace, safety, listed } = terms;
    let mut lines = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        lines.push(format!("step {n}: {}", step_in_words(step)));
    }
    lines.extend(gates.iter().map(gate_in_words));
    lines.extend(external_gates.iter().map(external_in_words));
    lines.push(format!(
        "mirrored: {} before and while the candidate has traffic, {} s in shadow, {} requests",
        percent(shadow.mirror_basis_points),
        shadow.hold_seconds,
        shadow.min_samples
    ));
    if let Some(stage) = interleave {
        lines.push(format!(
            "interleaved: {} for {} s and {} answers, {:?}",
            percent(stage.share_basis_points),
            stage.hold_seconds,
            stage.min_samples,
            stage.how
        ));
    }
    if *pace == Pace::Evidence {
        lines.push("steps end as fast as the evidence allows".into());
    }
    lines.push(format!("prepared within {} s", safety.prepare_seconds));
    if safety.allows_no_traffic {
        lines.push("steps end without traffic".into());
    }
    if safety.watch_seconds > 0 {
        lines.push(format!("watched for {} s", safety.watch_seconds));
    }
    if let Some(holdout) = safety.holdout {
        let share = percent(holdout.share_basis_points);
        lines.push(format!("held out: {share} for {} s", holdout.hold_seconds));
    }
    let (always, never) = (listed.always().len(), listed.never().len());
    if has_listed && always + never > 0 {
        lines.push(format!("users: {always} always get the candidate, {never} never do"));
    }
    lines
}

fn percent(basis_points: u32) -> String {
    format!("{} %", f64::from(basis_points) / 100.0)
}

fn step_in_words(step: &RolloutStep) -> String {
    let RolloutStep { weight_basis_points, hold_seconds, min_samples, requires_approval } = step;
    let approval = if *requires_approval { ", once approved" } else { "" };
    format!(
        "{} for {hold_seconds} s and {min_samples} requests{approval}",
        percent(*weight_basis_points)
    )
}

fn gate_in_words(gate: &Gate) -> String {
    let Gate {
        metric,
        bound,
        min_samples,
        on_breach,
        on_no_data,
        consecutive_breaches,
        false_alarm,
        maturity_seconds,
    } = gate;
    let alpha = false_alarm.map_or_else(String::new, |alpha| format!(", alpha {alpha}"));
    let mature = maturity_seconds.map_or_else(String::new, |it| format!(", mature after {it} s"));
    format!(
        "gate {metric} {bound}: {}, {on_no_data:?} without {min_samples} samples, {consecutive_breaches} in a row{alpha}{mature}",
        on_breach_in_words(*on_breach)
    )
}

fn external_in_words(gate: &ExternalGate) -> String {
    let ExternalGate {
        name,
        question,
        interval_seconds,
        timeout_ms,
        max_answer_bytes,
        consecutive_failures,
        on_breach,
        with_traffic_only,
    } = gate;
    let only = if *with_traffic_only { ", with traffic only" } else { "" };
    format!(
        "external gate {name} asks {} {question}: every {interval_seconds} s within {timeout_ms} ms, {max_answer_bytes} bytes, \
         {consecutive_failures} in a row, {}{only}",
        question.url(),
        on_breach_in_words(*on_breach)
    )
}

fn on_breach_in_words(on_breach: OnBreach) -> &'static str {
    match on_breach {
        OnBreach::RollBack => "rolls back",
        OnBreach::Pause => "pauses",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::Surface;
    use marquee_core::rollout::gate::default_gates;
    use marquee_core::rollout::{ListedUsers, RolloutMove};

    fn wanted() -> Wanted {
        Wanted {
            surface: "home".into(),
            candidate: "films@2".into(),
            steps: vec![RolloutStep::new(100, 60)],
            terms: Terms { gates: default_gates(), ..Terms::unguarded() },
        }
    }

    fn plan(rollout: Option<Rollout>) -> Plan {
        let running = rollout.as_ref().filter(|it| !it.state.is_over()).map(|it| it.id.clone());
        let surface =
            Surface { ensemble: Some("films@1".into()), rollout_id: running, ..Surface::default() };
        Plan {
            surfaces: [("home".into(), surface)].into(),
            rollouts: rollout.into_iter().collect(),
            ..Plan::default()
        }
    }

    fn rollout(wanted: &Wanted) -> Rollout {
        let Wanted { surface, candidate, steps, terms } = wanted.clone();
        let baseline = Some("films@1".into());
        Rollout::start("home-2".into(), surface, baseline, candidate, steps, terms, 0)
    }

    #[test]
    fn the_same_file_twice_changes_nothing() {
        let wanted = wanted();
        let Decision::Start(lines) = decide(&plan(None), &wanted, false) else {
            panic!("it starts")
        };
        assert_eq!(
            lines[..3],
            [
                "surface home: live films@1",
                "+ rollout of films@2",
                "+   step 0: 1 % for 60 s and 0 requests"
            ]
        );
        assert!(lines.iter().any(|line| line.contains("gate error_rate at most 1.2 × baseline")));
        let again = decide(&plan(Some(rollout(&wanted))), &wanted, false);
        assert_eq!(
            again,
            Decision::Nothing("home-2 is what the file says, and is PREPARING".into())
        );
        let mut promoted = plan(None);
        promoted.surfaces.get_mut("home").expect("there").ensemble = Some("films@2".into());
        let live = decide(&promoted, &wanted, false);
        assert_eq!(live, Decision::Nothing("films@2 is live on home".into()));
        let nowhere = decide(&Plan::default(), &wanted, false);
        assert!(matches!(nowhere, Decision::Start(_)), "a surface is made by its first rollout");
    }

    #[test]
    fn what_differs_is_shown_and_not_changed() {
        let running = plan(Some(rollout(&wanted())));
        let mut other = wanted();
        other.steps = vec![RolloutStep::new(200, 60)];
        other.terms.gates.remove(0);
        let Decision::Refuse(_, lines) = decide(&running, &other, false) else {
            panic!("it differs")
        };
        assert_eq!(lines[0], "- step 0: 1 % for 60 s and 0 requests");
        assert!(lines[1].starts_with("- gate error_rate"), "{lines:?}");
        assert_eq!(lines[2], "+ step 0: 2 % for 60 s and 0 requests");
        let mut candidate = wanted();
        candidate.candidate = "films@3".into();
        let refused = decide(&running, &candidate, false);
        assert!(
            matches!(refused, Decision::Refuse(says, _) if says.contains("another candidate, films@2"))
        );
        let mut users = wanted();
        users.terms.listed = ListedUsers::of_hashes(vec![1], vec![]).expect("in bounds");
        let there = plan(Some(rollout(&users)));
        users.terms.listed = ListedUsers::of_hashes(vec![2], vec![]).expect("in bounds");
        let Decision::Refuse(_, lines) = decide(&there, &users, false) else {
            panic!("it differs")
        };
        assert_eq!(lines, ["~ users who always or never get the candidate"]);
    }

    #[test]
    fn what_was_rolled_back_does_not_start_again_by_itself() {
        let mut over = rollout(&wanted());
        over.apply_move(RolloutMove::RollBack, "too slow", None, 5).expect("it runs");
        let refused = decide(&plan(Some(over.clone())), &wanted(), false);
        assert!(
            matches!(&refused, Decision::Refuse(says, _) if says.contains("too slow") && says.contains("--again")),
            "{refused:?}"
        );
        assert!(matches!(decide(&plan(Some(over.clone())), &wanted(), true), Decision::Start(_)));
        let mut other = wanted();
        other.steps = vec![RolloutStep::new(200, 60)];
        assert!(matches!(decide(&plan(Some(over)), &other, false), Decision::Start(_)));
    }
}
