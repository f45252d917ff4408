//! What the fuzz targets and the test of hostile bundles share: an input becomes a bundle in memory,
//! which is opened by the ordinary code and searched with every kind of query.
//!
//! [`Input`] says which files of a small valid bundle (a *seed*) hold other bytes. [`Harness::run`]
//! takes any bytes for one, puts the bundle together, speaks checksums and lengths right again, as a
//! hostile writer would, and opens it; where it opens, `exercise` searches it and checks that the
//! answers are as guaranteed. [`Harness::mutate`] makes new inputs of old ones. Files are
//! found by their paths, so that a new kind of file joins by being in a seed.

mod exercise;
pub(crate) mod heap;
mod input;
mod json;
mod mutate;
mod sections;
mod seeds;

pub(crate) use input::Input;
pub(crate) use mutate::{ByteMutator, Scope, random_bytes};

use crate::support::Random;
use marquee_bundle::{
    BundleError, BundleShard, LoadOptions, Manifest, ManifestDigest, SearchScratch, TrustedKeys,
    read_manifest,
};
use seeds::Seed;
use std::path::Path;

/// Where bundles in memory are found. There is nothing on disk.
const ROOT: &str = "/hostile";
/// Shards of a bundle that are opened: enough for the seeds, however many a manifest claims.
const MAX_SHARDS_OPENED: u32 = 2;
/// Heap that one bundle of some kilobytes may take, from its manifest to the last search.
pub(crate) const MAX_HEAP_BYTES: usize = 4 << 20;
/// Bytes of an input beyond the largest seeds, so that files can grow.
pub(crate) const MAX_INPUT_BYTES: usize = 64 << 10;

/// What became of one input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether the manifest was believed.
    pub(crate) manifest: bool,
    /// How many shards opened.
    pub(crate) opened: u32,
}

/// The seeds, and the memory that searches reuse.
pub(crate) struct Harness {
    seeds: Vec<Seed>,
    scratch: SearchScratch,
}

impl Harness {
    /// Writes the seeds to a temporary directory and takes them from there.
    pub(crate) fn new() -> Self {
        Self { seeds: seeds::all(), scratch: SearchScratch::new() }
    }

    /// One input for every seed as it is, and one for each of its files, whole.
    pub(crate) fn first_inputs(&self) -> Vec<(String, Input)> {
        let mut inputs = Vec::new();
        for (number, seed) in self.seeds.iter().enumerate() {
            let whole = Input { seed: number as u8, ..Input::default() };
            inputs.push((format!("seed-{number}"), whole.clone()));
            for path in seed.directory.paths() {
                let mut input = whole.clone();
                input.files.insert(path.into(), seed.directory.get(path).unwrap_or(&[]).into());
                inputs.push((format!("seed-{number}-{}", path.replace('/', "-")), input));
            }
        }
        inputs
    }

    /// Opens the bundle that the input describes, and uses what opens.
    ///
    /// # Panics
    /// If it finds an error: an answer that is not as guaranteed, or more heap than there should be.
    pub(crate) fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some(input) = Input::decode(bytes) else {
            return Outcome::default();
        };
        let (outcome, peak) = heap::peak(|| self.open(&input));
        assert!(peak <= MAX_HEAP_BYTES, "{peak} bytes of heap for an input of {}", bytes.len());
        outcome
    }

    fn open(&mut self, input: &Input) -> Outcome {
        let seed = input.seed as usize % self.seeds.len();
        let seed = &mut self.seeds[seed];
        let mut directory = seed.directory.clone();
        for (path, bytes) in &input.files {
            directory.insert(path, bytes);
        }
        let replaced = |path: &str| input.files.contains_key(path);
        if replaced("manifest.json") && !replaced("manifest.blake3") {
            let digest = ManifestDigest::of(directory.get("manifest.json").unwrap_or(&[]));
            directory.insert("manifest.blake3", format!("{digest}\n").as_bytes());
        }
        if replaced("manifest.json") && !replaced("manifest.sig") {
            directory.remove("manifest.sig");
        }
        directory.mounted_at(Path::new(ROOT), || {
            let mut read;
            let manifest = if input.files.keys().all(|path| path.starts_with("shard-")) {
                &mut seed.manifest // nothing changes in it but the lengths
            } else {
                match read_manifest(Path::new(ROOT), &TrustedKeys::none()) {
                    Ok((manifest, _)) => {
                        read = manifest;
                        &mut read
                    }
                    Err(error) => {
                        explain(&error);
                        return Outcome::default();
                    }
                }
            };
            for file in &mut manifest.files {
                file.bytes = directory.get(&file.path).map_or(file.bytes, |it| it.len() as u64);
            }
            let opened = (0..manifest.shards.min(MAX_SHARDS_OPENED))
                .filter(|&shard| open_shard(manifest, shard, &mut self.scratch))
                .count();
            Outcome { manifest: true, opened: opened as u32 }
        })
    }

    /// An input made of another by a few changes.
    pub(crate) fn mutate(
        &self,
        scope: Scope,
        input: &mut Input,
        random: &mut Random,
        bytes: ByteMutator<'_>,
    ) {
        mutate::mutate(&self.seeds, scope, input, random, bytes);
    }
}

fn open_shard(manifest: &Manifest, shard: u32, scratch: &mut SearchScratch) -> bool {
    let options = LoadOptions { verify: false, populate: false };
    match BundleShard::open(Path::new(ROOT), manifest, shard, &options) {
        Ok(shard) => {
            exercise::exercise(&shard, manifest, scratch);
            true
        }
        Err(error) => {
            explain(&error);
            false
        }
    }
}

/// Every refusal has a message of bounded length.
fn explain(error: &BundleError) {
    const MAX_MESSAGE_BYTES: usize = 64 << 10;
    let message = error.to_string();
    assert!((1..=MAX_MESSAGE_BYTES).contains(&message.len()), "a message: {message:?}");
}
