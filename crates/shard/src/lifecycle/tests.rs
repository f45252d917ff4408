//! Golden scripts, in `tests/lifecycle`: each event, what it makes the node do, and what is reported.

use super::replica::retry_wait_ms;
use super::*;
use crate::replica_key::ReplicaKey;
use goldenscript::{Command, Context};
use marquee_core::id::ModelVersion;
use marquee_core::plan::PlannedReplica;
use std::error::Error;
use std::fmt::Write as _;

/// Plays a script: every command is an event, and prints what to do and what is reported.
struct Script {
    lifecycle: Lifecycle,
    now_ms: u64,
}

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let event = match command.name.as_str() {
            "limits" => {
                let memory_budget_bytes = args.take_key("budget").unwrap_or("0").parse()?;
                let parallel_work = args.take_key("work").unwrap_or("1").parse()?;
                self.lifecycle =
                    Lifecycle::new(ReplicaLimits { memory_budget_bytes, parallel_work });
                args.reject_next()?;
                return Ok(String::new());
            }
            "at" => {
                self.now_ms = args.next_pos().ok_or("at what time?")?.parse()?;
                LifecycleEvent::Tick
            }
            "plan" => {
                let mut wanted = WantedReplicas::new();
                while let Some((key, digest)) = args.next_key() {
                    wanted.insert(key_of(key)?, source(digest));
                }
                LifecycleEvent::Planned(wanted)
            }
            "inspected" => {
                let version = args.next_pos().ok_or("which version?")?.parse()?;
                let digest = args.take_key("digest").unwrap_or("a").to_owned();
                let mut bytes = Vec::new();
                while let Some(shard) = args.next_pos() {
                    bytes.push(shard.parse()?);
                }
                let outcome = args.take_key("error").map_or(Ok(bytes), |e| Err(e.to_owned()));
                LifecycleEvent::Inspected { version, digest, outcome }
            }
            "loaded" => {
                let key = key_of(args.next_pos().ok_or("which replica?")?)?;
                let outcome = args.take_key("error").map_or(Ok(()), |e| Err(e.to_owned()));
                LifecycleEvent::Loaded { key, outcome }
            }
            "freed" => {
                LifecycleEvent::Freed { key: key_of(args.next_pos().ok_or("which replica?")?)? }
            }
            "failed" => {
                LifecycleEvent::Failed { key: key_of(args.next_pos().ok_or("which replica?")?)? }
            }
            name => return Err(format!("unknown command {name:?}").into()),
        };
        args.reject_next()?;
        self.step(event)
    }
}

impl Script {
    fn step(&mut self, event: LifecycleEvent) -> Result<String, Box<dyn Error>> {
        let mut out = String::new();
        for action in self.lifecycle.step(event, self.now_ms) {
            match action {
                LifecycleAction::Inspect { version, source } => {
                    writeln!(out, "-> inspect {version} digest={}", source.digest)?;
                }
                LifecycleAction::Load { key, .. } => writeln!(out, "-> load {key}")?,
                LifecycleAction::Serve { key } => writeln!(out, "-> serve {key}")?,
                LifecycleAction::Unload { key } => writeln!(out, "-> unload {key}")?,
            }
        }
        for report in self.lifecycle.reports() {
            let PlannedReplica { state, reason } = report.replica;
            write!(out, "{}/{} {state}", report.version, report.shard)?;
            writeln!(out, "{}{reason}", if reason.is_empty() { "" } else { ": " })?;
        }
        if let Some(due_ms) = self.lifecycle.next_due_ms() {
            writeln!(out, "due at {due_ms}")?;
        }
        Ok(out)
    }
}

fn key_of(text: &str) -> Result<ReplicaKey, Box<dyn Error>> {
    let (version, shard) = text.split_once('/').ok_or("write model@version/shard")?;
    Ok(ReplicaKey::new(version.parse()?, shard.parse()?))
}

fn source(digest: &str) -> BundleSource {
    BundleSource { uri: "/bundles/films".into(), digest: digest.into() }
}

fn play(script: &str) {
    let limits = ReplicaLimits { memory_budget_bytes: 0, parallel_work: 1 };
    let mut runner = Script { lifecycle: Lifecycle::new(limits), now_ms: 0 };
    goldenscript::run(&mut runner, format!("tests/lifecycle/{script}")).expect("the script");
}

#[test]
fn load_and_unload() {
    play("load_and_unload");
}

#[test]
fn failures_are_retried() {
    play("failures_are_retried");
}

#[test]
fn memory_budget() {
    play("memory_budget");
}

#[test]
fn another_bundle_under_the_same_name() {
    play("another_bundle_under_the_same_name");
}

#[test]
fn another_place_of_a_bundle_that_failed_is_tried_at_once() {
    let mut lifecycle = Lifecycle::new(ReplicaLimits { memory_budget_bytes: 0, parallel_work: 1 });
    let key = ReplicaKey::new(ModelVersion::new("films", 1), 0);
    let (version, digest) = (key.version.clone(), "a".to_owned());
    let at = |uri: &str| {
        let source = BundleSource { uri: uri.into(), digest: "a".into() };
        LifecycleEvent::Planned([(key.clone(), source)].into())
    };
    lifecycle.step(at("/bundles/broken"), 0);
    let outcome = Err("a checksum is wrong".to_owned());
    lifecycle.step(LifecycleEvent::Inspected { version, digest, outcome }, 0);
    assert!(lifecycle.step(at("/bundles/broken"), 1).is_empty(), "it waits to be tried again");
    let actions = lifecycle.step(at("/bundles/copy"), 2);
    let [LifecycleAction::Inspect { source, .. }] = &*actions else { panic!("{actions:?}") };
    assert_eq!(source.uri, "/bundles/copy");
}

#[test]
fn waits_double_up_to_a_minute() {
    let waits: Vec<u64> = (0..8).map(retry_wait_ms).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    assert_eq!(retry_wait_ms(u32::MAX), 60_000);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut lifecycle = Lifecycle::new(ReplicaLimits { memory_budget_bytes: 0, parallel_work: 1 });
    let key = ReplicaKey::new(ModelVersion::new("films", 1), 0);
    lifecycle.step(LifecycleEvent::Planned([(key.clone(), source("a"))].into()), 0);
    let outcome = Err("é".repeat(10_000));
    let version = key.version.clone();
    lifecycle.step(LifecycleEvent::Inspected { version, digest: "a".into(), outcome }, 0);
    assert_eq!(lifecycle.reports()[0].replica.reason, "é".repeat(MAX_REASON_BYTES / 2));
}
