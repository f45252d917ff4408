//! The log on a real disk: read back, torn everywhere, damaged everywhere, rotated, bounded, failing.

use super::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KIND: Contents = Contents::Events;

fn options(directory: &Path) -> LogOptions {
    LogOptions::new(directory, KIND)
}

fn commit(writer: &mut LogWriter, records: &[Vec<u8>]) -> Result<u64, LogError> {
    let mut frame = Frame::default();
    for record in records {
        frame.push(|out| out.extend_from_slice(record));
    }
    writer.commit(&mut frame)
}

/// All records, or what keeps them from being read.
fn read(directory: &Path) -> Result<Vec<Vec<u8>>, LogError> {
    let mut reader = LogReader::open(directory, KIND)?;
    let mut records = Vec::new();
    while reader.next_frame(|number, record| {
        assert_eq!(number, records.len() as u64 + first(directory));
        records.push(record.to_vec());
    })? {}
    Ok(records)
}

fn first(directory: &Path) -> u64 {
    segment::list(directory).expect("segments")[0].first
}

fn record(n: usize) -> Vec<u8> {
    format!("record {n} {}", "x".repeat(n % 23)).into_bytes()
}

/// Commits of 1, 2, 3 and 4 records, and the bytes of the one segment.
fn small() -> (tempfile::TempDir, PathBuf, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = LogWriter::open(options(dir.path())).expect("opens");
    let all: Vec<Vec<u8>> = (0..10).map(record).collect();
    for range in [0..1, 1..3, 3..6, 6..10] {
        commit(&mut writer, &all[range]).expect("written");
    }
    let path = segment::path_of(dir.path(), 0);
    (dir, path, all)
}

/// Ends of commits, as numbers of records.
const COMMITS: [usize; 5] = [0, 1, 3, 6, 10];

#[test]
fn records_are_read_back_over_many_segments_and_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let all: Vec<Vec<u8>> = (0..500).map(record).collect();
    for (n, chunk) in all.chunks(50).enumerate() {
        let options = LogOptions { segment_bytes: 500, ..options(dir.path()) };
        let mut writer = LogWriter::open(options).expect("opens");
        assert_eq!(writer.next(), n as u64 * 50);
        for records in chunk.chunks(7) {
            commit(&mut writer, records).expect("written");
        }
    }
    assert!(segment::list(dir.path()).expect("segments").len() > 20);
    assert_eq!(read(dir.path()).expect("whole"), all);
}

#[test]
fn a_log_torn_at_any_byte_keeps_its_whole_commits_and_goes_on() {
    let (dir, path, all) = small();
    let bytes = std::fs::read(&path).expect("a segment");
    for length in 0..=bytes.len() {
        let torn = tempfile::tempdir().expect("a directory");
        let path = segment::path_of(torn.path(), 0);
        std::fs::write(&path, &bytes[..length]).expect("written");
        let seen = read(torn.path()).expect("a reader stops at the last whole commit");
        let mut writer = LogWriter::open(options(torn.path())).expect("opens");
        let kept = writer.next() as usize;
        assert!(COMMITS.contains(&kept), "{kept} records at {length}");
        assert_eq!(seen, all[..kept], "torn at {length}");
        let records: usize = all[..kept].iter().map(|record| 4 + record.len()).sum();
        let commits = COMMITS.iter().position(|end| *end == kept).expect("an end");
        let whole = SEGMENT_HEADER + commits * frame::FRAME_HEADER_BYTES + records;
        assert_eq!(std::fs::read(&path).expect("a segment"), bytes[..whole], "torn at {length}");
        commit(&mut writer, &[b"after".to_vec()]).expect("written");
        drop(writer);
        let mut expected = all[..kept].to_vec();
        expected.push(b"after".to_vec());
        assert_eq!(read(torn.path()).expect("whole again"), expected, "torn at {length}");
        let copies = std::fs::read_dir(torn.path()).expect("read").flatten();
        let copy = copies.map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "torn"));
        if let Some(copy) = copy {
            assert!(bytes[..length].ends_with(&std::fs::read(copy).expect("the tail")));
        }
    }
    drop(dir);
}

