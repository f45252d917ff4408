//! Hostile bundles: whatever wrote a bundle and whatever it holds, it is refused or it is searched,
//! without a panic, without a read beyond its files and without more memory than it deserves.
//!
//! Replays the kept corpus of the fuzz targets (`tests/fuzz` of the repository), then mutates it some
//! thousand times. `MARQUEE_HOSTILE_SEED` and `MARQUEE_HOSTILE_RUNS` repeat a failure or search longer.

mod harness;
#[path = "../support/mod.rs"]
mod support;

use harness::{Harness, Input, Scope, heap, random_bytes};
use marquee_bundle::format::memory::MemoryDirectory;
use marquee_bundle::*;
use marquee_core::bounds::MAX_SHARDS;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use support::Random;

/// Mutations that every run of the tests tries.
const RUNS: u64 = 20_000;

/// The inputs that fuzzing kept of one target, sorted by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(dir).expect("the corpus is part of the repository");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("read"))).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a decimal number"))
}

/// Says, when a test fails, what failed.
struct Trying(String);

impl Drop for Trying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {}", self.0);
        }
    }
}

#[test]
fn every_seed_opens_whole() {
    let mut harness = Harness::new();
    for (name, input) in harness.first_inputs() {
        let trying = Trying(name);
        let outcome = harness.run(&input.encode());
        assert!(outcome.manifest && outcome.opened > 0, "{outcome:?}");
        assert_eq!(Input::decode(&input.encode()), Some(input));
        drop(trying);
    }
}

#[test]
fn nothing_of_the_kept_corpus_leads_out_of_a_bundle() {
    let mut harness = Harness::new();
    for target in ["manifest", "shards"] {
        let (mut refused, mut opened) = (0, 0);
        for (path, bytes) in corpus(target) {
            let trying = Trying(path.display().to_string());
            match harness.run(&bytes).opened {
                0 => refused += 1,
                _ => opened += 1,
            }
            drop(trying);
        }
        // A corpus of another format would all be refused at the door, and test nothing. There are
        // more ways to be refused than to open, so more inputs are kept of those.
        assert!(
            refused > 20 && opened > 5,
            "{target}: {refused} refused, {opened} opened; see tests/fuzz about a new corpus"
        );
    }
}

/// Reads a manifest of that text; returns what came of it and the heap that it took.
fn read_text(text: &str) -> (Result<Manifest, BundleError>, usize) {
    let (mut bundle, place) = (MemoryDirectory::default(), Path::new("/bundle"));
    bundle.insert("manifest.json", text.as_bytes());
    let digest = ManifestDigest::of(text.as_bytes());
    bundle.insert("manifest.blake3", format!("{digest}\n").as_bytes());
    let read = || read_manifest(place, &TrustedKeys::none()).map(|(manifest, _)| manifest);
    heap::peak(|| bundle.mounted_at(place, read))
}

/// The manifest of a small bundle of one shard with a graph.
fn manifest() -> Manifest {
    let dir = tempfile::tempdir().expect("temporary directory");
    support::write(support::input(30, 8, 3, 1), &dir.path().join("bundle"))
}

fn text(manifest: &Manifest) -> String {
    serde_json::to_string_pretty(manifest).expect("a manifest is JSON")
}

/// The parser keeps what it doesn't know yet in forty times the bytes.
#[test]
fn a_manifest_of_millions_of_values_is_refused_before_it_is_parsed() {
    let many = vec!["{\"\":0}"; 2_000_000].join(",");
    for place in ["\"kind\": \"dense\",", "\"kind\": \"matrix_factorisation\","] {
        let whole = text(&manifest());
        assert!(whole.contains(place), "{whole}");
        let (read, peak) =
            read_text(&whole.replacen(place, &format!("{place} \"x\": [{many}],"), 1));
        let error = read.expect_err("too many").to_string();
        assert!(error.contains("manifest.json") && error.contains("values"), "{error}");
        assert!(peak < 40 << 20, "{peak} bytes");
    }
}

#[test]
fn a_manifest_of_a_thousand_shards_is_read() {
    let mut manifest = manifest();
    manifest.shards = MAX_SHARDS;
    let files = manifest.files.clone();
    let of_shard = |shard: u32| {
        files.iter().cloned().map(move |file| FileInfo {
            path: file.path.replace("shard-0000", &shard_directory(shard)),
            ..file
        })
    };
    manifest.files = (0..MAX_SHARDS).flat_map(of_shard).collect();
    for matrix in &mut manifest.matrices {
        if let MatrixLayout::Dense { index: Some(index), .. } = &mut matrix.layout {
            index.shards = vec![index.shards[0].clone(); MAX_SHARDS as usize];
        }
    }
    let (read, _) = read_text(&text(&manifest));
    assert_eq!(read.expect("read"), manifest);

    // One that names only a few of the files needs no list of all.
    manifest.files.truncate(3);
    manifest.matrices.iter_mut().for_each(|matrix| {
        if let MatrixLayout::Dense { index, .. } = &mut matrix.layout {
            *index = None;
        }
    });
    let more = |at| MatrixInfo {
        name: format!("m{at}"),
        layout: MatrixLayout::SparseByRow { columns: Entity::Item, entries: 0 },
    };
    manifest.matrices.extend((0..60).map(more));
    let (read, peak) = read_text(&text(&manifest));
    let error = read.expect_err("files are missing").to_string();
    assert!(error.contains("doesn't name shard-0000/"), "{error}");
    assert!(peak < 256 << 10, "{peak} bytes");
}

#[test]
fn nothing_of_many_mutations_leads_out_of_a_bundle() {
    let mut harness = Harness::new();
    let seed = number("MARQUEE_HOSTILE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let runs = number("MARQUEE_HOSTILE_RUNS").unwrap_or(RUNS);
    let mut from: Vec<Input> = harness.first_inputs().into_iter().map(|(_, input)| input).collect();
    for target in ["manifest", "shards"] {
        from.extend(corpus(target).iter().filter_map(|(_, bytes)| Input::decode(bytes)));
    }
    let mut random = Random(seed);
    let (mut refused, mut opened) = (0u64, 0u64);
    for run in 0..runs {
        let mut input = from[random.below(from.len())].clone();
        let manifest = random.below(4) == 0;
        let scope = if manifest { Scope::Manifest } else { Scope::Shards };
        for _ in 0..=random.below(3) {
            harness.mutate(scope, &mut input, &mut random, &mut random_bytes);
        }
        let trying = Trying(format!("mutation {run} of MARQUEE_HOSTILE_SEED={seed}"));
        match harness.run(&input.encode()).opened {
            0 => refused += 1,
            _ => opened += 1,
        }
        drop(trying);
    }
    println!("{refused} refused, {opened} opened of MARQUEE_HOSTILE_SEED={seed}");
    assert!(refused > runs / 20 && opened > runs / 20, "{refused} refused, {opened} opened");
}
