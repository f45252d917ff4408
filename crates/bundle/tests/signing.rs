//! Signatures in the OpenSSF model-signing form: what they say, who believes them, and that the program of that project
//! reads ours and we read its own.
//!
//! `make test` puts that program into `target/tools`. Where it is not there, the tests of the two together say so.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use marquee_bundle::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{files, input, open, write};

const TERMS: SignedTerms = SignedTerms { counter: u64::MAX, expires_at_ms: 34 };

/// A bundle and a pair of P-256 keys, in one temporary directory.
struct Signed {
    directory: tempfile::TempDir,
    place: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let place = directory.path().join("bundle");
        write(input(30, 8, 3, 2), &place);
        let signed = Self { directory, place };
        signed.make_keys("", KeyKind::P256);
        signed.sign("");
        signed
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make_keys(&self, suffix: &str, kind: KeyKind) -> String {
        let [secret, public] = ["secret", "public"].map(|name| self.at(&format!("{name}{suffix}")));
        generate_keys(&secret, &public, kind).expect("keys")
    }

    fn sign(&self, suffix: &str) {
        sign_bundle(&self.place, &self.at(&format!("secret{suffix}")), TERMS).expect("signed");
    }

    fn trusting(&self, suffix: &str) -> TrustedKeys {
        let mut trusted = TrustedKeys::none();
        trusted.add_file(&self.at(&format!("public{suffix}"))).expect("a key");
        trusted
    }

    fn signature(&self) -> PathBuf {
        self.place.join("model.sig")
    }

    fn refusal(&self, trusted: &TrustedKeys) -> String {
        read_signed_manifest(&self.place, trusted).expect_err("refused").to_string()
    }

    /// Rewrites the statement, and leaves the signature under it as it was.
    fn forge(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.signature()).expect("read");
        let mut file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let payload = &mut file["dsseEnvelope"]["payload"];
        let statement = BASE64.decode(payload.as_str().expect("text")).expect("base64");
        let statement = String::from_utf8(statement).expect("text");
        assert!(statement.contains(from), "{from} in {statement}");
        *payload = BASE64.encode(statement.replacen(from, to, 1)).into();
        std::fs::write(self.signature(), file.to_string()).expect("written");
    }
}

#[test]
fn a_trusted_signature_says_its_terms() {
    let signed = Signed::new();
    let (_, _, found) = read_signed_manifest(&signed.place, &signed.trusting("")).expect("trusted");
    assert_eq!(found, TERMS);
    let (_, _, found) = read_signed_manifest(&signed.place, &TrustedKeys::none()).expect("whole");
    assert_eq!(found, SignedTerms::default(), "a key that is not trusted says nothing");
    open(&signed.place).expect("no file too many");

    signed.forge(r#""counter":"18446744073709551615""#, r#""counter":"7""#);
    assert!(signed.refusal(&signed.trusting("")).contains("not what was signed"));
}

#[test]
fn a_signature_is_of_one_bundle_and_one_key() {
    let signed = Signed::new();
    let name = signed.make_keys("2", KeyKind::P256);
    let refused = signed.refusal(&signed.trusting("2"));
    assert!(refused.contains("not trusted here"), "{refused}");
    signed.sign("2");
    read_manifest(&signed.place, &signed.trusting("2")).expect("signed anew");
    assert!(signed.refusal(&signed.trusting("")).contains(&name), "the error names the key");

    // Without trusted keys too, a signature of another bundle is none of this one.
    let other = Signed::new();
    write(input(31, 8, 3, 1), &other.at("another"));
    std::fs::copy(signed.signature(), other.at("another").join("model.sig")).expect("copied");
    for trusted in [TrustedKeys::none(), signed.trusting("2")] {
        let refused = read_manifest(&other.at("another"), &trusted).expect_err("of another");
        assert!(refused.to_string().contains("not of this manifest.json"), "{refused}");
    }
}

#[test]
fn every_changed_byte_of_the_envelope_is_refused_or_changes_nothing() {
    let signed = Signed::new();
    let trusted = signed.trusting("");
    let whole = std::fs::read(signed.signature()).expect("read");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(signed.signature(), &changed).expect("written");
        match read_signed_manifest(&signed.place, &trusted) {
            Ok((_, _, terms)) => assert_eq!(terms, TERMS, "byte {at}"),
            Err(error) => {
                assert!(error.to_string().contains("model.sig"), "{error}");
                refused += 1;
            }
        }
    }
    // What may change are names of fields that nobody needs, such as the empty list of a log's entries.
    assert!(refused * 100 > whole.len() / 7 * 98, "{refused} of {}", whole.len() / 7);
}