#[test]
fn a_tail_of_zeros_or_rubbish_is_torn() {
    for tail in [vec![0; 5_000], vec![0xff; 5_000], b"\xff\x4d\x51\xfe rubbish".repeat(9)] {
        let (dir, path, all) = small();
        let mut bytes = std::fs::read(&path).expect("a segment");
        bytes.extend_from_slice(&tail);
        std::fs::write(&path, &bytes).expect("written");
        let writer = LogWriter::open(options(dir.path())).expect("opens");
        assert_eq!(writer.next(), 10);
        drop(writer);
        assert_eq!(read(dir.path()).expect("whole"), all);
    }
}

#[test]
fn a_flipped_byte_is_an_error_that_names_it_or_costs_the_last_commit_at_most() {
    let (dir, path, all) = small();
    let bytes = std::fs::read(&path).expect("a segment");
    let last_commit = {
        let mut sizes = vec![SEGMENT_HEADER];
        for pair in COMMITS.windows(2) {
            let records: usize = all[pair[0]..pair[1]].iter().map(|r| 4 + r.len()).sum();
            sizes.push(sizes.last().expect("one") + frame::FRAME_HEADER_BYTES + records);
        }
        assert_eq!(*sizes.last().expect("one"), bytes.len());
        sizes[3]
    };
    for at in 0..bytes.len() {
        let flipped = tempfile::tempdir().expect("a directory");
        let path = segment::path_of(flipped.path(), 0);
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).expect("written");
        let (seen, opened) = (read(flipped.path()), LogWriter::open(options(flipped.path())));
        match (seen, opened) {
            (Ok(seen), Ok(writer)) => {
                assert!(
                    at >= last_commit,
                    "byte {at} is in an earlier commit and was not reported"
                );
                assert_eq!((seen.len(), writer.next()), (6, 6));
            }
            (Err(read), Err(opened)) => {
                assert!(at < last_commit, "byte {at}: {read}");
                for error in [read.to_string(), opened.to_string()] {
                    assert!(error.contains("00000000000000000000.log"), "{error}");
                    let names_offset = error.contains(" at byte ");
                    assert!(names_offset || at < SEGMENT_HEADER, "{error}");
                }
            }
            (read, opened) => panic!("reader and writer differ at {at}: {read:?}, {opened:?}"),
        }
    }
    drop(dir);
}

const SEGMENT_HEADER: usize = segment::SEGMENT_HEADER_BYTES;

#[test]
fn damage_in_an_older_segment_is_an_error_however_it_looks() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer =
        LogWriter::open(LogOptions { segment_bytes: 100, ..options(dir.path()) }).expect("opens");
    for n in 0..10 {
        commit(&mut writer, &[record(n)]).expect("written");
    }
    drop(writer);
    let second = segment::list(dir.path()).expect("segments")[1].clone();
    let whole = std::fs::read(&second.path).expect("a segment");
    std::fs::write(&second.path, &whole[..whole.len() - 1]).expect("written");
    let error = read(dir.path()).expect_err("cut off").to_string();
    assert!(error.contains(&second.path.display().to_string()), "{error}");
    assert!(error.contains("at byte"), "{error}");
    std::fs::remove_file(&second.path).expect("removed");
    let error = read(dir.path()).expect_err("a gap").to_string();
    assert!(error.contains("a segment before it is missing"), "{error}");
}

#[test]
fn a_crash_while_a_segment_is_made_costs_nothing() {
    let (dir, _, all) = small();
    for length in [0, 1, SEGMENT_HEADER - 1, SEGMENT_HEADER] {
        let path = segment::path_of(dir.path(), 10);
        let made = tempfile::tempdir().expect("a directory");
        drop(segment::create(made.path(), KIND, 10).expect("made"));
        let header = std::fs::read(segment::path_of(made.path(), 10)).expect("a header");
        std::fs::write(&path, &header[..length]).expect("written");
        assert_eq!(read(dir.path()).expect("whole"), all, "{length} bytes");
        let writer = LogWriter::open(options(dir.path())).expect("opens");
        assert_eq!(writer.next(), 10);
    }
}

