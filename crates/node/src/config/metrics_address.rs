//! Where metrics are served.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The path of the metrics.
pub const METRICS_PATH: &str = "/metrics";
/// The first of the default ports: below those that systems give to outgoing connections, and that tests take.
const FIRST_PORT: u16 = 20_000;
/// How many default ports there are: one for each last four digits of a port.
const PORTS: u16 = 10_000;

/// What a config or the command line says of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsListen {
    /// On loopback, at the port that follows from the node's own. Where that is taken, the node warns and goes without.
    #[default]
    Default,
    /// At this address. Where it is taken, the node does not start.
    At(SocketAddr),
    /// They are shown nowhere.
    Off,
}

impl fmt::Display for MetricsListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::At(at) => at.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

impl std::str::FromStr for MetricsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.parse::<SocketAddr>() {
            Ok(at) if at.port() == 0 => {
                Err("port 0 would be another one at every start: choose 1 to 65535".to_owned())
            }
            Ok(at) => Ok(Self::At(at)),
            Err(_) => Err(format!(
                "{text:?} is neither \"off\" nor an address such as \"127.0.0.1:20051\""
            )),
        }
    }
}

/// The default address of the metrics of a node that listens at `listen`: on loopback, at 20,000 and the last four digits
/// of its port. So the nodes of one machine, whose ports differ, have different ones.
pub fn default_metrics_address(listen: SocketAddr) -> SocketAddr {
    let port = FIRST_PORT + listen.port() % PORTS;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_one_machine_have_different_default_ports() {
        for (listen, port) in
            [("127.0.0.1:50051", 20_051), ("0.0.0.0:7101", 27_101), ("[::1]:65535", 25_535)]
        {
            let at = default_metrics_address(listen.parse().expect("an address"));
            assert_eq!((at.ip().is_loopback(), at.port()), (true, port), "{listen}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_is_refused_with_what_can() {
        assert_eq!("off".parse(), Ok(MetricsListen::Off));
        let at = "10.0.0.7:9100".parse().expect("an address");
        assert_eq!("10.0.0.7:9100".parse(), Ok(MetricsListen::At(at)));
        for wrong in ["", "9100", "localhost:9100", "127.0.0.1:0"] {
            wrong.parse::<MetricsListen>().expect_err(wrong);
        }
    }
}
