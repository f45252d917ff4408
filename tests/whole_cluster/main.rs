//! A whole cluster in one thread: real voters, stores, leader's duties, plan floors, replica lifecycles, routers and logs of
//! events, over a network, clocks and disks that are made up.
//!
//! Every run follows from its seed. The network delays, drops, duplicates and cuts, in one direction too; processes crash
//! in the middle of a write; disks lose what was not synced, or all; clocks differ; loaders fail. Meanwhile an operator publishes versions and
//! rolls them out, some of which answer nothing, and callers ask. What must hold is in `checks`, `world` and `events`.
//!
//! `SIMULATION_SEEDS` says how many runs; `make simulate SEEDS=10000` runs as many. A failure prints its seed, and
//! `SIMULATION_SEED` runs that one alone.

mod chance;
mod checks;
#[path = "../../crates/control/tests/simulation/disk.rs"]
mod disk;
mod events;
#[expect(dead_code, reason = "tests of routers need more of it")]
mod fakes;
mod follower;
mod links;
mod operator;
mod planted;
mod routers;
mod shards;
mod trace;
mod voters;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use trace::Trace;
use world::World;

/// The test that runs runs.
const RUNS: &str = "a_cluster_keeps_its_word_whatever_happens";
/// Runs in `make test`.
const DEFAULT_SEEDS: u64 = 200;
/// Runs at once, each in a thread of its own.
const PARALLEL: usize = 2;
/// Virtual milliseconds of trouble in each run.
const STORM_MS: u64 = 14_000;
/// Virtual milliseconds within which a healed cluster must have done all that was asked.
const HEAL_MS: u64 = 30_000;

/// Makes the run of a seed; returns its trace and what it came to.
fn run(seed: u64) -> (Trace, String) {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // One after another, so that the world can wait for all of it.
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.begin().await;
        world.storm(STORM_MS).await;
        if seed.is_multiple_of(2) {
            world.lose_a_disk().await;
            world.storm(STORM_MS / 2).await;
        }
        for _ in 0..3 {
            world.contest_an_election().await;
        }
        world.heal(HEAL_MS).await;
        world.roll_out().await;
        world.lose_one_node().await;
        world.heal(HEAL_MS).await;
        world.check_end();
        (world.trace.clone(), world.summary())
    })
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

#[test]
fn a_cluster_keeps_its_word_whatever_happens() {
    planted::plant_bug_of_environment();
    let seeds: Vec<u64> = match number_of("SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number_of("SIMULATION_SEEDS").unwrap_or(DEFAULT_SEEDS)).collect(),
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch_unwind(AssertUnwindSafe(|| run(*seed))) {
                        Ok((trace, summary)) => {
                            println!("seed {seed}: {}: {summary}", trace.digest())
                        }
                        Err(panic) => {
                            next.store(seeds.len(), Ordering::Relaxed);
                            eprintln!("failed with SIMULATION_SEED={seed}");
                            resume_unwind(panic);
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn the_same_seed_makes_the_same_history() {
    for seed in 0..4 {
        let (first, second) = (run(seed).0, run(seed).0);
        let mut both = first.lines.iter().zip(&second.lines);
        if let Some(at) = both.position(|(first, second)| first != second) {
            let some =
                |trace: &Trace| trace.lines[at..].iter().take(12).cloned().collect::<Vec<_>>();
            panic!("seed {seed} differs: {:#?}, and {:#?}", some(&first), some(&second));
        }
        assert_eq!(first.lines.len(), second.lines.len(), "seed {seed}");
    }
}
