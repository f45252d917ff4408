//! Exposures: what was shown to which user, and what served it. One record an answer, joined with events
//! by `recommendation_id`.
//!
//! Answers do not wait for it. Records go to a buffer with a bound, which a thread writes every
//! [`FLUSH_EVERY`]; what finds the buffer full is counted as dropped.
//!
//! ```text
//!  0  1  layout of the record, 3
//!  1  1  variant of the rollout: 0 none, 1 baseline, 2 candidate
//!  2  1  fallback reason, as marquee.v1.FallbackReason numbers it
//!  3  8  when it was answered, milliseconds since 1970
//! 11  8  number of the key that names the user, 0 if nobody is named
//! 19  8  keyed hash of the user
//! 27  8  plan epoch
//! 35     recommendation id, surface, ensemble, rollout id: each u16 length and UTF-8
//!        u16 versions: each a model's name as above and a u64 number
//!        u16 items: each as above
//!        u8 what was asked for: 1 recommendations, 2 given items, 3 similar items, 4 a search
//!        u8 1 if the request had a filter, else 0
//!        u16 chance of a drawn slot in 1/10,000, u16 slots, u16 candidates beyond, u16 drawn rank or 0
//! ```
//!
//! Earlier versions wrote layouts 1 and 2, which have no number of a key and the XXH3-64 of the user's id as the hash.
//! Layout 1 ends with the items.

use crate::fields::{Fields, put_text};
use crate::forgetting::ForgottenUsers;
use crate::log::{ErasedCounts, Frame, LogEraser, LogError, LogOptions, LogWriter, RecordFate};
use crate::log_state::LogState;
use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use marquee_core::hash::{Purpose, stable_hash};
use marquee_core::plan::{UserHash, Variant};
use marquee_core::ranking::randomise::SlotDraw;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The first byte of a record, changed with the layout.
const LAYOUT: u8 = 3;
/// The layout before hashes of users had keys.
const LAYOUT_WITHOUT_KEYS: u8 = 2;
/// The layout before requests and propensities were recorded.
const LAYOUT_WITHOUT_DRAWS: u8 = 1;
/// The variants of a rollout in a record.
const NO_VARIANT: u8 = 0;
const BASELINE: u8 = 1;
const CANDIDATE: u8 = 2;
const INTERLEAVED: u8 = 3;
/// How long a record waits for others: a thread that wakes for each would cost more than the record.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// Bytes that wait for the disk at most.
const BUFFER_BYTES: usize = 8 << 20;

/// What an answer was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AskedFor {
    /// A record of an earlier version, which does not say.
    #[default]
    Unknown = 0,
    /// The best items for a user.
    Recommendations = 1,
    /// Given items, ranked for a user.
    GivenItems = 2,
    /// Items like an item.
    SimilarItems = 3,
    /// Items about a text.
    Search = 4,
}

impl AskedFor {
    const ALL: [Self; 5] =
        [Self::Unknown, Self::Recommendations, Self::GivenItems, Self::SimilarItems, Self::Search];

    /// Its name in exports; empty where it is not known.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Recommendations => "recommendations",
            Self::GivenItems => "given_items",
            Self::SimilarItems => "similar_items",
            Self::Search => "search",
        }
    }
}

/// What one answer showed. `S` is `&str` where it is written and `String` where it is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposure<S> {
    /// The id of the answer.
    pub recommendation_id: S,
    /// When it was answered, milliseconds since 1970.
    pub time_ms: u64,
    /// What the record calls the user: the log has no ids of users. [`UserHash::NOBODY`] where the request names no
    /// user, but an item to be like.
    pub user_hash: UserHash,
    /// The surface that was asked.
    pub surface: S,
    /// The ensemble that served it.
    pub ensemble: S,
    /// The rollout that runs there or the experiment that the user takes part in; or empty.
    pub rollout_id: S,
    /// The variant of it that served.
    pub variant: Variant,
    /// The models and versions of the ensemble.
    pub models: Vec<(S, u64)>,
    /// The epoch of the plan that served.
    pub plan_epoch: u64,
    /// Why it is no full answer, as `marquee.v1.FallbackReason` numbers it; 0: it is.
    pub fallback_reason: u8,
    /// The items that were shown, best first.
    pub item_ids: Vec<S>,
    /// What was asked for.
    pub asked_for: AskedFor,
    /// Whether the request had a filter.
    pub is_filtered: bool,
    /// How the slots were filled: the propensities of the items.
    pub draw: SlotDraw,
}

