//! Nothing damaged is ever served: every flipped byte and every truncation of every file is caught
//! when the bundle is opened, and named; and files that pass the checksums but make no sense are
//! refused, or at least never lead anywhere.

mod support;

use marquee_bundle::*;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use support::{Random, factors, files, input, open, write};

/// A signed bundle of one shard with every kind of file.
fn small(dir: &Path) -> PathBuf {
    let place = dir.join("bundle");
    let mut given = input(30, 8, 3, 1);
    let index = IndexOptions {
        mode: IndexMode::Always,
        m: 4,
        target_recall: 0.1,
        ..IndexOptions::default()
    };
    given.dense[0].index = Some(index.clone());
    given.dense[0].rows = RowFormat::Int8;
    given.dense[1].index = Some(IndexOptions { kind: IndexKind::Hnsw, ..index });
    let row = |at: usize| vec![(at as u32 + 1) % 30, (at as u32 + 7) % 30];
    given.sparse = vec![SparseInput {
        name: "neighbours".into(),
        shape: SparseShape::ITEM_ROWS,
        matrix: CsrInput {
            offsets: (0..=30).map(|at| 2 * at).collect(),
            columns: (0..30).flat_map(row).collect(),
            values: (0..60).map(|at| at as f32).collect(),
        },
    }];
    write(given, &place);
    generate_keys(&dir.join("secret"), &dir.join("public"), KeyKind::Ed25519).expect("keys");
    sign_bundle(&place, &dir.join("secret"), SignedTerms::default()).expect("signed");
    place
}

/// Overwrites one byte where it stands.
fn poke(path: &Path, at: usize, byte: u8) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("opened");
    file.seek(SeekFrom::Start(at as u64)).expect("within");
    file.write_all(&[byte]).expect("written");
}

/// Opens a bundle that is damaged in one file; the error must name it.
fn refused(place: &Path, file: &Path, what: &str) {
    let error = open(place).expect_err("damaged").to_string();
    // A wrong checksum file reads like a wrong manifest, and the message names both.
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(error.contains(name), "{what} of {file:?}: {error}");
}

#[test]
fn every_flipped_byte_is_caught_and_its_file_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    open(&place).expect("whole");
    let mut flips = 0;
    for file in files(&place) {
        let path = place.join(&file);
        for (at, byte) in std::fs::read(&path).expect("read").into_iter().enumerate() {
            // In text, the mask that turns a letter's case around as well.
            let text = !file.starts_with("shard-0000");
            let masks: &[u8] = if text { &[0x20, 1 << (at % 8), 0xff] } else { &[1 << (at % 8)] };
            for &mask in masks {
                poke(&path, at, byte ^ mask);
                refused(&place, &file, &format!("byte {at} by {mask:#x}"));
                flips += 1;
            }
            poke(&path, at, byte);
        }
    }
    assert!(flips > 10_000, "{flips}");
    open(&place).expect("whole again");
}

#[test]
fn every_other_length_is_caught_and_its_file_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    for file in files(&place) {
        let path = place.join(&file);
        let whole = std::fs::read(&path).expect("read");
        let handle = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
        // Longer by zeros first, then shorter byte by byte.
        for length in [whole.len() + 64, whole.len() + 1].into_iter().chain((0..whole.len()).rev())
        {
            handle.set_len(length as u64).expect("cut");
            if file.starts_with("shard-0000") {
                assert!(
                    matches!(open(&place), Err(BundleError::Length { .. })),
                    "{length} bytes of {file:?}"
                );
            }
            refused(&place, &file, &format!("{length} bytes"));
        }
        std::fs::write(&path, &whole).expect("restored");
    }
    open(&place).expect("whole again");
}

#[test]
fn missing_and_extra_files_are_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    for file in files(&place).into_iter().filter(|file| !file.ends_with("manifest.sig")) {
        let (path, elsewhere) = (place.join(&file), dir.path().join("elsewhere"));
        std::fs::rename(&path, &elsewhere).expect("moved");
        match open(&place) {
            Err(BundleError::Missing { path: named }) => assert_eq!(named, path),
            other => panic!("without {file:?}: {other:?}"),
        }
        std::fs::rename(&elsewhere, &path).expect("moved back");
    }
    for stray in ["notes.txt", "shard-0000/items.ids.bak", "shard-0001", "shard-00000"] {
        let path = place.join(stray);
        std::fs::write(&path, "x").expect("written");
        match open(&place) {
            Err(BundleError::Unexpected { path: named }) => assert_eq!(named, path),
            other => panic!("with {stray}: {other:?}"),
        }
        std::fs::remove_file(&path).expect("removed");
    }
    open(&place).expect("whole again");
}

