//! What a process says of itself: its usage (CPU time and the parts of it, events, cached rows and searches), and what it
//! knows of itself and of the cluster.
//!
//! The system counts CPU time by process and by thread; the roles count the time of their operations. The
//! rest of the I/O and search threads is gRPC, HTTP/2 and the kernel's network; the rest of the process is
//! raft and loading.

use crate::log::{self, FilterError};
use marquee_core::plan::Plan;
use marquee_core::time_spent::TimeSpent;
use marquee_core::trouble::NodeReport;
use marquee_events::Counts;
use marquee_proto::convert::plan::plan_without_secrets;
use marquee_proto::convert::trouble::node_report_to_pb;
use marquee_proto::node::v1::node_service_server::{NodeService, NodeServiceServer};
use marquee_proto::node::v1::{
    AuditedSearches, GetNodeStatusRequest, GetNodeStatusResponse, GetUsageRequest,
    GetUsageResponse, RowCache, SetLogFilterRequest, SetLogFilterResponse,
};
use marquee_proto::status::DetailedStatus;
use marquee_router::{Feedback, RouterService, RowCounts};
use marquee_shard::{RecallCounts, ShardApi, StrategyCounts};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Prefix of the names of I/O threads.
pub const IO_THREADS: &str = "marquee-io";
/// Prefix of the names of search threads.
const SEARCH_THREADS: &str = "shard-search";

/// The service that reports the usage of this process.
pub(super) struct Usage {
    process: String,
    shard: Option<Arc<ShardApi>>,
    router: Option<RouterService>,
    known: KnownHere,
}

/// What a node knows without asking any other.
pub(super) struct KnownHere {
    /// What it says of itself.
    pub(super) report: watch::Receiver<NodeReport>,
    /// The plan that it follows.
    pub(super) plan: watch::Receiver<Arc<Plan>>,
    /// The addresses of control nodes in its config.
    pub(super) control_addresses: Vec<String>,
}

impl Usage {
    /// The usage of this process with these roles, and what it knows.
    pub(super) fn new(
        shard: Option<Arc<ShardApi>>,
        router: Option<RouterService>,
        known: KnownHere,
    ) -> Self {
        Self { process: uuid::Uuid::new_v4().to_string(), shard, router, known }
    }

    /// The gRPC server of this service.
    pub(super) fn server(self: &Arc<Self>) -> NodeServiceServer<Self> {
        NodeServiceServer::from_arc(Arc::clone(self))
    }
}

#[tonic::async_trait]
impl NodeService for Usage {
    async fn get_usage(
        &self,
        request: Request<GetUsageRequest>,
    ) -> Result<Response<GetUsageResponse>, Status> {
        let GetUsageRequest {} = request.into_inner();
        let cpu = cpu_time::ProcessTime::try_now().map_err(|error| {
            Status::unavailable(format!("the system does not report the CPU time: {error}"))
        })?;
        let operations = self.shard.as_ref().map(|shard| shard.spent());
        let threads = threads();
        Ok(Response::new(GetUsageResponse {
            process: self.process.clone(),
            cpu_ns: nanoseconds(cpu.as_duration()),
            io_threads_ns: named(&threads, IO_THREADS),
            search_threads_ns: named(&threads, SEARCH_THREADS),
            lookup_ns: total_ns(operations.map(|spent| &spent.lookup)),
            search_ns: total_ns(operations.map(|spent| &spent.search)),
            merge_ns: total_ns(self.router.as_ref().map(RouterService::merging)),
            events: self.router.as_ref().map(events).unwrap_or_default(),
            row_cache: self.router.as_ref().map(row_cache),
            searches: operations.map(|spent| searches(&spent.strategies)).unwrap_or_default(),
            audited: operations.map(|spent| audited(&spent.recall)).unwrap_or_default(),
        }))
    }

    async fn set_log_filter(
        &self,
        request: Request<SetLogFilterRequest>,
    ) -> Result<Response<SetLogFilterResponse>, Status> {
        let SetLogFilterRequest { filter: wanted } = request.into_inner();
        let (filter, previous) = change_filter(&wanted).map_err(|error| match &error {
            FilterError::Invalid(reason) => {
                DetailedStatus::of_field("filter", reason.clone()).into()
            }
            FilterError::NotOurs => Status::failed_precondition(error.to_string()),
        })?;
        if filter != previous {
            tracing::warn!(filter, previous, "logs by another filter until the process ends");
        }
        Ok(Response::new(SetLogFilterResponse { filter, previous }))
    }