impl Exposure<String> {
    /// What records of earlier versions call a user: anybody who has the ids can tell whose they are. Nothing is
    /// written with it any more.
    pub fn hash_of_earlier_versions(user_id: &str) -> UserHash {
        UserHash { key: 0, hash: stable_hash(Purpose::Exposure, &[user_id.as_bytes()]) }
    }

    /// Reads a record; `None` if it is none.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let mut fields = Fields(record);
        let layout = fields.byte()?;
        if ![LAYOUT, LAYOUT_WITHOUT_KEYS, LAYOUT_WITHOUT_DRAWS].contains(&layout) {
            return None;
        }
        let variant = match fields.byte()? {
            NO_VARIANT => Variant::None,
            BASELINE => Variant::Baseline,
            CANDIDATE => Variant::Candidate,
            INTERLEAVED => Variant::Interleaved,
            _ => return None,
        };
        let fallback_reason = fields.byte()?;
        let time_ms = fields.u64()?;
        let key = if layout == LAYOUT { fields.u64()? } else { 0 };
        let user_hash = UserHash { key, hash: fields.u64()? };
        let plan_epoch = fields.u64()?;
        let mut text = || fields.text().map(str::to_owned);
        let (recommendation_id, surface, ensemble, rollout_id) =
            (text()?, text()?, text()?, text()?);
        let models = (0..fields.u16()?)
            .map(|_| Some((fields.text()?.to_owned(), fields.u64()?)))
            .collect::<Option<_>>()?;
        let item_ids =
            (0..fields.u16()?).map(|_| fields.text().map(str::to_owned)).collect::<Option<_>>()?;
        let (mut asked_for, mut is_filtered, mut draw) = Default::default();
        if layout != LAYOUT_WITHOUT_DRAWS {
            let byte = fields.byte()?;
            asked_for = AskedFor::ALL.into_iter().find(|known| *known as u8 == byte)?;
            is_filtered = fields.byte()? != 0;
            draw = SlotDraw {
                share_basis_points: fields.u16()?,
                slots: fields.u16()?,
                beyond: fields.u16()?,
                drawn_rank: fields.u16()?,
            };
        }
        fields.end()?;
        Some(Self {
            recommendation_id,
            time_ms,
            user_hash,
            surface,
            ensemble,
            rollout_id,
            variant,
            models,
            plan_epoch,
            fallback_reason,
            item_ids,
            asked_for,
            is_filtered,
            draw,
        })
    }
}

impl<S: AsRef<str>> Exposure<S> {
    /// Appends the record.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Self {
            recommendation_id,
            time_ms,
            user_hash,
            surface,
            ensemble,
            rollout_id,
            variant,
            models,
            plan_epoch,
            fallback_reason,
            item_ids,
            asked_for,
            is_filtered,
            draw,
        } = self;
        let variant_byte = match variant {
            Variant::None => NO_VARIANT,
            Variant::Baseline => BASELINE,
            Variant::Candidate => CANDIDATE,
            Variant::Interleaved => INTERLEAVED,
        };
        out.extend_from_slice(&[LAYOUT, variant_byte, *fallback_reason]);
        let UserHash { key, hash } = user_hash;
        for number in [time_ms, key, hash, plan_epoch] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for text in [recommendation_id, surface, ensemble, rollout_id] {
            put_text(out, text.as_ref());
        }
        // An answer has at most 1,000 items and 8 versions.
        let count = |length: usize| length.min(usize::from(u16::MAX)) as u16;
        out.extend_from_slice(&count(models.len()).to_le_bytes());
        for (model, version) in models.iter().take(usize::from(u16::MAX)) {
            put_text(out, model.as_ref());
            out.extend_from_slice(&version.to_le_bytes());
        }
        out.extend_from_slice(&count(item_ids.len()).to_le_bytes());
        for item in item_ids.iter().take(usize::from(u16::MAX)) {
            put_text(out, item.as_ref());
        }
        out.extend_from_slice(&[*asked_for as u8, u8::from(*is_filtered)]);
        let SlotDraw { share_basis_points, slots, beyond, drawn_rank } = draw;
        for number in [share_basis_points, slots, beyond, drawn_rank] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// What becomes of an exposure once these users are forgotten. Those of earlier versions have hashes that are made
