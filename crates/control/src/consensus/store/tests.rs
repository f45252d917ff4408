//! A store keeps what it was given, loses nothing that was synced, and is not fooled by its bytes.

use super::torn_disk::TornDisk;
use super::*;
use std::collections::BTreeMap;
use tempfile::TempDir;

fn identity() -> Identity {
    Identity { id: 1, cluster: 7, voters: vec![1, 2, 3] }
}

fn genesis(state: &[u8]) -> Genesis {
    Genesis { state: state.to_vec(), disk: DiskId::of_number(1) }
}

fn packed(state: &'static str) -> Packed {
    let members = Membership::founding(&[1, 2, 3], GENESIS);
    Packed { members, chain: None, data: state.into() }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, data: format!("entry {index}.{term}").into(), ..Entry::default() }
}

fn hard_state(term: u64, commit: u64) -> HardState {
    HardState { term, vote: 2, commit, ..HardState::default() }
}

/// Everything that a store must keep.
#[derive(Clone, Debug, PartialEq)]
struct Contents {
    before: LogPosition,
    entries: Vec<Entry>,
    hard_state: HardState,
    snapshot: (LogPosition, Bytes),
}

fn contents(store: &Store) -> Contents {
    let (low, high) = (store.log.first_index(), store.last().index + 1);
    Contents {
        before: store.log.before(),
        entries: store.log.slice(low, high, None).expect("held"),
        hard_state: store.hard_state.clone(),
        snapshot: (store.snapshot, store.read_snapshot().expect("held")),
    }
}

/// A life in steps: appending, overwriting, committing, compacting, being sent a snapshot.
fn live(store: &mut Store, step: u64) -> Result<(), StoreError> {
    let write = |store: &mut Store, entries: &[Entry], term, commit| {
        let hard_state = Some(&hard_state(term, commit)).cloned();
        let batch = Batch { snapshot: None, entries, hard_state: hard_state.as_ref() };
        store.write(&batch)
    };
    match step {
        0 => write(store, &[entry(2, 2), entry(3, 2), entry(4, 2)], 2, 1),
        1 => write(store, &[entry(3, 3), entry(4, 3), entry(5, 3)], 3, 2),
        2 => {
            store.set_commit(4);
            store.sync_commit()
        }
        3 => store.compact(4, &packed("state at 4"), 1),
        4 => write(store, &[entry(6, 3)], 3, 5),
        5 => {
            let snapshot =
                wire::pack_snapshot(LogPosition { index: 20, term: 5 }, &packed("state at 20"));
            let entries = [entry(21, 5)];
            let hard_state = Some(&hard_state(5, 20)).cloned();
            let batch = Batch {
                snapshot: Some(&snapshot),
                entries: &entries,
                hard_state: hard_state.as_ref(),
            };
            store.write(&batch)
        }
        _ => unreachable!("a life has six steps"),
    }
}

const STEPS: u64 = 6;

#[test]
fn what_was_written_is_there_after_opening_again() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store");
    let mut last = contents(&Store::open(&path, &identity(), &genesis(b"genesis")).expect("new"));
    assert_eq!(last.snapshot, (LogPosition { index: 1, term: 1 }, "genesis".into()));
    for step in 0..STEPS {
        let mut store =
            Store::open(&path, &identity(), &genesis(b"another genesis")).expect("ours");
        assert_eq!(contents(&store), last, "before step {step}");
        live(&mut store, step).expect("a healthy disk");
        last = contents(&store);
    }
    let store = Store::open(&path, &identity(), &genesis(b"")).expect("ours");
    assert_eq!(contents(&store), last);
    assert_eq!(last.snapshot, (LogPosition { index: 20, term: 5 }, "state at 20".into()));
    assert_eq!(last.entries, [entry(21, 5)]);
    let refused =
        Store::open(&path, &identity(), &genesis(b"")).expect_err("it is open").to_string();
    assert!(refused.contains("another process"), "{refused}");
}

