//! Each bug that can be planted is found: a process of its own runs runs with it until one fails.

use marquee_core::planted::{PlantedBug, plant};
use std::process::Command;
use std::sync::Mutex;

/// Runs within which a bug must be found.
const SEEDS: u64 = 1_000;
/// Processes at once.
const PARALLEL: usize = 2;
/// What names the bug of a process.
const VARIABLE: &str = "SIMULATION_BUG";

/// Plants the bug that the environment names, if it names one.
pub(crate) fn plant_bug_of_environment() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    let bug = PlantedBug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    plant(Some(bug.unwrap_or_else(|| panic!("{VARIABLE} is {name:?}: there is no such bug"))));
}

/// The first seed whose run fails with a bug, and how.
fn found(bug: PlantedBug) -> Option<(String, String)> {
    let program = std::env::current_exe().expect("this very program");
    let output = Command::new(program)
        .args(["--exact", super::RUNS, "--nocapture"])
        .env(VARIABLE, format!("{bug:?}"))
        .env("SIMULATION_SEEDS", SEEDS.to_string())
        .env("RUST_BACKTRACE", "0")
        .env_remove("SIMULATION_SEED")
        .output()
        .expect("it was started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let seed = text.lines().find_map(|line| line.strip_prefix("failed with SIMULATION_SEED="))?;
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    Some((seed.to_owned(), lines.next().unwrap_or_default().chars().take(150).collect()))
}

#[test]
fn every_planted_bug_is_found() {
    if std::env::var(VARIABLE).is_ok() {
        return;
    }
    let waiting = Mutex::new(PlantedBug::ALL.to_vec());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(bug) = { waiting.lock().expect("no panic").pop() } {
                    match found(bug) {
                        Some((seed, how)) => println!("{bug:?}: seed {seed}: {how}"),
                        None => missed.lock().expect("no panic").push(bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no panic");
    assert!(missed.is_empty(), "not found within {SEEDS} runs: {missed:?}");
}
