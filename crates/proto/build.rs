//! Compiles `proto/` with protox, so that no build needs protoc, and keeps the descriptor set for
//! reflection.

use prost::Message as _;
use std::path::PathBuf;

const FILES: [&str; 7] = [
    "marquee/v1/recommender.proto",
    "marquee/control/v1/control.proto",
    "marquee/control/v1/experiment.proto",
    "marquee/control/v1/telemetry.proto",
    "marquee/shard/v1/shard.proto",
    "marquee/raft/v1/raft.proto",
    "marquee/node/v1/node.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".marquee.shard.v1")
        .bytes(".marquee.raft.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