/// without a key, so this cluster cannot tell whose they are, and all who have the ids can: they name nobody from then on. A
/// record of a later version, which cannot be read, stays.
pub(crate) fn fate_of_exposure(record: &[u8], forgotten: &ForgottenUsers) -> RecordFate {
    match Exposure::decode(record) {
        Some(exposure) if forgotten.has_hash(exposure.user_hash) => RecordFate::Erase,
        Some(mut exposure) if exposure.user_hash.is_unkeyed() => {
            exposure.user_hash = UserHash::NOBODY;
            let mut other = Vec::new();
            exposure.encode(&mut other);
            RecordFate::Replace(other)
        }
        Some(_) | None => RecordFate::Keep,
    }
}

/// Whether an answer is in a sample of so many basis points: the same on every node that asks.
pub fn is_sampled(recommendation_id: &str, basis_points: u32) -> bool {
    let full = u64::from(FULL_WEIGHT_BASIS_POINTS);
    stable_hash(Purpose::Sample, &[recommendation_id.as_bytes()]) % full < u64::from(basis_points)
}

/// How exposures are sampled and recorded.
#[derive(Clone, Debug)]
pub struct ExposureSettings {
    /// How the log is written.
    pub log: LogOptions,
    /// The part of answers that is recorded, 0 to 10,000.
    pub sample_basis_points: u32,
}

/// The exposures of a router. Clones share it; the last one gone waits for the disk.
#[derive(Clone, Debug)]
pub struct ExposureLog {
    inner: Arc<ExposureLogInner>,
}

/// A log that may have been closed.
#[derive(Clone, Debug)]
pub struct WeakExposureLog(Weak<ExposureLogInner>);

impl WeakExposureLog {
    /// The log; none if it was closed.
    pub fn upgrade(&self) -> Option<ExposureLog> {
        self.0.upgrade().map(|inner| ExposureLog { inner })
    }
}

