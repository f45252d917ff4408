//! Exit codes of the binary, and messages that say what to do next.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn marquee(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_marquee"))
        .args(args)
        .env_remove("MARQUEE_ENDPOINT")
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// Runs a command that must fail with this exit code, and looks for words in its message.
fn fails(code: i32, args: &[&str], words: &[&str]) {
    let output = marquee(args);
    let says = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {says}");
    // The demo prints from its start; other commands print results or nothing.
    assert!(output.stdout.is_empty() || args[0] == "demo", "{args:?} fails and prints to stdout");
    for word in words {
        assert!(says.contains(word), "{args:?} does not say {word:?} but: {says}");
    }
    if code == 1 {
        assert_eq!(says.trim_end().lines().count(), 1, "{args:?} says more than a line: {says}");
        assert!(says.starts_with("error: "), "{says}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    fails(2, &[], &["Usage"]);
    fails(2, &["sevre"], &["sevre", "serve"]);
    fails(2, &["serve"], &["--config", "--standalone"]);
    fails(2, &["serve", "--config", "a.toml", "--standalone"], &["--standalone"]);
    fails(2, &["serve", "--standalone", "--listen", "localhost"], &["--listen"]);
    fails(2, &["ctl", "rollout", "start", "--candidate", "m@1", "--steps", "1%"], &["1%:60s"]);
    fails(2, &["ctl", "--endpoint", "nowhere", "status"], &["http://host:port"]);
    fails(2, &["load", "--rate", "0", "--bundle", "b"], &["--rate"]);
    fails(2, &["load"], &["--users"]);
    fails(2, &["export", "--events", "e"], &["--out"]);
    fails(2, &["export", "--events", "e", "--out", "o.csv", "--types", "smiles"], &["impression"]);
    fails(2, &["load", "--bundle", "b", "--count", "1001"], &["1000"]);
    fails(2, &["eval", "--train", "a", "--test", "b"], &["--bundle", "--endpoint"]);
    fails(2, &["train", "--interactions", "a.csv", "--out", "o", "--factors", "0"], &["--factors"]);
}

#[test]
fn what_cannot_be_done_exits_with_1_and_says_what_to_do() {
    fails(1, &["serve", "--config", "/no/such.toml"], &["/no/such.toml"]);
    fails(
        1,
        &["serve", "--standalone", "--bundle", "/no/such", "--listen", "127.0.0.1:0"],
        &["/no/such", "marquee train"],
    );
    let out = std::env::temp_dir().join("no-such-export.csv").display().to_string();
    fails(1, &["export", "--events", "/no/such", "--out", &out], &["/no/such", "router's events"]);
    fails(1, &["ctl", "publish", "/no/such"], &["/no/such", "manifest.json"]);
    fails(
        1,
        &["ctl", "--endpoint", "http://127.0.0.1:9", "status"],
        &["127.0.0.1:9", "--endpoint"],
    );
    fails(1, &["load", "--endpoint", "http://127.0.0.1:9", "--users", "/no/such"], &["/no/such"]);
    fails(1, &["ctl", "ensemble", "put", "ensemble.txt"], &[".yaml"]);
    fails(1, &["demo", "--data", "/no/such"], &["/no/such"]);
}

#[test]
fn health_without_a_node_is_a_failure_that_scripts_can_read() {
    let output = marquee(&["ctl", "--endpoint", "http://127.0.0.1:9", "--json", "health"]);
    assert_eq!(output.status.code(), Some(1));
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(list[0]["endpoint"], "http://127.0.0.1:9");
    assert_ne!(list[0]["status"], "SERVING");
}

#[test]
fn help_goes_to_stdout_and_exits_with_0() {
    for args in [&["--help"][..], &["serve", "--help"], &["ctl", "rollout", "start", "--help"]] {
        let output = marquee(args);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("Example"), "{args:?}");
    }
}

#[test]
fn keys_sign_bundles_and_are_never_overwritten() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let csv: String = (0..40).map(|n| format!("{},{},5,{n}\n", n % 8, n % 11)).collect();
    std::fs::write(at("i.csv"), format!("user,item,rating,timestamp\n{csv}")).expect("written");
    let train =
        ["train", "--interactions", &at("i.csv"), "--factors", "2", "--out", &at("b"), "--json"];
    let output = marquee(&train);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["users"], 8);
    fails(1, &train, &["is not an empty directory"]);

    let keygen = ["keygen", "--secret", &at("k"), "--public", &at("k.pub")];
    assert!(marquee(&keygen).status.success());
    fails(1, &keygen, &["k"]);
    assert!(marquee(&["sign", "--bundle", &at("b"), "--key", &at("k")]).status.success());
    assert!(Path::new(&at("b")).join("model.sig").is_file());
    fails(1, &["sign", "--bundle", &at("b"), "--key", &at("i.csv")], &["64 hexadecimal digits"]);
    let keygen = ["keygen", "--ed25519", "--secret", &at("e"), "--public", &at("e.pub")];
    assert!(marquee(&keygen).status.success());
    assert!(marquee(&["sign", "--bundle", &at("b"), "--key", &at("e")]).status.success());
    assert!(Path::new(&at("b")).join("manifest.sig").is_file());
    assert!(!Path::new(&at("b")).join("model.sig").exists(), "one signature, by the last key");
}
