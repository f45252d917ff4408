//! The container: sections come back as written, and a header that makes no sense is refused.

use super::layout::*;
use super::*;
use crate::error::BundleError;
use proptest::prelude::*;
use std::path::Path;

fn write(dir: &Path, bytes: &[u8], words: &[u32], numbers: &[u64]) -> FileInfo {
    let _ = std::fs::remove_file(dir.join("file"));
    let file = FileBuilder::new(FileKind::Ids)
        .numbers("meta", numbers)
        .section("bytes", bytes)
        .section("words", words);
    file.write(dir, "file".into()).expect("written")
}

fn open(dir: &Path, info: &FileInfo) -> Result<SectionFile, BundleError> {
    SectionFile::open(dir, info, FileKind::Ids, &LoadOptions { verify: false, populate: false })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sections_come_back(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        words in prop::collection::vec(any::<u32>(), 0..70),
        numbers in any::<[u64; 3]>(),
    ) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let info = write(dir.path(), &bytes, &words, &numbers);
        let file = SectionFile::open(dir.path(), &info, FileKind::Ids, &LoadOptions::default()).expect("opened");
        prop_assert_eq!(file.numbers::<3>("meta").expect("there"), numbers);
        let section = file.section::<u8>("bytes", bytes.len()).expect("there");
        prop_assert_eq!(&*section, &*bytes);
        let section = file.section_of_any_length::<u32>("words").expect("there");
        prop_assert_eq!(&*section, &*words);
        prop_assert_eq!(section.as_ptr() as usize % ALIGNMENT, 0);
        drop(file);
        prop_assert_eq!(&*section, &*words, "a section keeps its file mapped");
        prop_assert_eq!(info.bytes % ALIGNMENT as u64, 0);
    }
}

#[test]
fn sections_are_of_their_name_width_and_length() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = open(dir.path(), &write(dir.path(), b"abcd", &[1, 2], &[7])).expect("opened");
    let reason = |error: Option<BundleError>| error.expect("refused").to_string();
    assert!(reason(file.section::<u32>("none", 1).err()).contains("section none is missing"));
    assert!(reason(file.section::<u64>("words", 1).err()).contains("elements of 4 bytes, not 8"));
    assert!(reason(file.section::<u32>("words", 3).err()).contains("has 2 elements, not 3"));
    assert!(reason(file.numbers::<2>("meta").err()).contains("has 1 elements, not 2"));
}

#[test]
fn a_header_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let info = write(dir.path(), b"abcd", &[1, 2], &[7]);
    let whole = std::fs::read(dir.path().join("file")).expect("read");
    let first = HEADER_BYTES;
    for (at, bytes, expected) in [
        (0, &b"m"[..], "magic"),
        (8, &[0], "format version 0 was never released"),
        (8, &[2], "newer marquee"),
        (12, b"dens", "another kind"),
        (16, &[0xff; 8], "length in its header"),
        (24, &[0xff; 4], "more than 32"),
        (24, &[2, 0, 0, 0], "entry 0"),
        (24, &[4, 0, 0, 0], "entry 3"),
        (first + 8, &[3], "entry 0"),
        (first + 8, &[0], "entry 0"),
        (first + 16, &[0xff; 8], "entry 0"),
        (first + 24, &[0xff; 8], "entry 0"),
        (first + 24, &[7], "entry 0"),
        (first + 24, &[128], "entry 1"),
    ] {
        let mut forged = whole.clone();
        forged[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(dir.path().join("file"), forged).expect("written");
        let error = open(dir.path(), &info).err().expect(expected).to_string();
        assert!(error.contains(expected) && error.contains("file"), "{at}: {error}");
    }
}
