//! The keys that a provider signs with.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, PublicKeyUse};

/// Upper bound of the keys of a set: providers have a handful, of several algorithms and generations.
const MAX_KEYS: usize = 64;

/// The public keys of a provider, as a JSON Web Key Set (RFC 7517) has them.
pub(in crate::access) struct SigningKeys(Vec<SigningKey>);

struct SigningKey {
    id: Option<String>,
    key: DecodingKey,
}

impl SigningKeys {
    /// Reads a key set. Keys that are for something else, or of a kind that is not accepted, are left out.
    ///
    /// # Errors
    /// For what is no key set, or has no key that signs.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(text)
            .map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys: at most {MAX_KEYS} are allowed", set.keys.len()));
        }
        let mut keys = Vec::new();
        for key in set.keys {
            let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
            let is_accepted = match &key.algorithm {
                AlgorithmParameters::RSA(_) => true,
                AlgorithmParameters::EllipticCurve(parameters) => {
                    matches!(parameters.curve, EllipticCurve::P256 | EllipticCurve::P384)
                }
                AlgorithmParameters::OctetKeyPair(parameters) => {
                    parameters.curve == EllipticCurve::Ed25519
                }
                // A secret in a set of public keys is no secret.
                AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_) => false,
                // The enum is open.
                _ => false,
            };
            if signs && is_accepted {
                let public = DecodingKey::from_jwk(&key)
                    .map_err(|_| "it has a key that is malformed".to_owned())?;
                keys.push(SigningKey { id: key.common.key_id, key: public });
            }
        }
        if keys.is_empty() {
            return Err("it has no RSA, P-256, P-384 or Ed25519 key that signs".into());
        }
        Ok(Self(keys))
    }

    /// The key of this id; where a token names none, the only one.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&DecodingKey> {
        let found = match (id, &self.0[..]) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        };
        found.map(|found| &found.key)
    }
}
