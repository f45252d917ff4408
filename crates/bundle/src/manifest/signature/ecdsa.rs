//! ECDSA keys, as model-signing has them: P-256 with SHA-256 or P-384 with SHA-384, in PEM (PKCS #8, and
//! SubjectPublicKeyInfo). The arithmetic is ring's.

use pem::{EncodeConfig, LineEnding, Pem};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

/// What stands before the point in the DER of a P-256 public key: the lengths, and the names of algorithm and curve.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same of a P-384 public key.
const P384_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// Bytes of an uncompressed point: a byte that says so, and two coordinates.
const P256_POINT_BYTES: usize = 65;
/// The same on P-384.
const P384_POINT_BYTES: usize = 97;

/// The curve of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

/// Whether a key file's text is PEM.
pub(crate) fn is_pem(text: &str) -> bool {
    text.starts_with("-----BEGIN ")
}

/// A public key, with the name that signatures have for it.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey {
    curve: Curve,
    /// The uncompressed point.
    point: Vec<u8>,
    hint: String,
}

impl PublicKey {
    /// The key in a PEM text.
    pub(crate) fn from_pem(text: &str) -> Result<Self, &'static str> {
        let parsed = pem::parse(text).map_err(|_| "this is no PEM")?;
        if parsed.tag() != "PUBLIC KEY" {
            return Err("this is no PEM of a public key (BEGIN PUBLIC KEY)");
        }
        let der = parsed.contents();
        for (curve, prefix, bytes) in [
            (Curve::P256, P256_PREFIX.as_slice(), P256_POINT_BYTES),
            (Curve::P384, P384_PREFIX.as_slice(), P384_POINT_BYTES),
        ] {
            if let Some(point) = der.strip_prefix(prefix)
                && point.len() == bytes
            {
                return Ok(Self::new(curve, point));
            }
        }
        Err("a public key in PEM is of ECDSA on P-256 or P-384 here, with its point uncompressed")
    }

    fn new(curve: Curve, point: &[u8]) -> Self {
        let mut key = Self { curve, point: point.into(), hint: String::new() };
        key.hint = hex::encode(digest(&SHA256, key.pem().as_bytes()));
        key
    }

    /// The PEM text, as all common programs write it to the byte.
    pub(crate) fn pem(&self) -> String {
        let prefix = match self.curve {
            Curve::P256 => P256_PREFIX.as_slice(),
            Curve::P384 => P384_PREFIX.as_slice(),
        };
        to_pem("PUBLIC KEY", [prefix, &self.point].concat())
    }

    /// The SHA-256 of the PEM text, by which a signature names its key.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether a signature (DER) is of this key and these bytes.
    pub(crate) fn is_signature(&self, signed: &[u8], signature: &[u8]) -> bool {
        let algorithm = match self.curve {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1,
        };
        UnparsedPublicKey::new(algorithm, &self.point).verify(signed, signature).is_ok()
    }
}

/// A secret key.
pub(crate) struct SecretKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl SecretKey {
    /// Makes a new P-256 key. Returns its PEM text and the public key.
    pub(crate) fn generate() -> Result<(String, PublicKey), &'static str> {
        let failed = "the system gave no randomness";
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| failed)?;
        let text = to_pem("PRIVATE KEY", document.as_ref().to_vec());
        let public = Self::from_pem(&text)?.public;
        Ok((text, public))
    }

    /// The key in a PEM text.
    pub(crate) fn from_pem(text: &str) -> Result<Self, &'static str> {
        let parsed = pem::parse(text).map_err(|_| "this is no PEM")?;
        match parsed.tag() {
            "PRIVATE KEY" => {}
            "EC PRIVATE KEY" => {
                return Err(
                    "the key is in the older SEC 1 form: convert it by openssl pkcs8 -topk8 -nocrypt",
                );
            }
            "ENCRYPTED PRIVATE KEY" => return Err("keys with a password cannot be read"),
            _ => return Err("this is no PEM of a secret key (BEGIN PRIVATE KEY)"),
        }
        let random = SystemRandom::new();
        for (curve, algorithm) in [
            (Curve::P256, &ECDSA_P256_SHA256_ASN1_SIGNING),
            (Curve::P384, &ECDSA_P384_SHA384_ASN1_SIGNING),
        ] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, parsed.contents(), &random) {
                let public = PublicKey::new(curve, pair.public_key().as_ref());
                return Ok(Self { pair, public });
            }
        }
        Err("a secret key in PEM is of ECDSA on P-256 or P-384 here, with its public key")
    }

    /// The public half.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature (DER) under these bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
        let signature = self.pair.sign(&SystemRandom::new(), bytes);
        signature.map(|it| it.as_ref().to_vec()).map_err(|_| "the system gave no randomness")
    }
}

fn to_pem(tag: &str, der: Vec<u8>) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL, its SHA-256 by sha256sum.
    const FOREIGN: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsL/Vpytp2qRS6u62Y/aBihEkjQ/S
lKyi/AH1H1dlrhJv+FJY/QrsRshtvxZ7EXE+uaFH1RefMyWdpN5wmUfKtw==
-----END PUBLIC KEY-----
";

    #[test]
    fn a_key_is_named_as_others_name_it() {
        let key = PublicKey::from_pem(FOREIGN).expect("a key");
        assert_eq!(key.pem(), FOREIGN);
        let hint = "87fd0e79e0a36b1e2c9763d4d948b2eba0ea0910d2e4c63f58caa61c5110e9ba";
        assert_eq!(key.hint(), hint);
        let with_crlf = FOREIGN.replace('\n', "\r\n");
        assert_eq!(PublicKey::from_pem(&with_crlf).expect("a key").hint(), hint);
    }

    #[test]
    fn a_signature_is_of_one_key_and_of_these_bytes() {
        let (text, public) = SecretKey::generate().expect("a key");
        let signature = SecretKey::from_pem(&text).expect("a key").sign(b"bytes").expect("signed");
        assert!(public.is_signature(b"bytes", &signature));
        assert!(!public.is_signature(b"byteS", &signature));
        assert!(!PublicKey::from_pem(FOREIGN).expect("a key").is_signature(b"bytes", &signature));
        assert!(!public.is_signature(b"bytes", b""));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (secret, public) = SecretKey::generate().expect("a key");
        assert!(PublicKey::from_pem(&secret).is_err(), "a secret key is no public one");
        assert!(SecretKey::from_pem(&public.pem()).is_err());
        assert!(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----").is_err());
        let older = to_pem("EC PRIVATE KEY", vec![1, 2, 3]);
        assert!(SecretKey::from_pem(&older).err().is_some_and(|it| it.contains("pkcs8")));
        let cut = to_pem("PUBLIC KEY", P256_PREFIX.to_vec());
        assert!(PublicKey::from_pem(&cut).is_err());
    }
}
