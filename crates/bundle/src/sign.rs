//! Making keys, and signing bundles with them.

use crate::error::BundleError;
use crate::format::{FileInfo, open_file};
use crate::manifest::ManifestDigest;
use crate::manifest::names::{CHECKSUM_FILE, MANIFEST_FILE, MODEL_SIGNATURE_FILE, SIGNATURE_FILE};
use crate::manifest::read::read_signed_by;
use crate::manifest::signature::{
    SignedTerms, Statement, bytes_of, ecdsa, ed25519, key_text, openssf,
};
use crate::write::durable::replace_file;
use ed25519_dalek::{Signer, SigningKey};
use ring::digest::SHA256;
use std::io::Read as _;
use std::path::Path;

/// Bytes of a file that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What a key is of, which decides on the form of its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256, in PEM: signatures are in the OpenSSF model-signing form, `model.sig`.
    P256,
    /// Ed25519, in hexadecimal digits: signatures are in a form of our own, `manifest.sig`.
    Ed25519,
}

/// Makes a new key pair and writes it to two new files; the secret one is for its owner's eyes.
/// Returns the name that signatures have for the public key, in hexadecimal digits.
pub fn generate_keys(secret: &Path, public: &Path, kind: KeyKind) -> Result<String, BundleError> {
    let (secret_text, public_text, name) = match kind {
        KeyKind::P256 => {
            let (text, key) =
                ecdsa::SecretKey::generate().map_err(|reason| refused(secret, reason))?;
            (text, key.pem(), key.hint().to_owned())
        }
        KeyKind::Ed25519 => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
            let key = SigningKey::from_bytes(&bytes);
            let name = hex::encode(key.verifying_key().to_bytes());
            (format!("{}\n", hex::encode(bytes)), format!("{name}\n"), name)
        }
    };
    write_new(secret, &secret_text, 0o600)?;
    write_new(public, &public_text, 0o644)?;
    Ok(name)
}

/// Signs the bundle at `dir` with the secret key in a file, after checking its manifest, and all files where the signature
/// names them. An existing signature is
/// replaced, by whichever key and of either form.
pub fn sign_bundle(
    dir: &Path,
    secret: &Path,
    terms: SignedTerms,
) -> Result<ManifestDigest, BundleError> {
    let key = key_text(secret)?;
    // Whatever signature is there says nothing here; the rest must be whole.
    let mut manifest_bytes = Vec::new();
    let (manifest, digest) = read_signed_by(dir, |bytes, _| {
        manifest_bytes = bytes.to_vec();
        Ok(())
    })?;
    let (text, name, other_name) = if ecdsa::is_pem(&key) {
        let key = ecdsa::SecretKey::from_pem(&key).map_err(|reason| refused(secret, reason))?;
        let checksum = format!("{digest}\n");
        let mut files = vec![
            (MANIFEST_FILE.to_owned(), sha256_of(&manifest_bytes)),
            (CHECKSUM_FILE.to_owned(), sha256_of(checksum.as_bytes())),
        ];
        for file in &manifest.files {
            files.push((file.path.clone(), sha256_of_file(dir, file)?));
        }
        let statement = Statement::of(&manifest.model, files, terms);
        let text = openssf::text_of(&key, &statement).map_err(|reason| refused(secret, &reason))?;
        (text, MODEL_SIGNATURE_FILE, SIGNATURE_FILE)
    } else {
        let bytes = bytes_of(&key).ok_or_else(|| {
            refused(secret, "a secret key is PEM (ECDSA) or 64 hexadecimal digits (Ed25519)")
        })?;
        let key = SigningKey::from_bytes(&bytes);
        let signature = key.sign(&ed25519::signed_bytes(&digest, Some(terms)));
        let text = ed25519::text_of(&key.verifying_key(), &signature, terms);
        (text, SIGNATURE_FILE, MODEL_SIGNATURE_FILE)
    };
    replace_file(&dir.join(name), text.as_bytes())?;
    match fs_err::remove_file(dir.join(other_name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(digest),
    }
}

fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&SHA256, bytes))
}

/// The SHA-256 of a file, which is read once, and refused if it is not the one that the manifest names.
fn sha256_of_file(dir: &Path, info: &FileInfo) -> Result<String, BundleError> {
    let path = dir.join(&info.path);
    let mut file = open_file(&path)?;
    let (mut sha256, mut blake3) = (ring::digest::Context::new(&SHA256), blake3::Hasher::new());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sha256.update(&buffer[..read]);
        blake3.update(&buffer[..read]);
    }
    if blake3.finalize().to_hex().as_str() != info.blake3 {
        return Err(BundleError::Checksum { path, source_of_truth: MANIFEST_FILE });
    }
    Ok(hex::encode(sha256.finish()))
}

fn refused(path: &Path, reason: &str) -> BundleError {
    BundleError::Signature { path: path.into(), reason: reason.into() }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), BundleError> {
    use std::io::Write;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}
