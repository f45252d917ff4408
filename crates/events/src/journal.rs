//! The log of events: classified, told from duplicates, written in groups, acknowledged when durable.
//!
//! One thread writes. It takes whatever has come while it waited for the disk, leaves out what was recorded
//! already, writes the rest as one commit, syncs it, and only then answers all callers of the group; so a
//! duplicate of an event that is not durable yet waits for it too. Room in the queue is counted in bytes:
//! where there is none, a call is refused or waits, and memory does not grow.

use crate::counts::{Counters, Counts};
use crate::directories::QUARANTINE_DIRECTORY;
use crate::duplicates::{KnownEvents, hash_of};
use crate::event::{
    Quarantined, StoredEvent, bytes_of, complete, encode, fate_of_event, fate_of_quarantined,
};
use crate::forgetting::ForgottenUsers;
use crate::log::{
    Contents, ErasedCounts, ForeignFile, Frame, LogEraser, LogError, LogOptions, LogReader,
    LogWriter,
};
use crate::log_state::LogState;
use crate::recent_items::RecentItems;
use crate::rules::{Classification, EventLimits, Reason, classify, explain};
use marquee_core::event::Event;
use marquee_core::planted::{PlantedBug, is_planted};
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

/// Bytes of events that may wait for the disk: seconds of any load that a disk can follow.
const QUEUE_BYTES: usize = 32 << 20;
/// What a unit of room is.
const ROOM_BYTES: usize = 1 << 10;
/// Bytes after which a group is written, though more wait.
const GROUP_BYTES: usize = 4 << 20;
/// Ids of events that other routers have recorded and that this one's thread has not looked at yet; more are
/// dropped. Seconds of any load that a router can follow, in 3 MB.
const MAX_ELSEWHERE: usize = 200_000;
/// The quarantine's part of the log's bytes: one in so many.
const QUARANTINE_SHARE: u64 = 8;
/// Quarantined ids that a generation remembers: a flood of them comes from a faulty caller, and is
/// not worth remembering long.
const QUARANTINE_GENERATION: usize = 7 << 13;

/// How and where events are recorded.
#[derive(Clone, Debug)]
pub struct EventSettings {
    /// How the log is written; the quarantine is in a directory below it and has an eighth of its bytes.
    pub log: LogOptions,
    /// The bounds of plausible events.
    pub limits: EventLimits,
}

impl EventSettings {
    /// Events in this directory, everything else by default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { log: LogOptions::new(directory, Contents::Events), limits: EventLimits::default() }
    }

    fn quarantine(&self) -> LogOptions {
        let max_bytes = self.log.max_bytes / QUARANTINE_SHARE;
        LogOptions {
            directory: self.log.directory.join(QUARANTINE_DIRECTORY),
            contents: Contents::Quarantine,
            segment_bytes: self.log.segment_bytes.min(max_bytes / 2),
            max_bytes,
            ..self.log.clone()
        }
    }
}

/// Says whether an event names a recommendation that says a router gave it, and none did.
pub type FalseIdCheck = dyn Fn(&Event) -> bool + Send + Sync;

/// Receives events that are durable.
pub trait EventSink: Send + Sync {
    /// These were accepted, each for the first time within the window of [duplicates](crate::duplicates).
    /// Called by the thread that writes the log, after the sync and before the acknowledgement, for a
    /// group at a time: a sink that needs longer than microseconds queues them. It is not called for events that
    /// were there at the start.
    fn accepted(&self, events: &[Event]);
}

/// What was done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is in the log.
    Accepted,
    /// It was recorded before.
    Duplicate,
    /// It is in the quarantine, durable as the log is.
    Quarantined(Reason),
    /// Nothing is kept of it.
    Refused(Reason),
}

/// Why nothing is known to be durable of a request's events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The disk does not keep up.
    #[error("the event log is behind by {QUEUE_BYTES} bytes, its bound: send again later")]
    Full,
    /// The log cannot be written.
    #[error("events cannot be recorded: {0}")]
    Failed(String),
    /// The node is going down.
    #[error("the event log is closed: this node is going down")]
    Closed,
}

