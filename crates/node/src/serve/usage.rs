//! What the process costs: its CPU time, by its own accounting, what of it went where, and how it
//! searched.
//!
//! The system counts CPU time by process and by thread; the roles count the time of their operations
//! themselves. What is left of the threads that move messages and search is gRPC, HTTP/2 and the
//! kernel's network; what is left of the process is everything else it does (raft, loading).

use marquee_core::time_spent::Spent;
use marquee_events::Counts;
use marquee_proto::node::v1::node_service_server::{NodeService, NodeServiceServer};
use marquee_proto::node::v1::{GetUsageRequest, GetUsageResponse, RowCache};
use marquee_router::{Feedback, RouterService, RowCounts};
use marquee_shard::{ShardApi, StrategyCounts};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How the names of threads begin that move messages.
pub const IO_THREADS: &str = "marquee-io";
/// How the names of threads begin that search.
const SEARCH_THREADS: &str = "shard-search";

/// See the module.
pub(super) struct Usage {
    process: String,
    shard: Option<Arc<ShardApi>>,
    router: Option<RouterService>,
}

impl Usage {
    /// Of this process with these roles.
    pub(super) fn new(shard: Option<Arc<ShardApi>>, router: Option<RouterService>) -> Self {
        Self { process: uuid::Uuid::new_v4().to_string(), shard, router }
    }

    /// As a gRPC server.
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
            Status::unavailable(format!("the system does not tell the CPU time: {error}"))
        })?;
        let spent = |spent: Option<&Spent>| spent.map_or(0, |spent| nanoseconds(spent.total()));
        let operations = self.shard.as_ref().map(|shard| shard.spent());
        let threads = threads();
        Ok(Response::new(GetUsageResponse {
            process: self.process.clone(),
            cpu_ns: nanoseconds(cpu.as_duration()),
            io_threads_ns: named(&threads, IO_THREADS),
            search_threads_ns: named(&threads, SEARCH_THREADS),
            lookup_ns: spent(operations.map(|spent| &spent.lookup)),
            search_ns: spent(operations.map(|spent| &spent.search)),
            merge_ns: spent(self.router.as_ref().map(RouterService::merging)),
            events: self.router.as_ref().map(events).unwrap_or_default(),
            row_cache: self.router.as_ref().map(row_cache),
            searches: operations.map(|spent| searches(&spent.strategies)).unwrap_or_default(),
        }))
    }
}

/// Where events went, zeros left out.
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
        words.extend(not_taken.into_iter().map(|(reason, n)| (reason.word().to_owned(), n)));
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

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Names and CPU nanoseconds of the threads that live; none where the system does not tell. On Linux
/// the first number in `/proc/self/task/*/schedstat` (its Documentation/scheduler/sched-stats.rst).
fn threads() -> Vec<(String, u64)> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let thread = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((name, times.split_whitespace().next()?.parse().ok()?))
    };
    // A thread may end while we look.
    tasks.filter_map(|task| thread(task.ok()?)).collect()
}

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
