//! The pages for users, executed: a page whose commands or answers are wrong turns a test red.
//!
//! A page is Markdown. Of its fenced blocks
//!
//! - `sh` is a script, run by bash in the order of the page; the first command that fails fails the page.
//!   One that begins with `marquee serve` stays running until the page ends, and the next block waits for it.
//! - `text` or `json` directly below an `sh` block is what that block prints. `…` in a line stands for
//!   anything, a line of nothing else for any lines.
//! - Others are not looked at. An `sh` block below a comment `<!-- not run: REASON -->` is not run, and is
//!   counted.
//!
//! Each page has a temporary directory that looks like a fresh clone: the Makefile, `cluster/`, `proto/`, and
//! `target/release/marquee`, which is the binary under test (`cargo` builds nothing there). Ports that pages
//! print are replaced by free ones, so that pages run beside each other and beside a cluster of the user's.
//! Blocks with grpcurl need the one that `make test` fetches; without it they are counted as not tested.

mod expected;
mod page;
mod run;

use run::Clone;

/// The repository's root.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn check(name: &str) {
    let text = std::fs::read_to_string(format!("{ROOT}/{name}")).expect("the page is there");
    let blocks = page::blocks(&text);
    assert!(!blocks.is_empty(), "{name} has no sh block");
    let mut clone = Clone::new();
    let (mut ran, mut skipped) = (0, Vec::new());
    for block in &blocks {
        let at = format!("{name}:{}", block.line);
        if let Some(reason) = &block.not_run {
            skipped.push(format!("{at} is not run: {reason}"));
        } else if block.script.contains("grpcurl") && !run::has_grpcurl() {
            skipped
                .push(format!("{at} is not tested: there is no grpcurl, `make test` fetches it"));
        } else {
            let printed = clone.run(block).unwrap_or_else(|problem| panic!("{at}: {problem}"));
            println!("---- {at} printed\n{printed}");
            ran += 1;
        }
    }
    println!("---- {name}: {ran} blocks ran, {} did not", skipped.len());
    for line in skipped {
        println!("  {line}");
    }
}

#[test]
fn make_install_installs_this_crate() {
    let output = std::process::Command::new("make")
        .args(["--dry-run", "--no-print-directory", "install"])
        .current_dir(ROOT)
        .output()
        .expect("make starts");
    let command = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = command.split("--path ").nth(1).expect("it names a crate").trim();
    let installed = std::fs::canonicalize(format!("{ROOT}/{path}")).expect("the crate is there");
    let this = std::fs::canonicalize(env!("CARGO_MANIFEST_DIR")).expect("it is here");
    assert_eq!(installed, this, "{command}");
}

#[test]
fn readme() {
    check("README.md");
}

#[test]
fn page_for_callers() {
    check("proto/README.md");
}

#[test]
fn page_for_training() {
    check("crates/train/README.md");
}

#[test]
fn page_for_operators() {
    check("cluster/README.md");
}

#[test]
fn page_of_rollouts() {
    check("cluster/rollouts.md");
}
