//! Golden scripts of diagnoses (`tests/trouble`): facts in, the list that operators see out; and the tracker.

use super::*;
use crate::id::ModelVersion;
use goldenscript::{Command, Context};
use std::error::Error;
use std::fmt::Write as _;

#[derive(Default)]
struct Script {
    facts: ClusterFacts,
}

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let mut shown = String::new();
        match command.name.as_str() {
            "majority" => {
                self.facts.has_majority = args.next_pos().ok_or("yes or no")? == "yes";
            }
            "voter" => {
                let id: u64 = args.next_pos().ok_or("which voter?")?.parse()?;
                let leader = args.take_key("leader").map(str::parse).transpose()?;
                let applied = args.take_key("applied").unwrap_or("100").parse()?;
                let answer = match args.take_key("silent") {
                    Some(reason) => VoterAnswer::Silent { reason: reason.into() },
                    None => VoterAnswer::Answers { leader, term: 2, applied },
                };
                let address = format!("http://control-{id}:1");
                let trouble = args.take_key("trouble").unwrap_or_default().to_owned();
                self.facts.voters.push(VoterFacts { id, address, answer, trouble });
            }
            "node" => {
                let node_id = args.next_pos().ok_or("which node?")?.to_owned();
                let is_alive = args.take_key("alive") != Some("no");
                let address = format!("http://{node_id}:1");
                self.facts.nodes.push(NodeFacts { node_id, address, is_alive });
            }
            "replica" => {
                let shard = args.take_key("shard").ok_or("which shard?")?.parse()?;
                let version = ModelVersion::new("films", 1);
                match args.take_key("failed") {
                    None => self.facts.shards_without_replica.push((version, shard)),
                    Some(reason) => self.facts.failed_replicas.push(FailedReplica {
                        version,
                        shard,
                        node_id: args.take_key("node").ok_or("on which node?")?.into(),
                        reason: reason.into(),
                    }),
                }
            }
            "untold" => {
                self.facts.untold.push(("chat".into(), "3 wait: connection refused".into()));
            }
            "report" => {
                let node_id = args.next_pos().ok_or("which node?")?.to_owned();
                let slow = args.take_key("slow").map(str::parse).transpose()?;
                let slow = slow.map(|write_ms| LastingTrouble {
                    trouble: Trouble::DiskSlow { write_ms },
                    for_ms: 1_000,
                });
                let troubles = slow.into_iter().collect();
                let report = NodeReport { node_id, troubles, ..NodeReport::default() };
                let age_ms = args.take_key("age_ms").unwrap_or("400").parse()?;
                self.facts.reports.push(ReceivedReport { report, age_ms });
            }
            "every_trouble" => {
                let lasting = |trouble| LastingTrouble { trouble, for_ms: 61_000 };
                let troubles = every_trouble().into_iter().map(lasting).collect();
                let report =
                    NodeReport { node_id: "node-1".into(), troubles, ..NodeReport::default() };
                self.facts.reports.push(ReceivedReport { report, age_ms: 1_000 });
            }
            "diagnose" => {
                for Diagnosis { severity, subject, what, for_ms, advice } in diagnose(&self.facts) {
                    let lasted = for_ms.map_or(String::new(), |ms| format!(" ({ms} ms)"));
                    writeln!(shown, "{} {subject}{lasted}: {what}", severity.name())?;
                    writeln!(shown, "    next: {advice}")?;
                }
                if shown.is_empty() {
                    shown = "nothing is wrong".into();
                }
            }
            other => return Err(format!("unknown command {other:?}").into()),
        }
        args.reject_next()?;
        Ok(shown)
    }
}

