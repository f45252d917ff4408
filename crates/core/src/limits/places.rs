//! Places that are held for as long as their holder wants, shared out so that no peer keeps all of them.
//!
//! A peer beyond its share gives way: where all places are taken, one who has fewer gets a place of the peer that has the
//! most, from the connection that has the most, the oldest first. So one who takes all places keeps them from
//! himself only. Where a newcomer would have as many as those who are there, it is refused, or the oldest gives way, as the
//! bounds say. After the fair queueing of Nagle, *On packet switches with infinite storage* (RFC 970).

use super::peer::Peer;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceBounds {
    /// Of all peers together, at least 1.
    pub all: usize,
    /// Of one peer, at least 1.
    pub of_peer: usize,
    /// Of one connection, at least 1.
    pub of_connection: usize,
    /// Whether the oldest gives way to a newcomer that has as many; otherwise the newcomer is refused.
    pub oldest_gives_way: bool,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// The connection has as many as it may.
    #[error("this connection has {0}, the most that one may have")]
    OfConnection(usize),
    /// The peer has as many as it may.
    #[error("you have {0}, the most that one caller may have")]
    OfPeer(usize),
    /// All are taken, and nobody has more than the newcomer would.
    #[error("all {0} are taken")]
    All(usize),
}

/// A place that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number, which no other place ever has.
    pub number: u64,
    /// The place whose holder has to leave for it.
    pub evicted: Option<u64>,
}

#[derive(Clone, Debug)]
struct Holder {
    peer: Peer,
    connection: u64,
}

/// The places of one peer.
#[derive(Clone, Debug, Default)]
struct HeldByPeer {
    held: usize,
    /// By connection, by number and so by age.
    of_connections: BTreeMap<u64, BTreeSet<u64>>,
}

/// Who holds which place.
#[derive(Clone, Debug, Default)]
pub struct Places {
    given: u64,
    holders: HashMap<u64, Holder>,
    of_peers: HashMap<Peer, HeldByPeer>,
    /// How many each connection holds, of whichever peers.
    of_connections: HashMap<u64, usize>,
}

impl Places {
    /// How many are held.
    pub fn held(&self) -> usize {
        self.holders.len()
    }

    /// How many this peer holds.
    pub fn held_by(&self, peer: &Peer) -> usize {
        self.of_peers.get(peer).map_or(0, |holder| holder.held)
    }

    /// Gives a place to a peer, on one of its connections. Who has to leave for it has left then.
    ///
    /// # Errors
    /// There is none, and nobody gives way.
    pub fn take(
        &mut self,
        peer: &Peer,
        connection: u64,
        bounds: &PlaceBounds,
    ) -> Result<Taken, NoPlace> {
        let of_connection = self.of_connections.get(&connection).copied().unwrap_or_default();
        let of_peer = self.held_by(peer);
        let evicted = if of_connection >= bounds.of_connection {
            let oldest = self.oldest(peer, connection).filter(|_| bounds.oldest_gives_way);
            Some(oldest.ok_or(NoPlace::OfConnection(of_connection))?)
        } else if of_peer >= bounds.of_peer {
            let victim = self.victim_of(peer, of_connection, bounds);
            Some(victim.ok_or(NoPlace::OfPeer(of_peer))?)
        } else if self.held() >= bounds.all {
            let most = self.of_peers.iter().max_by_key(|(peer, holder)| (holder.held, *peer));
            let victim = most.and_then(|(greedy, holder)| {
                if greedy == peer {
                    self.victim_of(peer, of_connection, bounds)
                } else if gives_way(holder.held, of_peer, bounds) {
                    self.victim_of(greedy, 0, &PlaceBounds { oldest_gives_way: true, ..*bounds })
                } else {
                    None
                }
            });
            Some(victim.ok_or(NoPlace::All(bounds.all))?)
        } else {
            None
        };
        if let Some(number) = evicted {
            self.leave(number);
        }
        self.given += 1;
        let number = self.given;
        self.holders.insert(number, Holder { peer: peer.clone(), connection });
        let of_peer = self.of_peers.entry(peer.clone()).or_default();
        of_peer.held += 1;
        of_peer.of_connections.entry(connection).or_default().insert(number);
        *self.of_connections.entry(connection).or_default() += 1;
        Ok(Taken { number, evicted })
    }

    /// The place of this number is free again. One that is free already stays so.
    pub fn leave(&mut self, number: u64) {
        let Some(Holder { peer, connection }) = self.holders.remove(&number) else { return };
        if let Some(of_peer) = self.of_peers.get_mut(&peer) {
            of_peer.held -= 1;
            if let Some(numbers) = of_peer.of_connections.get_mut(&connection) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    of_peer.of_connections.remove(&connection);
                }
            }
            if of_peer.held == 0 {
                self.of_peers.remove(&peer);
            }
        }
        if let Some(count) = self.of_connections.get_mut(&connection) {
            *count -= 1;
            if *count == 0 {
                self.of_connections.remove(&connection);
            }
        }
    }

    /// The place of a peer that goes first, for one whose connection has so many: the oldest of the connection with the
    /// most.
    fn victim_of(&self, peer: &Peer, of_connection: usize, bounds: &PlaceBounds) -> Option<u64> {
        let connections = &self.of_peers.get(peer)?.of_connections;
        let most = connections
            .values()
            .max_by_key(|numbers| (numbers.len(), Reverse(numbers.first().copied())))?;
        if gives_way(most.len(), of_connection, bounds) { most.first().copied() } else { None }
    }

    /// The oldest place of a peer on a connection.
    fn oldest(&self, peer: &Peer, connection: u64) -> Option<u64> {
        self.of_peers.get(peer)?.of_connections.get(&connection)?.first().copied()
    }
}

