//! What is done with a list at last, whoever made it: filling it up, and spreading it. Pure.
//!
//! Routers look up what is compared, and evaluation reads it from bundles; what is to be known and what comes
//! of it is decided here for both.

use crate::tree::MIN_DEPTH;
use marquee_core::ranking::diversify::{Diversity, ItemFacts};
use marquee_core::ranking::fuse::{Candidate, depth};
use std::collections::BTreeSet;

/// How many items a list is to have before the last step, if there is one.
pub(crate) fn candidates(spreading: Option<&Diversity>, count: usize) -> usize {
    match spreading {
        Some(_) => depth(count, MIN_DEPTH),
        None => count,
    }
}

/// What of a version's items is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compared<'a> {
    /// Its number.
    pub(crate) version: usize,
    /// The dense matrix of vectors; empty for none.
    pub(crate) vectors: &'a str,
    /// Which tags they have.
    pub(crate) tags: bool,
}

/// What is compared of the items of an ensemble: the vectors of the first model that has some, and tags of all
/// models, since any may be the only one that knows an item. `leaves` gives for each leaf, from left to right,
/// its version's number and the matrix that has the vectors of its items.
pub(crate) fn compared<'a>(
    how: &Diversity,
    leaves: &[(usize, Option<&'a str>)],
) -> Vec<Compared<'a>> {
    let vectors = leaves.iter().find_map(|&(version, matrix)| Some((version, matrix?)));
    let vectors = vectors.filter(|_| how.mmr_lambda.is_some());
    let tags = how.has_caps();
    let of = |(version, vectors)| Compared { version, vectors, tags };
    let mut all: Vec<Compared<'a>> = vectors.into_iter().map(of).collect();
    if tags {
        let versions: BTreeSet<usize> = leaves.iter().map(|(version, _)| *version).collect();
        let others =
            versions.into_iter().filter(|&it| vectors.is_none_or(|(first, _)| first != it));
        all.extend(others.map(|version| of((version, ""))));
    }
    all
}

/// Adds what one version knows of an item: what an earlier one knows counts.
pub(crate) fn learn(facts: &mut ItemFacts, vector: impl Iterator<Item = f32>, tags: Vec<String>) {
    if facts.vector.is_empty() {
        facts.vector = vector.collect();
    }
    if facts.tags.is_empty() {
        facts.tags = tags;
    }
}

/// Appends what is popular and not listed yet, with scores below all others.
pub(crate) fn fill_up(items: &mut Vec<Candidate>, popular: Vec<Candidate>, count: usize) {
    let lowest = items.last().map_or(0.0, |last| last.score);
    let listed: BTreeSet<String> = items.iter().map(|item| item.item_id.clone()).collect();
    let more = popular.into_iter().filter(|item| !listed.contains(&item.item_id));
    for (below, mut item) in (1_u32..).zip(more.take(count.saturating_sub(items.len()))) {
        item.score = lowest - f64::from(below);
        items.push(item);
    }
}