#[derive(Debug)]
struct ExposureLogInner {
    sample_basis_points: u32,
    shared: Arc<ExposureShared>,
    eraser: LogEraser,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct ExposureShared {
    waiting: Mutex<WaitingExposures>,
    changed: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
    forgotten: RwLock<Arc<ForgottenUsers>>,
    state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct WaitingExposures {
    frame: Frame,
    /// Who waits until all exposures so far are in full segments.
    seals: Vec<Sender<Result<(), LogError>>>,
    ends: bool,
}

impl WaitingExposures {
    fn is_idle(&self) -> bool {
        self.frame.is_empty() && self.seals.is_empty() && !self.ends
    }
}

impl ExposureShared {
    fn waiting(&self) -> MutexGuard<'_, WaitingExposures> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExposureLog {
    /// Opens the log or begins one.
    ///
    /// # Errors
    /// What is wrong with the log.
    pub fn open(settings: ExposureSettings) -> Result<Self, LogError> {
        let ExposureSettings { log, sample_basis_points } = settings;
        let writer = LogWriter::open(log)?;
        let eraser = writer.eraser();
        let shared = Arc::new(ExposureShared::default());
        let its_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("exposure-log".into())
            .spawn(move || run(writer, &its_shared))?;
        let inner = ExposureLogInner { sample_basis_points, shared, eraser, thread: Some(thread) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A handle that does not keep the log open.
    pub fn downgrade(&self) -> WeakExposureLog {
        WeakExposureLog(Arc::downgrade(&self.inner))
    }

    /// Whether an answer is to be recorded.
    pub fn wants(&self, recommendation_id: &str) -> bool {
        is_sampled(recommendation_id, self.inner.sample_basis_points)
    }

    /// Records an answer, or counts it as dropped if the disk does not keep up. One to a user who is forgotten, which
    /// was under way when that became known, is left out.
    pub fn record<S: AsRef<str>>(&self, exposure: &Exposure<S>) {
        let shared = &self.inner.shared;
        let mut waiting = shared.waiting();
        // Under the lock: what comes after `forget` returned is looked at with its users.
        if shared
            .forgotten
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .has_hash(exposure.user_hash)
        {
            return;
        }
        if waiting.frame.len() >= BUFFER_BYTES {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let is_first = waiting.frame.is_empty();
        waiting.frame.push(|out| exposure.encode(out));
        drop(waiting);
        if is_first {
            shared.changed.notify_one();
        }
    }

    /// Records nothing of these users from now on.
    pub fn forget(&self, users: Arc<ForgottenUsers>) {
        let shared = &self.inner.shared;
        let _waiting = shared.waiting();
        *shared.forgotten.write().unwrap_or_else(PoisonError::into_inner) = users;
    }

    /// Erases what the log has of the forgotten users. Blocking; the log is written meanwhile.
    ///
    /// # Errors
    /// What is wrong with the log: what was erased until then stays so.
    pub fn erase(&self) -> Result<ErasedCounts, LogError> {
        let shared = &self.inner.shared;
        let (seal, sealed) = channel();
        shared.waiting().seals.push(seal);
        shared.changed.notify_one();
        sealed.recv().map_err(|_| LogError::Failed("the node is going down".into()))??;
        let users = Arc::clone(&shared.forgotten.read().unwrap_or_else(PoisonError::into_inner));
        self.inner.eraser.erase(|record| fate_of_exposure(record, &users))
    }

    /// Whether the log takes exposures.
    pub fn state(&self) -> LogState {
        self.inner.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Exposures on disk, and exposures dropped, since the process started.
    pub fn counts(&self) -> (u64, u64) {
        let ExposureShared { written, dropped, .. } = &*self.inner.shared;
        (written.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed))
    }
}

impl Drop for ExposureLogInner {
    fn drop(&mut self) {
        self.shared.waiting().ends = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes what waits, until the log is dropped: the life of the thread.
fn run(mut writer: LogWriter, shared: &ExposureShared) {
    let mut frame = Frame::default();
    let mut has_logged = false;
    loop {
        show_state(&writer, shared);
        let mut waiting = shared.waiting();
        while waiting.is_idle() {
            let now = Instant::now();
            let due = writer.sync_due(now).into_iter().chain(writer.retry_due(now)).min();
            waiting = match due {
                None => shared.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due.is_zero() => {
                    drop(waiting);
                    writer.recover(Instant::now());
                    if writer.failure().is_none()
                        && let Err(error) = writer.sync()
                    {
                        log_once(&mut has_logged, &error);
                    }
                    show_state(&writer, shared);
                    shared.waiting()
                }
                Some(due) => {
                    let waited = shared.changed.wait_timeout(waiting, due);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        if !waiting.ends && waiting.seals.is_empty() {
            // More exposures come meanwhile. When the log is dropped it does not wait.
            let ends = |waiting: &mut WaitingExposures| !waiting.ends && waiting.seals.is_empty();
            let waited = shared.changed.wait_timeout_while(waiting, FLUSH_EVERY, ends);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let ends = waiting.ends;
        let seals = std::mem::take(&mut waiting.seals);
        std::mem::swap(&mut waiting.frame, &mut frame);
        drop(waiting);
        if !frame.is_empty() {
            let records = u64::from(frame.records());
            writer.recover(Instant::now());
            let counter = match writer.commit(&mut frame) {
                Ok(_) => {
                    has_logged = false;
                    &shared.written
                }
                Err(error) => {
                    frame.clear();
                    log_once(&mut has_logged, &error);
                    &shared.dropped
                }
            };
            counter.fetch_add(records, Ordering::Relaxed);
        }
        for seal in seals {
            // Who waited may be gone.
            let _ = seal.send(writer.seal());
        }
        if ends {
            return;
        }
    }
}

/// Logs the first error of those that follow each other.
fn log_once(has_logged: &mut bool, error: &LogError) {
    if !std::mem::replace(has_logged, true) {
        tracing::error!(%error, "exposures are dropped from now on");
    }
}

/// Shows whether the log takes exposures.
fn show_state(writer: &LogWriter, shared: &ExposureShared) {
    *shared.state.lock().unwrap_or_else(PoisonError::into_inner) = LogState::of(writer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forgetting::tests::forgetting_ann;
    use crate::log::{Contents, LogReader, WriteStep};
    use proptest::prelude::*;
    use std::sync::atomic::AtomicBool;

    fn exposure(id: &str) -> Exposure<&str> {
        Exposure {
            recommendation_id: id,
            time_ms: 7,
            user_hash: UserHash { key: 3, hash: 77 },
            surface: "home",
            ensemble: "films@2",
            rollout_id: "home-1",
            variant: Variant::Candidate,
            models: vec![("films", 2), ("music", 1)],
            plan_epoch: 9,
            fallback_reason: 4,
            item_ids: vec!["a", "b"],
            asked_for: AskedFor::Recommendations,
            is_filtered: true,
            draw: SlotDraw { share_basis_points: 200, slots: 2, beyond: 7, drawn_rank: 1 },
        }
    }

    fn owned(exposure: &Exposure<&str>) -> Exposure<String> {
        let mut bytes = Vec::new();
        exposure.encode(&mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(Exposure::decode(&bytes[..end]), None);
        }
        Exposure::decode(&bytes).expect("reads back")
    }

    #[test]
    fn records_read_back() {
        let read = owned(&exposure("r"));
        assert_eq!(read.recommendation_id, "r");
        assert_eq!((read.surface.as_str(), read.ensemble.as_str()), ("home", "films@2"));
        assert_eq!((read.rollout_id.as_str(), read.variant), ("home-1", Variant::Candidate));
        assert_eq!(read.models, [("films".into(), 2), ("music".into(), 1)]);
        assert_eq!((read.plan_epoch, read.fallback_reason, read.time_ms), (9, 4, 7));
        assert_eq!(read.item_ids, ["a", "b"]);
        assert_eq!((read.asked_for, read.is_filtered), (AskedFor::Recommendations, true));
        assert_eq!(read.draw, exposure("r").draw);
        assert_eq!(read.user_hash, UserHash { key: 3, hash: 77 });
    }

    #[test]
    fn records_of_earlier_versions_are_read_as_shown_with_certainty() {
        let mut bytes = Vec::new();
        exposure("r").encode(&mut bytes);
        bytes.drain(11..19);
        bytes[0] = LAYOUT_WITHOUT_KEYS;
        let read = Exposure::decode(&bytes).expect("reads back");
        assert_eq!(
            (read.user_hash, read.draw),
            (UserHash { key: 0, hash: 77 }, exposure("r").draw)
        );
        bytes[0] = LAYOUT_WITHOUT_DRAWS;
        assert_eq!(Exposure::decode(&bytes), None, "it ends with the items");
        bytes.truncate(bytes.len() - 10);
        let read = Exposure::decode(&bytes).expect("reads back");
        assert_eq!((read.asked_for, read.draw), (AskedFor::Unknown, SlotDraw::default()));
        assert_eq!(read.item_ids, ["a", "b"]);
    }

    #[test]
    fn a_sample_has_its_size_and_grows() {
        let ids: Vec<String> = (0..10_000).map(|n| format!("id-{n:x}")).collect();
        let sample = |points| ids.iter().filter(|id| is_sampled(id, points)).count();
        assert_eq!((sample(0), sample(10_000)), (0, 10_000));
        let tenth = sample(1_000);
        assert!((850..1_150).contains(&tenth), "{tenth}");
        assert!(ids.iter().all(|id| !is_sampled(id, 100) || is_sampled(id, 1_000)));
    }

    fn open(directory: &std::path::Path, faults: Option<Arc<AtomicBool>>) -> ExposureLog {
        let mut log = LogOptions::new(directory, Contents::Exposures);
        if let Some(holds) = faults {
            log.faults = Some(Arc::new(move |step| {
                while step == WriteStep::Write && holds.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }));
        }
        ExposureLog::open(ExposureSettings { log, sample_basis_points: 10_000 }).expect("opens")
    }

    #[test]
    fn all_are_there_when_the_log_is_closed() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open(dir.path(), None);
        for n in 0..1_000 {
            log.record(&exposure(&n.to_string()));
        }
        drop(log);
        let mut reader = LogReader::open(dir.path(), Contents::Exposures).expect("opens");
        let mut count = 0;
        while reader
            .next_frame(|n, record| {
                let read = Exposure::decode(record).expect("an exposure");
                assert_eq!(read.recommendation_id, n.to_string());
                count += 1;
            })
            .expect("whole")
        {}
        assert_eq!(count, 1_000);
    }

    fn encoded(user_hash: UserHash) -> Vec<u8> {
        let mut record = Vec::new();
        Exposure { user_hash, ..exposure("r") }.encode(&mut record);
        record
    }

    #[test]
    fn exposures_of_a_forgotten_user_go_under_whichever_key() {
        let privacy = forgetting_ann();
        let forgotten = ForgottenUsers::of(&privacy);
        let hashes =
            |user| Vec::from_iter(privacy.hashes(&privacy.pseudonym(user).expect("a root")));
        for hash in hashes("ann") {
            assert_eq!(fate_of_exposure(&encoded(hash), &forgotten), RecordFate::Erase);
        }
        for hash in hashes("bob").into_iter().chain([UserHash::NOBODY]) {
            assert_eq!(fate_of_exposure(&encoded(hash), &forgotten), RecordFate::Keep);
        }
        let unkeyed = encoded(Exposure::hash_of_earlier_versions("bob"));
        let RecordFate::Replace(other) = fate_of_exposure(&unkeyed, &forgotten) else {
            panic!("it has a hash that anybody can compute")
        };
        let read = Exposure::decode(&other).expect("an exposure");
        assert_eq!((read.recommendation_id.as_str(), read.user_hash), ("r", UserHash::NOBODY));
        assert_eq!(fate_of_exposure(&other, &forgotten), RecordFate::Keep);
    }

    #[test]
    fn what_was_shown_to_a_forgotten_user_is_erased_and_no_more_is_recorded() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open(dir.path(), None);
        let privacy = forgetting_ann();
        let show = |user: &str, id: &str| {
            let user_hash = privacy.hash_now(user);
            log.record(&Exposure { user_hash, ..exposure(id) });
        };
        show("ann", "1");
        show("bob", "2");
        log.forget(Arc::new(ForgottenUsers::of(&privacy)));
        show("ann", "3");
        let erased = log.erase().expect("erased");
        assert_eq!((erased.erased, erased.replaced), (1, 0));
        show("ann", "4");
        show("bob", "5");
        drop(log);
        let mut ids = Vec::new();
        let mut reader = LogReader::open(dir.path(), Contents::Exposures).expect("opens");
        while reader
            .next_frame(|_, record| {
                ids.push(Exposure::decode(record).expect("an exposure").recommendation_id);
            })
            .expect("whole")
        {}
        assert_eq!(ids, ["2", "5"]);
    }

    #[test]
    fn a_disk_that_hangs_costs_exposures_and_no_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let holds = Arc::new(AtomicBool::new(true));
        let log = open(dir.path(), Some(Arc::clone(&holds)));
        let long = "x".repeat(60_000);
        for _ in 0..400 {
            log.record(&exposure(&long));
        }
        let dropped = log.counts().1;
        assert!(dropped > 100, "only {dropped} of 24 MB were dropped");
        holds.store(false, Ordering::Release);
        while log.counts().0 + dropped < 400 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(log.counts(), (400 - dropped, dropped));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Exposure::decode(&bytes);
        }
    }

    #[test]
    fn exposures_are_kept_again_when_the_disk_is_well() {
        let dir = tempfile::tempdir().expect("a directory");
        let is_full = Arc::new(AtomicBool::new(true));
        let fails = Arc::clone(&is_full);
        let mut log = LogOptions::new(dir.path(), Contents::Exposures);
        log.faults = Some(Arc::new(move |step| {
            let fails = step == WriteStep::Write && fails.load(Ordering::Acquire);
            if fails { Err(std::io::Error::other("no space")) } else { Ok(()) }
        }));
        let settings = ExposureSettings { log, sample_basis_points: 10_000 };
        let log = ExposureLog::open(settings).expect("opens");
        let until = |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        log.record(&exposure("dropped"));
        until(&|| log.counts().1 == 1 && log.state().failure.is_some());
        is_full.store(false, Ordering::Release);
        until(&|| log.state().failure.is_none());
        log.record(&exposure("kept"));
        until(&|| log.counts().0 == 1);
        assert_eq!((log.counts(), log.state()), ((1, 1), LogState::default()));
    }
}
