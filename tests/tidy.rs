//! What a reviewer would say twice, a test says once: words, first doc lines, links, the index of decisions, and
//! which crate imports which, over the whole workspace.
//!
//! Texts are compared as *words*: `userCandidates`, `user_candidates` and "User candidates" are all
//! `user candidates`. So a banned word is found in names, comments, messages and docs alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Words and phrases that were replaced by the field's standard term, with that term.
const BANNED: &[(&str, &str)] = &[
    ("aside", "quarantined, or background"),
    ("asker", "user"),
    ("askers", "users"),
    ("behavior", "behaviour"),
    ("catalog", "catalogue"),
    ("center", "centre"),
    ("fault of mine", "a plain sentence"),
    ("everybody", "all users"),
    ("favor", "favour"),
    ("foretell", "predict"),
    ("foretells", "predicts"),
    ("foretold", "predicted"),
    ("ill of", "a plain sentence"),
    ("neighbor", "neighbour"),
    ("neighbors", "neighbours"),
    ("normalize", "normalise"),
    ("normalized", "normalised"),
    ("learned", "trained"),
    ("lesson", "training input"),
    ("lessons", "training inputs"),
    ("of use", "a plain sentence"),
    ("people", "users"),
    ("promise", "upper bound"),
    ("promises", "upper bounds"),
    ("reckoned", "counted, or predicted"),
    ("robot", "automated traffic"),
    ("robots", "automated traffic"),
    ("search way", "search strategy"),
    ("search ways", "search strategies"),
    ("somebody", "a user"),
    ("stranger", "unknown user"),
    ("strangers", "unknown users"),
    ("taken back", "rolled back"),
    ("taste", "preference, or history"),
    ("tastes", "preferences, or histories"),
    ("who asks", "the user"),
    ("whoever", "a plain sentence"),
];

/// Phrases in which a banned word is meant otherwise.
const ALLOWED: &[&str] = &[
    "missed tick behavior", // tokio
];

/// Files that name banned words in order to speak of them.
const WORD_LISTS: &[&str] = &["tests/tidy.rs"];

/// A text file of the repository.
struct SourceFile {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl SourceFile {
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All text files that are written by hand, golden scripts among them, without what is built or hidden.
static FILES: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 300, "only {} files found", found.len());
    found
});

/// Adds the files of a directory and those below it; `prefix` is its path from the root, with a last `/`.
fn collect(directory: &Path, prefix: &str, found: &mut Vec<SourceFile>) {
    const EXTENSIONS: &[&str] = &["rs", "proto", "md", "py", "sh", "toml"];
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        let hidden = name.starts_with('.') && name != ".github";
        if entry.file_type().unwrap().is_dir() {
            if !hidden && name != "target" && path != "tests/fuzz/corpus" {
                collect(&entry.path(), &format!("{path}/"), found);
            }
        } else if name.rsplit_once('.').is_none_or(|(_, extension)| EXTENSIONS.contains(&extension))
        {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            found.push(SourceFile { path, text });
        }
    }
}

