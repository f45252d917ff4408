//! The fuzz target over the files of shards: id tables, labels, matrices, indexes.
#![no_main]

#[path = "../../../crates/bundle/tests/hostile/harness/mod.rs"]
#[allow(dead_code, unused_imports)] // the test uses the rest
mod harness;
#[path = "../../../crates/bundle/tests/support/mod.rs"]
mod support;
#[path = "target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(init: target::init(), |bytes: &[u8]| target::run(bytes));

libfuzzer_sys::fuzz_mutator!(|bytes: &mut [u8], length: usize, max: usize, seed: u32| {
    target::mutate(harness::Scope::Shards, bytes, length, max, seed)
});
