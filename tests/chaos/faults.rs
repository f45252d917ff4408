//! The faults: how each is made and mended, and what `status` must say of it.

use crate::case::{Case, Needs};
use crate::load::flood;
use crate::machine::succeeds;
use crate::support::eventually;
use crate::world::{CONTROL, ROUTERS, SHARDS, World};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Those that need no rights, and seconds.
pub(crate) fn short() -> Vec<Case> {
    let wanted =
        ["a shard node is killed", "the leader of control is stopped", "no room for events"];
    all().into_iter().filter(|case| wanted.contains(&case.name)).collect()
}

/// A case by its parts.
macro_rules! case {
    ($name:literal, $needs:ident, $says:expr, |$world:ident| $make:expr, |$again:ident| $mend:expr) => {
        Case {
            name: $name,
            needs: Needs::$needs,
            says: $says,
            make: |$world| Box::pin(async move { $make }),
            mend: |$again| {
                Box::pin(async move {
                    $mend;
                    String::new()
                })
            },
        }
    };
}

/// All faults, in the order in which they are run.
pub(crate) fn all() -> Vec<Case> {
    let mut all = processes();
    all.extend(networks());
    all.extend(disks());
    all.extend(work());
    all
}

fn processes() -> Vec<Case> {
    vec![
        case!(
            "a shard node is killed",
            Nothing,
            Some("does not report"),
            |world| kill(world, "shard-1"),
            |world| world.server("shard-1").restart()
        ),
        case!(
            "the leader of control is killed",
            Nothing,
            Some("does not answer"),
            |world| {
                let leader = world.leader().await;
                kill(world, leader);
                voter(leader)
            },
            |world| restart_all_control(world)
        ),
        case!(
            "a router is killed",
            Nothing,
            Some("does not report"),
            |world| kill(world, "router-1"),
            |world| world.server("router-1").restart()
        ),
        case!(
            "a shard node is stopped",
            Nothing,
            Some("does not report"),
            |world| freeze(world, "shard-1"),
            |world| world.server("shard-1").thaw()
        ),
        case!(
            "the leader of control is stopped",
            Nothing,
            Some("does not answer"),
            |world| {
                let leader = world.leader().await;
                freeze(world, leader);
                voter(leader)
            },
            |world| CONTROL.iter().for_each(|name| world.server(name).thaw())
        ),
        case!(
            "a router is stopped",
            Nothing,
            Some("does not report"),
            |world| freeze(world, "router-1"),
            |world| world.server("router-1").thaw()
        ),
        case!(
            "a shard node runs 50 of each 200 ms",
            Nothing,
            None,
            |world| {
                run_by_halves(world, "shard-1").await;
                "shard-1".into()
            },
            |world| world.server("shard-1").thaw()
        ),
    ]
}

fn networks() -> Vec<Case> {
    vec![
        case!(
            "router to shard node is cut",
            Networks,
            Some("shard-1"),
            |world| cut(world, "router-1", &["shard-1"]),
            |world| world.machine.join_again("router-1", "shard-1")
        ),
        case!(
            "shard node to router is cut",
            Networks,
            Some("shard-1"),
            |world| {
                cut(world, "shard-1", &["router-1"]);
                "router-1".into()
            },
            |world| world.machine.join_again("shard-1", "router-1")
        ),
        case!(
            "a voter is cut off in both directions",
            Networks,
            Some("no leader"),
            |world| {
                cut(world, "control-3", &["control-1", "control-2"]);
                cut(world, "control-1", &["control-3"]);
                cut(world, "control-2", &["control-3"]);
                "voter 3".into()
            },
            |world| {
                for other in ["control-1", "control-2"] {
                    world.machine.join_again("control-3", other);
                    world.machine.join_again(other, "control-3");
                }
            }
        ),
        case!(
            "what control-1 sends to voters is cut",
            Networks,
            Some("no leader"),
            |world| {
                cut(world, "control-1", &["control-2", "control-3"]);
                "voter 1".into()
            },
            |world| {
                for other in ["control-2", "control-3"] {
                    world.machine.join_again("control-1", other);
                }
            }
        ),
        case!(
            "shard node to all of control is cut",
            Networks,
            Some("does not report"),
            |world| cut(world, "shard-2", &CONTROL),
            |world| CONTROL.iter().for_each(|name| world.machine.join_again("shard-2", name))
        ),
    ]
}

