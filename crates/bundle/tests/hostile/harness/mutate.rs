//! New inputs of old ones: changes that keep a bundle whole but for what they mean to break.
//!
//! Most changes are to elements of one section, after which the file's header and table are put right;
//! some are to a file's raw bytes; some put a file of another seed in its place, so that files
//! disagree.

use super::sections::{SectionBytes, Sections};
use super::seeds::Seed;
use super::{Input, MAX_INPUT_BYTES, json};
use crate::support::Random;

/// Changes some bytes anyhow, their number too; a fuzzer's own mutator, say.
pub(crate) type ByteMutator<'a> = &'a mut dyn FnMut(&mut Vec<u8>, &mut Random);

/// Changes some bytes, for when there is no fuzzer.
pub(crate) fn random_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(4) {
            0 => bytes.insert(at, random.next() as u8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = random.next() as u8,
            _ => {}
        }
    }
}

/// Which files are changed. A manifest has so many ways to be refused that a fuzzer which may change
/// it changes little else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The manifest, its checksum and its signature.
    Manifest,
    /// The files of the shards.
    Shards,
}

impl Scope {
    fn has(self, path: &str) -> bool {
        path.starts_with("shard-") == (self == Self::Shards)
    }
}

/// Changes one file, now and then two; what would be too long is as it was.
pub(super) fn mutate(
    seeds: &[Seed],
    scope: Scope,
    input: &mut Input,
    random: &mut Random,
    bytes: ByteMutator<'_>,
) {
    input.files.retain(|path, _| scope.has(path));
    if random.below(64) == 0 {
        input.seed = random.below(seeds.len()) as u8;
    }
    for _ in 0..=random.below(8) / 7 {
        let seed = &seeds[input.seed as usize % seeds.len()];
        let paths: Vec<&str> = seed.directory.paths().filter(|path| scope.has(path)).collect();
        let replaced: Vec<&String> = input.files.keys().collect();
        let path = match random.below(2) {
            0 if !replaced.is_empty() => replaced[random.below(replaced.len())].clone(),
            // The two beside the manifest are soon told.
            1 if scope == Scope::Manifest => "manifest.json".to_owned(),
            _ => paths[random.below(paths.len())].to_owned(),
        };
        // Back to the seed's, so that inputs don't only ever grow.
        if random.below(16) == 0 && input.files.remove(&path).is_some() {
            continue;
        }
        if random.below(32) == 0 {
            // Another file of that name or, rarely, of another.
            let other = &seeds[random.below(seeds.len())].directory;
            let from = if random.below(4) == 0 { paths[random.below(paths.len())] } else { &path };
            match other.get(from) {
                Some(file) => drop(input.files.insert(path, file.to_vec())),
                None => drop(input.files.remove(&path)),
            }
            continue;
        }
        let before = input.files.get(&path).cloned();
        let whole = || seed.directory.get(&path).unwrap_or(&[]).to_vec();
        let mut file = before.clone().unwrap_or_else(whole);
        change(&path, &mut file, random, bytes);
        input.files.insert(path.clone(), file);
        if input.encode().len() > MAX_INPUT_BYTES {
            match before {
                Some(before) => input.files.insert(path, before),
                None => input.files.remove(&path),
            };
        }
    }
}

fn change(path: &str, file: &mut Vec<u8>, random: &mut Random, bytes: ByteMutator<'_>) {
    if path.ends_with(".json") && random.below(4) > 0 {
        return json::mutate(file, random);
    }
    match Sections::parse(file) {
        Some(mut sections) if !sections.list.is_empty() && random.below(8) > 0 => {
            for _ in 0..=random.below(4) / 3 * random.below(4) {
                change_section(&mut sections, random, bytes);
            }
            *file = sections.file();
        }
        _ => bytes(file, random),
    }
}

fn change_section(sections: &mut Sections, random: &mut Random, bytes: ByteMutator<'_>) {
    let lengths: Vec<u64> = sections.list.iter().map(|section| section.len() as u64).collect();
    let count = sections.list.len();
    if count == 0 {
        return;
    }
    // The first says what the others mean.
    let at = if random.below(4) == 0 { 0 } else { random.below(count) };
    if random.below(64) == 0 {
        match random.below(4) {
            0 => drop(sections.list.remove(at)),
            1 => sections.list.insert(at, sections.list[at].clone()),
            2 => sections.list[at].width = [0, 1, 2, 4, 8, 16, u32::MAX][random.below(7)],
            _ => sections.list[at].name = sections.list[random.below(count)].name,
        }
        return;
    }
    let section = &mut sections.list[at];
    let (step, length) = (section.step(), section.len());
    let (one, other) = (random.below(length.max(1)), random.below(length.max(1)));
    match random.below(10) {
        0..3 if length > 0 => put(section, one, edge(step, &lengths, random)),
        3 if length > 0 => put(section, one, get(section, one).wrapping_add(1)),
        4 if length > 0 => put(section, one, get(section, one).wrapping_sub(1)),
        5 if length > 0 => put(section, one, get(section, other)),
        6 if length > 0 => {
            let (first, second) = (get(section, one), get(section, other));
            put(section, one, second);
            put(section, other, first);
        }
        7 => {
            let value = if length > 0 { get(section, other) } else { random.next() };
            for _ in 0..=random.below(4) {
                let element = value.to_le_bytes();
                section.bytes.splice(one * step..one * step, element[..step].iter().copied());
            }
        }
        8 if length > 0 => {
            let end = (one + 1 + random.below(4)).min(length);
            section.bytes.drain(one * step..end * step);
        }
        _ => {
            bytes(&mut section.bytes, random);
            section.bytes.resize(section.bytes.len().next_multiple_of(step), 0);
        }
    }
}

fn get(section: &SectionBytes, at: usize) -> u64 {
    let (step, mut element) = (section.step(), [0; 8]);
    element[..step].copy_from_slice(&section.bytes[at * step..][..step]);
    u64::from_le_bytes(element)
}

fn put(section: &mut SectionBytes, at: usize, value: u64) {
    let step = section.step();
    section.bytes[at * step..][..step].copy_from_slice(&value.to_le_bytes()[..step]);
}

/// A value at the edge of something: of its type, of a section's length, of what is a number.
fn edge(step: usize, lengths: &[u64], random: &mut Random) -> u64 {
    let length = lengths[random.below(lengths.len())];
    let floats = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::from(f32::MAX),
        f64::from(f32::MIN),
        1e-45,
        1e30,
        -1.0,
        1.0,
    ];
    let float = floats[random.below(floats.len())];
    match random.below(14) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX - 1,
        4 => 1 << random.below(8 * step),
        5 => (1 << random.below(8 * step)) - 1,
        6 => length,
        7 => length.wrapping_sub(1),
        8 => length + 1,
        9 => random.next() % (length + 1),
        // Mostly within bounds, so that what is wrong is found further in.
        10 | 11 => random.next() % length.max(1),
        _ if step == 4 => u64::from((float as f32).to_bits()),
        _ => float.to_bits(),
    }
}
