//! Every metric of a node. A sample needs one of these, so none can be scraped that is not listed.

use super::definition::Definition;
use super::definition::MetricKind::{Counter, Gauge, Histogram};
use super::definition::MetricScope::{Control, Node, Router, Shard};

/// Defines metrics as statics, and the list of all of them.
macro_rules! metrics {
    ($($variable:ident: $scope:expr, $kind:expr, $name:literal, [$($label:literal),*], $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub(super) static $variable: Definition = Definition {
                name: $name,
                kind: $kind,
                scope: $scope,
                labels: &[$($label),*],
                meaning: $meaning,
            };
        )*

        /// Every metric, by the nodes that have it.
        pub static ALL_METRICS: &[&Definition] = &[$(&$variable),*];
    };
}

metrics! {
    BUILD_INFO: Node, Gauge, "marquee_build_info", ["version"],
        "1, with the version of the binary as a label";
    PROCESS_CPU: Node, Counter, "process_cpu_seconds_total", [],
        "CPU time of the process, in user space and in the kernel";
    PROCESS_MEMORY: Node, Gauge, "process_resident_memory_bytes", [],
        "Memory of the process that is resident, mapped files among it";
    PROCESS_FILES: Node, Gauge, "process_open_fds", [],
        "Files and sockets that the process has open";
    PROCESS_START: Node, Gauge, "process_start_time_seconds", [],
        "When the process started, in seconds since the Unix epoch";
    RPC_DURATION: Node, Histogram, "marquee_rpc_duration_seconds", ["method", "code"],
        "Calls to services of this node, from their headers to the end of their responses, refused ones among them; of streams, how long they were open";
    RPC_UNDER_WAY: Node, Gauge, "marquee_rpc_under_way", [],
        "Calls to services of this node that have no end yet, streams among them";
    REFUSED_CALLS: Node, Counter, "marquee_refused_calls_total", ["reason"],
        "Calls and connections that were refused at the edge of this node: access, quota, arrival, in_flight, overload, streams, connections";
    CONNECTIONS: Node, Gauge, "marquee_connections", [],
        "Open connections to services of this node";
    CONNECTIONS_CLOSED: Node, Counter, "marquee_connections_closed_total", ["reason"],
        "Connections that were refused, gave way to others, or were closed because they were idle";
    PLAN_EPOCH: Node, Gauge, "marquee_plan_epoch", [],
        "The epoch of the plan that this node follows";
    PLAN_NEWEST_EPOCH: Node, Gauge, "marquee_plan_newest_epoch", [],
        "The newest epoch that this node has heard of, in its plan or in answers to its reports";
    PLAN_AGE: Node, Gauge, "marquee_plan_age_seconds", [],
        "Since when this node has its plan; plans change when something in the cluster does";
    DISK_FREE: Node, Gauge, "marquee_disk_free_bytes", [],
        "Room on the disk of the data directory";
    DISK_SIZE: Node, Gauge, "marquee_disk_size_bytes", [],
        "Size of the disk of the data directory";
    CERTIFICATE_LEFT: Node, Gauge, "marquee_certificate_remaining_seconds", [],
        "For how long this node's certificate is still valid; 0 once it is not";
    TROUBLES: Node, Gauge, "marquee_troubles", ["trouble"],
        "What is wrong with this node as it reports it itself, by kind; what to do is in `marquee ctl status`";
    LOG_LINES: Node, Counter, "marquee_log_lines_total", ["level"],
        "Lines that this process has logged";
    LOG_LEFT_OUT: Node, Counter, "marquee_log_lines_left_out_total", [],
        "Warnings that were left out of the log because the same place had warned often";

    RAFT_TERM: Control, Gauge, "marquee_raft_term", [],
        "The raft term of this voter";
    RAFT_LEADER: Control, Gauge, "marquee_raft_leader", [],
        "The raft id of the leader that this voter knows; 0 if it knows none";
    RAFT_LEADS: Control, Gauge, "marquee_raft_is_leader", [],
        "1 if this voter leads, else 0";
    RAFT_APPLIED: Control, Gauge, "marquee_raft_applied_index", [],
        "The index of the last entry that this voter has applied";
    RAFT_ENTRIES: Control, Gauge, "marquee_raft_log_entries", [],
        "Entries in the log of this voter since its last snapshot";
    RAFT_STORE: Control, Gauge, "marquee_raft_store_bytes", [],
        "Size of the file with log and state of this voter";
    RAFT_COMMIT_DURATION: Control, Histogram, "marquee_raft_commit_duration_seconds", [],
        "Commands that this voter proposed as the leader, until they were committed and applied";
    CLUSTER_NODES: Control, Gauge, "marquee_cluster_nodes", ["role", "state"],
        "Shard and router nodes of the plan; state is alive, silent or draining";
    VERSIONS: Control, Gauge, "marquee_versions", ["model"],
        "Published versions that the plan has";
    VERSION_REPLICAS: Control, Gauge, "marquee_version_replicas", ["model", "version", "state"],
        "Replicas of live versions by where they are in their lives, as nodes reported it";
    VERSION_MISSING: Control, Gauge, "marquee_version_missing_replicas", ["model", "version"],
        "Replicas that are wanted of a live version, on nodes of the plan or on none, and do not answer";
    ROLLOUTS: Control, Gauge, "marquee_rollouts", ["state"],
        "Rollouts that the plan remembers, by state";
    ROLLOUT_STATE: Control, Gauge, "marquee_rollout_state", ["surface", "rollout", "state"],
        "1 for the state of the newest rollout of a surface";
    ROLLOUT_WEIGHT: Control, Gauge, "marquee_rollout_weight_ratio", ["surface", "rollout"],
        "The share of the users that the candidate has in the newest rollout of a surface";
    ROLLOUT_TRANSITIONS: Control, Counter, "marquee_rollout_transitions_total", ["surface", "rollout"],
        "Transitions of the newest rollout of a surface: steps, pauses, decisions of gates and operators";
    ROLLOUT_FINISHED: Control, Gauge, "marquee_rollout_finished_timestamp_seconds", ["surface", "rollout"],
        "When the newest rollout of a surface was over, in seconds since the Unix epoch; 0 while it runs";
    ROLLOUT_WINDOWS: Control, Counter, "marquee_rollout_windows_total", ["surface", "rollout"],
        "Windows of telemetry that the newest rollout of a surface was judged by";
    GATE_VERDICT: Control, Gauge, "marquee_gate_verdict", ["surface", "rollout", "gate", "verdict"],
        "1 for the verdict on a gate of a surface's newest rollout: INCONCLUSIVE, HOLDS, PROVEN, BREACHED";
    GATE_BASELINE: Control, Gauge, "marquee_gate_baseline", ["surface", "rollout", "gate"],
        "The baseline's value of a gate's metric; of latencies in milliseconds";
    GATE_CANDIDATE: Control, Gauge, "marquee_gate_candidate", ["surface", "rollout", "gate"],
        "The candidate's value of a gate's metric; of latencies in milliseconds";
    GATE_ALLOWED: Control, Gauge, "marquee_gate_allowed", ["surface", "rollout", "gate"],
        "The bound that the candidate's value is compared with";
    GATE_SAMPLES: Control, Gauge, "marquee_gate_samples", ["surface", "rollout", "gate", "variant"],
        "Requests that a gate was judged by, of baseline and candidate";
    GATE_AGAINST: Control, Gauge, "marquee_gate_log_evidence_against", ["surface", "rollout", "gate"],
        "Natural logarithm of the evidence (e-value) that a gate's bound is broken";
    GATE_REQUIRED: Control, Gauge, "marquee_gate_log_evidence_required", ["surface", "rollout", "gate"],
        "What the evidence against must reach for a breach";
    SURFACE_RATE: Control, Gauge, "marquee_surface_requests_per_second", ["surface", "variant"],
        "Requests on a surface in its last window of ten seconds; variant is live, baseline, candidate or an arm of an experiment";
    SURFACE_LATENCY: Control, Gauge, "marquee_surface_latency_seconds", ["surface", "variant", "percentile"],
        "Latency of answers on a surface in its last window; percentile is 50, 95 or 99";
    SURFACE_ERRORS: Control, Gauge, "marquee_surface_error_ratio", ["surface", "variant"],
        "Share of the requests on a surface that failed in its last window; errors that callers caused do not count";
    SURFACE_EMPTY: Control, Gauge, "marquee_surface_empty_ratio", ["surface", "variant"],
        "Share of the answers on a surface without items in its last window";
    SURFACE_PARTIAL: Control, Gauge, "marquee_surface_partial_ratio", ["surface", "variant"],
        "Share of the answers on a surface that lacked shards or members in its last window";
    SURFACE_FALLBACK: Control, Gauge, "marquee_surface_fallback_ratio", ["surface", "variant"],
        "Share of the answers on a surface by fallback in its last window";

    FANOUT_CALLS: Router, Counter, "marquee_fanout_calls_total", ["cause"],
        "Calls of shard nodes by why they were made: first, retry, alone, hedge, overtake";
    FANOUT_FAILURES: Router, Counter, "marquee_fanout_failures_total", ["failure"],
        "Calls of shard nodes that failed: unreachable, not_held, overloaded, timeout, broken";
    FANOUT_UNANSWERED: Router, Counter, "marquee_fanout_unanswered_shards_total", [],
        "Shards without an answer at the end of a round of calls";
    FANOUT_AVOIDED: Router, Gauge, "marquee_fanout_avoided_nodes", ["reason"],
        "Shard nodes that this router does not ask at the moment: unreachable, or slow";
    STAGE_DURATION: Router, Histogram, "marquee_stage_duration_seconds", ["stage"],
        "Stages of answers, of which a batch is one: lookup, search, diversify, explain, answer";
    MERGE_TIME: Router, Counter, "marquee_merge_seconds_total", [],
        "Time of making answers of what nodes found";
    QUEUE_DELAY: Router, Gauge, "marquee_router_queue_delay_seconds", [],
        "How long requests wait in this process at least before they are begun; 0 if that was not measured lately";
    IS_LIMITING: Router, Gauge, "marquee_router_is_limiting", [],
        "1 while callers are refused because requests would wait for too long, else 0";
    ROW_CACHE_LOOKUPS: Router, Counter, "marquee_row_cache_lookups_total", ["outcome"],
        "Rows that were looked for in the cache: hit or miss";
    ROW_CACHE_EVICTIONS: Router, Counter, "marquee_row_cache_evictions_total", [],
        "Rows that the cache dropped to make room";
    ROW_CACHE_BYTES: Router, Gauge, "marquee_row_cache_bytes", [],
        "Size of the rows in the cache";
    EVENTS: Router, Counter, "marquee_events_total", ["outcome"],
        "Events by what became of them: accepted, duplicate, or why they were refused or quarantined; pushed_back counts refused requests";
    EXPOSURES: Router, Counter, "marquee_exposures_total", ["outcome"],
        "Answers that are recorded as exposures: written or dropped";
    EVENT_LOG_FAILED: Router, Gauge, "marquee_event_log_is_failed", ["log"],
        "1 while a log takes no records, else 0: events, quarantine, exposures";
    EVENT_LOG_LOST: Router, Counter, "marquee_event_log_lost_records_total", ["log"],
        "Records of a log that are gone with their files";

    OPERATION_TIME: Shard, Counter, "marquee_shard_operation_seconds_total", ["operation"],
        "Time of lookups and searches, on any thread";
    QUEUED: Shard, Gauge, "marquee_shard_queued_queries", [],
        "Queries and keys that were admitted and are not answered yet";
    REPLICAS: Shard, Gauge, "marquee_replicas", ["state"],
        "Replicas of this node by where they are in their lives";
    REPLICA_MAPPED: Shard, Gauge, "marquee_replica_mapped_bytes", ["model", "version", "shard"],
        "Bytes of files that a replica maps";
    SEARCHES: Shard, Counter, "marquee_searches_total", ["model", "version", "shard", "strategy"],
        "Searches in a replica by the strategy that the planner chose: scan, cells, exact_cells, graph, row_sum";
    SEARCH_ROWS: Shard, Counter, "marquee_search_rows_total", ["model", "version", "shard"],
        "Rows of dense matrices that searches in a replica looked at";
    AUDITED: Shard, Counter, "marquee_audited_searches_total", ["results"],
        "Live searches that were made again exactly, by how many results were wanted: 10 for up to 10, 100 for up to 100, more";
    AUDITED_RECALL: Shard, Gauge, "marquee_audited_recall_ratio", ["results"],
        "The mean recall of audited searches since the start";
    AUDITED_WORST: Shard, Gauge, "marquee_audited_lowest_recall_ratio", ["results"],
        "The lowest recall of an audited search since the start";
    READ_FAULTS: Shard, Counter, "marquee_mapped_read_faults_total", [],
        "Reads of mapped files that failed";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let names: BTreeSet<&str> = ALL_METRICS.iter().map(|definition| definition.name).collect();
        assert_eq!(names.len(), ALL_METRICS.len(), "a name is there twice");
        for definition in ALL_METRICS {
            let Definition { name, kind, scope: _, labels, meaning } = definition;
            assert_eq!(*kind == Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Histogram, name.ends_with("_duration_seconds"), "{name}");
            assert!(name.starts_with("marquee_") || name.starts_with("process_"), "{name}");
            let plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(plain(name) && labels.iter().all(|label| plain(label)), "{name}");
            assert!(!meaning.ends_with('.') && !meaning.contains('\n'), "{name}");
            for unit in ["_ms", "_micros", "_mib", "_percent", "_minutes"] {
                assert!(!name.contains(unit), "{name}: base units only");
            }
            // Nothing that callers can make up, nor that grows with users or items.
            for label in *labels {
                assert!(!["user", "item", "id", "address", "path"].contains(label), "{name}");
            }
        }
    }
}