fn disks() -> Vec<Case> {
    vec![
        case!(
            "no room for events",
            Nothing,
            Some("cannot be written"),
            |world| {
                world.server("router-1").expect_errors();
                fill(world, "router-1");
                "router-1".into()
            },
            |world| make_room(world, "router-1")
        ),
        case!(
            "no room for a voter",
            Disks,
            Some("cannot be written"),
            |world| {
                world.server("control-3").expect_errors();
                fill(world, "control-3");
                "control-3".into()
            },
            |world| make_room(world, "control-3")
        ),
        case!(
            "a shard node's disk is read-only",
            Disks,
            Some("cannot be written"),
            |world| {
                world.server("shard-1").expect_errors();
                set_read_only(world, true).await;
                "shard-1".into()
            },
            |world| set_read_only(world, false).await
        ),
        case!(
            "the directory of events vanishes",
            Nothing,
            Some("went on without"),
            |world| {
                world.server("router-2").expect_errors();
                let (events, elsewhere) = moved(world, "router-2", "events");
                std::fs::rename(events, &elsewhere).expect("moved");
                world.moved_events.push(elsewhere);
                "router-2".into()
            },
            |world| {
                assert!(world.server("router-2").stop().success());
                world.server("router-2").restart();
            }
        ),
        case!(
            "a voter's disk is emptied",
            Nothing,
            Some("oter"),
            |world| {
                let follower = world.follower().await;
                kill(world, follower);
                world.server(follower).expect_errors();
                let (data, elsewhere) = moved(world, follower, "");
                std::fs::rename(data, elsewhere).expect("moved");
                world.server(follower).restart();
                after_the_start().await;
                follower.rsplit('-').next().expect("a number").into()
            },
            |world| put_back(world)
        ),
        case!(
            "bits of a voter's store are flipped",
            Nothing,
            Some("does not answer"),
            |world| {
                let follower = world.follower().await;
                kill(world, follower);
                world.server(follower).expect_errors();
                let store = world.data_dir(follower).join("control.redb");
                flip_pages(&store);
                world.server(follower).restart();
                after_the_start().await;
                voter(follower)
            },
            |world| {
                for name in ["control-1", "control-2"] {
                    let store = world.data_dir(name).join("control.redb");
                    if store.with_extension("whole").exists() {
                        world.server(name).kill();
                        unflip(&store);
                        world.server(name).restart();
                    }
                }
            }
        ),
        case!(
            "a byte of the log of events is flipped",
            Nothing,
            Some("cannot be written"),
            |world| {
                world.server("router-2").expect_errors();
                assert!(world.server("router-2").stop().success());
                flip(&segment(world, "router-2"));
                world.server("router-2").restart();
                "router-2".into()
            },
            |world| {
                assert!(world.server("router-2").stop().success());
                unflip(&segment(world, "router-2"));
                world.server("router-2").restart();
            }
        ),
        case!(
            "a byte of a private copy is flipped",
            Nothing,
            None,
            |world| {
                kill(world, "shard-3");
                flip_copy(world, "shard-3");
                world.server("shard-3").restart();
                "shard-3".into()
            },
            |world| world.server("shard-3").thaw()
        ),
    ]
}

fn work() -> Vec<Case> {
    vec![
        case!(
            "more calls than can be answered",
            Nothing,
            None,
            |world| overload(world).await,
            |world| world.server("router-1").thaw()
        ),
        case!(
            "rolling restart of all nodes",
            Nothing,
            None,
            |world| {
                for name in CONTROL.iter().chain(&SHARDS).chain(&ROUTERS) {
                    assert!(world.server(name).stop().success(), "{name} ends well");
                    world.server(name).restart();
                    eventually("nothing is wrong", || async { world.status().await.is_well }).await;
                }
                String::new()
            },
            |world| world.server("router-1").thaw()
        ),
        case!(
            "three rollouts under load",
            Nothing,
            None,
            |world| {
                for factors in [6, 8, 10] {
                    roll_out(world, factors).await;
                }
                String::new()
            },
            |world| world.server("router-1").thaw()
        ),
    ]
}

/// Waits until a process that was just started would answer: that it does not yet is no trouble that counts.
async fn after_the_start() {
    tokio::time::sleep(Duration::from_secs(4)).await;
}

fn kill(world: &mut World, name: &str) -> String {
    world.server(name).kill();
    name.into()
}

fn freeze(world: &mut World, name: &str) -> String {
    world.server(name).freeze();
    name.into()
}

/// What `status` calls the voter of a control node.
fn voter(name: &str) -> String {
    format!("voter {}", name.rsplit('-').next().expect("a number"))
}

/// Starts those control nodes that do not run.
fn restart_all_control(world: &mut World) {
    for name in CONTROL {
        if !world.server(name).is_running() {
            world.server(name).restart();
        }
    }
}