/// The events of a router. Clones share it; the last one gone waits for the disk.
#[derive(Clone, Debug)]
pub struct EventLog {
    inner: Arc<EventLogInner>,
}

struct EventLogInner {
    queue: Option<Sender<Job>>,
    erasers: LogErasers,
    thread: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
    limits: EventLimits,
    is_false_id: OnceLock<Arc<FalseIdCheck>>,
    shared: Arc<JournalShared>,
}

/// What callers and the thread share.
#[derive(Default)]
struct JournalShared {
    recent: RecentItems,
    counters: Counters,
    forgotten: RwLock<Arc<ForgottenUsers>>,
    /// At most [`MAX_ELSEWHERE`].
    elsewhere: Mutex<Vec<u128>>,
    sinks: RwLock<Vec<Arc<dyn EventSink>>>,
    /// Of the log and of the quarantine.
    states: Mutex<[LogState; 2]>,
}

impl JournalShared {
    fn forgotten(&self) -> Arc<ForgottenUsers> {
        Arc::clone(&self.forgotten.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What takes records out of both logs.
struct LogErasers {
    events: LogEraser,
    quarantine: LogEraser,
}

/// What the thread is asked for.
enum Job {
    /// To record events.
    Record(QueuedEvents),
    /// To have all events so far in full segments, and to say so.
    Seal(Sender<Result<(), LogError>>),
}

/// For each event of a job, whether it was new; or why none is known to be durable.
type CommitAnswer = Result<Vec<bool>, RecordError>;

/// The events of a request on their way to the disk.
struct QueuedEvents {
    entries: Vec<QueuedEvent>,
    done: oneshot::Sender<CommitAnswer>,
    _room: OwnedSemaphorePermit,
}

struct QueuedEvent {
    event: Event,
    received_ms: u64,
    quarantine: Option<Reason>,
}

/// What was done with the events of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The outcome of each event, in the order in which they were given.
    pub outcomes: Vec<RecordOutcome>,
    /// The places of the events that were refused or quarantined, and why.
    pub explanations: Vec<(usize, String)>,
}

/// Events that were classified and are not durable yet.
#[derive(Debug)]
#[must_use = "nothing is acknowledged before this says so"]
pub struct Pending {
    recorded: Recorded,
    /// Which of them are decided by the log, and its answer.
    waits: Option<(Vec<usize>, oneshot::Receiver<CommitAnswer>)>,
}

impl Pending {
    /// Waits until everything that was accepted or quarantined is durable, and returns the outcome
    /// of each event.
    ///
    /// # Errors
    /// Where nothing is known to be durable.
    pub async fn recorded(self) -> Result<Recorded, RecordError> {
        let Self { mut recorded, waits } = self;
        if let Some((queued, answer)) = waits {
            let is_new = answer.await.map_err(|_| RecordError::Closed)??;
            for (n, is_new) in queued.into_iter().zip(is_new) {
                if !is_new {
                    recorded.outcomes[n] = RecordOutcome::Duplicate;
                    recorded.explanations.retain(|(explained, _)| *explained != n);
                }
            }
        }
        Ok(recorded)
    }
}

/// A log that may have been closed.
#[derive(Clone, Debug)]
pub struct WeakEventLog(Weak<EventLogInner>);

impl WeakEventLog {
    /// The log; none if it was closed.
    pub fn upgrade(&self) -> Option<EventLog> {
        self.0.upgrade().map(|inner| EventLog { inner })
    }
}

impl fmt::Debug for EventLogInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl EventLog {
    /// Opens the log or begins one, and reads back what must be remembered.
    ///
    /// # Errors
    /// What is wrong with the log.
    pub fn open(settings: EventSettings) -> Result<Self, LogError> {
        let quarantine = settings.quarantine();
        let mut writer = JournalWriter::open(&settings.log, &quarantine)?;
        writer.read_back(&settings.log, &quarantine)?;
        let shared = Arc::clone(&writer.shared);
        let erasers =
            LogErasers { events: writer.events.eraser(), quarantine: writer.quarantine.eraser() };
        let (queue, jobs) = channel();
        let thread = std::thread::Builder::new()
            .name("event-log".into())
            .spawn(move || writer.run(&jobs))?;
        let inner = EventLogInner {
            queue: Some(queue),
            erasers,
            thread: Some(thread),
            room: Arc::new(Semaphore::new(QUEUE_BYTES / ROOM_BYTES)),
            limits: settings.limits,
            is_false_id: OnceLock::new(),
            shared,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A handle that does not keep the log open.
    pub fn downgrade(&self) -> WeakEventLog {
        WeakEventLog(Arc::downgrade(&self.inner))
    }

    /// Classifies events and queues what is to be kept, if there is room.
    ///
    /// # Errors
    /// [`RecordError::Full`] where the disk does not keep up, and then nothing was queued.
    pub fn record(&self, events: Vec<Event>, now_ms: u64) -> Result<Pending, RecordError> {
        let classified = self.classify(events, now_ms);
        match Arc::clone(&self.inner.room).try_acquire_many_owned(classified.room) {
            Ok(room) => self.queue(classified, room),
            Err(TryAcquireError::NoPermits) => {
                self.inner.shared.counters.push_back();
                Err(RecordError::Full)
            }
            Err(TryAcquireError::Closed) => Err(RecordError::Closed),
        }
    }

    /// Classifies events and queues what is to be kept, once there is room.
    ///
    /// # Errors
    /// Where the node is going down.
    pub async fn record_when_there_is_room(
        &self,
        events: Vec<Event>,
        now_ms: u64,
    ) -> Result<Pending, RecordError> {
        let classified = self.classify(events, now_ms);
        let room = Arc::clone(&self.inner.room).acquire_many_owned(classified.room).await;
        self.queue(classified, room.map_err(|_| RecordError::Closed)?)
    }

    fn classify(&self, events: Vec<Event>, now_ms: u64) -> ClassifiedEvents {
        let limits = &self.inner.limits;
        let forgotten = self.inner.shared.forgotten();
        let mut classified = ClassifiedEvents::default();
        let mut bytes = 0;
        for (n, mut event) in events.into_iter().enumerate() {
            complete(&mut event, now_ms);
            let classification = match classify(&event, now_ms, limits) {
                // Also of what would be quarantined: nothing is kept of the user.
                Classification::Accept | Classification::Quarantine(_)
                    if forgotten.has_user(&event.user_id) =>
                {
                    Classification::Refuse(Reason::ForgottenUser)
                }
                Classification::Accept if self.has_false_id(&event) => {
                    Classification::Quarantine(Reason::FalseRecommendationId)
                }
                by_rules => by_rules,
            };
            let (outcome, reason) = match classification {
                Classification::Accept => (RecordOutcome::Accepted, None),
                Classification::Refuse(reason) => (RecordOutcome::Refused(reason), Some(reason)),
                Classification::Quarantine(reason) => {
                    (RecordOutcome::Quarantined(reason), Some(reason))
                }
            };
            classified.recorded.outcomes.push(outcome);
            if let Some(reason) = reason {
                let explanation = explain(&event, reason, now_ms, limits);
                classified.recorded.explanations.push((n, explanation));
            }
            if !matches!(outcome, RecordOutcome::Refused(_)) {
                bytes += bytes_of(&event);
                classified.queued.push(n);
                classified.entries.push(QueuedEvent {
                    event,
                    received_ms: now_ms,
                    quarantine: reason,
                });
            }
        }
        let units = bytes.div_ceil(ROOM_BYTES).min(QUEUE_BYTES / ROOM_BYTES);
        classified.room = units as u32;
        classified
    }

    fn queue(
        &self,
        classified: ClassifiedEvents,
        room: OwnedSemaphorePermit,
    ) -> Result<Pending, RecordError> {
        let ClassifiedEvents { recorded, queued, entries, room: _ } = classified;
        for outcome in &recorded.outcomes {
            if let RecordOutcome::Refused(reason) = outcome {
                self.inner.shared.counters.leave_out(*reason);
            }
        }
        if entries.is_empty() {
            return Ok(Pending { recorded, waits: None });
        }
        let (done, answer) = oneshot::channel();
        let queue = self.inner.queue.as_ref().ok_or(RecordError::Closed)?;
        let job = Job::Record(QueuedEvents { entries, done, _room: room });
        queue.send(job).map_err(|_| RecordError::Closed)?;
        Ok(Pending { recorded, waits: Some((queued, answer)) })
    }

    /// Records no event of these users from now on, and forgets their recent items.
    pub fn forget(&self, users: Arc<ForgottenUsers>) {
        let shared = &self.inner.shared;
        *shared.forgotten.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&users);
        shared.recent.forget(users);
    }

    /// Erases what the log and the quarantine have of the forgotten users. Blocking; events are recorded meanwhile.
    ///
    /// # Errors
    /// What is wrong with a log: what was erased until then stays so.
    pub fn erase(&self) -> Result<ErasedCounts, LogError> {
        let closed = || LogError::Failed("the node is going down".into());
        let (seal, sealed) = channel();
        let queue = self.inner.queue.as_ref().ok_or_else(closed)?;
        queue.send(Job::Seal(seal)).map_err(|_| closed())?;
        sealed.recv().map_err(|_| closed())??;
        let users = self.inner.shared.forgotten();
        let LogErasers { events, quarantine } = &self.inner.erasers;
        let mut counts = events.erase(|record| fate_of_event(record, &users))?;
        counts.add(quarantine.erase(|record| fate_of_quarantined(record, &users))?);
        Ok(counts)
    }

    /// Other routers have these events, by the [hashes](hash_of) of their ids, in their logs:
    /// should they come here too, they are duplicates.
    pub fn recorded_elsewhere(&self, keys: &[u128]) {
        let mut elsewhere =
            self.inner.shared.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_ELSEWHERE - elsewhere.len();
        elsewhere.extend(keys.iter().take(room));
    }

    /// The items that users had lately.
    pub fn recent(&self) -> &RecentItems {
        &self.inner.shared.recent
    }

    /// The bounds of plausible events.
    pub fn limits(&self) -> &EventLimits {
        &self.inner.limits
    }

    /// How many events were accepted, refused and quarantined since the process started.
    pub fn counts(&self) -> Counts {
        self.inner.shared.counters.read()
    }

    /// Whether the log and the quarantine take events.
    pub fn states(&self) -> [LogState; 2] {
        self.inner.shared.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has events quarantined that name a recommendation which no router gave, as this says. The first one stays.
    pub fn check_recommendation_ids(&self, is_false: Arc<FalseIdCheck>) {
        let _ = self.inner.is_false_id.set(is_false);
    }

    fn has_false_id(&self, event: &Event) -> bool {
        let names_one = !event.recommendation_id.is_empty();
        names_one && self.inner.is_false_id.get().is_some_and(|is_false| is_false(event))
    }

    /// Makes `sink` hear of all events that are accepted from now on.
    pub fn add_sink(&self, sink: Arc<dyn EventSink>) {
        self.inner.shared.sinks.write().unwrap_or_else(PoisonError::into_inner).push(sink);
    }
}

#[derive(Default)]
struct ClassifiedEvents {
    recorded: Recorded,
    queued: Vec<usize>,
    entries: Vec<QueuedEvent>,
    /// In units of [`ROOM_BYTES`].
    room: u32,
}

impl Drop for EventLogInner {
    fn drop(&mut self) {
        // The thread ends when it has written what is queued.
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the thread that writes.
struct JournalWriter {
    events: LogWriter,
    quarantine: LogWriter,
    duplicates: KnownEvents,
    quarantined: KnownEvents,
    frame: Frame,
    quarantine_frame: Frame,
    shared: Arc<JournalShared>,
}

impl JournalWriter {
    fn open(log: &LogOptions, quarantine: &LogOptions) -> Result<Self, LogError> {
        Ok(Self {
            events: LogWriter::open(log.clone())?,
            quarantine: LogWriter::open(quarantine.clone())?,
            duplicates: KnownEvents::default(),
            quarantined: KnownEvents::with_generation(QUARANTINE_GENERATION),
            frame: Frame::default(),
            quarantine_frame: Frame::default(),
            shared: Arc::default(),
        })
    }

    /// Remembers the newest events: their ids, and the items of their users.
    fn read_back(&mut self, log: &LogOptions, quarantine: &LogOptions) -> Result<(), LogError> {
        let (duplicates, shared) = (&mut self.duplicates, &self.shared);
        let window = duplicates.capacity() as u64;
        each_newest(log, window, self.events.next(), |record| {
            let Some(StoredEvent { event, received_ms: _ }) = StoredEvent::decode(record) else {
                return false;
            };
            if !is_planted(PlantedBug::EventIdsForgotten) {
                duplicates.insert(hash_of(&event.event_id));
            }
            shared.recent.remember([&event]);
            true
        })?;
        let quarantined = &mut self.quarantined;
        let window = quarantined.capacity() as u64;
        each_newest(quarantine, window, self.quarantine.next(), |record| {
            let Some(found) = Quarantined::decode(record) else { return false };
            quarantined.insert(hash_of(&found.stored.event.event_id));
            true
        })
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        let mut group = Vec::new();
        loop {
            self.show_states();
            let now = Instant::now();
            let logs = [&self.events, &self.quarantine];
            let due = logs.into_iter().flat_map(|log| [log.sync_due(now), log.retry_due(now)]);
            let first = match due.flatten().min() {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => jobs.recv_timeout(due),
            };
            match first {
                Ok(Job::Record(events)) => {
                    group.push(events);
                    if let Some(seal) = self.take_group(jobs, &mut group) {
                        self.seal(&seal);
                    }
                }
                Ok(Job::Seal(seal)) => self.seal(&seal),
                Err(RecvTimeoutError::Timeout) => self.tend(),
                // Dropping the logs syncs them.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Syncs what is due, and tries again what has failed.
    fn tend(&mut self) {
        for log in [&mut self.events, &mut self.quarantine] {
            log.recover(Instant::now());
            if log.failure().is_none()
                && let Err(error) = log.sync()
            {
                tracing::error!(%error, "the event log cannot be synced and refuses events");
            }
        }
    }

    /// Shows the states of the logs.
    fn show_states(&self) {
        let states = [&self.events, &self.quarantine].map(LogState::of);
        *self.shared.states.lock().unwrap_or_else(PoisonError::into_inner) = states;
    }

    fn seal(&mut self, waits: &Sender<Result<(), LogError>>) {
        let sealed = self.events.seal().and_then(|()| self.quarantine.seal());
        // Who waited may be gone.
        let _ = waits.send(sealed);
    }

    /// Writes all that waits and answers it; returns who waits for full segments, if that came next.
    fn take_group(
        &mut self,
        jobs: &Receiver<Job>,
        group: &mut Vec<QueuedEvents>,
    ) -> Option<Sender<Result<(), LogError>>> {
        let mut seal = None;
        let forgotten = self.shared.forgotten();
        let mut elsewhere = self.shared.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        for key in elsewhere.drain(..) {
            self.duplicates.insert(key);
        }
        drop(elsewhere);
        let mut answers = Vec::new();
        let mut accepted = Vec::new();
        let mut quarantined = Vec::new();
        let (mut new_events, mut new_quarantined) = (Vec::new(), Vec::new());
        let mut duplicates = 0;
        while let Some(QueuedEvents { entries, done, _room }) = group.pop() {
            let mut is_new = Vec::with_capacity(entries.len());
            for QueuedEvent { event, received_ms, quarantine } in entries {
                if forgotten.has_user(&event.user_id) {
                    // It was classified in the moment before: it is counted, and answered like one that is known.
                    self.shared.counters.leave_out(Reason::ForgottenUser);
                    is_new.push(false);
                    continue;
                }
                let id = hash_of(&event.event_id);
                let new = match quarantine {
                    None => self.duplicates.insert(id),
                    Some(_) => self.quarantined.insert(id),
                };
                is_new.push(new);
                match (new, quarantine) {
                    (false, _) => duplicates += 1,
                    (true, None) => {
                        new_events.push(id);
                        self.frame.push(|out| encode(&event, received_ms, out));
                        accepted.push(event);
                    }
                    (true, Some(reason)) => {
                        new_quarantined.push(id);
                        self.quarantine_frame.push(|out| {
                            out.push(reason as u8);
                            encode(&event, received_ms, out);
                        });
                        quarantined.push(reason);
                    }
                }
            }
            answers.push((done, is_new, _room));
            if self.frame.len() + self.quarantine_frame.len() < GROUP_BYTES && seal.is_none() {
                match jobs.try_recv() {
                    Ok(Job::Record(events)) => group.push(events),
                    Ok(Job::Seal(waits)) => seal = Some(waits),
                    Err(_) => {}
                }
            }
        }
        let outcome = self.commit();
        if outcome.is_ok() {
            let counters = &self.shared.counters;
            counters.accept(accepted.len() as u64);
            counters.duplicate(duplicates);
            quarantined.into_iter().for_each(|reason| counters.leave_out(reason));
            self.publish(&accepted);
        } else {
            // When they are sent again they are no duplicates: the log may take them then.
            new_events.into_iter().for_each(|id| self.duplicates.forget(id));
            new_quarantined.into_iter().for_each(|id| self.quarantined.forget(id));
        }
        for (done, is_new, _room) in answers {
            // The caller may be gone.
            let _ = done.send(outcome.clone().map(|()| is_new));
        }
        seal
    }

    /// Writes both frames, which are empty afterwards, whatever came of it.
    fn commit(&mut self) -> Result<(), RecordError> {
        let written = self.write();
        self.frame.clear();
        self.quarantine_frame.clear();
        written
    }

    fn write(&mut self) -> Result<(), RecordError> {
        let logs = [
            (&mut self.quarantine, &mut self.quarantine_frame),
            (&mut self.events, &mut self.frame),
        ];
        for (log, frame) in logs {
            log.recover(Instant::now());
            // A duplicate is acknowledged too, and what it repeats may have failed.
            let written =
                if frame.is_empty() { log.check() } else { log.commit(frame).map(|_| ()) };
            if let Err(error) = written {
                if !matches!(error, LogError::Failed(_)) {
                    tracing::error!(%error, "the event log cannot be written and refuses events");
                }
                return Err(RecordError::Failed(error.to_string()));
            }
        }
        Ok(())
    }

    /// Hands events that are durable to the recent items and the sinks.
    fn publish(&self, accepted: &[Event]) {
        if accepted.is_empty() {
            return;
        }
        self.shared.recent.remember(accepted);
        let sinks = self.shared.sinks.read().unwrap_or_else(PoisonError::into_inner);
        for sink in sinks.iter() {
            sink.accepted(accepted);
        }
    }
}

/// Calls `take` with at least the newest `records` of a log, oldest first, until it says false.
fn each_newest(
    log: &LogOptions,
    records: u64,
    end: u64,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<(), LogError> {
    let mut reader = LogReader::open(&log.directory, log.contents)?;
    reader.keep_newest(records, end);
    let mut is_known = true;
    while is_known && reader.next_frame(|_, record| is_known &= take(record))? {}
    if is_known {
        return Ok(());
    }
    Err(LogError::Foreign {
        path: log.directory.clone(),
        why: ForeignFile::UnknownRecord(reader.position().next.saturating_sub(1)),
    })
}

/// A sink that keeps the events, for tests.
impl EventSink for Mutex<Vec<Event>> {
    fn accepted(&self, events: &[Event]) {
        self.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(events);
    }
}

#[cfg(test)]
mod tests;
