//! The stages of a request are what `src/lib.rs` says of them: read from the sources.

use std::path::{Path, PathBuf};

/// The folders of the stages, in the order in which a request passes them.
const STAGES: [&str; 6] = ["admission", "planning", "lookup", "search", "fusion", "explanation"];
/// What every stage may import besides.
const SHARED: [&str; 3] = ["error", "fanout", "pressure"];

/// All Rust files below a folder of `src`.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut open = vec![Path::new("src").join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the router") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has sources");
    files
}

/// The lines of a file that are no comments.
fn code(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a readable source");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(String::from).collect()
}

/// The modules of the crate that a line of code names.
fn named_modules(line: &str) -> Vec<&str> {
    let after = line.split("crate::").skip(1);
    after.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("")).collect()
}

#[test]
fn stages_import_only_from_those_before_them() {
    for (place, stage) in STAGES.iter().enumerate() {
        for path in sources(stage) {
            for line in code(&path) {
                for module in named_modules(&line) {
                    let is_allowed = SHARED.contains(&module) || STAGES[..=place].contains(&module);
                    assert!(is_allowed, "{} imports {module}", path.display());
                }
            }
        }
    }
    for path in sources("fanout") {
        for line in code(&path) {
            for module in named_modules(&line) {
                let is_allowed = ["fanout", "pressure"].contains(&module);
                assert!(is_allowed, "{} imports {module}", path.display());
            }
        }
    }
}

#[test]
fn planning_fusion_and_explanation_have_no_wire_types() {
    for path in ["planning", "fusion", "explanation"].into_iter().flat_map(sources) {
        let has_wire_types = code(&path).iter().any(|line| line.contains("marquee_proto"));
        assert!(!has_wire_types, "{}", path.display());
    }
}
