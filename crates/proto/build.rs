//! Compiles `proto/` with protox, so that no build needs protoc, and keeps the descriptor set for
//! reflection.
//!
//! All paths are relative to this crate's folder, where cargo runs the script. Cargo keeps what it is told to watch as
//! it was written, so a target directory that was copied from another checkout would with absolute paths go on
//! to watch the files of that one.

use prost::Message as _;
use std::path::{Path, PathBuf};

/// The folder that imports of the files start from.
const ROOT: &str = "../../proto";
/// The folder below it with all packages.
const PACKAGES: &str = "../../proto/marquee";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo looks through the whole folder, so new files and folders count, too.
    println!("cargo:rerun-if-changed={PACKAGES}");
    let mut files = Vec::new();
    collect(Path::new(PACKAGES), &mut files)?;
    files.sort();
    let descriptors = protox::compile(files, [ROOT])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".marquee.shard.v1")
        .bytes(".marquee.raft.v1")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Adds the `.proto` files of a folder and those below it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
