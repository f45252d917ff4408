//! Calls and connections.

use crate::metrics::calls::CallCounts;
use crate::metrics::list::{
    CONNECTIONS, CONNECTIONS_CLOSED, REFUSED_CALLS, RPC_DURATION, RPC_UNDER_WAY,
};
use crate::metrics::samples::Samples;
use crate::warnings::Warnings;
use marquee_net::connections::{ConnectionCounts, Connections};
use std::sync::{Arc, Mutex, PoisonError};

/// What is called, refused and connected. Clones share it.
#[derive(Clone)]
pub(crate) struct CallSource {
    pub(crate) calls: CallCounts,
    warnings: Warnings,
    /// The connections of each address.
    connections: Arc<Mutex<Vec<Connections>>>,
}

impl CallSource {
    /// Without any address.
    pub(crate) fn new(warnings: Warnings) -> Self {
        Self { calls: CallCounts::default(), warnings, connections: Arc::default() }
    }

    /// Adds the connections of one more address.
    pub(crate) fn add_connections(&self, connections: Connections) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connections);
    }

    pub(super) fn gather(&self, samples: &mut Samples) {
        for (method, code, durations) in self.calls.ended() {
            samples.durations(&RPC_DURATION, &[method, code], durations);
        }
        samples.gauge(&RPC_UNDER_WAY, &[], self.calls.under_way() as f64);
        for (reason, count) in self.warnings.counted() {
            samples.counter(&REFUSED_CALLS, &[reason], count);
        }
        let mut all = ConnectionCounts::default();
        for connections in &*self.connections.lock().unwrap_or_else(PoisonError::into_inner) {
            let ConnectionCounts { open, refused, evicted, idle } = connections.counts();
            all.open += open;
            all.refused += refused;
            all.evicted += evicted;
            all.idle += idle;
        }
        let ConnectionCounts { open, refused, evicted, idle } = all;
        samples.count(&CONNECTIONS, &[], open);
        for (reason, count) in [("refused", refused), ("evicted", evicted), ("idle", idle)] {
            samples.counter(&CONNECTIONS_CLOSED, &[reason], count);
        }
    }
}
