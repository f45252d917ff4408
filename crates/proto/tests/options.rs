//! Stubs of other languages are generated without flags: each file says what its package is called there.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use std::collections::BTreeMap;

#[test]
fn every_file_names_its_package_in_go_java_and_csharp() {
    let set = FileDescriptorSet::decode(marquee_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut go_packages: BTreeMap<String, String> = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.name().starts_with("marquee/")) {
        let options = file.options.clone().unwrap_or_default();
        let package = file.package();
        assert_eq!(options.java_package(), package, "{}", file.name());
        assert!(options.java_multiple_files(), "{}", file.name());
        let (path, name) = options.go_package().split_once(';').expect("a path and a name");
        assert_eq!(path, format!("marquee/proto/{}", package.replace('.', "/")));
        assert!(name.ends_with("v1") && name.chars().all(char::is_alphanumeric), "{name}");
        // One package has one name, and one name is of one package.
        let known = go_packages.entry(name.to_owned()).or_insert_with(|| package.to_owned());
        assert_eq!(known, package);
        let csharp: Vec<String> =
            package.split('.').map(|part| part[..1].to_ascii_uppercase() + &part[1..]).collect();
        assert_eq!(options.csharp_namespace(), csharp.join("."), "{}", file.name());
    }
    assert_eq!(go_packages.len(), 5, "{go_packages:?}");
}