/// Stops a process for 150 of each 200 ms, for six seconds.
async fn run_by_halves(world: &mut World, name: &str) {
    for _ in 0..30 {
        world.server(name).freeze();
        tokio::time::sleep(Duration::from_millis(150)).await;
        world.server(name).thaw();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn cut(world: &mut World, from: &str, to: &[&str]) -> String {
    for to in to {
        world.machine.cut(from, to);
    }
    from.into()
}

/// Leaves a node no room on its disk: a file fills it, or, where it has none of its own, its process may write no larger
/// files than it has.
fn fill(world: &mut World, name: &str) {
    let data = world.data_dir(name);
    if world.machine.has_disks() {
        let mut ballast = std::fs::File::create(data.join("ballast")).expect("a file");
        let block = vec![1; 64 << 10];
        while std::io::Write::write_all(&mut ballast, &block).is_ok() {}
        while std::io::Write::write_all(&mut ballast, &[1]).is_ok() {}
    } else {
        let process = world.server(name).process_id().to_string();
        assert!(succeeds("prlimit", &["--pid", &process, "--fsize=1024:"]), "prlimit is there");
    }
}

fn make_room(world: &mut World, name: &str) {
    if world.machine.has_disks() {
        std::fs::remove_file(world.data_dir(name).join("ballast")).expect("it was made");
    } else {
        let process = world.server(name).process_id().to_string();
        assert!(succeeds("prlimit", &["--pid", &process, "--fsize=unlimited:"]));
    }
}

async fn set_read_only(world: &mut World, is_read_only: bool) {
    let data = world.data_dir("shard-1");
    // The probe's file is open for writing for moments.
    for _ in 0..200 {
        let option = if is_read_only { "remount,ro" } else { "remount,rw" };
        if succeeds("mount", &["-o", option, &data.display().to_string()]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(17)).await;
    }
    world.machine.set_read_only(&data, is_read_only);
}

/// A directory of a node, and where it is moved to.
fn moved(world: &World, name: &str, directory: &str) -> (PathBuf, PathBuf) {
    let from = world.data_dir(name).join(directory);
    let to = world.bundles.path().join(format!("elsewhere-{name}"));
    (from, to)
}

/// Puts the data directories back that were moved away.
fn put_back(world: &mut World) {
    for name in CONTROL {
        let (data, elsewhere) = moved(world, name, "");
        if elsewhere.exists() {
            world.server(name).kill();
            std::fs::remove_dir_all(&data).expect("the emptied one");
            std::fs::rename(elsewhere, data).expect("put back");
            world.server(name).restart();
        }
    }
}

/// Flips a bit in a file, of which a copy is kept.
fn flip(path: &Path) {
    std::fs::copy(path, path.with_extension("whole")).expect("copied");
    let mut bytes = std::fs::read(path).expect("a file");
    let at = bytes.len() / 3;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).expect("written");
}

/// Flips a bit in each page of a file behind the first that has content, of which a copy is kept: which of the pages are in use
/// is not known.
fn flip_pages(path: &Path) {
    std::fs::copy(path, path.with_extension("whole")).expect("copied");
    let mut bytes = std::fs::read(path).expect("a file");
    for page in bytes.chunks_mut(4 << 10).skip(1) {
        if let Some(byte) = page.iter_mut().find(|byte| **byte != 0) {
            *byte ^= 0x10;
        }
    }
    std::fs::write(path, bytes).expect("written");
}

fn unflip(path: &Path) {
    std::fs::rename(path.with_extension("whole"), path).expect("put back");
}

/// The first segment of a router's events.
fn segment(world: &World, name: &str) -> PathBuf {
    let events = world.data_dir(name).join("events");
    let mut segments: Vec<PathBuf> = std::fs::read_dir(events)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    segments.sort();
    segments.remove(0)
}

/// Flips a bit in the largest file that a shard node has copied.
fn flip_copy(world: &World, name: &str) {
    let mut files = Vec::new();
    let mut directories = vec![world.data_dir(name).join("bundles")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    let largest =
        files.into_iter().max_by_key(|path| std::fs::metadata(path).map_or(0, |it| it.len()));
    let path = largest.expect("a copy");
    let mut bytes = std::fs::read(&path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    // Copies may be read-only.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, bytes).expect("written");
}

/// Calls by far more callers than the routers can serve. Where they refused calls, `status` must have said so.
async fn overload(world: &mut World) -> String {
    let has_said = Arc::new(AtomicBool::new(false));
    let routers = world.routers();
    let flooding = tokio::spawn(async move { flood(&routers, 600, Duration::from_secs(8)).await });
    while !flooding.is_finished() {
        let status = world.status().await;
        if status.troubles.iter().any(|it| it.contains("refuses calls")) {
            has_said.store(true, Ordering::Relaxed);
        }
    }
    let (answered, refused) = flooding.await.expect("no panic");
    eprintln!("{answered} answered and {refused} refused in 8 s");
    let must_say = refused > 200;
    assert!(
        !must_say || has_said.load(Ordering::Relaxed),
        "{refused} were refused: nobody said so"
    );
    String::new()
}

/// Publishes a new version and rolls it out in steps.
async fn roll_out(world: &mut World, factors: usize) {
    let bundle = world.bundles.train(factors, 4);
    let published = world.ctl(&["publish", &bundle.display().to_string(), "--force", "--json"]);
    let published: serde_json::Value = serde_json::from_str(&published).expect("JSON");
    let candidate = format!("films@{}", published["version"]);
    let steps = "10%:1s,50%:1s,100%:0s";
    world.ctl(&["rollout", "start", "--candidate", &candidate, "--steps", steps, "--no-gates"]);
    eventually("the candidate is live", || async {
        let plan = world.ctl(&["plan", "--json"]);
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap_or_default();
        let surfaces = plan["surfaces"].as_array().cloned().unwrap_or_default();
        surfaces.iter().any(|surface| surface["ensemble"] == candidate.as_str())
    })
    .await;
}