#[test]
fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let bounded = || LogOptions { segment_bytes: 300, max_bytes: 1_000, ..options(dir.path()) };
    let mut writer = LogWriter::open(bounded()).expect("opens");
    for n in 0..200 {
        commit(&mut writer, &[record(n)]).expect("written");
        let bytes: u64 = segment::list(dir.path()).expect("segments").iter().map(|s| s.bytes).sum();
        assert!(bytes <= 1_000 + 300, "{bytes}");
    }
    drop(writer);
    let left = read(dir.path()).expect("whole");
    assert_eq!(left.last(), Some(&record(199)));
    assert_eq!(first(dir.path()) as usize + left.len(), 200, "only the oldest are gone");
    assert_eq!(LogWriter::open(bounded()).expect("opens").next(), 200);
}

#[test]
fn the_newest_records_are_read_without_the_oldest_segments() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = LogOptions { segment_bytes: 300, ..options(dir.path()) };
    let mut writer = LogWriter::open(options).expect("opens");
    for n in 0..200 {
        commit(&mut writer, &[record(n)]).expect("written");
    }
    for wanted in [0, 1, 7, 100, 199, 200, 10_000] {
        let mut reader = LogReader::open(dir.path(), KIND).expect("opens");
        reader.keep_newest(wanted, writer.next());
        let mut seen = Vec::new();
        while reader
            .next_frame(|number, found| {
                assert_eq!(found, record(number as usize));
                seen.push(number);
            })
            .expect("whole")
        {}
        let least = wanted.min(200) as usize;
        assert!((least..least + 20).contains(&seen.len()), "{wanted}: {}", seen.len());
        assert!(seen.last() == Some(&199) && seen.windows(2).all(|pair| pair[1] == pair[0] + 1));
        let position = reader.position();
        assert_eq!((position.done, position.next), (position.bytes, 200), "{wanted}");
    }
}

#[test]
fn one_writer_at_a_time_and_of_one_kind() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = LogWriter::open(options(dir.path())).expect("opens");
    let second = LogWriter::open(options(dir.path())).expect_err("in use").to_string();
    assert!(second.contains("in use by another process"), "{second}");
    drop(writer);
    let other = LogOptions::new(dir.path(), Contents::Exposures);
    let error = LogWriter::open(other).expect_err("another log").to_string();
    assert!(error.contains("holds events, not exposures"), "{error}");
    let error = LogReader::open(&dir.path().join("nowhere"), KIND).expect_err("none").to_string();
    assert!(error.contains("has no log"), "{error}");
}

#[test]
fn a_failed_disk_is_not_believed_before_it_was_tried_again() {
    for failing in [WriteStep::Write, WriteStep::Sync] {
        let dir = tempfile::tempdir().expect("a directory");
        let calls = Arc::new(AtomicUsize::new(0));
        let faults: Faults = Arc::new(move |step| {
            let fails = step == failing && calls.fetch_add(1, Ordering::Relaxed) == 1;
            if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
        });
        let mut writer =
            LogWriter::open(LogOptions { faults: Some(faults), ..options(dir.path()) })
                .expect("opens");
        commit(&mut writer, &[record(0)]).expect("written");
        commit(&mut writer, &[record(1)]).expect_err("the disk fails");
        let error = commit(&mut writer, &[record(2)]).expect_err("refused").to_string();
        assert!(error.contains("no space") && error.contains("each second"), "{error}");
        writer.sync().expect_err("refused");
        drop(writer);
        let mut writer = LogWriter::open(options(dir.path())).expect("opens");
        commit(&mut writer, &[record(3)]).expect("written");
        drop(writer);
        let records = read(dir.path()).expect("whole");
        assert_eq!(records.first(), Some(&record(0)));
        assert_eq!(records.last(), Some(&record(3)));
        assert!(!records.contains(&record(2)), "what was refused is not there");
    }
}

