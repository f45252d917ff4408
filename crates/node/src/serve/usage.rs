//! The usage of the process: its CPU time and the parts of it, events, cached rows and searches.
//!
//! The system counts CPU time by process and by thread; the roles count the time of their operations. The
//! rest of the I/O and search threads is gRPC, HTTP/2 and the kernel's network; the rest of the process is
//! raft and loading.

use marquee_core::time_spent::TimeSpent;
use marquee_events::Counts;
use marquee_proto::node::v1::node_service_server::{NodeService, NodeServiceServer};
use marquee_proto::node::v1::{AuditedSearches, GetUsageRequest, GetUsageResponse, RowCache};
use marquee_router::{Feedback, RouterService, RowCounts};
use marquee_shard::{RecallCounts, ShardApi, StrategyCounts};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
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
}

impl Usage {
    /// The usage of this process with these roles.
    pub(super) fn new(shard: Option<Arc<ShardApi>>, router: Option<RouterService>) -> Self {
        Self { process: uuid::Uuid::new_v4().to_string(), shard, router }
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
}

/// Counts of events by what became of them, without zeros.
fn events(router: &RouterService) -> HashMap<String, u64> {
    let Feedback { events, exposures } = router.feedback();
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
