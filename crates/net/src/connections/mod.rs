//! The open connections of one server: how many there may be, and which of them goes when there is no room.
//!
//! An idle connection costs its peer nothing and the server a descriptor, so connections are bounded, in all and of one
//! address, and one that does nothing gives way: [`decide`] says which. Within [`ConnectionLimits::handshake`] a peer
//! must have shaken hands and begun HTTP/2; one that makes no call for [`ConnectionLimits::idle`] is closed. A
//! [`Connection`] is what the layers above know a connection by: they say when calls begin and end on it, and may
//! close it.
//!
//! Deliberately missing: what a call is, and who may make it.

mod connection;
mod decide;

pub use connection::{Connection, OpenCall};

use decide::{Candidate, Room, room_for};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often idle connections are looked for: the idle time is minutes.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many connections a server has, and how long they may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most connections of one server, at least 1.
    pub all: usize,
    /// The most connections of one address, at least 1.
    pub of_address: usize,
    /// The time for the TLS handshake and the first bytes of HTTP/2.
    pub handshake: Duration,
    /// The time without a call after which a connection is closed.
    pub idle: Duration,
}

impl Default for ConnectionLimits {
    /// A thousand machines with a few connections each; two round trips over any network and a busy machine; and
    /// longer than clients that are in use ever pause.
    fn default() -> Self {
        Self {
            all: 4_096,
            of_address: 1_024,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(15 * 60),
        }
    }
}

/// How many connections there are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that are open.
    pub open: usize,
    /// Connections that were refused, since the start.
    pub refused: u64,
    /// Connections that gave way to others, since the start.
    pub evicted: u64,
    /// Connections that were closed because they made no call, since the start.
    pub idle: u64,
}

/// The open connections of one server. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections {
    limits: ConnectionLimits,
    since: Instant,
    register: Arc<Mutex<Register>>,
}

#[derive(Debug, Default)]
struct Register {
    next: u64,
    open: BTreeMap<u64, Weak<Connection>>,
    counts: ConnectionCounts,
}

/// A connection's place in the register; dropping it takes the connection out.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) connection: Arc<Connection>,
    register: Arc<Mutex<Register>>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut register = lock(&self.register);
        register.open.remove(&self.connection.number());
        register.counts.open = register.open.len();
    }
}

fn lock(register: &Mutex<Register>) -> MutexGuard<'_, Register> {
    // Every change leaves the register whole.
    register.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// No connections yet.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits, since: Instant::now(), register: Arc::default() }
    }

    /// The limits that hold.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// How many there are and were.
    pub fn counts(&self) -> ConnectionCounts {
        lock(&self.register).counts
    }

    /// Registers a new connection from this address, for which another one is closed where there is no room; none if no
    /// other one gives way.
    pub(crate) fn register(&self, from: Option<IpAddr>) -> Option<Registered> {
        let mut register = lock(&self.register);
        if register.open.len() >= self.limits.all.min(self.limits.of_address) {
            let open: Vec<Arc<Connection>> =
                register.open.values().filter_map(Weak::upgrade).collect();
            let candidates: Vec<Candidate> = open.iter().map(|it| it.candidate()).collect();
            match room_for(from, &candidates, self.limits.all, self.limits.of_address) {
                Room::Free => {}
                Room::Refused => {
                    register.counts.refused += 1;
                    return None;
                }
                Room::InsteadOf(number) => {
                    register.close(number);
                    register.counts.evicted += 1;
                }
            }
        }
        register.next += 1;
        let number = register.next;
        let connection = Arc::new(Connection::new(number, from, self.since));
        register.open.insert(number, Arc::downgrade(&connection));
        register.counts.open = register.open.len();
        Some(Registered { connection, register: Arc::clone(&self.register) })
    }

    /// Closes the connection that did nothing for longest, of those without a call: the system has no descriptors left.
    /// Returns whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        let mut register = lock(&self.register);
        let open: Vec<Arc<Connection>> = register.open.values().filter_map(Weak::upgrade).collect();
        let candidates: Vec<Candidate> = open.iter().map(|it| it.candidate()).collect();
        let Some(number) = decide::idlest(candidates.iter()) else { return false };
        register.close(number);
        register.counts.evicted += 1;
        true
    }

    /// Closes the connections that made no call for the idle time.
    fn sweep(&self) {
        let mut register = lock(&self.register);
        let open: Vec<Arc<Connection>> = register.open.values().filter_map(Weak::upgrade).collect();
        for connection in open {
            if connection.idle_for().is_some_and(|idle| idle >= self.limits.idle) {
                register.close(connection.number());
                register.counts.idle += 1;
            }
        }
    }

    /// Closes idle connections for as long as it is polled.
    pub(crate) async fn sweep_for_ever(&self) {
        let pause = SWEEP_EVERY.min(self.limits.idle / 2).max(Duration::from_millis(1));
        loop {
            tokio::time::sleep(pause).await;
            self.sweep();
        }
    }
}

impl Register {
    /// Closes a connection, which has no place any more.
    fn close(&mut self, number: u64) {
        if let Some(connection) = self.open.remove(&number).and_then(|weak| weak.upgrade()) {
            connection.close();
        }
        self.counts.open = self.open.len();
    }
}
