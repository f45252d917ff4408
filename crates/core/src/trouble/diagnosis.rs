//! What is wrong with a cluster, of all that was gathered of it: one list, the worst first.

use super::facts::{ClusterFacts, FailedReplica, NodeFacts, VoterAnswer, VoterFacts};
use super::kind::{LastingTrouble, Trouble};

/// Entries of the log that a voter may be behind: those of a moment, since voters are not asked at the same time.
pub const MAX_LAG_ENTRIES: u64 = 100;
/// The age of a report from which on a node that counts as alive is not heard of: nodes report each second.
pub const MAX_REPORT_AGE_MS: u64 = 10_000;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Answers, changes or records are lost or refused now.
    Critical,
    /// All goes on, and the next fault may not be survived.
    Warning,
}

impl Severity {
    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a voter, a node, a replica.
    pub subject: String,
    /// What is wrong, without how long.
    pub what: String,
    /// For how long, in milliseconds, if that is known.
    pub for_ms: Option<u64>,
    /// What to do next.
    pub advice: String,
}

impl Diagnosis {
    fn new(
        severity: Severity,
        subject: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (subject, what, advice) = (subject.into(), what.into(), advice.into());
        Self { severity, subject, what, for_ms: None, advice }
    }
}

/// All that is wrong, the worst first; empty where nothing is.
pub fn diagnose(facts: &ClusterFacts) -> Vec<Diagnosis> {
    let ClusterFacts {
        has_majority,
        voters,
        newest_epoch: _,
        nodes,
        failed_replicas,
        shards_without_replica,
        reports,
        untold,
    } = facts;
    let mut found = Vec::new();
    of_control(*has_majority, voters, &mut found);
    for (version, shard) in shards_without_replica {
        found.push(Diagnosis::new(
            Severity::Critical,
            format!("{version} shard {shard}"),
            "no replica is available: answers lack its items",
            "start the nodes that hold it; `marquee ctl models` shows where replicas are",
        ));
    }
    for node in nodes {
        of_node(node, facts, &mut found);
    }
    for replica in failed_replicas {
        found.push(of_replica(replica));
    }
    for received in reports {
        let mut planned = nodes.iter();
        let is_planned = planned.any(|node| node.node_id == received.report.node_id);
        if received.age_ms > MAX_REPORT_AGE_MS && !is_planned {
            // It was removed, or is a voter that others would have the last word of.
            continue;
        }
        for LastingTrouble { trouble, for_ms } in &received.report.troubles {
            let (severity, what, advice) = describe(trouble);
            let mut diagnosis = Diagnosis::new(severity, &received.report.node_id, what, advice);
            diagnosis.for_ms = Some(for_ms.saturating_add(received.age_ms));
            found.push(diagnosis);
        }
    }
    for (target, what) in untold {
        found.push(Diagnosis::new(
            Severity::Warning,
            format!("notifications to {target}"),
            what,
            "see that the target answers at the url of control.notifications; what waits is sent then",
        ));
    }
    found.sort_by_key(|diagnosis| diagnosis.severity);
    found
}

fn of_control(has_majority: bool, voters: &[VoterFacts], found: &mut Vec<Diagnosis>) {
    if voters.is_empty() {
        found.push(Diagnosis::new(
            Severity::Critical,
            "control",
            "no control node answers: nothing can be changed, and routers and shards go on with the plan that they have",
            "start the control nodes, or name them with --endpoint",
        ));
        return;
    }
    if !has_majority {
        found.push(Diagnosis::new(
            Severity::Critical,
            "control",
            "NO MAJORITY of the voters: nothing can be changed, and routers and shards go on with the plan that they have",
            "start the other voters, or look why they do not reach each other",
        ));
    }
    let applied_of = |voter: &VoterFacts| match voter.answer {
        VoterAnswer::Answers { applied, .. } => Some(applied),
        VoterAnswer::Silent { .. } => None,
    };
    let newest = voters.iter().filter_map(applied_of).max().unwrap_or_default();
    for VoterFacts { id, address, answer, trouble } in voters {
        let subject = format!("voter {id}");
        match answer {
            VoterAnswer::Silent { reason } => found.push(Diagnosis::new(
                Severity::Warning,
                subject,
                format!("does not answer at {address}: {reason}"),
                if trouble.is_empty() { silent_advice(*id) } else { trouble.clone() },
            )),
            VoterAnswer::Answers { .. } if !trouble.is_empty() => found.push(Diagnosis::new(
                Severity::Critical,
                subject,
                trouble.clone(),
                "`marquee ctl voters` shows and changes the members of the group",
            )),
            VoterAnswer::Answers { leader: None, .. } if has_majority => found.push(Diagnosis::new(
                Severity::Warning,
                subject,
                "knows of no leader, though there is one: it is cut off from the other voters, or its role has failed",
                "look at the network between the voters, and at what it reports of itself",
            )),
            VoterAnswer::Answers { applied, .. } if newest - applied > MAX_LAG_ENTRIES => {
                found.push(Diagnosis::new(
                    Severity::Warning,
                    subject,
                    format!("is {} entries behind", newest - applied),
                    "it catches up by itself unless its disk or its network is too slow",
                ));
            }
            VoterAnswer::Answers { .. } => {}
        }
    }
}

fn silent_advice(voter: u64) -> String {
    format!(
        "see whether it runs and what its log says last; if its disk is lost: `marquee ctl voters replace {voter}`"
    )
}