#[test]
fn a_disk_that_was_full_is_tried_again_and_what_was_refused_is_not_there() {
    for failing in [WriteStep::Write, WriteStep::Sync] {
        let dir = tempfile::tempdir().expect("a directory");
        let is_full = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&is_full);
        let faults: Faults = Arc::new(move |step| {
            let fails = step == failing && fails.load(Ordering::Relaxed);
            if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
        });
        let options = LogOptions { faults: Some(faults), ..options(dir.path()) };
        let mut writer = LogWriter::open(options).expect("opens");
        commit(&mut writer, &[record(0)]).expect("written");
        is_full.store(true, Ordering::Relaxed);
        commit(&mut writer, &[record(1)]).expect_err("the disk is full");
        writer.recover(Instant::now());
        writer.check().expect_err("not before a while has passed");
        writer.recover(soon());
        commit(&mut writer, &[record(2)]).expect_err("it is still full");
        is_full.store(false, Ordering::Relaxed);
        writer.recover(Instant::now() + Duration::from_secs(9));
        assert_eq!(commit(&mut writer, &[record(3)]).expect("there is room again"), 1);
        drop(writer);
        assert_eq!(read(dir.path()).expect("whole"), [record(0), record(3)], "{failing:?}");
    }
}

/// A log under an interval whose next sync fails, with a record that was acknowledged before, and what it was opened with.
fn unsynced_log(directory: &Path, fsync: Fsync) -> LogWriter {
    let syncs = Arc::new(AtomicUsize::new(0));
    let faults: Faults = Arc::new(move |step| {
        let fails = step == WriteStep::Sync && syncs.fetch_add(1, Ordering::Relaxed) == 1;
        if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
    });
    let options = LogOptions { fsync, faults: Some(faults), ..options(directory) };
    let mut writer = LogWriter::open(options).expect("opens");
    commit(&mut writer, &[record(0)]).expect("written");
    writer.sync().expect("the first one");
    commit(&mut writer, &[record(1), record(2)]).expect("written");
    commit(&mut writer, &[record(3)]).expect("written");
    writer.sync().expect_err("the second one");
    writer
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(2)
}

/// After a sync that failed, a system may have dropped what it could not write, and say nothing of it later.
#[test]
fn what_a_failed_sync_has_lost_is_written_again() {
    for fsync in [Fsync::IntervalMs(1), Fsync::Never] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = unsynced_log(dir.path(), fsync);
        let path = segment::path_of(dir.path(), 0);
        let synced = SEGMENT_HEADER + frame::FRAME_HEADER_BYTES + 4 + record(0).len();
        let mut bytes = std::fs::read(&path).expect("a segment");
        bytes[synced..].fill(0);
        std::fs::write(&path, bytes).expect("dropped");
        assert!(writer.failure().expect("it failed").contains("no space"));
        assert!(writer.retry_due(Instant::now()).expect("tried again") <= Duration::from_secs(1));
        commit(&mut writer, &[record(4)]).expect_err("not before it has recovered");
        writer.recover(soon());
        assert_eq!((writer.failure(), writer.lost()), (None, 0));
        assert_eq!(commit(&mut writer, &[record(5)]).expect("it takes records"), 4);
        drop(writer);
        let expected = [0, 1, 2, 3, 5].map(record);
        assert_eq!(read(dir.path()).expect("whole"), expected, "{fsync:?}");
    }
}

#[test]
fn a_log_whose_directory_was_removed_goes_on_in_a_new_one_and_counts_what_is_lost() {
    for fsync in [Fsync::Always, Fsync::IntervalMs(1)] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        let options = LogOptions { fsync, ..options(&log) };
        let mut writer = LogWriter::open(options).expect("opens");
        commit(&mut writer, &[record(0), record(1)]).expect("written");
        writer.sync().expect("synced");
        if fsync != Fsync::Always {
            commit(&mut writer, &[record(2)]).expect("acknowledged, and not synced");
        }
        std::fs::remove_dir_all(&log).expect("removed");
        let gone = commit(&mut writer, &[record(3)]).expect_err("nobody would see it").to_string();
        assert!(gone.contains("removed"), "{gone}");
        writer.recover(soon());
        assert_eq!((writer.failure(), writer.lost()), (None, 2), "{fsync:?}");
        commit(&mut writer, &[record(4)]).expect("it takes records");
        let second = LogWriter::open(LogOptions::new(&log, KIND)).expect_err("still its own");
        assert!(matches!(second, LogError::InUse { .. }), "{second}");
        drop(writer);
        let mut expected = vec![record(4)];
        if fsync != Fsync::Always {
            expected.insert(0, record(2));
        }
        assert_eq!(read(&log).expect("whole"), expected, "{fsync:?}");
    }
}