/// The words of a text in lower case: cut at all that is no letter, and where a name's next word begins.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let letters: Vec<char> = text.chars().collect();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        // In `parseHTTPHeader` a word begins at the P of parse, the first H and the last H.
        let begins = letter.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || after.is_some_and(|next| next.is_lowercase()));
        if (begins || !letter.is_alphabetic()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// How often a phrase is among words.
fn occurrences(words: &[String], phrase: &[String]) -> usize {
    words.windows(phrase.len()).filter(|window| *window == phrase).count()
}

/// Fails with all problems, if there are any.
fn expect_none(problems: &[String], advice: &str) {
    assert!(
        problems.is_empty(),
        "{}\n\n{} problems: {advice}",
        problems.join("\n"),
        problems.len()
    );
}

/// Where these phrases are in a file's path or lines, in words.
fn find_banned(banned: &[(&str, &str)], file: &SourceFile) -> Vec<String> {
    let phrases: Vec<_> = banned.iter().map(|(phrase, instead)| (words(phrase), instead)).collect();
    let allowed: Vec<_> = ALLOWED.iter().map(|phrase| words(phrase)).collect();
    let mut problems = Vec::new();
    let path = (0, words(&file.path));
    let lines = file.lines().map(|(number, line)| (number, words(line)));
    for (number, line) in std::iter::once(path).chain(lines) {
        for (phrase, instead) in &phrases {
            let meant_otherwise = allowed
                .iter()
                .map(|context| occurrences(&line, context) * occurrences(context, phrase))
                .sum::<usize>();
            if occurrences(&line, phrase) > meant_otherwise {
                let phrase = phrase.join(" ");
                problems.push(format!("{}:{number}: {phrase:?}: say {instead}", file.path));
            }
        }
    }
    problems
}

#[test]
fn banned_words_do_not_appear() {
    let mut problems = Vec::new();
    for file in FILES.iter().filter(|file| !WORD_LISTS.contains(&file.path.as_str())) {
        problems.extend(find_banned(BANNED, file));
    }
    expect_none(&problems, "a word has a standard term; see BANNED in tests/tidy.rs");
}

#[test]
fn banned_words_are_found_in_names_and_sentences() {
    let file = |text: &str| SourceFile { path: "a/b.rs".to_owned(), text: text.to_owned() };
    let banned = &[("search way", "search strategy")];
    assert_eq!(find_banned(banned, &file("the strategy\nof SearchWay")).len(), 1);
    assert_eq!(find_banned(banned, &file("search ways, research way")).len(), 0);
    let libraries = &[("behavior", "behaviour")];
    assert_eq!(find_banned(libraries, &file("MissedTickBehavior")).len(), 0);
    assert_eq!(find_banned(libraries, &file("MissedTickBehavior, this behavior")).len(), 1);
}

/// The words of the glossary's tables.
fn glossary() -> Vec<&'static str> {
    let file = FILES.iter().find(|file| file.path == "crates/glossary.md").expect("the glossary");
    let rows = file.text.lines().filter_map(|line| line.strip_prefix("| "));
    let terms = rows.filter_map(|row| Some(row.split_once(" |")?.0));
    terms.filter(|term| *term != "word").collect()
}

#[test]
fn words_of_the_glossary_are_in_the_code() {
    let mut code = String::from(" ");
    for file in FILES.iter().filter(|file| file.has_extension("rs") || file.has_extension("proto"))
    {
        for (_, line) in file.lines().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            code.push_str(&words(line).join(" "));
            code.push(' ');
        }
    }
    let terms = glossary();
    assert!(terms.len() > 80, "only {} words in the glossary", terms.len());
    let missing = terms.iter().filter(|term| {
        let term = words(term).join(" ");
        !code.contains(&format!(" {term} ")) && !code.contains(&format!(" {term}s "))
    });
    let problems: Vec<_> = missing.map(|term| format!("crates/glossary.md: {term}")).collect();
    expect_none(&problems, "the glossary has words that are not in the code");
    let distinct: BTreeSet<_> = terms.iter().collect();
    assert_eq!(distinct.len(), terms.len(), "a word is in the glossary twice");
}

#[test]
fn words_of_the_glossary_are_not_banned() {
    for term in glossary() {
        for (banned, instead) in BANNED {
            assert_eq!(occurrences(&words(term), &words(banned)), 0, "{term}: {instead}");
        }
    }
}

/// The doc comments of a Rust file: the number of the first line, and the text of each.
fn doc_comments(file: &SourceFile) -> Vec<(usize, String)> {
    let mut comments: Vec<(usize, String)> = Vec::new();
    let mut last = 0;
    for (number, line) in file.lines() {
        if let Some(text) = line.trim_start().strip_prefix("///") {
            match comments.last_mut() {
                Some((_, comment)) if last + 1 == number => comment.push_str(text),
                _ => comments.push((number, text.trim().to_owned())),
            }
            last = number;
        }
    }
    comments
}