fn of_node(node: &NodeFacts, facts: &ClusterFacts, found: &mut Vec<Diagnosis>) {
    let NodeFacts { node_id, address, is_alive } = node;
    let mut reports = facts.reports.iter();
    let age_ms = reports.find(|it| it.report.node_id == *node_id).map(|it| it.age_ms);
    let is_heard_of = age_ms.is_some_and(|age_ms| age_ms <= MAX_REPORT_AGE_MS);
    // Where nothing can be written, what the plan says of nodes is old; a report of this moment is not.
    if (!is_alive && (facts.has_majority || !is_heard_of))
        || age_ms.is_some_and(|age_ms| age_ms > MAX_REPORT_AGE_MS)
    {
        let mut diagnosis = Diagnosis::new(
            Severity::Warning,
            node_id,
            format!("does not report, at {address}"),
            format!(
                "start it, or look at its log; if it does not come back: `marquee ctl nodes remove {node_id}`"
            ),
        );
        diagnosis.for_ms = age_ms;
        found.push(diagnosis);
    }
}

fn of_replica(replica: &FailedReplica) -> Diagnosis {
    let FailedReplica { version, shard, node_id, reason } = replica;
    Diagnosis::new(
        Severity::Warning,
        format!("{version} shard {shard} on {node_id}"),
        format!("cannot be loaded: {reason}"),
        "remove the cause on that node: it tries again within a minute",
    )
}

/// How bad a trouble is, what is wrong, and what to do.
fn describe(trouble: &Trouble) -> (Severity, String, String) {
    use Severity::{Critical, Warning};
    let (severity, what, advice) = match trouble {
        Trouble::DiskLow { free_bytes, total_bytes } => (
            Warning,
            format!(
                "its disk has {} MiB left of {} MiB",
                free_bytes >> 20,
                total_bytes >> 20
            ),
            "make room before it is full: export events and lower router.events.max_total_mib, or enlarge the disk".into(),
        ),
        Trouble::DiskFailed { reason } => (
            Critical,
            format!("its data directory cannot be written: {reason}"),
            "make room, or mount the disk writable again; the node goes on by itself then".into(),
        ),
        Trouble::DiskSlow { write_ms } => (
            Warning,
            format!("its disk is slow: a small synced write takes {write_ms} ms"),
            "look what else uses the disk; move a voter away from a slow one".into(),
        ),
        Trouble::FileGone { path } => (
            Critical,
            format!("{path} was removed while it is in use: what is written to it is lost with the process"),
            "keep the other voters running, and put this node's data directory back or replace its voter before it is restarted".into(),
        ),
        Trouble::LogFailed { log, reason } => (
            Critical,
            format!("{log} cannot be written: {reason}"),
            "free its disk, or put its directory back: it is tried again each second. Senders keep what was refused".into(),
        ),
        Trouble::LogLost { log, records } => (
            Warning,
            format!("{log} went on without {records} records, whose files were removed while it was written"),
            "put the files back elsewhere and export them, if there is a copy; a restart ends this warning".into(),
        ),
        Trouble::AuditFailed { reason } => (
            Warning,
            format!("audit.jsonl cannot be written here: {reason}"),
            "free its disk; entries that it lacks are made up for with the next change, while the group has them".into(),
        ),
        Trouble::VoterFailed { reason } => (
            Critical,
            format!("the control role has failed here: {reason}"),
            "remove the cause: it opens its log again every few seconds, and the other voters go on".into(),
        ),
        Trouble::PlanUnwritten { reason } => (
            Warning,
            format!("the plan cannot be written: {reason}; a restart without control would find an older one"),
            "free the disk, or make the data directory writable".into(),
        ),
        Trouble::PlanBehind { epoch, newest } => (
            Critical,
            format!("follows the plan of epoch {epoch}, and there is one of epoch {newest}"),
            "look at the network between this node and the control nodes".into(),
        ),
        Trouble::ControlSilent { reason } => (
            Warning,
            format!("no control node takes its reports: {reason}"),
            "look at the control nodes, and at the network between them and this node".into(),
        ),
        Trouble::CertificateExpires { seconds_left } => (
            Warning,
            format!("its certificate expires in {}", duration(*seconds_left)),
            "put a new certificate and key in place of the files of [tls]: they are read again by themselves".into(),
        ),
        Trouble::CertificateFailed { reason } => (
            Critical,
            format!("its certificates cannot be used: {reason}"),
            "put right the files of [tls] or of [auth]: what was read before stays in use until it expires".into(),
        ),
        Trouble::Refusing { calls } => (
            Critical,
            format!("refuses calls, {calls} in the last ten seconds: it is asked for more than it can do"),
            "add nodes, or have callers ask for less; refused callers are told when to try again".into(),
        ),
        Trouble::NodeAvoided { node_id } => (
            Warning,
            format!("does not ask {node_id}, which did not answer its calls"),
            format!("see whether {node_id} runs, and the network between both; it is tried again all the time"),
        ),
        Trouble::NodeLeftOut { node_id } => (
            Warning,
            format!("leaves {node_id} out for a while: it is slower than others"),
            format!("look at the load, the disk and the network of {node_id}"),
        ),
    };
    (severity, what, advice)
}

/// Seconds in the largest unit of which there are two: `3 days`, `50 hours`.
fn duration(seconds: u64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
