//! The table of who may call what has a row for each RPC of the protos, and no other; and it is as it was reviewed.

use marquee_core::access::{AccessRole, Principal, Proof, TABLE, decide};
use marquee_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use std::collections::BTreeSet;

/// The table as it was reviewed: a letter for each role that may call the RPC, `*` for all who reach the port.
const REVIEWED: &str = include_str!("access_table.txt");

/// The paths of all RPCs of the protos.
fn rpcs() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths
}

#[test]
fn every_rpc_has_a_row_and_every_row_an_rpc() {
    let rpcs = rpcs();
    assert!(rpcs.len() > 40, "{rpcs:?}");
    let rows: BTreeSet<String> = TABLE
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .filter(|path| !path.starts_with("/grpc."))
        .collect();
    let undecided: Vec<_> = rpcs.difference(&rows).collect();
    assert!(undecided.is_empty(), "decide in core/src/access/table.rs who may call {undecided:?}");
    let gone: Vec<_> = rows.difference(&rpcs).collect();
    assert!(gone.is_empty(), "there is no RPC {gone:?}");
}

#[test]
fn every_cell_is_as_it_was_reviewed() {
    let mut table = String::new();
    for (path, _) in TABLE {
        let mut cells = String::new();
        for role in AccessRole::ALL {
            let roles = [role].into();
            let principal = Principal { name: "p".into(), roles, proof: Proof::Certificate };
            let allowed = decide(path, Some(&principal)).is_ok();
            cells.push_str(if allowed { role.name() } else { "-" });
            cells.push(' ');
        }
        let public = if decide(path, None).is_ok() { "*" } else { "-" };
        table.push_str(&format!("{path} {cells}{public}\n"));
    }
    if std::env::var_os("UPDATE_ACCESS_TABLE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access_table.txt");
        std::fs::write(path, &table).expect("written");
    }
    assert_eq!(table, REVIEWED, "review the change, then run with UPDATE_ACCESS_TABLE=1");
}
