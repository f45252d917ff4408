//! `model.sig`: a signature in the OpenSSF model-signing form. A Sigstore bundle (JSON) holds a DSSE envelope around an
//! in-toto statement, which [`super::statement`] describes.
//!
//! Signed are the type of the payload and the payload, with their lengths (DSSE's pre-authentication encoding). The
//! envelope names its key by a hint: the key itself is not in it, so nothing can be said of keys that are not trusted.

use super::ecdsa::{PublicKey, SecretKey};
use super::statement::Statement;
use super::terms::SignedTerms;
use super::trusted::TrustedKeys;
use super::verdict::Verdict;
use crate::error::BundleError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of the file: 1,024 shards of a dozen files take about three million.
pub(crate) const MAX_MODEL_SIGNATURE_BYTES: u64 = 16 << 20;
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The file, as far as we need it: fields that others add are ignored.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    /// None where a certificate stands in its place.
    public_key: Option<KeyName>,
    /// Entries of transparency logs, of which we have none and ask none.
    #[serde(default, skip_deserializing)]
    tlog_entries: [(); 0],
}

#[derive(Debug, Deserialize, Serialize)]
struct KeyName {
    hint: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    /// The statement, in base64.
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Deserialize, Serialize)]
struct EnvelopeSignature {
    /// DER, in base64.
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// The text of a signature file.
pub(crate) fn text_of(key: &SecretKey, statement: &Statement) -> Result<String, String> {
    let payload = serde_json::to_vec(statement).map_err(|error| error.to_string())?;
    let signature = key.sign(&signed_bytes(&payload))?;
    let file = SigstoreBundle {
        media_type: MEDIA_TYPE.into(),
        verification_material: Material {
            public_key: Some(KeyName { hint: Some(key.public().hint().into()) }),
            tlog_entries: [],
        },
        dsse_envelope: Envelope {
            payload: BASE64.encode(payload),
            payload_type: PAYLOAD_TYPE.into(),
            signatures: vec![EnvelopeSignature {
                sig: BASE64.encode(signature),
                keyid: String::new(),
            }],
        },
    };
    serde_json::to_string(&file).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// Checks a signature file against a manifest, whose bytes are given. Where keys are trusted, nothing of the statement
/// is read before one of them is found to have signed it; where none are, it must be of this manifest all the same.
pub(crate) fn verify(
    path: &Path,
    bytes: &[u8],
    manifest: &[u8],
    trusted: &TrustedKeys,
) -> Result<Verdict, BundleError> {
    let wrong = |reason: String| BundleError::Signature { path: path.into(), reason };
    let file: SigstoreBundle = serde_json::from_slice(bytes).map_err(|error| {
        wrong(format!("this is no signature in the OpenSSF model-signing form: {error}"))
    })?;
    let SigstoreBundle { media_type, verification_material, dsse_envelope } = file;
    let Envelope { payload, payload_type, signatures } = dsse_envelope;
    if media_type != MEDIA_TYPE || payload_type != PAYLOAD_TYPE {
        return Err(wrong(format!("this is no {MEDIA_TYPE} with an in-toto statement")));
    }
    let Material { public_key, tlog_entries: [] } = verification_material;
    let hint = public_key.as_ref().and_then(|key| key.hint.as_deref());
    let [EnvelopeSignature { sig, keyid: _ }] = signatures.as_slice() else {
        return Err(wrong("it does not have one signature: sign the bundle anew".into()));
    };
    let (Ok(payload), Ok(signature)) = (BASE64.decode(payload), BASE64.decode(sig)) else {
        return Err(wrong("its payload or signature is no base64: sign the bundle anew".into()));
    };
    let who = match (&public_key, hint) {
        (_, Some(hint)) => hint.to_owned(),
        (Some(_), None) => "a key without a name".into(),
        (None, None) => "a certificate".into(),
    };
    let mut is_trusted = false;
    if !trusted.is_empty() {
        let is_named = |key: &&PublicKey| hint.is_none_or(|it| it == key.hint());
        let candidates: Vec<&PublicKey> = trusted.ecdsa.iter().filter(is_named).collect();
        if public_key.is_none() || candidates.is_empty() {
            return Ok(Verdict::Other(who));
        }
        let signed = signed_bytes(&payload);
        is_trusted = candidates.iter().any(|key| key.is_signature(&signed, &signature));
        if !is_trusted {
            return Err(wrong(
                "the statement in it is not what was signed: fetch the bundle again, or sign it anew"
                    .into(),
            ));
        }
    }
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| wrong(format!("its statement is not of a model: {error}")))?;
    let terms: SignedTerms = statement.check(manifest).map_err(wrong)?;
    Ok(if is_trusted { Verdict::Trusted(terms) } else { Verdict::Other(who) })
}

/// What is signed of a payload.
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}
