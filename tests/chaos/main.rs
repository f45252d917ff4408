//! Faults over real processes: what callers notice, what is lost, how long it takes to recover, and what
//! `marquee ctl status` says meanwhile.
//!
//! A cluster of three control nodes, three shard nodes and two routers is called, sent events, and changed all the time.
//! One fault after another is made and mended ([`faults`]); each is a row of the table that is printed. Where the user
//! may make network namespaces and mount disks of memory, each process has a network and a disk of its own, which are cut
//! and filled ([`machine`]); elsewhere faults that need these are named as not run.
//!
//! A run fails where an acknowledged event or change is lost, an answer mixes versions, a fault is not recovered from
//! within its bound, or `status` is silent about it. `make test` runs the short form, `make chaos` all of it.

mod case;
mod faults;
mod load;
mod machine;
#[allow(dead_code)] // shared with the scenarios, of which this uses a part
#[path = "../processes/support/mod.rs"]
mod support;
mod world;

use case::{Case, Report};
use world::World;

/// A few faults that need no rights and little time.
#[tokio::test(flavor = "multi_thread")]
async fn single_faults_lose_nothing_and_status_names_them() {
    run(faults::short()).await;
}

/// All faults; minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make chaos"]
async fn all_faults() {
    run(faults::all()).await;
}

async fn run(cases: Vec<Case>) {
    let mut world = World::start().await;
    let mut report = Report::begin(&world).await;
    // One or some of them, by a part of their names.
    let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        report.add(case.run(&mut world).await).await;
    }
    report.end(world).await;
}
