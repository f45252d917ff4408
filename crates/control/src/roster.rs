//! Which nodes have reported lately: soft state that only the leader keeps, so that a report that says
//! nothing new needs no log entry.
//!
//! Pure: time is an argument, in milliseconds of any clock that does not jump. A new leader has no
//! reports yet, so it gives every node the full time before it counts one as unreported.

use marquee_core::command::{Action, Command, Refusal, State};
use marquee_core::plan::Plan;
use marquee_core::planted::{PlantedBug, is_planted};
use std::collections::HashMap;

/// Without a report for this long a node is not alive. Nodes report every second: two may be lost.
pub const NODE_SILENCE_MS: u64 = 3_000;

/// What a report would do to a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportNews {
    /// The plan stays as it is.
    Unchanged,
    /// The plan changes.
    Changed,
    /// The report is refused.
    Refused(Refusal),
}

/// Which nodes have reported, and when, while this node leads.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The term that this node leads in, while it does.
    leading: Option<u64>,
    reported_at_ms: HashMap<String, u64>,
    /// Reports that had no news for a plan: its epoch and the report.
    known: HashMap<String, (u64, Action)>,
}

impl Roster {
    /// This node leads in `term`.
    pub(crate) fn lead(&mut self, term: u64) {
        if is_planted(PlantedBug::ReportsOutliveTerm) {
            self.leading = Some(term);
        }
        if self.leading != Some(term) {
            *self = Self { leading: Some(term), ..Self::default() };
        }
    }

    /// This node does not lead.
    pub(crate) fn retire(&mut self) {
        if self.leading.is_some() && !is_planted(PlantedBug::ReportsOutliveTerm) {
            *self = Self::default();
        }
    }

    /// A node has reported: whether that would change the plan.
    pub(crate) fn add_report(&mut self, plan: &Plan, report: &Command, now_ms: u64) -> ReportNews {
        let Action::ReportNode { node_id, .. } = &report.action else { return ReportNews::Changed };
        if plan.nodes.contains_key(node_id) {
            self.reported_at_ms.insert(node_id.clone(), now_ms);
        }
        let known = self.known.get(node_id);
        if known.is_some_and(|(epoch, known)| *epoch == plan.epoch && *known == report.action) {
            return ReportNews::Unchanged;
        }
        let news = news_of(plan, report);
        if news == ReportNews::Unchanged {
            self.known.insert(node_id.clone(), (plan.epoch, report.action.clone()));
        }
        news
    }

    /// The nodes that the plan takes for alive and that have not reported for too long.
    pub(crate) fn unreported_nodes(&mut self, plan: &Plan, now_ms: u64) -> Vec<String> {
        if self.leading.is_none() {
            return Vec::new();
        }
        self.reported_at_ms.retain(|node_id, _| plan.nodes.contains_key(node_id));
        self.known.retain(|node_id, _| plan.nodes.contains_key(node_id));
        let mut unreported = Vec::new();
        for (node_id, _) in plan.nodes.iter().filter(|(_, node)| node.alive) {
            // Time begins to count when the leader first misses a node.
            let reported = *self.reported_at_ms.entry(node_id.clone()).or_insert(now_ms);
            if now_ms.saturating_sub(reported) >= NODE_SILENCE_MS {
                unreported.push(node_id.clone());
            }
        }
        unreported
    }
}

/// What a report would change. It is tried on a copy of the plan: only the state machine knows.
fn news_of(plan: &Plan, report: &Command) -> ReportNews {
    let mut state = State::of_plan(plan.clone());
    let unremembered = Command { request_id: String::new(), ..report.clone() };
    match state.apply(u64::MAX, &unremembered) {
        Err(refusal) => ReportNews::Refused(refusal),
        Ok(_) if state.plan.epoch == plan.epoch => ReportNews::Unchanged,
        Ok(_) => ReportNews::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::audit::Actor;
    use marquee_core::command::RefusalKind;
    use marquee_core::plan::{Node, Role};

    fn report(node_id: &str, address: &str) -> Command {
        let node = Node {
            address: address.into(),
            roles: [Role::Shard].into(),
            draining: false,
            memory_budget_bytes: 0,
            alive: true,
        };
        let action = Action::ReportNode { node_id: node_id.into(), node, replicas: Vec::new() };
        Command { request_id: String::new(), now_ms: 0, actor: Actor::default(), action }
    }

    fn state(nodes: &[&str]) -> State {
        let mut state = State::new(1);
        for (index, node_id) in (1..).zip(nodes) {
            state.apply(index, &report(node_id, "http://a")).expect("fine");
        }
        state
    }

    #[test]
    fn only_what_changes_the_plan_is_news() {
        let mut roster = Roster::default();
        roster.lead(1);
        let State { plan, .. } = state(&["one"]);
        assert_eq!(roster.add_report(&plan, &report("one", "http://a"), 0), ReportNews::Unchanged);
        assert_eq!(roster.add_report(&plan, &report("one", "http://a"), 0), ReportNews::Unchanged);
        assert_eq!(roster.add_report(&plan, &report("one", "http://b"), 0), ReportNews::Changed);
        assert_eq!(roster.add_report(&plan, &report("two", "http://a"), 0), ReportNews::Changed);
        let refused = roster.add_report(&plan, &report("no name", "http://a"), 0);
        assert!(
            matches!(refused, ReportNews::Refused(Refusal { kind: RefusalKind::Invalid, .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_node_that_comes_back_is_news() {
        let mut roster = Roster::default();
        let mut state = state(&["one"]);
        roster.lead(1);
        assert_eq!(
            roster.add_report(&state.plan, &report("one", "http://a"), 0),
            ReportNews::Unchanged
        );
        let action = Action::SetNodeAlive { node_id: "one".into(), alive: false };
        let gone =
            Command { request_id: String::new(), now_ms: 0, actor: Actor::default(), action };
        state.apply(9, &gone).expect("fine");
        assert_eq!(
            roster.add_report(&state.plan, &report("one", "http://a"), 0),
            ReportNews::Changed
        );
    }

    #[test]
    fn silence_is_counted_from_the_last_report_or_from_when_it_is_first_missed() {
        let mut roster = Roster::default();
        let State { plan, .. } = state(&["one", "two"]);
        assert!(roster.unreported_nodes(&plan, 99_000).is_empty(), "it does not lead");
        roster.lead(1);
        assert!(roster.unreported_nodes(&plan, 1_000).is_empty());
        roster.add_report(&plan, &report("one", "http://a"), 2_000);
        assert_eq!(roster.unreported_nodes(&plan, 1_000 + NODE_SILENCE_MS), ["two"]);
        assert_eq!(roster.unreported_nodes(&plan, 2_000 + NODE_SILENCE_MS), ["one", "two"]);
        roster.retire();
        roster.lead(2);
        assert!(
            roster.unreported_nodes(&plan, 9_500).is_empty(),
            "a new leader gives every node time"
        );
        assert_eq!(roster.unreported_nodes(&plan, 9_500 + NODE_SILENCE_MS), ["one", "two"]);
    }
}