#[test]
fn doc_comments_say_something() {
    let mut problems = Vec::new();
    for file in FILES
        .iter()
        .filter(|file| file.has_extension("rs") && !WORD_LISTS.contains(&file.path.as_str()))
    {
        for (number, comment) in doc_comments(file) {
            if comment.split_whitespace().count() <= 2 || comment == "See the module." {
                problems.push(format!("{}:{number}: {comment:?}", file.path));
            }
        }
    }
    expect_none(&problems, "a doc comment says what the thing is or does, with unit and shape");
}

#[test]
fn every_decision_is_in_the_index_once_and_numbered_in_order() {
    let index =
        FILES.iter().find(|file| file.path == "crates/decisions/README.md").expect("the index");
    let mut numbers = BTreeMap::new();
    let mut problems = Vec::new();
    for file in &*FILES {
        let Some(name) = file.path.strip_prefix("crates/decisions/") else { continue };
        if name == "README.md" {
            continue;
        }
        if index.text.matches(&format!("({name})")).count() != 1 {
            problems.push(format!("{name} is not in crates/decisions/README.md once"));
        }
        let number = &name[..3];
        if let Some(other) = numbers.insert(number, name) {
            problems.push(format!("{name} and {other} have one number"));
        }
        if !file.text.starts_with(&format!("# {number} ")) {
            problems.push(format!("{name} does not begin with its number and title"));
        }
        for section in ["## Context", "## Alternatives", "## Decision", "## Consequence"] {
            if !file.text.contains(&format!("\n{section}\n\n")) {
                problems.push(format!("{name} has no {section:?}"));
            }
        }
    }
    assert!(numbers.len() > 50, "only {} decisions found", numbers.len());
    expect_none(&problems, "a decision is a numbered file, with a line in the index");
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>();
    kept.trim().replace(' ', "-")
}

/// The lines of a Markdown file outside of fenced blocks.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number, line));
        }
    }
    lines
}

/// Where the links of a line point.
fn link_targets(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for file in FILES.iter().filter(|file| file.has_extension("md")) {
        let folder = root().join(&file.path).parent().unwrap().to_owned();
        for (number, line) in prose(&file.text) {
            for target in link_targets(line).into_iter().filter(|target| !target.contains("://")) {
                checked += 1;
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let linked =
                    if path.is_empty() { root().join(&file.path) } else { folder.join(path) };
                if !linked.exists() {
                    problems.push(format!("{}:{number}: {target} does not exist", file.path));
                } else if !heading.is_empty() {
                    let text = std::fs::read_to_string(&linked).unwrap();
                    let headings =
                        prose(&text).into_iter().filter(|(_, line)| line.starts_with('#'));
                    if !headings
                        .map(|(_, line)| anchor(line.trim_start_matches('#')))
                        .any(|found| found == heading)
                    {
                        problems.push(format!("{}:{number}: no heading for {target}", file.path));
                    }
                }
            }
        }
    }
    assert!(checked > 80, "only {checked} links found");
    expect_none(&problems, "a link leads nowhere");
}

/// Paths of this repository that a line names in backticks: of files, or of folders of source.
fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|text| {
        let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
        plain
            && text.contains('/')
            && (text.ends_with(".rs") || text.ends_with("/src") || text.contains("/src/"))
    })
}

#[test]
fn paths_that_guides_name_exist() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for file in FILES.iter().filter(|file| file.has_extension("md")) {
        let folder = root().join(&file.path).parent().unwrap().to_owned();
        for (number, line) in prose(&file.text) {
            for path in named_paths(line) {
                checked += 1;
                let places =
                    [root().join(path), root().join("crates").join(path), folder.join(path)];
                if !places.iter().any(|place| place.exists()) {
                    problems.push(format!("{}:{number}: {path} does not exist", file.path));
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} paths found");
    expect_none(&problems, "a guide names a file that is not there");
}

/// The crates, lowest layer first. A crate imports only from layers below its own, in its tests too.
const LAYERS: &[&[&str]] = &[
    &["core", "net"],
    &["proto", "bundle", "events"],
    &["train", "control", "shard", "router", "client"],
    &["node"],
    &["cli"],
];

/// An import of a crate by another one, in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: String,
    to: String,
    /// Only tests, examples and benches import it.
    is_for_tests: bool,
}

/// The imports between crates of the workspace that a crate's manifest names, without that of itself.
fn imports_of(name: &str, manifest: &str) -> Vec<Import> {
    let mut is_for_tests = false;
    let mut imports = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_for_tests = line.contains("dev-dependencies");
        }
        let Some(rest) = line.strip_prefix("marquee-") else { continue };
        let to = rest.split(['.', ' ', '=']).next().unwrap_or_default();
        if to != name {
            imports.push(Import { from: name.to_owned(), to: to.to_owned(), is_for_tests });
        }
    }
    imports
}

