//! The parts of a node, each asked for its numbers when there is a scrape. None of them waits for another node.

mod of_calls;
mod of_control;
mod of_node;
mod of_rollouts;
mod of_router;
mod of_shard;

use super::samples::Samples;
pub(crate) use of_calls::CallSource;
pub(crate) use of_control::ControlSource;
pub(crate) use of_node::{CertificateSource, NodeSource, PlanSource};
pub(crate) use of_router::RouterSource;
pub(crate) use of_shard::ShardSource;

/// All parts of a node that have numbers.
pub(crate) struct MetricSources {
    pub(crate) calls: CallSource,
    pub(crate) node: NodeSource,
    pub(crate) control: Option<ControlSource>,
    pub(crate) router: Option<RouterSource>,
    pub(crate) shard: Option<ShardSource>,
}

impl MetricSources {
    /// The values of all metrics now.
    pub(super) fn gather(&self) -> Samples {
        let mut samples = Samples::default();
        self.node.gather(&mut samples);
        self.calls.gather(&mut samples);
        if let Some(control) = &self.control {
            control.gather(&mut samples);
        }
        if let Some(router) = &self.router {
            router.gather(&mut samples);
        }
        if let Some(shard) = &self.shard {
            shard.gather(&mut samples);
        }
        samples
    }
}
