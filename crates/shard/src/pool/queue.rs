//! The queue of tickets, and the bound on what is admitted.

use super::line::{Line, Next};
use super::ticket::Ticket;
use crate::error::RequestError;
use marquee_core::overload::Priority;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tickets that wait for a thread.
pub(super) struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
    admitted: Arc<AtomicUsize>,
    max_units: usize,
    began: Instant,
}

/// What a thread does next.
pub(super) type NextTicket = Next<Arc<dyn Ticket>>;

/// What the queue's lock guards.
struct QueueState {
    tickets: Line<Arc<dyn Ticket>>,
    closed: bool,
}

/// Room in the queue, given back when dropped.
pub(super) struct Permit {
    admitted: Arc<AtomicUsize>,
    units: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admitted.fetch_sub(self.units, Ordering::Relaxed);
    }
}

impl Queue {
    /// An empty queue that admits so many units.
    pub(super) fn new(max_units: usize) -> Self {
        let state = Mutex::new(QueueState { tickets: Line::new(), closed: false });
        Self {
            state,
            wake: Condvar::new(),
            admitted: Arc::default(),
            max_units,
            began: Instant::now(),
        }
    }

    /// Takes room for so many units, if there is.
    pub(super) fn admit(&self, units: usize) -> Result<Permit, RequestError> {
        let with_units =
            |admitted: usize| admitted.checked_add(units).filter(|&total| total <= self.max_units);
        match self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_units) {
            Ok(_) => Ok(Permit { admitted: Arc::clone(&self.admitted), units }),
            Err(admitted) => {
                Err(RequestError::QueueFull { admitted, asked: units, bound: self.max_units })
            }
        }
    }

    /// How many units have room now.
    pub(super) fn admitted(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Gives the ticket to up to so many threads.
    pub(super) fn push(
        &self,
        ticket: Arc<dyn Ticket>,
        threads: usize,
        priority: Priority,
        is_small: bool,
    ) -> Result<(), RequestError> {
        let now = self.now();
        let mut state = self.lock();
        if state.closed {
            return Err(RequestError::ShuttingDown);
        }
        for _ in 0..threads {
            state.tickets.push(Arc::clone(&ticket), priority, is_small, now);
        }
        drop(state);
        for _ in 0..threads {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The next ticket; none once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<NextTicket> {
        let mut state = self.lock();
        loop {
            let next = state.tickets.next(self.now());
            if next.is_some() {
                return next;
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts a ticket that had its turn back, and takes the next one, be it the same.
    pub(super) fn rotate(&self, ticket: Arc<dyn Ticket>) -> Option<NextTicket> {
        let mut state = self.lock();
        state.tickets.push_begun(ticket);
        state.tickets.next(self.now())
    }

    /// Whether small work waits for too long.
    pub(super) fn stands(&self) -> bool {
        self.lock().tickets.stands()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
