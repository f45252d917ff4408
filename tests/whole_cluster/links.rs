//! The network: who reaches whom now, and how long a message takes.

use crate::chance::Chance;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A process of the cluster, or the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Party {
    Control(u64),
    Shard(usize),
    Router(usize),
    Operator,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Of a thousand messages without a connection.
    pub(crate) dropped: u64,
    /// Of a thousand messages without a connection.
    pub(crate) duplicated: u64,
    /// Each message takes 1 to this many milliseconds.
    pub(crate) slowest_ms: u64,
}

/// A network at its best.
pub(crate) const FAIR: Weather = Weather { dropped: 0, duplicated: 0, slowest_ms: 4 };

#[derive(Debug)]
pub(crate) struct State {
    seed: u64,
    chance: Chance,
    pub(crate) weather: Weather,
    /// Parties on other sides than 0. Those on different sides reach each other in neither direction.
    sides: BTreeMap<Party, u64>,
    /// What goes from the first to the second is lost.
    cuts: BTreeSet<(Party, Party)>,
    /// Processes that do not run.
    down: BTreeSet<Party>,
}

/// The network, which all parties share.
#[derive(Clone, Debug)]
pub(crate) struct Links(Arc<Mutex<State>>);

impl Links {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            seed,
            chance: Chance(seed),
            weather: FAIR,
            sides: BTreeMap::new(),
            cuts: BTreeSet::new(),
            down: BTreeSet::new(),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a message that is sent now arrives.
    pub(crate) fn carries(&self, from: Party, to: Party) -> bool {
        let side = |party| self.sides.get(party).copied().unwrap_or_default();
        side(&from) == side(&to) && !self.cuts.contains(&(from, to)) && !self.down.contains(&to)
    }

    /// Whether a connection between the two lives.
    pub(crate) fn connects(&self, a: Party, b: Party) -> bool {
        self.carries(a, b) && self.carries(b, a)
    }

    pub(crate) fn is_down(&self, party: Party) -> bool {
        self.down.contains(&party)
    }

    pub(crate) fn set_down(&mut self, party: Party, is_down: bool) {
        if is_down {
            self.down.insert(party);
        } else {
            self.down.remove(&party);
        }
    }

    pub(crate) fn set_side(&mut self, party: Party, side: u64) {
        self.sides.insert(party, side);
    }

    pub(crate) fn cut(&mut self, from: Party, to: Party) {
        self.cuts.insert((from, to));
    }

    /// Ends all partitions and cuts, and bad weather.
    pub(crate) fn heal(&mut self) {
        self.sides.clear();
        self.cuts.clear();
        self.weather = FAIR;
    }

    /// How long the next message takes, in ms.
    pub(crate) fn delay_ms(&mut self) -> u64 {
        1 + self.chance.below(self.weather.slowest_ms)
    }

    /// How long a call over a connection takes one way, in ms. It follows from what is carried and when, since calls of the same
    /// moment come in any order.
    pub(crate) fn delay_of_ms(&self, from: Party, to: Party, now_ms: u64, carried: u64) -> u64 {
        let ends = format!("{from:?} {to:?} {now_ms} {carried} {}", self.seed);
        let hash = blake3::hash(ends.as_bytes());
        let number = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"));
        1 + number % self.weather.slowest_ms
    }

    /// How many copies of the next message without a connection arrive.
    pub(crate) fn copies(&mut self) -> u64 {
        if self.chance.below(1_000) < self.weather.dropped {
            return 0;
        }
        1 + u64::from(self.chance.below(1_000) < self.weather.duplicated)
    }
}
