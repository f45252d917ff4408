//! The generated code is that of the files on disk, all of them: a stale build output turns this red.

use prost::Message as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder that imports of the files start from.
const ROOT: &str = "../../proto";

/// Adds the `.proto` files of a folder and those below it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
}

/// The files of a descriptor set by name, without those of libraries.
fn own_files(set: prost_types::FileDescriptorSet) -> BTreeMap<String, Vec<u8>> {
    let own = set.file.into_iter().filter(|file| file.name().starts_with("marquee/"));
    own.map(|file| (file.name().to_owned(), file.encode_to_vec())).collect()
}

#[test]
fn descriptors_are_those_of_the_files_on_disk() {
    let mut files = Vec::new();
    collect(&Path::new(ROOT).join("marquee"), &mut files);
    let on_disk = own_files(protox::compile(&files, [ROOT]).expect("valid files"));
    let built = prost_types::FileDescriptorSet::decode(marquee_proto::FILE_DESCRIPTOR_SET);
    let built = own_files(built.expect("a descriptor set"));
    assert_eq!(on_disk.len(), files.len());
    assert_eq!(
        built.keys().collect::<Vec<_>>(),
        on_disk.keys().collect::<Vec<_>>(),
        "left: files that were compiled, right: files on disk"
    );
    for (name, file) in &on_disk {
        assert!(built[name] == *file, "{name} changed since this was built: build again");
    }
}
