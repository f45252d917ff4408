//! What is built in: where crates come from, and under which licences, by the lists of `.cargo/deny.toml`.
//!
//! cargo-deny checks the same and more, and takes minutes to build; this needs cargo alone, so it always runs.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The strings in the list `key = [ … ]` of the config, up to its closing line.
fn listed(config: &str, key: &str) -> Vec<String> {
    let (_, list) = config.split_once(&format!("\n{key} = [\n")).expect("the list");
    let (list, _) = list.split_once("\n]").expect("its end");
    let lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(|line| Some(line.split('"').nth(1)?.to_owned())).collect()
}

/// All crates of the lock file that are built on this machine's system.
fn packages() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let host = Command::new("rustc").arg("-vV").output().expect("rustc is there");
    let host = String::from_utf8(host.stdout).expect("text");
    let host =
        host.lines().find_map(|line| line.strip_prefix("host: ")).expect("the host").to_owned();
    let arguments =
        ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &host];
    let run = Command::new(env!("CARGO")).args(arguments).current_dir(root).output();
    let run = run.expect("cargo is there");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let metadata: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

/// Whether an SPDX expression is met by the licences: `OR` needs one side, `AND` both; `/` is an old `OR`.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim();
    for (operator, needs_both) in [(" AND ", true), (" OR ", false), ("/", false)] {
        let mut depth = 0;
        for (at, character) in expression.char_indices() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 && expression[at..].starts_with(operator) {
                let left = is_met(&expression[..at], allowed);
                let right = is_met(&expression[at + operator.len()..], allowed);
                return if needs_both { left && right } else { left || right };
            }
        }
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_met(inner, allowed),
        None => allowed.iter().any(|licence| licence == expression),
    }
}

#[test]
fn crates_are_permissively_licensed_and_of_one_registry() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config = std::fs::read_to_string(root.join(".cargo/deny.toml")).expect("the config");
    let (allowed, banned) = (listed(&config, "allow"), listed(&config, "deny"));
    assert!(allowed.len() > 5 && banned.len() > 2, "{allowed:?} {banned:?}");
    let packages = packages();
    assert!(packages.len() > 200, "only {} crates found", packages.len());
    let mut problems = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !is_met(licence, &allowed) {
            problems.push(format!("{name}: {licence} is not allowed"));
        }
        if !package["source"].is_null() && package["source"] != CRATES_IO {
            problems.push(format!("{name} comes from {}", package["source"]));
        }
        if banned.iter().any(|banned| banned == name) {
            problems.push(format!("{name} is banned"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn licences_are_met_by_one_side_or_by_both() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].map(String::from);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND Unicode-3.0", true),
        ("(GPL-3.0 OR MIT) AND GPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("no licence", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
