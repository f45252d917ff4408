//! The tail of the raft log in memory: the same entries that the store has on disk.
//!
//! Compaction keeps the log short (a few thousand entries of a few kilobytes), so every read that
//! raft makes is answered from here and cannot fail on a disk.

use raft::eraftpb::Entry;
use raft::{Error, StorageError};
use std::collections::VecDeque;

/// A place in the log: an index and the term of the entry there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The entry's index, from 1.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
}

/// Contiguous entries, and the position just before the first of them.
#[derive(Debug)]
pub(crate) struct Log {
    before: LogPosition,
    entries: VecDeque<Entry>,
    bytes: u64,
}

impl Log {
    /// An empty log that goes on after `before`.
    pub(crate) fn new(before: LogPosition) -> Self {
        Self { before, entries: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn before(&self) -> LogPosition {
        self.before
    }

    pub(crate) fn first_index(&self) -> u64 {
        self.before.index + 1
    }

    pub(crate) fn last(&self) -> LogPosition {
        self.entries.back().map_or(self.before, |e| LogPosition { index: e.index, term: e.term })
    }

    /// All entries, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Payload bytes of the entries above `index`.
    pub(crate) fn bytes_above(&self, index: u64) -> u64 {
        if index <= self.before.index {
            return self.bytes;
        }
        let skipped = usize::try_from(index - self.before.index).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).map(size).sum()
    }

    /// The term at an index in `before.index..=last.index`.
    pub(crate) fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.index {
            return Ok(self.before.term);
        }
        if index < self.before.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.at(index).ok_or(Error::Store(StorageError::Unavailable))?;
        Ok(entry.term)
    }

    fn at(&self, index: u64) -> Option<&Entry> {
        let offset = usize::try_from(index.checked_sub(self.first_index())?).ok()?;
        self.entries.get(offset)
    }

    /// The entries `low..high`, at most `max_bytes` of them but at least one.
    pub(crate) fn slice(
        &self,
        low: u64,
        high: u64,
        max_bytes: Option<u64>,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first_index() {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last().index + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        for index in low..high {
            let entry = self.at(index).ok_or(Error::Store(StorageError::Unavailable))?;
            bytes += size(entry);
            if !taken.is_empty() && max_bytes.is_some_and(|max| bytes > max) {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    /// Whether `entries` may be appended: they are contiguous, begin no later than just after the
    /// last entry, and do not touch what was compacted.
    pub(crate) fn accepts(&self, entries: &[Entry]) -> bool {
        let Some(first) = entries.first() else { return true };
        first.index > self.before.index
            && first.index <= self.last().index + 1
            && entries.iter().zip(first.index..).all(|(entry, index)| entry.index == index)
    }

    /// Appends, dropping what the new entries overwrite. The caller has checked [`Log::accepts`].
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while self.entries.back().is_some_and(|last| last.index >= first.index) {
            let dropped = self.entries.pop_back().expect("just seen");
            self.bytes -= size(&dropped);
        }
        self.bytes += entries.iter().map(size).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Forgets the entries up to and with `index`, which is in the log.
    pub(crate) fn compact(&mut self, index: u64) {
        while self.entries.front().is_some_and(|first| first.index <= index) {
            let dropped = self.entries.pop_front().expect("just seen");
            self.before = LogPosition { index: dropped.index, term: dropped.term };
            self.bytes -= size(&dropped);
        }
    }
}

fn size(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, bytes: usize) -> Entry {
        Entry { index, term, data: vec![0; bytes].into(), ..Entry::default() }
    }

    fn log(entries: &[Entry]) -> Log {
        let mut log = Log::new(LogPosition { index: 4, term: 2 });
        assert!(log.accepts(entries));
        log.append(entries);
        log
    }

    #[test]
    fn a_new_leader_overwrites_the_tail() {
        let mut log = log(&[entry(5, 2, 10), entry(6, 2, 10), entry(7, 2, 10)]);
        log.append(&[entry(6, 3, 1)]);
        assert_eq!(log.last(), LogPosition { index: 6, term: 3 });
        assert_eq!(log.bytes_above(0), 11);
        assert_eq!(log.bytes_above(5), 1);
    }

    #[test]
    fn terms_are_known_from_just_before_the_first_entry() {
        let mut log = log(&[entry(5, 2, 0), entry(6, 3, 0), entry(7, 3, 0)]);
        log.compact(6);
        assert_eq!(log.before(), LogPosition { index: 6, term: 3 });
        assert_eq!(log.term(6).ok(), Some(3));
        assert!(matches!(log.term(5), Err(Error::Store(StorageError::Compacted))));
        assert!(matches!(log.term(8), Err(Error::Store(StorageError::Unavailable))));
    }

    #[test]
    fn a_slice_has_one_entry_however_large() {
        let log = log(&[entry(5, 2, 100), entry(6, 2, 100)]);
        assert_eq!(log.slice(5, 7, Some(1)).expect("held").len(), 1);
        assert_eq!(log.slice(5, 7, None).expect("held").len(), 2);
        assert!(matches!(log.slice(4, 6, None), Err(Error::Store(StorageError::Compacted))));
        assert!(matches!(log.slice(5, 8, None), Err(Error::Store(StorageError::Unavailable))));
    }

    #[test]
    fn gaps_and_compacted_entries_are_not_accepted() {
        let log = log(&[entry(5, 2, 0)]);
        assert!(!log.accepts(&[entry(7, 2, 0)]));
        assert!(!log.accepts(&[entry(4, 2, 0)]));
        assert!(!log.accepts(&[entry(6, 2, 0), entry(8, 2, 0)]));
        assert!(log.accepts(&[entry(5, 3, 0), entry(6, 3, 0)]));
    }
}
