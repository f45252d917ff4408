//! The log of events of a router: the real one, on a disk that loses what was not synced.

use crate::chance::Chance;
use fs_err as fs;
use marquee_events::log::{LogReader, WriteStep};
use marquee_events::{
    Contents, Event, EventLog, EventSettings, EventType, RecordOutcome, StoredEvent,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use tempfile::TempDir;

/// Bytes of each file that a crash does not take.
type Durable = Arc<Mutex<BTreeMap<PathBuf, u64>>>;

pub(crate) struct EventDisk {
    directory: TempDir,
    durable: Durable,
    log: Option<EventLog>,
    sent: u64,
    /// Ids that a caller was told are recorded.
    acknowledged: BTreeSet<String>,
}

fn sizes(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let metadata = entry.metadata().expect("it is there");
        if metadata.is_file() {
            sizes.insert(entry.path(), metadata.len());
        }
    }
    sizes
}

impl EventDisk {
    pub(crate) fn new() -> Self {
        let in_memory = Path::new("/dev/shm");
        let directory = match in_memory.is_dir() {
            true => TempDir::new_in(in_memory),
            false => TempDir::new(),
        };
        let directory = directory.expect("a temporary directory");
        let (durable, acknowledged) = (Durable::default(), BTreeSet::new());
        Self { directory, durable, log: None, sent: 0, acknowledged }
    }

    pub(crate) fn start(&mut self) {
        let mut settings = EventSettings::new(self.directory.path());
        let (path, durable) = (self.directory.path().to_owned(), Arc::clone(&self.durable));
        settings.log.segment_bytes = 4 << 10;
        settings.log.faults = Some(Arc::new(move |step| {
            if step == WriteStep::Sync {
                *durable.lock().unwrap_or_else(PoisonError::into_inner) = sizes(&path);
            }
            Ok(())
        }));
        self.log = Some(EventLog::open(settings).expect("a crash leaves a log that can be opened"));
        *self.durable() = sizes(self.directory.path());
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, u64>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine ends: of the bytes that were not synced some are left.
    pub(crate) fn crash(&mut self, chance: &mut Chance) {
        let durable = self.durable().clone();
        self.crash_with(&durable, chance);
    }

    fn crash_with(&mut self, durable: &BTreeMap<PathBuf, u64>, chance: &mut Chance) {
        self.log = None;
        for (path, length) in sizes(self.directory.path()) {
            // A file that was begun is there once its header is.
            let Some(synced) = durable.get(&path).copied().filter(|synced| *synced < length) else {
                continue;
            };
            let left = synced + chance.below(length - synced);
            let file = fs::OpenOptions::new().write(true).open(&path).expect("ours");
            file.set_len(left).expect("ours");
        }
    }

    /// A caller records an event, perhaps one that was recorded before; the machine may crash in the middle.
    pub(crate) fn record(&mut self, may_crash: bool, now_ms: u64, chance: &mut Chance) -> bool {
        let Some(log) = &self.log else { return false };
        if self.sent == 0 || !chance.once_in(3) {
            self.sent += 1;
        }
        let number = self.sent - chance.below(self.sent.min(6));
        let id = format!("event-{number}");
        let event = Event {
            event_id: id.clone(),
            user_id: format!("u{}", number % 7),
            item_id: format!("v1-{}", number % 11),
            event_type: EventType::Click,
            time_ms: now_ms,
            ..Event::default()
        };
        let before = self.durable().clone();
        let pending = log.record(vec![event], now_ms).expect("there is room");
        let recorded = block_on(pending.recorded()).expect("the disk is well");
        if may_crash && chance.once_in(30) {
            // In the middle of it: nobody was told.
            self.crash_with(&before, chance);
            return true;
        }
        assert!(matches!(
            recorded.outcomes[..],
            [RecordOutcome::Accepted | RecordOutcome::Duplicate]
        ));
        self.acknowledged.insert(id);
        false
    }

    /// What must hold at the end: each acknowledged event is there, and none is there twice.
    pub(crate) fn check(&mut self) -> usize {
        self.log = None;
        let mut stored = BTreeSet::new();
        let mut reader = LogReader::open(self.directory.path(), Contents::Events).expect("sound");
        let mut take = |record: &[u8]| {
            let id = StoredEvent::decode(record).expect("an event").event.event_id;
            assert!(stored.insert(id.clone()), "{id} is recorded twice");
        };
        while reader.next_frame(|_, record| take(record)).expect("sound") {}
        for id in &self.acknowledged {
            assert!(stored.contains(id), "{id} was acknowledged and is gone");
        }
        self.acknowledged.len()
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for what another thread does, while virtual time stands still.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