#[test]
fn compaction_keeps_what_followers_may_need() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut store =
        Store::open(&directory.path().join("store"), &identity(), &genesis(b"")).expect("new");
    for step in 0..4 {
        live(&mut store, step).expect("a healthy disk");
    }
    let Contents { before, entries, snapshot, .. } = contents(&store);
    assert_eq!(before, LogPosition { index: 3, term: 3 });
    assert_eq!(entries, [entry(4, 3), entry(5, 3)]);
    assert_eq!(snapshot, (LogPosition { index: 4, term: 3 }, "state at 4".into()));
    let huge = Packed { data: vec![0; wire::MAX_SNAPSHOT_BYTES + 1].into(), ..packed("") };
    let refused = store.compact(4, &huge, 0).expect_err("too large");
    assert!(matches!(refused, StoreError::SnapshotTooLarge { .. }), "{refused}");
    assert_eq!(contents(&store).entries, entries);
}

// ---- crashes ----------------------------------------------------------------------------------

fn open(disk: &TornDisk) -> Result<Store, StoreError> {
    Store::open_backend(disk.clone(), Path::new("torn"), &identity(), &genesis(b"genesis"))
}

/// A disk on which the first steps of a life happened.
fn disk_after(steps: u64) -> (TornDisk, Contents) {
    let disk = TornDisk::default();
    let mut store = open(&disk).expect("a healthy disk");
    for step in 0..steps {
        live(&mut store, step).expect("a healthy disk");
    }
    let last = contents(&store);
    drop(store);
    (disk, last)
}

#[test]
fn a_disk_that_fails_at_any_moment_loses_nothing_that_was_said_to_be_kept() {
    for step in 0..STEPS {
        let (healthy, before) = disk_after(step);
        let (_, after) = disk_after(step + 1);
        // How much a step asks of the disk, then every place to fail at.
        let trial = healthy.crashed(|_| true);
        let mut store = open(&trial).expect("a healthy disk");
        let start = trial.image().done;
        live(&mut store, step).expect("a healthy disk");
        let asks = trial.image().done - start;
        drop(store);
        let mut failed = 0;
        for left in 0..asks {
            let disk = healthy.crashed(|_| true);
            let mut store = open(&disk).expect("a healthy disk");
            disk.image().left = Some(left);
            if live(&mut store, step).is_err() {
                failed += 1;
                assert_eq!(contents_in_memory(&store), contents_in_memory_of(&before));
            }
            // The process dies; what was not synced arrives in part, or not.
            for luck in 0..6_u64 {
                let crashed = disk.crashed(|n| (luck >> (n % 3)) & 1 == 1);
                let found = contents(&open(&crashed).expect("a crash leaves a sound store"));
                assert!(found == before || found == after, "step {step}, {left} writes: {found:?}");
            }
            drop(store);
        }
        assert!(failed > 0, "step {step} never failed");
    }
}

type InMemory = (LogPosition, Vec<Entry>, LogPosition);

fn contents_in_memory(store: &Store) -> InMemory {
    let (low, high) = (store.log.first_index(), store.last().index + 1);
    (store.log.before(), store.log.slice(low, high, None).expect("held"), store.snapshot)
}

fn contents_in_memory_of(contents: &Contents) -> InMemory {
    (contents.before, contents.entries.clone(), contents.snapshot.0)
}

// ---- hostile bytes ----------------------------------------------------------------------------

#[test]
fn flipped_bytes_are_noticed_or_do_not_matter() {
    let (disk, before) = disk_after(5);
    let bytes = disk.image().current.clone();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let mut noticed = 0;
    // Every byte of the header, and a spread of the rest.
    let spread =
        used.iter().copied().filter(|at| *at < 320).chain(used.iter().copied().step_by(101));
    for at in spread {
        for flip in [0x01, 0x80, 0xff] {
            let damaged = disk.crashed(|_| true);
            damaged.image().current[at] ^= flip;
            match open(&damaged) {
                Ok(store) => assert_eq!(contents(&store), before, "byte {at} ^ {flip:#x}"),
                Err(error) => {
                    noticed += 1;
                    assert!(error.to_string().contains("torn"), "{error}");
                }
            }
        }
    }
    assert!(noticed > 100, "only {noticed} flips were noticed");
}

#[test]
fn a_store_that_was_cut_short_is_refused() {
    let (disk, _) = disk_after(5);
    let length = disk.image().current.len();
    for keep in [1, 9, 63, 64, 320, 4_096, length / 2, length - 4_096, length - 1] {
        let damaged = disk.crashed(|_| true);
        damaged.image().current.truncate(keep);
        let error = open(&damaged).expect_err("cut short").to_string();
        assert!(error.contains("torn"), "{error}");
    }
}

