//! The CPU time that the servers spent on the answers of a run, by their own accounting.
//!
//! Each process reports its usage before and after ([`NodeService`](marquee_proto::node::v1)); the difference
//! divided by the number of answers is the cost of an answer. It contains whatever else the processes did
//! meanwhile, so a run should take some seconds.

use anyhow::Context as _;
use marquee_client::{Address, Credentials, channel};
use marquee_proto::node::v1::node_service_client::NodeServiceClient;
use marquee_proto::node::v1::{GetUsageRequest, GetUsageResponse, RowCache};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tonic::Code;

/// Deadline of one call.
const USAGE_DEADLINE: Duration = Duration::from_secs(5);

/// The usage of processes so far, by process: one that was reached at several addresses is there once.
#[derive(Clone, Debug, Default)]
pub struct Usages(BTreeMap<String, GetUsageResponse>);

impl Usages {
    /// The usage of the nodes at these addresses; none if one of them does not have the RPC, or
    /// does not allow it: it is for those who operate the cluster.
    pub async fn of(
        addresses: &[Address],
        credentials: &Credentials,
    ) -> anyhow::Result<Option<Self>> {
        let mut usages = BTreeMap::new();
        for address in addresses {
            let mut client = NodeServiceClient::new(channel(address, credentials));
            let mut request = tonic::Request::new(GetUsageRequest {});
            request.set_timeout(USAGE_DEADLINE);
            match client.get_usage(request).await {
                Ok(usage) => {
                    let usage = usage.into_inner();
                    usages.insert(usage.process.clone(), usage);
                }
                Err(status)
                    if matches!(status.code(), Code::Unimplemented | Code::PermissionDenied) =>
                {
                    return Ok(None);
                }
                Err(status) => {
                    return Err(status).with_context(|| {
                        format!("the node at {address} does not report its usage")
                    });
                }
            }
        }
        Ok(Some(Self(usages)))
    }

    /// The cost of each of `answers` answers since `before`; none without answers, or if a process ended
    /// meanwhile.
    pub fn cost_since(&self, before: &Self, answers: u64) -> Option<Cost> {
        if answers == 0 || !self.0.keys().eq(before.0.keys()) {
            return None;
        }
        let per_answer = |of: fn(&GetUsageResponse) -> u64| {
            let nanoseconds = self.sum(of).saturating_sub(before.sum(of));
            nanoseconds as f64 / 1_000.0 / answers as f64
        };
        let cpu_us = per_answer(|usage| usage.cpu_ns);
        let lookup_us = per_answer(|usage| usage.lookup_ns);
        let search_us = per_answer(|usage| usage.search_ns);
        let merge_us = per_answer(|usage| usage.merge_ns);
        let thread_us = per_answer(|usage| usage.io_threads_ns + usage.search_threads_ns);
        // If the system does not report threads, all CPU time is attributed to them.
        let request_us = if thread_us > 0.0 { thread_us.min(cpu_us) } else { cpu_us };
        Some(Cost {
            processes: self.0.len(),
            cpu_us,
            search_us,
            lookup_us,
            merge_us,
            grpc_us: (request_us - search_us - lookup_us - merge_us).max(0.0),
            rest_us: cpu_us - request_us,
            searches: self.searches_since(before, answers),
            rows: self.rows_since(before, answers),
        })
    }

    /// The sum of one number over all processes.
    fn sum(&self, of: impl Fn(&GetUsageResponse) -> u64) -> u64 {
        self.0.values().map(of).sum()
    }

    /// Looked-up rows per answer; none if no router reported them.
    fn rows_since(&self, before: &Self, answers: u64) -> Option<RowLookups> {
        if self.0.values().all(|usage| usage.row_cache.is_none()) {
            return None;
        }
        let per_answer = |of: fn(RowCache) -> u64| {
            let rows = |usage: &GetUsageResponse| usage.row_cache.map_or(0, of);
            self.sum(rows).saturating_sub(before.sum(rows)) as f64 / answers as f64
        };
        Some(RowLookups {
            cached: per_answer(|cache| cache.hits),
            fetched: per_answer(|cache| cache.misses),
        })
    }

    /// Searches per answer by search strategy, those that ran only.
    fn searches_since(&self, before: &Self, answers: u64) -> BTreeMap<String, f64> {
        let earlier = before.searches();
        let mut per_answer = BTreeMap::new();
        for (strategy, count) in self.searches() {
            let more = count.saturating_sub(earlier.get(strategy).copied().unwrap_or_default());
            if more > 0 {
                per_answer.insert(strategy.to_owned(), more as f64 / answers as f64);
            }
        }
        per_answer
    }

    /// Searches of all processes so far, by search strategy.
    fn searches(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (strategy, count) in self.0.values().flat_map(|usage| &usage.searches) {
            *sums.entry(strategy.as_str()).or_default() += count;
        }
        sums
    }
}

