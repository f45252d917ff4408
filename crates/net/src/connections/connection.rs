//! One connection, as all who have to do with it share it.

use super::decide::Candidate;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// One connection of a server.
#[derive(Debug)]
pub struct Connection {
    number: u64,
    from: Option<IpAddr>,
    since: Instant,
    /// Calls that are under way on it.
    calls: AtomicUsize,
    /// Whether there was a call on it.
    has_called: AtomicBool,
    /// When it was opened, or a call began or ended on it last, in milliseconds after `since`.
    active_ms: AtomicU64,
    closing: AtomicBool,
    /// Who reads from it.
    reader: Mutex<Option<Waker>>,
}

/// A call that is under way on a connection; it ends when dropped.
#[derive(Debug)]
pub struct OpenCall(Arc<Connection>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.note_activity();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connection {
    pub(super) fn new(number: u64, from: Option<IpAddr>, since: Instant) -> Self {
        let connection = Self {
            number,
            from,
            since,
            calls: AtomicUsize::new(0),
            has_called: AtomicBool::new(false),
            active_ms: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            reader: Mutex::new(None),
        };
        connection.note_activity();
        connection
    }

    /// Its number, which no other connection of the server ever has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Begins a call on it: it is not idle until the call ends.
    pub fn begin_call(self: &Arc<Self>) -> OpenCall {
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.has_called.store(true, Ordering::Release);
        self.note_activity();
        OpenCall(Arc::clone(self))
    }

    /// Closes it at once, with the calls on it.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether it is to be closed; if not, the task is woken when it is.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> bool {
        if self.is_closing() {
            return true;
        }
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        // It may have been closed meanwhile.
        self.is_closing()
    }

    /// Whether it is to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// For how long there was no call on it; none while there is one.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        if self.calls.load(Ordering::Acquire) > 0 {
            return None;
        }
        let active_ms = self.active_ms.load(Ordering::Acquire);
        Some(Duration::from_millis(self.now_ms().saturating_sub(active_ms)))
    }

    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            number: self.number,
            from: self.from,
            is_busy: self.calls.load(Ordering::Acquire) > 0,
            has_called: self.has_called.load(Ordering::Acquire),
            active_ms: self.active_ms.load(Ordering::Acquire),
        }
    }

    fn note_activity(&self) {
        self.active_ms.store(self.now_ms(), Ordering::Release);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