/// Replaces text in the manifest and makes its checksum right again.
fn forge(place: &Path, from: &str, to: &str) {
    let path = place.join("manifest.json");
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{from} is in the manifest");
    let text = text.replace(from, to);
    std::fs::write(&path, &text).expect("written");
    let digest = ManifestDigest::of(text.as_bytes());
    std::fs::write(place.join("manifest.blake3"), format!("{digest}\n")).expect("written");
    let _ = std::fs::remove_file(place.join("manifest.sig"));
}

#[test]
fn a_newer_format_says_to_upgrade() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    // A newer manifest may hold anything else.
    forge(&place, "\"format_version\": 1,", "\"format_version\": 2, \"compression\": \"zstd\",");
    let error = open(&place).expect_err("newer");
    assert!(matches!(error, BundleError::NewerFormat { found: 2, supported: 1, .. }), "{error:?}");
    assert!(
        error.to_string().contains("written by a newer marquee: upgrade the nodes first"),
        "{error}"
    );

    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    let path = place.join("shard-0000/items.ids");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[8] = 3;
    std::fs::write(&path, bytes).expect("written");
    let options = LoadOptions { verify: false, populate: false };
    let error = Bundle::open(&place, &TrustedKeys::none(), &options).expect_err("newer");
    assert!(matches!(error, BundleError::NewerFormat { found: 3, .. }), "{error:?}");
}