#[test]
fn signing_by_a_key_of_the_other_kind_replaces_the_signature() {
    let signed = Signed::new();
    signed.make_keys("-ed25519", KeyKind::Ed25519);
    signed.sign("-ed25519");
    assert!(!signed.signature().exists());
    read_manifest(&signed.place, &signed.trusting("-ed25519")).expect("trusted");
    let refused = signed.refusal(&signed.trusting(""));
    assert!(refused.contains("manifest.sig") && refused.contains("not trusted"), "{refused}");
    signed.sign("");
    assert!(!signed.place.join("manifest.sig").exists());
    read_manifest(&signed.place, &signed.trusting("")).expect("trusted");

    // Both may be there, of which one must be trusted and both must be right.
    let ours = std::fs::read(signed.signature()).expect("read");
    signed.sign("-ed25519");
    std::fs::write(signed.signature(), ours).expect("written");
    for suffix in ["", "-ed25519"] {
        let (_, _, found) =
            read_signed_manifest(&signed.place, &signed.trusting(suffix)).expect("trusted");
        assert_eq!(found, TERMS);
    }
    std::fs::write(signed.place.join("manifest.sig"), "0\n").expect("written");
    assert!(signed.refusal(&signed.trusting("")).contains("manifest.sig"));
}

#[test]
fn a_damaged_bundle_is_not_signed() {
    let signed = Signed::new();
    let file = files(&signed.place).into_iter().find(|file| file.starts_with("shard-0001"));
    let path = signed.place.join(file.expect("a file"));
    let mut bytes = std::fs::read(&path).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let refused = sign_bundle(&signed.place, &signed.at("secret"), TERMS).expect_err("damaged");
    let name = path.file_name().and_then(|name| name.to_str()).expect("text");
    assert!(refused.to_string().contains(name), "{refused}");
}

#[test]
fn a_signature_goes_with_its_bundle() {
    let signed = Signed::new();
    let copy = signed.at("copy");
    std::fs::create_dir(&copy).expect("made");
    copy_manifest(&signed.place, &copy).expect("copied");
    read_manifest(&copy, &signed.trusting("")).expect("signed");
    let place = signed.place.canonicalize().expect("there");
    let (_, digest) = read_manifest(&place, &TrustedKeys::none()).expect("whole");
    remove_bundle(&place, &digest.to_string()).expect("removed");
    assert!(!place.exists(), "nothing is left");
}

/// Runs the project's own program; None where it is not there, which is said.
fn model_signing(arguments: &[&Path]) -> Option<(bool, String)> {
    let tool =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python/bin/model_signing");
    if !tool.exists() {
        eprintln!(
            "no model_signing in target/tools (`make test` fetches it where pip is): not tested"
        );
        return None;
    }
    let output = Command::new(tool).args(arguments).output().expect("model_signing starts");
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn verify_by_the_project(signed: &Signed) -> Option<(bool, String)> {
    let (public, signature) = (signed.at("public"), signed.signature());
    let [verify, key, public_key, of] =
        ["verify", "key", "--public_key", "--signature"].map(Path::new);
    model_signing(&[verify, key, public_key, &public, of, &signature, &signed.place])
}

#[test]
fn the_project_s_own_program_accepts_ours_and_finds_every_changed_file() {
    let signed = Signed::new();
    let Some((accepted, said)) = verify_by_the_project(&signed) else { return };
    assert!(accepted, "{said}");
    // The program takes a second a run, and the files of the other shard are of the same kinds.
    for file in files(&signed.place).into_iter().filter(|file| !file.starts_with("shard-0001")) {
        let path = signed.place.join(&file);
        let whole = std::fs::read(&path).expect("read");
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        std::fs::write(&path, changed).expect("written");
        let (accepted, said) = verify_by_the_project(&signed).expect("there");
        assert!(!accepted, "{}: {said}", file.display());
        std::fs::write(&path, whole).expect("restored");
    }
    std::fs::write(signed.place.join("more"), "x").expect("written");
    assert!(!verify_by_the_project(&signed).expect("there").0, "a file more");
    std::fs::remove_file(signed.place.join("more")).expect("removed");
    assert!(verify_by_the_project(&signed).expect("there").0, "whole again");
}

#[test]
fn a_signature_of_the_project_s_own_program_is_accepted() {
    let signed = Signed::new();
    std::fs::remove_file(signed.signature()).expect("removed");
    let (secret, signature) = (signed.at("secret"), signed.signature());
    let [sign, key, private_key, to] =
        ["sign", "key", "--private_key", "--signature"].map(Path::new);
    let made = model_signing(&[sign, key, private_key, &secret, to, &signature, &signed.place]);
    let Some((made, said)) = made else { return };
    assert!(made, "{said}");
    let (_, _, found) = read_signed_manifest(&signed.place, &signed.trusting("")).expect("trusted");
    assert_eq!(found, SignedTerms::default(), "it neither counts nor expires");
    open(&signed.place).expect("no file too many");
    signed.forge("manifest.blake3", "manifest.blake4");
    assert!(signed.refusal(&signed.trusting("")).contains("not what was signed"));
}