#[test]
fn a_log_goes_on_when_its_directory_is_put_back_and_not_with_older_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, elsewhere) = (dir.path().join("log"), dir.path().join("elsewhere"));
    let mut writer = LogWriter::open(options(&log)).expect("opens");
    commit(&mut writer, &[record(0)]).expect("written");
    let old = std::fs::read(segment::path_of(&log, 0)).expect("a segment");
    commit(&mut writer, &[record(1)]).expect("written");
    std::fs::rename(&log, &elsewhere).expect("moved away");
    commit(&mut writer, &[record(2)]).expect_err("nobody would see it");
    std::fs::create_dir(&log).expect("a directory");
    std::fs::write(segment::path_of(&log, 0), old).expect("an older copy");
    writer.recover(soon());
    let failure = writer.failure().expect("acknowledged records are missing").to_owned();
    assert!(failure.contains("ends at record 1 and should at 2"), "{failure}");
    std::fs::remove_dir_all(&log).expect("removed");
    std::fs::rename(&elsewhere, &log).expect("put back");
    writer.recover(Instant::now() + Duration::from_secs(9));
    assert_eq!((writer.failure(), writer.lost()), (None, 0));
    commit(&mut writer, &[record(3)]).expect("it takes records");
    drop(writer);
    assert_eq!(read(&log).expect("whole"), [record(0), record(1), record(3)]);
}

#[test]
fn the_policy_says_when_it_is_synced() {
    for (fsync, expected) in [(Fsync::Always, 3), (Fsync::IntervalMs(0), 0), (Fsync::Never, 0)] {
        let dir = tempfile::tempdir().expect("a directory");
        let syncs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&syncs);
        let faults: Faults = Arc::new(move |step| {
            counted.fetch_add(usize::from(step == WriteStep::Sync), Ordering::Relaxed);
            Ok(())
        });
        let options = LogOptions { fsync, faults: Some(faults), ..options(dir.path()) };
        let mut writer = LogWriter::open(options).expect("opens");
        for n in 0..3 {
            commit(&mut writer, &[record(n)]).expect("written");
        }
        assert_eq!(syncs.load(Ordering::Relaxed), expected, "{fsync:?}");
        let due = writer.sync_due(std::time::Instant::now());
        assert_eq!(due.is_some(), matches!(fsync, Fsync::IntervalMs(_)));
        writer.sync().expect("synced");
        assert_eq!(writer.sync_due(std::time::Instant::now()), None);
    }
}

/// Sectors that a disk writes as a whole.
const SECTOR: usize = 512;