    async fn get_node_status(
        &self,
        request: Request<GetNodeStatusRequest>,
    ) -> Result<Response<GetNodeStatusResponse>, Status> {
        let GetNodeStatusRequest {} = request.into_inner();
        let KnownHere { report, plan, control_addresses } = &self.known;
        let report = node_report_to_pb(&report.borrow(), 0);
        let plan = plan_without_secrets(&plan.borrow());
        Ok(Response::new(GetNodeStatusResponse {
            report: Some(report),
            plan: Some(plan),
            control_addresses: control_addresses.clone(),
        }))
    }
}

/// Changes the filter of the log if there is a new one: the filter now, and the one before.
fn change_filter(wanted: &str) -> Result<(String, String), FilterError> {
    if wanted.is_empty() {
        let filter = log::filter()?;
        return Ok((filter.clone(), filter));
    }
    Ok((wanted.to_owned(), log::set_filter(wanted)?))
}

/// Counts of events by what became of them, without zeros.
fn events(router: &RouterService) -> HashMap<String, u64> {
    let Feedback { events, exposures, failure: _ } = router.feedback();
    let mut words: HashMap<String, u64> = HashMap::new();
    if let Some(events) = events {
        let Counts { accepted, duplicates, pushed_back, not_taken } = events.counts();
        words.extend([
            ("accepted".to_owned(), accepted),
            ("duplicate".to_owned(), duplicates),
            ("pushed_back".to_owned(), pushed_back),
        ]);
        words.extend(not_taken.into_iter().map(|(reason, n)| (reason.name().to_owned(), n)));
    }
    if let Some(exposures) = exposures {
        let (written, dropped) = exposures.counts();
        words.insert("exposures".to_owned(), written);
        words.insert("exposures_dropped".to_owned(), dropped);
    }
    words.retain(|_, count| *count > 0);
    words
}

fn row_cache(router: &RouterService) -> RowCache {
    let RowCounts { hits, misses, evictions, bytes } = router.row_counts();
    RowCache { hits, misses, evictions, bytes }
}

fn searches(counts: &StrategyCounts) -> HashMap<String, u64> {
    counts.used().map(|(strategy, count)| (strategy.name().to_owned(), count)).collect()
}

/// The recall of audited searches, by the results wanted, of the kinds that there were some of.
fn audited(counts: &RecallCounts) -> Vec<AuditedSearches> {
    let mut kinds = Vec::new();
    for (most_results, found) in [10, 100, 0].into_iter().zip(counts.audited()) {
        let marquee_shard::AuditedSearches { searches, recall_sum, worst: worst_recall } = found;
        if searches > 0 {
            kinds.push(AuditedSearches { most_results, searches, recall_sum, worst_recall });
        }
    }
    kinds
}

/// The nanoseconds that were spent on an operation.
fn total_ns(spent: Option<&TimeSpent>) -> u64 {
    spent.map_or(0, |spent| nanoseconds(spent.total()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Names and CPU nanoseconds of the running threads; none if the system does not report them. On Linux the
/// first number in `/proc/self/task/*/schedstat` (its Documentation/scheduler/sched-stats.rst).
fn threads() -> Vec<(String, u64)> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    // A thread that ends meanwhile is left out.
    tasks.filter_map(|task| thread(&task.ok()?.path())).collect()
}

/// Name and CPU nanoseconds of the thread of this directory.
fn thread(directory: &Path) -> Option<(String, u64)> {
    let name = std::fs::read_to_string(directory.join("comm")).ok()?;
    let times = std::fs::read_to_string(directory.join("schedstat")).ok()?;
    Some((name, times.split_whitespace().next()?.parse().ok()?))
}

/// CPU nanoseconds of all threads whose names have this prefix.
fn named(threads: &[(String, u64)], prefix: &str) -> u64 {
    let those = threads.iter().filter(|(name, _)| name.starts_with(prefix));
    those.map(|(_, nanoseconds)| nanoseconds).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_are_found_by_name_with_what_they_cost() {
        let busy = std::thread::Builder::new().name(format!("{SEARCH_THREADS}-7"));
        let (say, said) = std::sync::mpsc::channel();
        let busy = busy.spawn(move || {
            let began = cpu_time::ThreadTime::now();
            while began.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            // The kernel brings the numbers up to date at the latest when the thread sleeps.
            std::thread::sleep(Duration::from_millis(1));
            said.recv().expect("told")
        });
        let busy = busy.expect("a thread");
        let mut spent = 0;
        for _ in 0..1_000 {
            spent = named(&threads(), SEARCH_THREADS);
            if spent >= 20_000_000 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        say.send(()).expect("it waits");
        busy.join().expect("no panic");
        assert!((20_000_000..2_000_000_000).contains(&spent), "{spent}");
    }
}
