//! The voters of a raft group over a simulated network: drops, duplicates, delays, partitions,
//! crashes that lose what was not synced, restarts.
//!
//! The voters, their stores and the database under them are the real ones; time, the network and
//! the disks are made up, and every history follows from its seed. A failure prints the seed.

mod disk;
mod journal;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use world::World;

/// Histories of each group size.
const SEEDS: std::ops::Range<u64> = 0..12;
/// Virtual milliseconds of trouble in each.
const STORM_MS: u64 = 12_000;
/// Virtual milliseconds within which a healed group must have done all that was asked of it: some
/// elections and the longest wait of a client.
const HEAL_MS: u64 = 10_000;

fn histories(voters: u64) {
    let (mut acknowledged, mut reads, mut snapshots) = (0, 0, 0);
    for seed in SEEDS {
        let history = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(seed, voters);
            for _ in 0..2 {
                world.storm(STORM_MS / 2);
                world.heal(HEAL_MS);
                world.check_acknowledged();
            }
            world.tally
        }));
        match history {
            Ok(tally) => {
                println!("seed {seed}: {tally:?}");
                acknowledged += tally.acknowledged;
                reads += tally.reads;
                snapshots += tally.snapshots_sent;
            }
            Err(panic) => {
                eprintln!("failed with {voters} voters and seed {seed}");
                resume_unwind(panic);
            }
        }
    }
    // A storm too heavy for anything to happen would prove nothing.
    let histories = SEEDS.count();
    assert!(acknowledged > 50 * histories, "{acknowledged} commands in {histories} histories");
    assert!(reads > 50 * histories, "{reads} reads in {histories} histories");
    assert!(voters == 1 || snapshots > histories, "{snapshots} snapshots in {histories} histories");
}

#[test]
fn three_voters_lose_nothing_committed() {
    histories(3);
}

#[test]
fn five_voters_lose_nothing_committed() {
    histories(5);
}

#[test]
fn a_voter_alone_loses_nothing_committed() {
    histories(1);
}