/// Opens a sound database whose records were written in another way than ours.
fn forged(forge: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> String {
    let (disk, _) = disk_after(5);
    let database = builder().create_with_backend(disk.clone()).expect("sound");
    let write = begin_write(&database, Path::new("torn"), Durability::Immediate).expect("sound");
    forge(&write).expect("a healthy disk");
    write.commit().expect("a healthy disk");
    drop(database);
    match open(&disk) {
        Ok(store) => panic!("opened {:?}", contents(&store)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let meta = |key: &'static str, value: Vec<u8>| {
        forged(move |write| {
            write.open_table(META)?.insert(key, value.as_slice())?;
            Ok(())
        })
    };
    let numbers =
        |numbers: &[u64]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_le_bytes()).collect() };
    let mut identity = format::identity_bytes(&identity());
    let cut = identity[..20].to_vec();
    identity[8] = 3;
    let log = |index: u64, entry: Entry| {
        let bytes = wire::entry_to_wire(entry).encode_to_vec();
        forged(move |write| {
            write.open_table(LOG)?.insert(index, bytes.as_slice())?;
            Ok(())
        })
    };
    let empty = |table: &'static str| {
        forged(move |write| {
            match table {
                "meta" => write.open_table(META)?.retain(|_, _| false)?,
                _ => write.open_table(SNAPSHOT)?.retain(|_, _| false)?,
            }
            Ok(())
        })
    };
    let found: BTreeMap<&str, String> = [
        ("has format 3", meta("identity", identity)),
        ("cut short", meta("identity", cut)),
        ("magic", meta("identity", b"nonsense".to_vec())),
        ("\"hard_state\" has 23 bytes", meta(HARD_STATE, vec![0; 23])),
        ("the id of the disk is malformed", meta(format::DISK, vec![0; 16])),
        ("the members cannot be read", meta(MEMBERS, vec![0xff; 9])),
        ("the hash of the chain is malformed", meta(CHAIN, vec![1; 31])),
        ("commit 99 is not between", meta(HARD_STATE, numbers(&[9, 0, 99]))),
        ("commit 1 is not between", meta(HARD_STATE, numbers(&[9, 0, 1]))),
        ("term 1 is below", meta(HARD_STATE, numbers(&[1, 0, 5]))),
        ("the snapshot has 10 bytes, not 9", meta(SNAPSHOT_META, numbers(&[4, 3, 9]))),
        ("is not in the log", meta(SNAPSHOT_META, numbers(&[4, 2, 10]))),
        ("entry 4: does not follow", meta(BEFORE, numbers(&[2, 2]))),
        ("entry 9: does not follow", log(9, entry(9, 3))),
        ("entry 5: does not follow", log(5, entry(6, 3))),
        ("entry 7: does not follow", log(7, entry(7, 2))),
        ("\"identity\" is missing", empty("meta")),
        ("the snapshot is missing", empty("snapshot")),
        (
            "entry 7: failed to decode",
            forged(|write| {
                write.open_table(LOG)?.insert(7, b"\xff\xff".as_slice())?;
                Ok(())
            }),
        ),
    ]
    .into();
    for (says, error) in found {
        assert!(error.contains(says), "{error:?} does not say {says:?}");
        assert!(error.contains("torn"), "{error}");
    }
}

#[test]
fn a_term_that_no_group_reaches_is_told_of_with_advice() {
    let disk = TornDisk::default();
    let path = Path::new("disk");
    let mut store =
        Store::open_backend(disk.clone(), path, &identity(), &genesis(b"0")).expect("new");
    let state = hard_state(u64::MAX - 1, 1);
    let batch = Batch { hard_state: Some(&state), ..Batch::default() };
    store.write(&batch).expect("a healthy disk");
    drop(store);
    let refused = Store::open_backend(disk, path, &identity(), &genesis(b"0")).expect_err("absurd");
    assert!(matches!(refused, StoreError::Beyond { what: "term", .. }), "{refused}");
    assert!(refused.to_string().contains("put their data directories back"), "{refused}");
}
