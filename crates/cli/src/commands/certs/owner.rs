//! Whom a certificate is for, as the command line says it.

use marquee_core::access::{AccessRole, SPIFFE_PATH};
use marquee_core::id::check_name;
use std::collections::BTreeSet;
use std::str::FromStr;

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name; of a node, the node's id.
    pub(super) name: String,
    /// Its access roles.
    pub(super) roles: BTreeSet<AccessRole>,
    /// The hosts at which others reach it; none: it is no server.
    pub(super) hosts: Vec<String>,
}

impl Owner {
    /// Its SPIFFE id.
    pub(super) fn uri(&self, trust_domain: &str) -> String {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
        format!("spiffe://{trust_domain}/{SPIFFE_PATH}/{}/{}", roles.join("."), self.name)
    }
}

/// A node: `NAME=HOST,…` or `NAME:ROLES=HOST,…`.
#[derive(Clone, Debug)]
pub(super) struct NodeOwner(pub(super) Owner);

impl FromStr for NodeOwner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (subject, hosts) = text
            .split_once('=')
            .ok_or("write NAME=HOST, such as shard-1:shard=10.0.0.7,shard-1.internal")?;
        let all = "control,shard,router";
        let (name, roles) = subject.split_once(':').unwrap_or((subject, all));
        let owner = owner(name, roles)?;
        if let Some(role) = owner.roles.iter().find(|role| role.of_node().is_none()) {
            return Err(format!("{role} is no role of a node: give it to --user"));
        }
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        if hosts.iter().any(|host| host.is_empty() || host.contains(':') && !is_ip(host)) {
            return Err("a host is a name or an IP address, without a port".into());
        }
        Ok(Self(Owner { hosts, ..owner }))
    }
}

fn is_ip(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

/// A user or a service: `NAME:ROLES`.
#[derive(Clone, Debug)]
pub(super) struct UserOwner(pub(super) Owner);

impl FromStr for UserOwner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, roles) =
            text.split_once(':').ok_or("write NAME:ROLES, such as web:caller,events")?;
        let owner = owner(name, roles)?;
        match owner.roles.iter().find(|role| role.of_node().is_some()) {
            Some(role) => Err(format!("{role} is a node's role: give it to --node")),
            None => Ok(Self(owner)),
        }
    }
}

fn owner(name: &str, roles: &str) -> Result<Owner, String> {
    check_name("the name", name).map_err(|error| error.to_string())?;
    let roles: Result<BTreeSet<AccessRole>, _> = roles.split(',').map(str::parse).collect();
    let roles = roles.map_err(|error| error.to_string())?;
    Ok(Owner { name: name.to_owned(), roles, hosts: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_names_roles_and_nodes_have_hosts() {
        let NodeOwner(node) = "n-1:shard,control=127.0.0.1,::1,n.internal".parse().expect("a node");
        assert_eq!(node.uri("films"), "spiffe://films/marquee/control.shard/n-1");
        assert_eq!(node.hosts, ["127.0.0.1", "::1", "n.internal"]);
        let UserOwner(user) = "web:caller,events".parse().expect("a user");
        assert_eq!(user.uri("films"), "spiffe://films/marquee/caller.events/web");
        for bad in ["n-1", "n-1:admin=h", "n 1=h", "n-1=", "n-1=h:80", "n-1:shard,=h"] {
            assert!(bad.parse::<NodeOwner>().is_err(), "{bad}");
        }
        for bad in ["web", "web:shard", ":caller", "web:", "web:root"] {
            assert!(bad.parse::<UserOwner>().is_err(), "{bad}");
        }
    }
}
