//! By what callers are told apart.

use crate::access::Principal;
use std::net::{IpAddr, Ipv6Addr};

/// One who calls, as limits tell callers apart: by who they have proved to be, or else by where they call from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// One who has proved who it is, by its name.
    Identity(String),
    /// All who call from one network: an IPv4 address, or the first half of an IPv6 address, of which one machine has as
    /// many as it likes.
    Network(IpAddr),
    /// All of whom neither is known.
    Unknown,
}

impl Peer {
    /// The peer with this principal, or else this address.
    pub fn of(principal: Option<&Principal>, address: Option<IpAddr>) -> Self {
        match (principal, address) {
            (Some(principal), _) => Self::Identity(principal.name.clone()),
            (None, Some(address)) => Self::Network(network_of(address)),
            (None, None) => Self::Unknown,
        }
    }

    /// Whether it has proved who it is.
    pub fn is_identified(&self) -> bool {
        match self {
            Self::Identity(_) => true,
            Self::Network(_) | Self::Unknown => false,
        }
    }
}

/// What stands for all addresses of one machine: an IPv4 address itself, also where it is written as IPv6, and the first
/// 64 bits of an IPv6 address (RFC 4291, section 2.5.4).
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Proof;

    #[test]
    fn a_machine_is_one_peer_by_whichever_of_its_addresses_it_calls() {
        let of = |text: &str| Peer::of(None, Some(text.parse().expect("an address")));
        assert_eq!(of("10.0.0.7"), of("::ffff:10.0.0.7"));
        assert_ne!(of("10.0.0.7"), of("10.0.0.8"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        let web = Principal { name: "web".into(), roles: [].into(), proof: Proof::Token };
        let web = Peer::of(Some(&web), Some("10.0.0.7".parse().expect("an address")));
        assert_eq!(web, Peer::Identity("web".into()));
        assert!(web.is_identified() && !of("10.0.0.7").is_identified());
        assert_eq!(Peer::of(None, None), Peer::Unknown);
    }
}
