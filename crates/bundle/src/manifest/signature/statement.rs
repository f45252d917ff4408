//! What a signature in the OpenSSF model-signing form says: an in-toto statement with the predicate
//! `model_signing/signature/v1.0`.
//!
//! Its resources are all files with their checksums, and its subject is the SHA-256 of these checksums one after the
//! other. Ours are of SHA-256, which all programs know; statements of others with BLAKE3 are read, too. The counter and the expiry are a field of their own, which others ignore as the form asks of them.

use super::terms::SignedTerms;
use crate::manifest::contents::ManifestDigest;
use crate::manifest::names::{MANIFEST_FILE, MODEL_SIGNATURE_FILE, SIGNATURE_FILE};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
const FILES: &str = "files";
const BLAKE3: &str = "blake3";
const SHA_256: &str = "sha256";

/// A statement, as far as we need it: fields that others add are ignored.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Debug, Deserialize, Serialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marquee: Option<Terms>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Serialization {
    method: String,
    hash_type: String,
    #[serde(default)]
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// The terms, as text: a number beyond 2^53 does not survive every reader of JSON.
#[derive(Debug, Deserialize, Serialize)]
struct Terms {
    counter: String,
    expires_at_ms: String,
}

impl Statement {
    /// The statement of a model with these files: the path of each within the bundle, and its SHA-256 in hexadecimal
    /// digits.
    pub(crate) fn of(model: &str, files: Vec<(String, String)>, terms: SignedTerms) -> Self {
        let resource = |(name, digest)| Resource { name, algorithm: SHA_256.into(), digest };
        let mut resources: Vec<Resource> = files.into_iter().map(resource).collect();
        resources.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let SignedTerms { counter, expires_at_ms } = terms;
        let subject = Subject {
            name: model.into(),
            digest: BTreeMap::from([(SHA_256.into(), root_of(&resources))]),
        };
        Self {
            statement_type: STATEMENT_TYPE.into(),
            subject: vec![subject],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                serialization: Serialization {
                    method: FILES.into(),
                    hash_type: SHA_256.into(),
                    allow_symlinks: false,
                    ignore_paths: vec![SIGNATURE_FILE.into(), MODEL_SIGNATURE_FILE.into()],
                },
                resources,
                marquee: Some(Terms {
                    counter: counter.to_string(),
                    expires_at_ms: expires_at_ms.to_string(),
                }),
            },
        }
    }

    /// Checks that a statement is of this manifest, whose bytes are given. Returns its terms.
    pub(crate) fn check(&self, manifest: &[u8]) -> Result<SignedTerms, String> {
        let Self { statement_type, subject, predicate_type, predicate } = self;
        if statement_type != STATEMENT_TYPE || predicate_type != PREDICATE_TYPE {
            return Err(format!(
                "it is a statement of another kind than {PREDICATE_TYPE}: sign the bundle anew"
            ));
        }
        let Predicate { serialization, resources, marquee } = predicate;
        if serialization.method != FILES {
            return Err(
                "its checksums are not of whole files: sign the bundle anew, by files".into()
            );
        }
        let root = subject.first().and_then(|it| it.digest.get(SHA_256));
        if subject.len() != 1 || root != Some(&root_of(resources)) {
            return Err(
                "its subject is not the checksum of its resources: sign the bundle anew".into()
            );
        }
        let mut of_manifest = resources.iter().filter(|it| it.name == MANIFEST_FILE);
        let (Some(resource), None) = (of_manifest.next(), of_manifest.next()) else {
            return Err(format!("it does not name {MANIFEST_FILE} once: sign the bundle anew"));
        };
        let found = match resource.algorithm.as_str() {
            BLAKE3 => ManifestDigest::of(manifest).to_string(),
            SHA_256 => hex::encode(digest(&SHA256, manifest)),
            _ => {
                return Err(
                    "its checksums are neither SHA-256 nor BLAKE3: sign the bundle anew".into()
                );
            }
        };
        if resource.digest != found {
            return Err(format!(
                "the signature is not of this {MANIFEST_FILE}: fetch the bundle again, or sign it anew"
            ));
        }
        let Some(Terms { counter, expires_at_ms }) = marquee else {
            return Ok(SignedTerms::default());
        };
        let number = |text: &str| text.parse::<u64>().ok().filter(|it| it.to_string() == text);
        match (number(counter), number(expires_at_ms)) {
            (Some(counter), Some(expires_at_ms)) => Ok(SignedTerms { counter, expires_at_ms }),
            _ => Err("its counter or expiry is no number: sign the bundle anew".into()),
        }
    }
}

/// The SHA-256 of the resources' checksums, one after the other, in hexadecimal digits. What is no checksum counts
/// as none.
fn root_of(resources: &[Resource]) -> String {
    let mut context = ring::digest::Context::new(&SHA256);
    for resource in resources {
        context.update(&hex::decode(&resource.digest).unwrap_or_default());
    }
    hex::encode(context.finish())
}
