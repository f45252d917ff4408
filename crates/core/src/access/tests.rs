//! Principals of certificates, and what is decided of them.

use super::{
    Access, AccessError, AccessRole, IdentityError, Principal, Proof, TABLE, access_to, decide,
    principal_of_uri,
};
use crate::plan::Role;
use std::collections::BTreeSet;

fn principal(roles: &[AccessRole]) -> Principal {
    let roles = roles.iter().copied().collect();
    Principal { name: "p".into(), roles, proof: Proof::Certificate }
}

#[test]
fn an_rpc_is_in_the_table_once_and_no_role_may_do_all() {
    let paths: BTreeSet<&str> = TABLE.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths.len(), TABLE.len());
    for role in AccessRole::ALL {
        let allowed =
            TABLE.iter().filter(|(path, _)| decide(path, Some(&principal(&[role]))).is_ok());
        assert!((5..TABLE.len() - 10).contains(&allowed.count()), "{role}");
    }
}

#[test]
fn what_is_not_in_the_table_is_denied_to_all() {
    let all = principal(&AccessRole::ALL);
    for path in ["", "/", "/marquee.control.v1.ControlService/Getplan", "/grpc.health.v1.Health/"] {
        assert_eq!(access_to(path), None);
        assert!(matches!(decide(path, Some(&all)), Err(AccessError::Denied { .. })), "{path}");
        assert_eq!(decide(path, None), Err(AccessError::Unauthenticated));
    }
    for (path, access) in TABLE {
        assert_eq!(decide(path, None).is_ok(), *access == Access::Public, "{path}");
    }
}

#[test]
fn principals_are_read_from_spiffe_ids() {
    let of = |uri: &str| principal_of_uri(uri, "films.example");
    let node = of("spiffe://films.example/marquee/control.shard/n-1").expect("well formed");
    let node = node.expect("of this trust domain");
    assert_eq!((node.name.as_str(), node.role_names().as_str()), ("n-1", "control,shard"));
    for other in [
        "spiffe://films.example.evil/marquee/admin/x",
        "spiffe://other/marquee/admin/x",
        "https://films.example/marquee/admin/x",
        "spiffe://films.example/marquee/admin/x/y",
        "spiffe://films.example/marquee/admin",
        "spiffe://films.example/other/admin/x",
        "",
    ] {
        assert_eq!(of(other), Ok(None), "{other}");
    }
    for bad in ["root/x", "admin./x", "/x", "admin/", "admin/a b", "admin/-x"] {
        assert!(of(&format!("spiffe://films.example/marquee/{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn a_node_speaks_for_itself_and_in_its_own_roles() {
    let node = principal(&[AccessRole::Shard]);
    assert_eq!(node.speaks_for("p", [&Role::Shard]), Ok(()));
    assert!(matches!(node.speaks_for("q", []), Err(IdentityError::OtherNode { .. })));
    assert!(matches!(node.speaks_for("p", [&Role::Router]), Err(IdentityError::OtherRole { .. })));
    let admin = principal(&[AccessRole::Admin]);
    assert!(matches!(admin.speaks_for("p", []), Err(IdentityError::OtherNode { .. })));
}
