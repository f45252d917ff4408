//! The address of a server: `http://host:port`, or `https://host:port` where it speaks TLS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A checked `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address: {reason}; write it as http://host:port, or https://host:port with TLS, such as http://127.0.0.1:50051"
)]
pub struct AddressError {
    /// The text that was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Address {
    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `host:port` of the URL.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or(self.as_str(), |(_, authority)| authority)
    }

    /// Whether the server speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.authority().rsplit_once(':').map_or("", |(host, _)| host);
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |reason| AddressError { text: text.into(), reason };
        let url = if text.contains("://") {
            text.trim_end_matches('/').to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: http::Uri = url.parse().map_err(|_| error("it cannot be parsed"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err(error("the scheme is unknown")),
        };
        if uri.path() != "/" || uri.query().is_some() {
            return Err(error("there is something after the port"));
        }
        let authority = uri.authority().ok_or_else(|| error("there is no host"))?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(error("there is no plain host"));
        }
        match authority.port_u16() {
            None => Err(error("there is no port from 1 to 65535")),
            Some(0) => Err(error("port 0 is no port")),
            Some(_) => Ok(Self(format!("{scheme}://{authority}"))),
        }
    }
}

/// The address by which clients on this machine reach a socket that listens `at`.
pub fn loopback_address(at: SocketAddr) -> Address {
    let host = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Address(format!("http://{host}:{}", at.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for good in ["http://10.0.0.1:80", "control-1:50061", "http://[::1]:9", "http://h:1/"] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        let address: Address = "https://control-1:50061".parse().expect("an address");
        assert!(address.is_tls() && !address.is_loopback());
        assert_eq!(address.authority(), "control-1:50061");
        for local in ["http://127.0.0.1:1", "https://[::1]:1", "localhost:1"] {
            assert!(local.parse::<Address>().expect("an address").is_loopback(), "{local}");
        }
        for bad in [
            "",
            "http://",
            "http://h",
            "ftp://h:1",
            "http://h:0",
            "http://h:1/x",
            "h:99999",
            "http://u@h:1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