/// CPU time of all server processes per answer, and its parts, in microseconds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Number of server processes.
    pub processes: usize,
    /// CPU time of all processes.
    pub cpu_us: f64,
    /// Searches, and the details of the items that they find.
    pub search_us: f64,
    /// Lookups of users' vectors and histories.
    pub lookup_us: f64,
    /// Merging of lists.
    pub merge_us: f64,
    /// The rest of the I/O and search threads: HTTP/2, encoding, the kernel's network, hand-over of work.
    pub grpc_us: f64,
    /// All other threads: raft, loading of bundles.
    pub rest_us: f64,
    /// Searches of shards per answer, by search strategy.
    pub searches: BTreeMap<String, f64>,
    /// Rows that routers looked up; none if no router reported them.
    pub rows: Option<RowLookups>,
}

/// Rows of users and items that routers looked up, per answer.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct RowLookups {
    /// Rows from the router's cache.
    pub cached: f64,
    /// Rows fetched from shards.
    pub fetched: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processes,
            cpu_us,
            search_us,
            lookup_us,
            merge_us,
            grpc_us,
            rest_us,
            searches,
            rows,
        } = self;
        write!(
            f,
            "{cpu_us:.0} µs of CPU per answer in {}: search {search_us:.0}, lookup {lookup_us:.0}, merge {merge_us:.0}, gRPC {grpc_us:.0}, rest {rest_us:.0}",
            match processes {
                1 => "1 server process".into(),
                more => format!("{more} server processes"),
            }
        )?;
        for (n, (strategy, count)) in searches.iter().enumerate() {
            let before = if n == 0 { "; searches per answer: " } else { ", " };
            write!(f, "{before}{count:.2} {strategy}")?;
        }
        if let Some(RowLookups { cached, fetched }) = rows
            && cached + fetched > 0.0
        {
            write!(f, "; rows per answer: {cached:.2} cached, {fetched:.2} fetched")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a search by cells for each millisecond of lookup.
    fn usage(process: &str, millis: [u64; 6]) -> (String, GetUsageResponse) {
        let [cpu_ns, io_threads_ns, search_threads_ns, lookup_ns, search_ns, merge_ns] =
            millis.map(|ms| ms * 1_000_000);
        let process = process.to_owned();
        let usage = GetUsageResponse {
            process: process.clone(),
            cpu_ns,
            io_threads_ns,
            search_threads_ns,
            lookup_ns,
            search_ns,
            merge_ns,
            events: Default::default(),
            searches: [("cells".into(), lookup_ns / 1_000_000)].into(),
            row_cache: None,
            audited: Vec::new(),
        };
        (process, usage)
    }

    #[test]
    fn the_parts_are_of_all_processes_and_make_up_the_whole() {
        let before = Usages([usage("a", [100; 6]), usage("b", [0; 6])].into());
        let after = Usages(
            [usage("a", [400, 300, 140, 101, 130, 100]), usage("b", [60, 50, 0, 0, 0, 10])].into(),
        );
        let cost = after.cost_since(&before, 1_000).expect("a cost");
        let expected = Cost {
            processes: 2,
            cpu_us: 360.0,
            search_us: 30.0,
            lookup_us: 1.0,
            merge_us: 10.0,
            grpc_us: 249.0,
            rest_us: 70.0,
            searches: [("cells".into(), 0.001)].into(),
            rows: None,
        };
        assert_eq!(cost, expected);
        assert!(cost.to_string().ends_with("; searches per answer: 0.00 cells"), "{cost}");
        assert_eq!(after.cost_since(&before, 0), None);
        let restarted = Usages([usage("a", [400; 6]), usage("c", [60; 6])].into());
        assert_eq!(
            restarted.cost_since(&before, 1_000),
            None,
            "a process is not compared with another"
        );
    }

    #[test]
    fn rows_are_counted_where_a_router_says() {
        let router = |hits, misses| {
            let (process, usage) = usage("a", [0; 6]);
            let row_cache = Some(RowCache { hits, misses, evictions: 3, bytes: 9 });
            (process, GetUsageResponse { row_cache, ..usage })
        };
        let before = Usages([router(100, 10), usage("b", [0; 6])].into());
        let after = Usages([router(850, 260), usage("b", [0; 6])].into());
        let cost = after.cost_since(&before, 1_000).expect("a cost");
        assert_eq!(cost.rows, Some(RowLookups { cached: 0.75, fetched: 0.25 }));
        assert!(
            cost.to_string().ends_with("; rows per answer: 0.75 cached, 0.25 fetched"),
            "{cost}"
        );
    }

    #[test]
    fn without_threads_of_its_own_accounting_the_rest_counts_as_grpc() {
        let before = Usages([usage("a", [0; 6])].into());
        let after = Usages([usage("a", [100, 0, 0, 10, 40, 20])].into());
        let cost = after.cost_since(&before, 1_000).expect("a cost");
        assert_eq!((cost.grpc_us, cost.rest_us), (30.0, 0.0));
    }
}
