//! The shard role: its replicas, its searches, and what audits found.

use super::of_control::REPLICA_STATES;
use crate::metrics::list::{
    AUDITED, AUDITED_RECALL, AUDITED_WORST, OPERATION_TIME, QUEUED, READ_FAULTS, REPLICA_MAPPED,
    REPLICAS, SEARCH_ROWS, SEARCHES,
};
use crate::metrics::samples::Samples;
use marquee_core::command::ReplicaReport;
use marquee_shard::{LoadedReplica, ShardApi};
use std::sync::Arc;
use tokio::sync::watch;

/// The kinds of audited searches, by the most results that they want.
const AUDITED_KINDS: [&str; 3] = ["10", "100", "more"];

/// The shard role of a node.
pub(crate) struct ShardSource {
    pub(crate) service: Arc<ShardApi>,
    pub(crate) replicas: watch::Receiver<Vec<ReplicaReport>>,
}

impl ShardSource {
    pub(super) fn gather(&self, samples: &mut Samples) {
        let spent = self.service.spent();
        for (operation, time) in [("lookup", &spent.lookup), ("search", &spent.search)] {
            samples.counter_sum(&OPERATION_TIME, &[operation], time.total().as_secs_f64());
        }
        samples.count(&QUEUED, &[], self.service.queued());
        let reports = self.replicas.borrow().clone();
        for (state, name) in REPLICA_STATES {
            let of_state = reports.iter().filter(|report| report.replica.state == state);
            samples.count(&REPLICAS, &[name], of_state.count());
        }
        for LoadedReplica { key, bytes_mapped, searches, rows_read } in
            self.service.loaded_replicas()
        {
            let (version, shard) = (key.version.version.to_string(), key.shard.to_string());
            let names = [key.version.model.as_str(), version.as_str(), shard.as_str()];
            samples.gauge(&REPLICA_MAPPED, &names, bytes_mapped as f64);
            samples.counter(&SEARCH_ROWS, &names, rows_read);
            let [model, version, shard] = names;
            for (strategy, count) in searches {
                samples.counter(&SEARCHES, &[model, version, shard, strategy.name()], count);
            }
        }
        for (kind, found) in AUDITED_KINDS.into_iter().zip(spent.recall.audited()) {
            samples.counter(&AUDITED, &[kind], found.searches);
            // Before the first there is none.
            if let Some(mean) = found.mean() {
                samples.gauge(&AUDITED_RECALL, &[kind], mean);
                samples.gauge(&AUDITED_WORST, &[kind], found.worst);
            }
        }
        samples.counter(&READ_FAULTS, &[], marquee_bundle::faults());
    }
}