proptest! {
    /// Of what was written after the last sync a crash leaves any sectors, in any order, and half of one: all that was
    /// acknowledged is there after it, in its order, and the log goes on.
    #[test]
    fn whatever_a_crash_leaves_of_unsynced_writes_what_was_acknowledged_is_there(
        sizes in prop::collection::vec(1_usize..2_000, 1..8),
        unsynced in prop::collection::vec(1_usize..2_000, 1..8),
        kept in prop::collection::vec(any::<bool>(), 64),
        cut in 0_usize..20_000,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let sized = |n: usize, size: usize| vec![b'a' + (n % 26) as u8; size];
        let mut acknowledged = Vec::new();
        let options = LogOptions { fsync: Fsync::Never, ..options(dir.path()) };
        let mut writer = LogWriter::open(options.clone()).expect("opens");
        for (n, size) in sizes.iter().enumerate() {
            acknowledged.push(sized(n, *size));
            commit(&mut writer, &acknowledged[n..]).expect("written");
        }
        writer.sync().expect("synced");
        let path = segment::path_of(dir.path(), 0);
        let durable = std::fs::read(&path).expect("a segment");
        let mut all = acknowledged.clone();
        for (n, size) in unsynced.iter().enumerate() {
            all.push(sized(n + 9, *size));
            commit(&mut writer, &all[all.len() - 1..]).expect("written");
        }
        let written = std::fs::read(&path).expect("a segment");
        drop(writer);
        let mut image = written.clone();
        for at in durable.len()..written.len() {
            if !kept[(at / SECTOR) % kept.len()] {
                image[at] = 0;
            }
        }
        image.truncate(durable.len().max(written.len().saturating_sub(cut)));
        std::fs::write(&path, image).expect("crashed");
        // What came after a sector that is lost may be whole: then that is found, and nothing is cut off silently.
        match LogWriter::open(options) {
            Ok(mut writer) => {
                commit(&mut writer, &[b"after".to_vec()]).expect("written");
                drop(writer);
                let mut records = read(dir.path()).expect("whole");
                prop_assert_eq!(records.pop(), Some(b"after".to_vec()));
                prop_assert!(records.starts_with(&acknowledged));
                prop_assert!(all.starts_with(&records));
            }
            Err(LogError::Damaged { .. }) => {
                let mut reader = LogReader::open(dir.path(), KIND).expect("opens");
                let mut records = Vec::new();
                while let Ok(true) = reader.next_frame(|_, record| records.push(record.to_vec())) {}
                prop_assert!(records.starts_with(&acknowledged));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_commits_read_back_whatever_is_cut_off(
        commits in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..5), 1..12),
        segment_bytes in 1u64..600,
        cut in 0u64..200,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let options = LogOptions { segment_bytes, ..options(dir.path()) };
        let mut writer = LogWriter::open(options.clone()).expect("opens");
        for records in &commits {
            commit(&mut writer, records).expect("written");
        }
        drop(writer);
        let all: Vec<Vec<u8>> = commits.iter().flatten().cloned().collect();
        prop_assert_eq!(&read(dir.path()).expect("whole"), &all);
        let last = segment::list(dir.path()).expect("segments").pop().expect("one");
        let file = std::fs::OpenOptions::new().write(true).open(&last.path).expect("a file");
        file.set_len(last.bytes.saturating_sub(cut)).expect("cut");
        let writer = LogWriter::open(options).expect("opens");
        let kept = writer.next() as usize;
        prop_assert!(kept >= last.first as usize);
        prop_assert_eq!(read(dir.path()).expect("whole"), all[..kept].to_vec());
    }
}

/// A log of one-record commits in segments of two or three, and its records but the erased ones.
fn log_of(dir: &Path, faults: Option<Faults>, records: u64) -> LogWriter {
    let options = LogOptions { segment_bytes: 200, faults, ..options(dir) };
    let mut writer = LogWriter::open(options).expect("opens");
    for n in 0..records {
        commit(
            &mut writer,
            &[format!("record {n} of {}", if n % 3 == 0 { "ann" } else { "bob" }).into_bytes()],
        )
        .expect("written");
    }
    writer
}

/// All records, whatever their numbers.
fn left(directory: &Path) -> Vec<String> {
    let mut reader = LogReader::open(directory, KIND).expect("opens");
    let mut records = Vec::new();
    let mut take = |record: &[u8]| records.push(String::from_utf8_lossy(record).into_owned());
    while reader.next_frame(|_, record| take(record)).expect("whole") {}
    records
}

fn is_of_ann(record: &[u8]) -> bool {
    record.ends_with(b"ann")
}

fn erase_ann(record: &[u8]) -> RecordFate {
    if is_of_ann(record) { RecordFate::Erase } else { RecordFate::Keep }
}

/// Whether the bytes are in any file of the directory.
fn has_bytes(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("there").any(|entry| {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn what_is_erased_is_in_no_file_and_numbers_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("00000000000000000000-28.torn"), "record of ann").expect("ours");
    let mut writer = log_of(dir.path(), None, 10);
    let eraser = writer.eraser();
    eraser.erase(erase_ann).expect("erased");
    assert!(has_bytes(dir.path(), b"ann"), "the segment that is written to is not touched");
    writer.seal().expect("sealed");
    eraser.erase(erase_ann).expect("erased");
    assert!(!has_bytes(dir.path(), b"ann"));
    assert_eq!(eraser.erase(erase_ann).expect("nothing to do"), ErasedCounts::default());
    commit(&mut writer, &[b"record 10 of bob".to_vec()]).expect("written");
    let mut reader = LogReader::open(dir.path(), Contents::Events).expect("opens");
    let mut found = Vec::new();
    while reader
        .next_frame(|n, record| found.push((n, String::from_utf8_lossy(record).into_owned())))
        .expect("whole")
    {}
    let kept = (0..11).filter(|n| n % 3 != 0 || *n == 10);
    assert_eq!(found, Vec::from_iter(kept.map(|n| (n, format!("record {n} of bob")))));
    drop(writer);
    assert_eq!(LogWriter::open(options(dir.path())).expect("opens").next(), 11);
}

#[test]
fn a_record_can_be_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = log_of(dir.path(), None, 4);
    writer.seal().expect("sealed");
    let counts = writer.eraser().erase(|record| {
        if is_of_ann(record) { RecordFate::Replace(b"nobody's".to_vec()) } else { RecordFate::Keep }
    });
    assert_eq!(counts.expect("replaced"), ErasedCounts { erased: 0, replaced: 2, segments: 2 });
    assert_eq!(left(dir.path()), ["nobody's", "record 1 of bob", "record 2 of bob", "nobody's"]);
}

/// A process that dies between any two steps leaves a log that reads as before or after, and the next attempt
/// erases the rest.
#[test]
fn a_crash_between_any_two_steps_loses_nothing_and_is_made_good() {
    for step in [WriteStep::Rewrite, WriteStep::Replace] {
        for at in 0..8 {
            let dir = tempfile::tempdir().expect("a directory");
            let steps = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&steps);
            let faults: Faults = Arc::new(move |now| {
                let dies = now == step && counted.fetch_add(1, Ordering::Relaxed) == at;
                if dies { Err(std::io::Error::other("killed")) } else { Ok(()) }
            });
            let mut writer = log_of(dir.path(), Some(faults), 10);
            writer.seal().expect("sealed");
            let died = writer.eraser().erase(erase_ann).is_err();
            assert_eq!(died, steps.load(Ordering::Relaxed) > at, "{step:?} {at}");
            drop(writer);
            let of_bob = left(dir.path()).into_iter().filter(|it| it.ends_with("bob"));
            assert_eq!(of_bob.count(), 6, "{step:?} {at}");
            let writer = LogWriter::open(options(dir.path())).expect("opens");
            let unfinished = std::fs::read_dir(dir.path()).expect("there").filter(|entry| {
                entry.as_ref().expect("an entry").path().extension().is_some_and(|it| it == "new")
            });
            assert_eq!(unfinished.count(), 0);
            writer.eraser().erase(erase_ann).expect("erased");
            assert!(!has_bytes(dir.path(), b"ann"), "{step:?} {at}");
            assert_eq!(left(dir.path()).len(), 6);
        }
    }
}

