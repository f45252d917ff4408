//! What the servers spent on the answers of a run, by their own accounting.
//!
//! Each process is asked before and after ([`NodeService`](marquee_proto::node::v1)); the difference,
//! divided by the answers between, is what an answer costs, whatever else the processes did meanwhile:
//! a run of some seconds is needed for it to mean anything.

use anyhow::Context as _;
use marquee_client::{Address, channel};
use marquee_proto::node::v1::node_service_client::NodeServiceClient;
use marquee_proto::node::v1::{GetUsageRequest, GetUsageResponse, RowCache};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tonic::Code;

/// How long a node may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What some processes have cost so far; each is there once, at whichever of its addresses it was asked.
#[derive(Clone, Debug, Default)]
pub struct Usages(BTreeMap<String, GetUsageResponse>);

impl Usages {
    /// Asks the nodes at these addresses. None if one of them does not say, as older ones do not.
    pub async fn of(addresses: &[Address]) -> anyhow::Result<Option<Self>> {
        let mut usages = BTreeMap::new();
        for address in addresses {
            let mut client = NodeServiceClient::new(channel(address));
            let mut request = tonic::Request::new(GetUsageRequest {});
            request.set_timeout(PATIENCE);
            match client.get_usage(request).await {
                Ok(usage) => {
                    let usage = usage.into_inner();
                    usages.insert(usage.process.clone(), usage);
                }
                Err(status) if status.code() == Code::Unimplemented => return Ok(None),
                Err(status) => {
                    return Err(status).with_context(|| {
                        format!("the node at {address} does not say what it has cost")
                    });
                }
            }
        }
        Ok(Some(Self(usages)))
    }

    /// What came to it since `before`, for each of so many answers; none without answers, or if a
    /// process ended meanwhile.
    pub fn since(&self, before: &Self, answers: u64) -> Option<Cost> {
        if answers == 0 || !self.0.keys().eq(before.0.keys()) {
            return None;
        }
        let sum = |of: fn(&GetUsageResponse) -> u64| {
            let total = |usages: &Self| usages.0.values().map(of).sum::<u64>();
            let nanoseconds = total(self).saturating_sub(total(before));
            nanoseconds as f64 / 1_000.0 / answers as f64
        };
        let (cpu, lookup) = (sum(|usage| usage.cpu_ns), sum(|usage| usage.lookup_ns));
        let (search, merge) = (sum(|usage| usage.search_ns), sum(|usage| usage.merge_ns));
        let threads = sum(|usage| usage.io_threads_ns) + sum(|usage| usage.search_threads_ns);
        // Where the system does not tell threads apart, they are taken to do everything.
        let threads = if threads > 0.0 { threads.min(cpu) } else { cpu };
        Some(Cost {
            processes: self.0.len(),
            cpu_us: cpu,
            search_us: search,
            lookup_us: lookup,
            merge_us: merge,
            grpc_us: (threads - search - lookup - merge).max(0.0),
            rest_us: cpu - threads,
            searches: self.searches_since(before, answers),
            rows: self.rows_since(before, answers),
        })
    }

    /// None where no router says.
    fn rows_since(&self, before: &Self, answers: u64) -> Option<Rows> {
        let caches = |usages: &Self| -> Vec<RowCache> {
            usages.0.values().filter_map(|usage| usage.row_cache).collect()
        };
        let (now, before) = (caches(self), caches(before));
        if now.is_empty() {
            return None;
        }
        let since = |of: fn(&RowCache) -> u64| {
            let total = |caches: &[RowCache]| caches.iter().map(of).sum::<u64>();
            total(&now).saturating_sub(total(&before)) as f64 / answers as f64
        };
        Some(Rows { remembered: since(|cache| cache.hits), asked_for: since(|cache| cache.misses) })
    }

    fn searches_since(&self, before: &Self, answers: u64) -> BTreeMap<String, f64> {
        let sums = |usages: &Self| {
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            for (way, count) in usages.0.values().flat_map(|usage| &usage.searches) {
                *sums.entry(way.clone()).or_default() += count;
            }
            sums
        };
        let before = sums(before);
        let since = |(way, count): (String, u64)| {
            let more = count.saturating_sub(before.get(&way).copied().unwrap_or_default());
            (more > 0).then(|| (way, more as f64 / answers as f64))
        };
        sums(self).into_iter().filter_map(since).collect()
    }
}

/// CPU time of all server processes for an answer, and how it divides, in microseconds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cost {
    /// How many processes it is the sum of.
    pub processes: usize,
    /// All of it.
    pub cpu_us: f64,
    /// Searching for items and describing them.
    pub search_us: f64,
    /// Looking up what users' vectors and histories are.
    pub lookup_us: f64,
    /// Making one list of several.
    pub merge_us: f64,
    /// Everything else that the threads do which move messages and search: HTTP/2, encoding, the
    /// kernel's network, handing work over.
    pub grpc_us: f64,
    /// All other threads: raft, loading.
    pub rest_us: f64,
    /// Searches of a shard for an answer, by the way they took.
    pub searches: BTreeMap<String, f64>,
    /// What became of the rows that routers looked for among those they remember; none if no router was asked.
    pub rows: Option<Rows>,
}

/// Rows of users and items, for an answer.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rows {
    /// The router remembered them.
    pub remembered: f64,
    /// It did not, and asked shards.
    pub asked_for: f64,
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
            "{cpu_us:.0} µs of CPU an answer in {}: search {search_us:.0}, lookup {lookup_us:.0}, merge {merge_us:.0}, gRPC {grpc_us:.0}, rest {rest_us:.0}",
            match processes {
                1 => "1 server process".into(),
                more => format!("{more} server processes"),
            }
        )?;
        for (n, (way, count)) in searches.iter().enumerate() {
            let before = if n == 0 { "; searches an answer: " } else { ", " };
            write!(f, "{before}{count:.2} {way}")?;
        }
        if let Some(Rows { remembered, asked_for }) = rows
            && remembered + asked_for > 0.0
        {
            write!(f, "; rows an answer: {remembered:.2} remembered, {asked_for:.2} asked for")?;
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
        };
        (process, usage)
    }

    #[test]
    fn the_parts_are_of_all_processes_and_make_up_the_whole() {
        let before = Usages([usage("a", [100; 6]), usage("b", [0; 6])].into());
        let after = Usages(
            [usage("a", [400, 300, 140, 101, 130, 100]), usage("b", [60, 50, 0, 0, 0, 10])].into(),
        );
        let cost = after.since(&before, 1_000).expect("a cost");
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
        assert!(cost.to_string().ends_with("; searches an answer: 0.00 cells"), "{cost}");
        assert_eq!(after.since(&before, 0), None);
        let restarted = Usages([usage("a", [400; 6]), usage("c", [60; 6])].into());
        assert_eq!(restarted.since(&before, 1_000), None, "a process is not compared with another");
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
        let cost = after.since(&before, 1_000).expect("a cost");
        assert_eq!(cost.rows, Some(Rows { remembered: 0.75, asked_for: 0.25 }));
        assert!(
            cost.to_string().ends_with("; rows an answer: 0.75 remembered, 0.25 asked for"),
            "{cost}"
        );
    }

    #[test]
    fn without_threads_of_its_own_accounting_the_rest_counts_as_grpc() {
        let before = Usages([usage("a", [0; 6])].into());
        let after = Usages([usage("a", [100, 0, 0, 10, 40, 20])].into());
        let cost = after.since(&before, 1_000).expect("a cost");
        assert_eq!((cost.grpc_us, cost.rest_us), (30.0, 0.0));
    }
}