/// Whether one who holds so many gives way to one who holds `newcomers`: it has more even when it has left one.
fn gives_way(most: usize, newcomers: usize, bounds: &PlaceBounds) -> bool {
    bounds.oldest_gives_way || most > newcomers + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: PlaceBounds =
        PlaceBounds { all: 6, of_peer: 4, of_connection: 3, oldest_gives_way: false };

    fn peer(n: u8) -> Peer {
        Peer::Identity(format!("p{n}"))
    }

    #[test]
    fn who_takes_all_places_keeps_them_from_himself_only() {
        let mut places = Places::default();
        for connection in [1, 1, 1, 2] {
            assert_eq!(places.take(&peer(1), connection, &BOUNDS).map(|it| it.evicted), Ok(None));
        }
        assert_eq!(places.take(&peer(1), 1, &BOUNDS), Err(NoPlace::OfConnection(3)));
        // One more of the same peer, on a new connection: the one with most gives way, as long as it has more.
        let taken = places.take(&peer(1), 3, &BOUNDS);
        assert_eq!(taken, Ok(Taken { number: 5, evicted: Some(1) }));
        assert_eq!(places.take(&peer(1), 4, &BOUNDS).map(|it| it.evicted), Ok(Some(2)));
        assert_eq!(places.take(&peer(1), 5, &BOUNDS), Err(NoPlace::OfPeer(4)));
        // Two others fill the rest; a third one gets a place of the greedy peer.
        for n in [2, 3] {
            assert_eq!(places.take(&peer(n), 10, &BOUNDS).map(|it| it.evicted), Ok(None));
        }
        assert_eq!(places.take(&peer(4), 12, &BOUNDS).map(|it| it.evicted), Ok(Some(3)));
        assert_eq!((places.held(), places.held_by(&peer(1))), (6, 3));
        // Until all have as many.
        assert_eq!(places.take(&peer(5), 13, &BOUNDS).map(|it| it.evicted.is_some()), Ok(true));
        assert_eq!(places.take(&peer(6), 14, &BOUNDS).map(|it| it.evicted.is_some()), Ok(true));
        assert_eq!(places.take(&peer(7), 15, &BOUNDS), Err(NoPlace::All(6)));
        places.leave(6);
        assert_eq!(places.take(&peer(7), 15, &BOUNDS).map(|it| it.evicted), Ok(None));
    }

    #[test]
    fn the_oldest_gives_way_where_newcomers_are_never_refused() {
        let bounds = PlaceBounds { all: 2, of_peer: 2, of_connection: 2, oldest_gives_way: true };
        let mut places = Places::default();
        for number in 1..=6 {
            let evicted = (number > 2).then(|| number - 2);
            assert_eq!(places.take(&peer(1), 1, &bounds), Ok(Taken { number, evicted }));
        }
        assert_eq!(places.take(&peer(2), 2, &bounds).map(|it| it.evicted), Ok(Some(5)));
        assert_eq!(places.take(&peer(3), 3, &bounds).map(|it| it.evicted.is_some()), Ok(true));
        assert_eq!(places.held(), 2);
    }

    proptest! {
        /// Whatever is taken and left, no bound is exceeded, the counts are right, and one who holds nothing is refused
        /// only where nobody has more than one.
        #[test]
        fn bounds_hold(moves in prop::collection::vec((0_u8..5, 0_u64..3, any::<bool>()), 1..200)) {
            let mut places = Places::default();
            let mut held: Vec<u64> = Vec::new();
            for (who, connection, leaves) in moves {
                if leaves && !held.is_empty() {
                    places.leave(held.remove(0));
                } else {
                    let most = places.of_peers.values().map(|it| it.held).max().unwrap_or_default();
                    let own = places.held_by(&peer(who));
                    match places.take(&peer(who), u64::from(who) * 10 + connection, &BOUNDS) {
                        Ok(Taken { number, evicted }) => {
                            held.retain(|other| Some(*other) != evicted);
                            held.push(number);
                        }
                        Err(_) => prop_assert!(own > 0 || most <= 1),
                    }
                }
                prop_assert_eq!(places.held(), held.len());
                prop_assert_eq!(places.of_peers.values().map(|it| it.held).sum::<usize>(), held.len());
                prop_assert_eq!(places.of_connections.values().sum::<usize>(), held.len());
                prop_assert!(held.len() <= BOUNDS.all);
                prop_assert!(places.of_peers.values().all(|it| it.held <= BOUNDS.of_peer));
                prop_assert!(places.of_connections.values().all(|count| *count <= BOUNDS.of_connection));
            }
        }
    }
}
