//! The files of a crate form layers: no file needs, by whatever detour, a file that needs it.
//!
//! A file needs another if it names one of its items by `crate::`, or imports it by `super::`, and
//! a `mod.rs` needs the files that it declares. So a file of a folder takes what it shares with its
//! siblings from them, and not from the `mod.rs` above.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The path of a module within its crate, such as `search::plan`.
type Module = Vec<String>;

/// The modules of a crate, each with those it needs.
type Needs = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_files_of_a_crate_need_each_other_in_a_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut checked = 0;
    for entry in std::fs::read_dir(crates).expect("the folder of crates") {
        let path = entry.expect("an entry").path();
        if !path.join("Cargo.toml").exists() {
            continue;
        }
        let mut files = BTreeMap::new();
        read_modules(&path.join("src"), &Module::new(), &mut files);
        assert!(files.len() > 3, "no sources in {}", path.display());
        let circle: Vec<String> =
            in_circles(&needs_of(&files)).iter().map(|module| module.join("::")).collect();
        let name = path.file_name().unwrap_or_default().display();
        assert!(circle.is_empty(), "{name}: these files need each other: {}", circle.join(", "));
        checked += 1;
    }
    assert!(checked >= 12, "only {checked} crates found");
}

#[test]
fn circles_are_found_whatever_names_them() {
    let module = |path: &str| -> Module { path.split("::").map(String::from).collect() };
    let files = |texts: &[(&str, &str)]| -> BTreeMap<Module, String> {
        texts.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect()
    };
    let layered = files(&[
        ("a", "use crate::b::{\n    One, Two,\n};\n// crate::c would be a circle\n"),
        ("b", "use crate::d::part::Three;"),
        ("c", "fn f() { crate::a::g(); }"),
        ("d", "mod part;\npub use part::Three;"),
        ("d::part", "use crate::e::Four;"),
        ("e", ""),
    ]);
    assert!(in_circles(&needs_of(&layered)).is_empty());
    for (path, text) in [
        ("b", "use crate::{a::One, d::part::Three};"),
        ("e", "fn f() -> crate::c::Five { g() }"),
        ("d::part", "use super::Three;"),
    ] {
        let mut circular = layered.clone();
        circular.insert(module(path), text.to_owned());
        assert!(in_circles(&needs_of(&circular)).contains(&module(path)), "{path}");
    }
}

/// Reads the sources below a folder, without those of tests.
fn read_modules(folder: &Path, above: &[String], files: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let mut module = above.to_vec();
        if path.is_dir() {
            if stem != "tests" {
                module.push(stem);
                read_modules(&path, &module, files);
            }
            continue;
        }
        match stem.as_str() {
            "tests" | "invariants" => continue,
            "lib" | "mod" => {}
            _ => module.push(stem),
        }
        files.insert(module, std::fs::read_to_string(&path).expect("a source"));
    }
}

fn needs_of(files: &BTreeMap<Module, String>) -> Needs {
    let mut needs = Needs::new();
    for (module, text) in files {
        let code = without_comments_and_tests(text);
        let mut named = BTreeSet::new();
        for (start, root) in [("crate::", Module::new()), ("super::", parent_of(module))] {
            for (at, _) in code.match_indices(start) {
                if starts_path(&code[..at], start) {
                    add_paths(&code[at + start.len()..], &root, files, &mut named);
                }
            }
        }
        for child in files.keys().filter(|child| !child.is_empty() && parent_of(child) == *module) {
            named.insert(child.clone());
        }
        named.remove(module);
        needs.insert(module.clone(), named);
    }
    needs
}

/// The code of a file, without comments and without the tests at its end.
fn without_comments_and_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let code = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    code.map(|line| format!("{line}\n")).collect()
}

/// Whether a path to another module starts behind this code. In modules within a file `super::` leads to
/// the file itself, so it counts in imports of the file only, which are not indented.
fn starts_path(before: &str, start: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    match start {
        "super::" => line.ends_with("use ") && !line.starts_with(' '),
        // `pub(in crate::…)` names a module without needing it.
        _ => !line.ends_with("(in ") && !line.ends_with(|c: char| c.is_alphanumeric() || c == ':'),
    }
}

fn parent_of(module: &[String]) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

/// Adds the modules that the paths at the beginning of the text lead to, from a root.
fn add_paths(
    text: &str,
    root: &[String],
    files: &BTreeMap<Module, String>,
    named: &mut BTreeSet<Module>,
) {
    if let Some(list) = text.strip_prefix('{') {
        let list = list.split('}').next().unwrap_or_default();
        for path in list.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            add_paths(path, root, files, named);
        }
        return;
    }
    let length = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut deeper = root.to_vec();
    deeper.push(text[..length].to_owned());
    if !files.contains_key(&deeper) {
        // An item of the root itself.
        named.insert(root.to_vec());
    } else if let Some(rest) = text[length..].strip_prefix("::") {
        add_paths(rest, &deeper, files, named);
    } else {
        named.insert(deeper);
    }
}

/// The modules that can be reached from themselves.
fn in_circles(needs: &Needs) -> BTreeSet<Module> {
    let is_in_circle = |module: &&Module| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = needs[*module].iter().collect();
        while let Some(needed) = next.pop() {
            if reached.insert(needed) {
                next.extend(needs.get(needed).into_iter().flatten());
            }
        }
        reached.contains(*module)
    };
    needs.keys().filter(is_in_circle).cloned().collect()
}
