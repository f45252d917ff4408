//! Which connection gives way to a new one: pure functions of what is known of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is known of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) number: u64,
    pub(super) from: Option<IpAddr>,
    /// Whether a call is under way on it.
    pub(super) is_busy: bool,
    /// Whether there ever was one.
    pub(super) has_called: bool,
    /// When it was opened, or when a call began or ended last: a larger number is later.
    pub(super) active_ms: u64,
}

/// Whether there is room for a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room, and nobody has to go.
    Free,
    /// Once the connection of this number is closed.
    InsteadOf(u64),
    /// There is none: all others are in use.
    Refused,
}

/// Whether there is room for a connection from this address, where there may be so many in all and of one address. Of an
/// address with too many, one of its own gives way; where all places are taken, one of the address that has most.
pub(super) fn room_for(
    from: Option<IpAddr>,
    open: &[Candidate],
    all: usize,
    of_address: usize,
) -> Room {
    let of = |address: Option<IpAddr>| open.iter().filter(move |it| it.from == address);
    let victim = if of(from).count() >= of_address {
        idlest(of(from))
    } else if open.len() < all {
        return Room::Free;
    } else {
        let mut counts: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        for it in open.iter().filter(|it| !it.is_busy) {
            *counts.entry(it.from).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.and_then(|(address, _)| idlest(of(address)))
    };
    victim.map_or(Room::Refused, Room::InsteadOf)
}

/// The connection that goes first: without a call under way, rather one that never had a call, and of these the one that
/// did nothing for longest.
pub(super) fn idlest<'a>(open: impl Iterator<Item = &'a Candidate>) -> Option<u64> {
    let idle = open.filter(|it| !it.is_busy);
    idle.min_by_key(|it| (it.has_called, it.active_ms, it.number)).map(|it| it.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    fn idle(number: u64, address: u32, has_called: bool, active_ms: u64) -> Candidate {
        Candidate { number, from: from(address), is_busy: false, has_called, active_ms }
    }

    fn busy(number: u64, address: u32) -> Candidate {
        Candidate { is_busy: true, ..idle(number, address, true, 0) }
    }

    #[test]
    fn those_who_do_nothing_give_way_and_those_who_call_do_not() {
        let open = [idle(1, 1, true, 5), idle(2, 1, false, 90), idle(3, 2, true, 7), busy(4, 2)];
        assert_eq!(room_for(from(3), &open, 5, 2), Room::Free);
        assert_eq!(room_for(from(2), &open, 9, 2), Room::InsteadOf(3), "of its own");
        assert_eq!(room_for(from(3), &open, 4, 4), Room::InsteadOf(2), "it never called");
        let open = [idle(1, 1, true, 5), busy(4, 2), busy(5, 2), busy(6, 2)];
        assert_eq!(room_for(from(2), &open, 9, 3), Room::Refused);
        assert_eq!(room_for(from(3), &open, 4, 4), Room::InsteadOf(1));
        assert_eq!(room_for(from(3), &open[1..], 3, 4), Room::Refused);
        // Of the address that has most of those who do nothing, though another one's is idle for longer.
        let open = [idle(1, 1, false, 1), idle(2, 2, true, 5), idle(3, 2, true, 4)];
        assert_eq!(room_for(from(3), &open, 3, 3), Room::InsteadOf(3));
    }
}