#[test]
fn a_manifest_that_makes_no_sense_is_refused() {
    for (from, to, expected) in [
        ("\"format_version\": 1,", "\"format_version\": 0,", "never released"),
        ("\"shards\": 1,", "\"shards\": 0,", "shards is 0"),
        ("\"shards\": 1,", "\"shards\": 4000000000,", "shards is 4000000000"),
        ("\"shards\": 1,", "\"shards\": 2,", "another number of shards"),
        ("\"model\": \"films\",", "\"model\": \"../films\",", "model"),
        ("\"items\": 30,", "\"items\": 31,", "items.ids"),
        ("\"items\": 30,", "\"items\": 18446744073709551615,", "counts.items"),
        ("\"rank\": 3", "\"rank\": 0", "is 0: 1 to"),
        ("\"rank\": 3", "\"rank\": 4", "shape"),
        ("\"name\": \"neighbours\"", "\"name\": \"../../etc\"", "name"),
        ("\"name\": \"neighbours\"", "\"name\": \"history\"", "twice"),
        ("\"name\": \"neighbours\"", "\"name\": \"others\"", "neighbours.sparse"),
        ("shard-0000/users.ids", "shard-0000/../users.ids", "users.ids"),
        ("\"kind\": \"mf\",", "\"kind\": \"mf\", \"surprise\": 1,", "surprise"),
        (
            "\"entity\": \"user\"",
            "\"entity\": \"item\"",
            "needs a dense matrix of users, \"user_factors\"",
        ),
        (
            "\"item_factors\": \"item_factors\"",
            "\"item_factors\": \"history\"",
            "needs a dense matrix of items, \"history\"",
        ),
        ("\"rank\": 3", "\"rank\": 5", "shape"),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let place = small(dir.path());
        forge(&place, from, to);
        let error = open(&place).expect_err(to).to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn a_signature_speaks_for_its_counter_and_expiry() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    let mut trusted = TrustedKeys::none();
    trusted.add_file(&dir.path().join("public")).expect("a key");
    let terms = SignedTerms { counter: 12, expires_at_ms: 34 };
    sign_bundle(&place, &dir.path().join("secret"), terms).expect("signed");
    let (_, _, found) = read_signed_manifest(&place, &trusted).expect("trusted");
    assert_eq!(found, terms);
    let (_, _, found) = read_signed_manifest(&place, &TrustedKeys::none()).expect("whole");
    assert_eq!(found, SignedTerms::default(), "a key that is not trusted says nothing");

    let path = place.join("manifest.sig");
    let text = std::fs::read_to_string(&path).expect("read");
    for (from, to) in [
        ("counter 12", "counter 13"),
        ("counter 12", "counter 012"),
        ("counter 12", "counter +12"),
        ("expires 34", "expires 0"),
        ("counter 12\nexpires 34\n", ""),
        ("\nexpires", "\n\nexpires"),
    ] {
        let forged = text.replace(from, to);
        assert_ne!(forged, text);
        std::fs::write(&path, forged).expect("written");
        let refused = read_signed_manifest(&place, &trusted).expect_err(to).to_string();
        assert!(refused.contains("manifest.sig"), "{to}: {refused}");
    }
}

/// What releases before signatures had terms wrote: RFC 8032's first key over this bundle's digest.
#[test]
fn signatures_of_earlier_versions_count_as_nothing() {
    use ed25519_dalek::{Signer as _, SigningKey};
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = hex::encode(key.verifying_key().to_bytes());
    let (_, digest) = read_manifest(&place, &TrustedKeys::none()).expect("whole");
    let signed = [b"marquee bundle manifest v1\n".as_slice(), digest.as_bytes()].concat();
    let signature = hex::encode(key.sign(&signed).to_bytes());
    std::fs::write(place.join("manifest.sig"), format!("{public}\n{signature}\n"))
        .expect("written");
    let mut trusted = TrustedKeys::none();
    trusted.add("trusted_keys[0]", &public).expect("a key");
    let (_, _, found) = read_signed_manifest(&place, &trusted).expect("trusted");
    assert_eq!(found, SignedTerms::default());
}

#[test]
fn only_trusted_signatures_count() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    let mut trusted = TrustedKeys::none();
    trusted.add_file(&dir.path().join("public")).expect("a key");
    read_manifest(&place, &trusted).expect("trusted");

    let mut other = TrustedKeys::none();
    generate_keys(&dir.path().join("secret2"), &dir.path().join("public2"), KeyKind::Ed25519)
        .expect("keys");
    other.add_file(&dir.path().join("public2")).expect("a key");
    let error = read_manifest(&place, &other).expect_err("another key").to_string();
    assert!(error.contains("not trusted here"), "{error}");

    sign_bundle(&place, &dir.path().join("secret2"), SignedTerms::default()).expect("signed anew");
    read_manifest(&place, &other).expect("trusted");
    let both = std::fs::read_to_string(place.join("manifest.sig")).expect("read");

    std::fs::remove_file(place.join("manifest.sig")).expect("removed");
    let error = read_manifest(&place, &trusted).expect_err("unsigned").to_string();
    assert!(error.contains("not signed"), "{error}");
    open(&place).expect("accepted where there are no trusted keys");

    // A signature of another bundle isn't one of this.
    forge(&place, "\"model\": \"films\",", "\"model\": \"filme\",");
    std::fs::write(place.join("manifest.sig"), both).expect("written");
    let error = open(&place).expect_err("another bundle's signature").to_string();
    assert!(error.contains("manifest.sig") && error.contains("not of this"), "{error}");

    let refused =
        TrustedKeys::none().add("trusted_keys[0]", "12ab").expect_err("short").to_string();
    assert!(
        refused.contains("trusted_keys[0]") && refused.contains("64 hexadecimal digits"),
        "{refused}"
    );
    let again =
        generate_keys(&dir.path().join("secret"), &dir.path().join("public"), KeyKind::Ed25519);
    assert!(again.is_err(), "keys are never overwritten");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            std::fs::metadata(dir.path().join("secret")).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "only its owner reads a secret key");
    }
}

