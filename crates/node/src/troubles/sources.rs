//! The parts of a node, each asked what is wrong with it.

use super::disk_probe::DiskProbe;
use super::file_watch::FileWatch;
use super::patience::Patience;
use crate::access::CredentialCheck;
use crate::follow::PlanCache;
use crate::warnings::Warnings;
use marquee_control::ControlApi;
use marquee_core::plan::Plan;
use marquee_core::trouble::{LogName, NodeReport, Trouble};
use marquee_events::LogState;
use marquee_router::{Feedback, NodeStates, RouterService};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a plan may be behind, and how long control may be silent, before that is a trouble: longer than an election.
const FOLLOWING_PATIENCE: Duration = Duration::from_secs(3);
/// Calls are counted as refused for so many seconds.
const REFUSING_SECONDS: usize = 10;
/// So many refused calls in that time are a trouble: a few are refused in the first moments of any peak.
const REFUSED_CALLS: u64 = 10;

/// A log that could not be opened: the node runs without it.
#[derive(Clone, Debug)]
pub(crate) struct UnopenedLog {
    /// The log that it is about.
    pub(crate) log: LogName,
    /// The reason, as the system or the part says it.
    pub(crate) reason: String,
}

/// The parts of a node, as far as it has them.
pub(crate) struct TroubleSources {
    pub(crate) node_id: String,
    pub(crate) plan: watch::Receiver<Arc<Plan>>,
    pub(crate) probe: Option<DiskProbe>,
    pub(crate) control: Option<ControlParts>,
    pub(crate) router: Option<(RouterService, NodeStates)>,
    pub(crate) unopened: Vec<UnopenedLog>,
    pub(crate) credentials: Arc<CredentialCheck>,
    pub(crate) warnings: Warnings,
    /// What a node without the control role follows.
    pub(crate) following: Option<Following>,
    pub(crate) memory: TroubleMemory,
}

/// The control role of a node.
pub(crate) struct ControlParts {
    api: ControlApi,
    store: FileWatch,
}

impl ControlParts {
    /// The control role, whose store is the file at this path.
    pub(crate) fn new(api: ControlApi, store: std::path::PathBuf) -> Self {
        Self { api, store: FileWatch::new(store) }
    }

    /// Shows the report in the status of this control node.
    pub(super) fn show(&self, report: NodeReport) {
        self.api.note_own_report(report);
    }

    fn troubles(&mut self) -> Vec<Trouble> {
        let mut troubles = self.api.troubles();
        if troubles.iter().any(|trouble| matches!(trouble, Trouble::VoterFailed { .. })) {
            self.store.forget();
        } else if let Some(path) = self.store.gone() {
            troubles.push(Trouble::FileGone { path: path.display().to_string() });
        }
        troubles
    }
}

/// What a node without the control role hears of control.
pub(crate) struct Following {
    pub(crate) cache: PlanCache,
    /// The newest epoch that it heard of.
    pub(crate) newest: watch::Receiver<u64>,
    /// Why the last report was not taken.
    pub(crate) report_failure: watch::Receiver<Option<String>>,
}

/// What must be remembered from one second to the next.
#[derive(Debug, Default)]
pub(crate) struct TroubleMemory {
    behind: Patience,
    silent: Patience,
    /// How many calls were refused since the start, second by second.
    refused: VecDeque<u64>,
}

impl TroubleSources {
    /// All that is wrong now but with credentials, which take longer to look at.
    pub(super) fn troubles(&mut self, now: Instant) -> Vec<Trouble> {
        let mut troubles = self.probe.as_ref().map_or_else(Vec::new, |probe| probe.troubles(now));
        troubles.extend(self.control.iter_mut().flat_map(ControlParts::troubles));
        for UnopenedLog { log, reason } in &self.unopened {
            troubles.push(Trouble::LogFailed { log: *log, reason: reason.clone() });
        }
        if let Some((service, nodes)) = &self.router {
            troubles.extend(of_logs(service.feedback()));
            troubles.extend(nodes.avoided().into_iter().map(|node| match node.is_left_out {
                true => Trouble::NodeLeftOut { node_id: node.node_id },
                false => Trouble::NodeAvoided { node_id: node.node_id },
            }));
        }
        troubles.extend(self.of_following(now));
        troubles.extend(self.memory.refusing(self.warnings.refused_by_overload()));
        troubles
    }

    fn of_following(&mut self, now: Instant) -> Vec<Trouble> {
        let Some(Following { cache, newest, report_failure }) = &self.following else {
            return Vec::new();
        };
        let (epoch, newest) = (self.plan.borrow().epoch, *newest.borrow());
        let failure = report_failure.borrow().clone();
        let mut troubles = Vec::new();
        if self.memory.behind.is_over(newest > epoch, FOLLOWING_PATIENCE, now) {
            troubles.push(Trouble::PlanBehind { epoch, newest });
        }
        if self.memory.silent.is_over(failure.is_some(), FOLLOWING_PATIENCE, now) {
            troubles.push(Trouble::ControlSilent { reason: failure.unwrap_or_default() });
        }
        troubles.extend(cache.failure().map(|reason| Trouble::PlanUnwritten { reason }));
        troubles
    }
}

impl TroubleMemory {
    /// Notes how many calls were refused since the start; called once a second.
    fn refusing(&mut self, since_start: u64) -> Option<Trouble> {
        self.refused.push_back(since_start);
        if self.refused.len() > REFUSING_SECONDS + 1 {
            self.refused.pop_front();
        }
        let calls = since_start - self.refused.front().copied().unwrap_or(since_start);
        (calls >= REFUSED_CALLS).then_some(Trouble::Refusing { calls })
    }
}

/// What is wrong with the logs of a router.
fn of_logs(feedback: &Feedback) -> Vec<Trouble> {
    let mut states = Vec::new();
    if let Some(events) = &feedback.events {
        let [of_events, of_quarantine] = events.states();
        states.push((LogName::Events, of_events));
        states.push((LogName::Quarantine, of_quarantine));
    }
    if let Some(exposures) = &feedback.exposures {
        states.push((LogName::Exposures, exposures.state()));
    }
    let mut troubles = Vec::new();
    for (log, LogState { failure, lost }) in states {
        troubles.extend(failure.map(|reason| Trouble::LogFailed { log, reason }));
        if lost > 0 {
            troubles.push(Trouble::LogLost { log, records: lost });
        }
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_calls_count_for_ten_seconds() {
        let mut memory = TroubleMemory::default();
        assert_eq!(memory.refusing(1_000), None, "they were refused before");
        assert_eq!(memory.refusing(1_005), None, "a few");
        assert_eq!(memory.refusing(1_040), Some(Trouble::Refusing { calls: 40 }));
        for _ in 0..8 {
            assert_eq!(memory.refusing(1_040), Some(Trouble::Refusing { calls: 40 }));
        }
        assert_eq!(memory.refusing(1_040), Some(Trouble::Refusing { calls: 35 }));
        assert_eq!(memory.refusing(1_040), None);
    }
}
