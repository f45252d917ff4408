//! The router role: its calls of shard nodes, its cache of rows, and its logs.

use crate::metrics::list::{
    EVENT_LOG_FAILED, EVENT_LOG_LOST, EVENTS, EXPOSURES, FANOUT_AVOIDED, FANOUT_CALLS,
    FANOUT_FAILURES, FANOUT_UNANSWERED, IS_LIMITING, MERGE_TIME, QUEUE_DELAY, ROW_CACHE_BYTES,
    ROW_CACHE_EVICTIONS, ROW_CACHE_LOOKUPS, STAGE_DURATION,
};
use crate::metrics::samples::Samples;
use marquee_events::{Counts, LogState};
use marquee_router::{Feedback, NodeStates, Pressure, RouterService, RowCounts};

/// The router role of a node.
pub(crate) struct RouterSource {
    pub(crate) service: RouterService,
    pub(crate) nodes: NodeStates,
    pub(crate) pressure: Pressure,
}

impl RouterSource {
    pub(super) fn gather(&self, samples: &mut Samples) {
        let calls = self.service.fan_out_counts();
        for (cause, count) in calls.calls_by_cause() {
            samples.counter(&FANOUT_CALLS, &[cause], count);
        }
        for (failure, count) in calls.failures_by_kind() {
            samples.counter(&FANOUT_FAILURES, &[failure], count);
        }
        samples.counter(&FANOUT_UNANSWERED, &[], calls.unanswered_shards());
        let (slow, unreachable): (Vec<_>, Vec<_>) =
            self.nodes.avoided().into_iter().partition(|node| node.is_left_out);
        for (reason, nodes) in [("slow", slow), ("unreachable", unreachable)] {
            samples.count(&FANOUT_AVOIDED, &[reason], nodes.len());
        }
        for (stage, durations) in self.service.stage_times().by_stage() {
            samples.durations(&STAGE_DURATION, &[stage], durations);
        }
        samples.counter_sum(&MERGE_TIME, &[], self.service.merging().total().as_secs_f64());
        samples.gauge(&QUEUE_DELAY, &[], self.pressure.own_delay().as_secs_f64());
        samples.count(&IS_LIMITING, &[], usize::from(self.pressure.is_limiting()));
        let RowCounts { hits, misses, evictions, bytes } = self.service.row_counts();
        for (outcome, count) in [("hit", hits), ("miss", misses)] {
            samples.counter(&ROW_CACHE_LOOKUPS, &[outcome], count);
        }
        samples.counter(&ROW_CACHE_EVICTIONS, &[], evictions);
        samples.gauge(&ROW_CACHE_BYTES, &[], bytes as f64);
        of_logs(self.service.feedback(), samples);
    }
}

fn of_logs(feedback: &Feedback, samples: &mut Samples) {
    let Feedback { events, exposures, failure: _ } = feedback;
    let mut states = Vec::new();
    if let Some(events) = events {
        let Counts { accepted, duplicates, pushed_back, not_taken } = events.counts();
        let taken =
            [("accepted", accepted), ("duplicate", duplicates), ("pushed_back", pushed_back)];
        for (outcome, count) in taken {
            samples.counter(&EVENTS, &[outcome], count);
        }
        for (reason, count) in not_taken {
            samples.counter(&EVENTS, &[reason.name()], count);
        }
        let [of_events, of_quarantine] = events.states();
        states.extend([("events", of_events), ("quarantine", of_quarantine)]);
    }
    if let Some(exposures) = exposures {
        let (written, dropped) = exposures.counts();
        for (outcome, count) in [("written", written), ("dropped", dropped)] {
            samples.counter(&EXPOSURES, &[outcome], count);
        }
        states.push(("exposures", exposures.state()));
    }
    for (log, LogState { failure, lost }) in states {
        samples.count(&EVENT_LOG_FAILED, &[log], usize::from(failure.is_some()));
        samples.counter(&EVENT_LOG_LOST, &[log], lost);
    }
}