/// Opening a pipe waits for a writer that never comes.
#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    for file in files(&place) {
        let (path, elsewhere) = (place.join(&file), dir.path().join("elsewhere"));
        std::fs::rename(&path, &elsewhere).expect("moved");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("started");
        assert!(made.success());
        let error = open(&place).expect_err("a pipe").to_string();
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(error.contains(name) && error.contains("not a regular file"), "{file:?}: {error}");
        std::fs::rename(&elsewhere, &path).expect("moved back");
    }
    open(&place).expect("whole again");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for (file, section, expected) in [
        ("shard-0000/item_factors.dense", "rows", "not a finite number"),
        ("shard-0000/item_factors.dense", "blockmax", "length is negative"),
        ("shard-0000/neighbours.sparse", "values", "not a finite number"),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let place = small(dir.path());
        let mut bytes = std::fs::read(place.join(file)).expect("read");
        let entry = bytes
            .windows(section.len())
            .position(|name| name == section.as_bytes())
            .expect("in the table");
        let offset =
            u32::from_le_bytes(bytes[entry + 16..entry + 20].try_into().expect("four bytes"))
                as usize;
        bytes[offset..offset + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(place.join(file), bytes).expect("written");
        let options = LoadOptions { verify: false, populate: false };
        let error =
            Bundle::open(&place, &TrustedKeys::none(), &options).expect_err("NaN").to_string();
        assert!(error.contains(expected) && error.contains(file), "{error}");
    }
}

/// Runs every kind of query on a shard.
fn exercise(shard: &BundleShard) {
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    for table in [shard.users(), shard.items()] {
        for row in 0..table.len() as u32 {
            let _ = (
                table.find(table.id(row)),
                table.title(row),
                table.row_of_ordinal(table.ordinal(row)),
            );
        }
        let _ = (table.find("none"), table.row_of_ordinal(u32::MAX));
    }
    for row in 0..shard.items().len() as u32 {
        let _ = shard.labels().tags_of(row).count();
    }
    let filter = FilterSpec {
        exclude_tags: vec!["drama".into()],
        ranges: vec![AttributeRange { attribute: "year".into(), min: Some(1960.0), max: None }],
        ..FilterSpec::default()
    };
    let bitmap = filter_rows(shard, &filter).expect("a fine filter");
    let rough = DenseStrategy::Cells(Effort { reach: 1.0, pool: 1.5 });
    let walk = DenseStrategy::Graph { width: 20, thorough: true };
    let strategies =
        [None, Some(rough), Some(DenseStrategy::ExactCells), Some(walk), Some(DenseStrategy::Scan)];
    let filtered = bitmap.as_ref().map_or(Allow::All, Allow::Rows);
    for query in factors(3, 3, 9).chunks_exact(3) {
        for (matrix, allow) in
            [("item_factors", Allow::All), ("item_factors", filtered), ("user_factors", Allow::All)]
        {
            for (measure, strategy) in [VectorMeasure::InnerProduct, VectorMeasure::Cosine]
                .into_iter()
                .flat_map(|measure| strategies.map(|strategy| (measure, strategy)))
            {
                let params = SearchParams { allow, strategy, ..SearchParams::new(12, &cancel) };
                if let Ok(hits) = dense_top_k(shard, matrix, query, measure, &params, &mut scratch)
                {
                    assert!(hits.iter().all(|hit| hit.score.is_finite()));
                }
            }
        }
    }
    let params = SearchParams::new(12, &cancel);
    let _ =
        sparse_row_sum(shard, "neighbours", &[0, 5, 29], &[1.0, 2.0, -1.0], &params, &mut scratch);
    let _ = sparse_row_sum(shard, "popularity", &[0], &[1.0], &params, &mut scratch);
    for row in 0..shard.users().len() as u32 {
        let _ = shard.sparse("history").expect("there").row(row);
    }
}

/// Without checksums (or with those of an evil writer) a file may hold anything: it is refused, or
/// searches over it end without a panic and stay within it.
#[test]
fn nothing_leads_out_of_a_file() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = small(dir.path());
    let (manifest, _) = read_manifest(&place, &TrustedKeys::none()).expect("read");
    let options = LoadOptions { verify: false, populate: false };
    let (mut refused, mut opened) = (0, 0);
    let mut random = Random(3);
    for file in &manifest.files {
        let path = place.join(&file.path);
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let other = if at % 3 == 0 { random.below(whole.len()) } else { at };
            poke(&path, other, random.next() as u8);
            poke(&path, at, whole[at] ^ 1 << random.below(8));
            match BundleShard::open(&place, &manifest, 0, &options) {
                Err(_) => refused += 1,
                Ok(shard) => {
                    opened += 1;
                    exercise(&shard);
                }
            }
            poke(&path, at, whole[at]);
            poke(&path, other, whole[other]);
        }
    }
    assert!(refused > 1_000 && opened > 1_000, "{refused} refused, {opened} opened");
}
