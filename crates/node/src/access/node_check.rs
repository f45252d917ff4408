//! Whether the server of a connection is the node that was meant.

use super::authenticator::Identities;
use marquee_net::ServerCheck;
use marquee_net::tls::PeerCertificate;

/// Accepts servers whose certificate is that of the expected node.
pub(super) struct NodeCheck(pub(super) Identities);

impl ServerCheck for NodeCheck {
    fn check(&self, expected: &str, certificate: &PeerCertificate) -> Result<(), String> {
        let found = self.0.principal(certificate)?;
        match found {
            Some(server) if server.is_node() && server.name == expected => Ok(()),
            Some(server) => {
                Err(format!("the server is {:?}, not the node {expected:?}", server.name))
            }
            None => Err(format!("the server's certificate is not that of the node {expected:?}")),
        }
    }
}
