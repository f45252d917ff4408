//! `marquee certs` and `marquee token`: what they write, and that running them again replaces what it should.

use marquee_net::tls::{Tls, TlsFiles};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn marquee(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marquee"));
    command.args(args).current_dir(directory).output().expect("it starts")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).expect("there").permissions().mode() & 0o077 == 0
}

#[test]
fn certificates_are_replaced_and_the_authority_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = "n-1:shard,router=127.0.0.1,n-1.internal";
    let args = ["certs", "--out", "certs", "--trust-domain", "films", "--node", node];
    let said = stdout(&marquee(dir.path(), &args));
    assert!(said.contains("spiffe://films/marquee/shard.router/n-1"), "{said}");
    assert!(said.contains("operator.pem") && said.contains("caller.pem"), "{said}");
    let path = |name: &str| dir.path().join("certs").join(name);
    let read = |name: &str| fs::read_to_string(path(name)).expect("there");
    let (root, first) = (read("ca.pem"), read("n-1.pem"));
    let files = |name: &str| TlsFiles {
        own: Some((path(&format!("{name}.pem")), path(&format!("{name}.key")))),
        trust: path("ca.pem"),
        client_trust: None,
        revoked: None,
    };
    for name in ["n-1", "operator", "caller"] {
        Tls::read(files(name)).expect("usable");
        #[cfg(unix)]
        assert!(is_private(&path(&format!("{name}.key"))) && is_private(&path("ca.key")), "{name}");
    }
    stdout(&marquee(dir.path(), &args));
    assert_eq!(read("ca.pem"), root);
    assert_ne!(read("n-1.pem"), first);
    Tls::read(files("n-1")).expect("usable");
    for (bad, says) in [
        (["certs", "--out", "x", "--node", "n-1:admin=h"], "no role of a node"),
        (["certs", "--out", "x", "--user", "web:shard"], "a node's role"),
        (["certs", "--out", "x", "--trust-domain", "a b"], "--trust-domain"),
    ] {
        let output = marquee(dir.path(), &bad);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{said}");
    }
}

#[test]
fn revoked_certificates_are_listed_and_stay_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let certs = |more: &[&str]| {
        stdout(&marquee(dir.path(), &[&["certs", "--out", "c"][..], more].concat()))
    };
    certs(&["--user", "web:caller", "--user", "app:caller"]);
    let path = |name: &str| dir.path().join("c").join(name);
    let said = certs(&["--revoke", "web"]);
    assert!(said.contains("web  revoked") && said.contains("0 certificates"), "{said}");
    let first = fs::read_to_string(path("revoked.pem")).expect("a list");
    assert!(!path("operator.pem").exists(), "nothing else was made");
    // Revoked, then made anew: the list has the old one, and keeps the first.
    certs(&["--revoke", "app", "--user", "app:caller"]);
    let second = fs::read_to_string(path("revoked.pem")).expect("a list");
    assert!(second.len() > first.len());
    let files = TlsFiles {
        own: Some((path("app.pem"), path("app.key"))),
        trust: path("ca.pem"),
        client_trust: None,
        revoked: Some(path("revoked.pem")),
    };
    Tls::read(files).expect("usable");
    let output = marquee(dir.path(), &["certs", "--out", "c", "--revoke", "nobody"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody.pem"), "{output:?}");
}

#[test]
fn tokens_are_added_and_the_file_has_hashes_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let make = |name: &str, roles: &str| {
        let args = ["token", "--name", name, "--roles", roles, "--tokens-file", "tokens.toml"];
        marquee(dir.path(), &args)
    };
    let first = stdout(&make("web", "caller,events")).trim().to_owned();
    let second = stdout(&make("web", "caller")).trim().to_owned();
    assert!(first.starts_with("mrq_") && first.len() == 68 && first != second);
    let path = dir.path().join("tokens.toml");
    let text = fs::read_to_string(&path).expect("there");
    assert_eq!(text.matches("[[token]]").count(), 2, "{text}");
    assert!(!text.contains(&first[4..20]) && !text.contains(&second[4..20]), "{text}");
    #[cfg(unix)]
    assert!(is_private(&path));
    let refused = make("n-1", "router");
    assert!(!refused.status.success());
    fs::write(&path, "[[token]]\nname = 7\n").expect("written");
    assert!(!make("web", "caller").status.success(), "a broken file is not replaced");
    assert_eq!(fs::read_to_string(&path).expect("there"), "[[token]]\nname = 7\n");
}