#[test]
fn a_segment_that_made_room_meanwhile_does_not_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (directory, steps) = (dir.path().to_owned(), AtomicUsize::new(0));
    // As if the writer had deleted its oldest segment while it was written anew.
    let faults: Faults = Arc::new(move |step| {
        if step == WriteStep::Rewrite && steps.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = std::fs::remove_file(segment::path_of(&directory, 0));
        }
        Ok(())
    });
    let mut writer = log_of(dir.path(), Some(faults), 10);
    writer.seal().expect("sealed");
    writer.eraser().erase(erase_ann).expect("erased");
    assert!(!segment::path_of(dir.path(), 0).exists());
    assert!(!has_bytes(dir.path(), b"ann"));
    assert_eq!(left(dir.path()).len(), 4, "without a gap");
}

#[cfg(unix)]
#[test]
fn only_the_user_of_the_process_can_read_what_users_did() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("events");
    let writer = LogWriter::open(options(&log)).expect("opens");
    drop(writer);
    // As an earlier release left them.
    let segment = segment::path_of(&log, 0);
    for (path, open_mode) in [(&log, 0o755), (&segment, 0o644)] {
        assert_eq!(mode(path) & 0o077, 0, "{}", path.display());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(open_mode)).expect("ours");
    }
    drop(LogWriter::open(options(&log)).expect("opens"));
    assert_eq!((mode(&log), mode(&segment)), (0o700, 0o600));
    for entry in std::fs::read_dir(&log).expect("there") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
