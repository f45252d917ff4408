//! The code that the targets share: any bytes are an input of the harness, which makes a bundle of them,
//! opens it and searches it. See `crates/bundle/tests/hostile`, where the test lives that replays the corpus.

use crate::harness::{Harness, Input, MAX_INPUT_BYTES, Scope};
use crate::support::Random;
use std::cell::RefCell;

thread_local! {
    static HARNESS: RefCell<Harness> = RefCell::new(Harness::new());
}

/// Writes the seeds, which takes longer than any input may.
pub(crate) fn init() {
    HARNESS.with_borrow(|_| ());
}

/// Tries one input.
pub(crate) fn run(bytes: &[u8]) {
    HARNESS.with_borrow_mut(|harness| harness.run(bytes));
}

/// Makes another input of the first `length` bytes, in their place; returns how long it is.
pub(crate) fn mutate(
    scope: Scope,
    bytes: &mut [u8],
    length: usize,
    max: usize,
    seed: u32,
) -> usize {
    let mut random = Random(u64::from(seed));
    // What is no input, such as the empty one to begin with, becomes a seed.
    let mut input = Input::decode(&bytes[..length]).unwrap_or_default();
    HARNESS.with_borrow(|harness| {
        harness.mutate(scope, &mut input, &mut random, &mut libfuzzer_bytes);
    });
    let made = input.encode();
    if made.len() > max {
        return length.min(max);
    }
    bytes[..made.len()].copy_from_slice(&made);
    made.len()
}

/// Changes bytes as libFuzzer does.
fn libfuzzer_bytes(bytes: &mut Vec<u8>, _random: &mut Random) {
    /// Bytes that it may add at once.
    const ROOM: usize = 64;
    let before = bytes.len();
    let room = (before + ROOM).min(MAX_INPUT_BYTES.max(before));
    bytes.resize(room, 0);
    let after = libfuzzer_sys::fuzzer_mutate(bytes, before, room);
    bytes.truncate(after);
}