/// The imports between all crates.
fn imports() -> BTreeSet<Import> {
    let manifests = FILES.iter().filter_map(|file| {
        Some((file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?, &file.text))
    });
    manifests.flat_map(|(name, manifest)| imports_of(name, manifest)).collect()
}

/// Imports that lead to a crate that is not below the importing one, or is in no layer.
fn upward_imports(imports: &BTreeSet<Import>) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut problems = Vec::new();
    for Import { from, to, .. } in imports {
        match (layer(from), layer(to)) {
            (Some(above), Some(below)) if below < above => {}
            (Some(_), Some(_)) => problems.push(format!("{from} imports {to}")),
            _ => problems.push(format!("{from} imports {to}: one of them is in no layer")),
        }
    }
    problems
}

#[test]
fn imports_between_crates_point_one_way() {
    let imports = imports();
    assert!(imports.len() > 30, "only {} imports found", imports.len());
    expect_none(&upward_imports(&imports), "a crate imports only from layers below its own");
    let circle =
        "[dependencies]\nmarquee-core.workspace = true\nmarquee-shard = { path = \"../shard\" }\n";
    let circle = imports_of("router", circle).into_iter().collect();
    assert_eq!(upward_imports(&circle), ["router imports shard"]);
}

/// The arrows of a diagram, one for each pair of ends: `a & b --> c` is two.
fn arrows(diagram: &str) -> BTreeSet<(String, String)> {
    let mut arrows = BTreeSet::new();
    for (from, to) in diagram.lines().filter_map(|line| line.split_once("-->")) {
        for from in from.split('&') {
            for to in to.split('&') {
                arrows.insert((from.trim().to_owned(), to.trim().to_owned()));
            }
        }
    }
    arrows
}

#[test]
fn the_map_draws_all_imports_but_those_of_core() {
    let map = FILES.iter().find(|file| file.path == "crates/README.md").expect("the map");
    let (_, section) = map.text.split_once("\n## The crates\n").expect("a section of crates");
    let diagram = section.split("```").nth(1).expect("a diagram");
    let mut drawn = arrows(diagram);
    drawn.retain(|(_, to)| to != "core");
    let imports = imports().into_iter().filter(|import| !import.is_for_tests);
    let (of_core, others): (Vec<_>, Vec<_>) = imports.partition(|import| import.to == "core");
    let others: BTreeSet<_> = others.into_iter().map(|import| (import.from, import.to)).collect();
    assert_eq!(drawn, others, "left: drawn in crates/README.md, right: in the manifests");
    let importing: BTreeSet<_> = of_core.iter().map(|import| import.from.as_str()).collect();
    for name in LAYERS.iter().copied().flatten().filter(|name| !["core", "net"].contains(name)) {
        assert!(importing.contains(name), "{name} does not import core, as the map says");
    }
}

#[test]
fn names_and_sentences_are_cut_into_words() {
    assert_eq!(words("parseHTTPHeader"), ["parse", "http", "header"]);
    assert_eq!(words("SearchWay::top_k, not `way`"), ["search", "way", "top", "k", "not", "way"]);
    assert_eq!(occurrences(&words("of use, and of use"), &words("of use")), 2);
    assert_eq!(anchor(" Retrieval, 200,000 × 64"), "retrieval-200000--64");
    assert_eq!(link_targets("[a](b.md) and [c](d.md#e)"), ["b.md", "d.md#e"]);
    assert_eq!(
        named_paths("`core/src/plan`, `a b/src/`, `x.rs`").collect::<Vec<_>>(),
        ["core/src/plan"]
    );
}