/// One of each kind. The match below it does not compile without a new one.
fn every_trouble() -> Vec<Trouble> {
    let reason = || "no space left on device".to_owned();
    let all = vec![
        Trouble::DiskLow { free_bytes: 100 << 20, total_bytes: 8 << 30 },
        Trouble::DiskFailed { reason: reason() },
        Trouble::DiskSlow { write_ms: 900 },
        Trouble::FileGone { path: "data/control.redb".into() },
        Trouble::LogFailed { log: LogName::Events, reason: reason() },
        Trouble::LogFailed { log: LogName::Quarantine, reason: reason() },
        Trouble::LogFailed { log: LogName::Exposures, reason: reason() },
        Trouble::LogLost { log: LogName::Events, records: 12 },
        Trouble::AuditFailed { reason: reason() },
        Trouble::VoterFailed { reason: reason() },
        Trouble::PlanUnwritten { reason: reason() },
        Trouble::PlanBehind { epoch: 7, newest: 9 },
        Trouble::ControlSilent { reason: "no answer in time".into() },
        Trouble::CertificateExpires { seconds_left: 3 * 86_400 },
        Trouble::CertificateFailed { reason: "ca.pem: no certificates".into() },
        Trouble::Refusing { calls: 77 },
        Trouble::NodeAvoided { node_id: "shard-2".into() },
        Trouble::NodeLeftOut { node_id: "shard-3".into() },
    ];
    for trouble in &all {
        match trouble {
            Trouble::DiskLow { .. }
            | Trouble::DiskFailed { .. }
            | Trouble::DiskSlow { .. }
            | Trouble::FileGone { .. }
            | Trouble::LogFailed { .. }
            | Trouble::LogLost { .. }
            | Trouble::AuditFailed { .. }
            | Trouble::VoterFailed { .. }
            | Trouble::PlanUnwritten { .. }
            | Trouble::PlanBehind { .. }
            | Trouble::ControlSilent { .. }
            | Trouble::CertificateExpires { .. }
            | Trouble::CertificateFailed { .. }
            | Trouble::Refusing { .. }
            | Trouble::NodeAvoided { .. }
            | Trouble::NodeLeftOut { .. } => {}
        }
    }
    all
}

fn script(name: &str) {
    goldenscript::run(&mut Script::default(), format!("tests/trouble/{name}")).expect("the script");
}

#[test]
fn what_is_said_of_voters() {
    script("voters");
}

#[test]
fn what_is_said_of_nodes() {
    script("nodes");
}

#[test]
fn what_is_said_of_each_trouble() {
    script("troubles");
}

#[test]
fn a_trouble_lasts_while_it_is_noted_whatever_its_numbers() {
    let mut tracker = TroubleTracker::default();
    let slow = |write_ms| Trouble::DiskSlow { write_ms };
    let avoided = |node: &str| Trouble::NodeAvoided { node_id: node.into() };
    let for_ms = |lasting: Vec<LastingTrouble>| -> Vec<u64> {
        lasting.into_iter().map(|it| it.for_ms).collect()
    };
    assert_eq!(for_ms(tracker.note(1_000, vec![slow(600), avoided("a")])), [0, 0]);
    assert_eq!(for_ms(tracker.note(3_000, vec![slow(900), avoided("b")])), [2_000, 0]);
    assert_eq!(for_ms(tracker.note(4_000, vec![avoided("b"), avoided("a")])), [1_000, 0]);
    assert_eq!(for_ms(tracker.note(5_000, vec![slow(700)])), [0], "it was well in between");
    let many = (0..2 * MAX_TROUBLES).map(|n| avoided(&n.to_string())).collect();
    assert_eq!(tracker.note(6_000, many).len(), MAX_TROUBLES);
}

#[test]
fn every_kind_and_subject_is_told_from_the_others() {
    let all = every_trouble();
    let keys: std::collections::BTreeSet<_> = all.iter().map(Trouble::key).collect();
    assert_eq!(keys.len(), all.len());
}

#[test]
fn thresholds_of_disks_and_certificates() {
    let disk =
        |free: u64, total: u64| DiskSpace { free_bytes: free << 20, total_bytes: total << 20 };
    assert!(disk(100, 10_000).is_low());
    assert!(!disk(100, 1_000).is_low(), "a tenth of a small disk");
    assert!(!disk(300, 1_000_000).is_low(), "enough to go on for a while");
    let day = 24 * 3_600;
    assert!(expires_soon(6 * day, 365 * day));
    assert!(!expires_soon(8 * day, 365 * day));
    assert!(!expires_soon(1_200, 3_600), "renewed by itself after two thirds of an hour");
    assert!(expires_soon(600, 3_600));
    assert_eq!(bounded_reason(&"ä".repeat(400)).len(), MAX_REASON_BYTES);
}
