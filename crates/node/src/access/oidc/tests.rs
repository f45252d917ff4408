//! Tokens that a provider made, tokens that another one made, and tokens that were changed.

use super::key_source::KeySource;
use super::verifier::Verifier;
use super::withdrawn::Withdrawn;
use crate::access::reloaded::Reloaded;
use crate::config::{OidcKeys, OidcSettings};
use marquee_core::access::{AccessRole, Principal, Proof};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NOW_SECOND: i64 = 1_800_000_000;
const NOW_MS: i64 = NOW_SECOND * 1_000;

/// Unpadded base64 for URLs (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(padded);
        for place in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// A provider with one key of each kind that is made here.
struct Provider {
    edwards: Ed25519KeyPair,
    curve: EcdsaKeyPair,
    random: SystemRandom,
}

impl Provider {
    fn new() -> Self {
        let random = SystemRandom::new();
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let edwards = Ed25519KeyPair::from_pkcs8(edwards.as_ref()).expect("its own");
        let method = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let curve = EcdsaKeyPair::generate_pkcs8(method, &random).expect("a key");
        let curve = EcdsaKeyPair::from_pkcs8(method, curve.as_ref(), &random).expect("its own");
        Self { edwards, curve, random }
    }

    fn key_set(&self) -> Value {
        let point = self.curve.public_key().as_ref();
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig",
              "x": base64(self.edwards.public_key().as_ref()) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256",
              "x": base64(&point[1..33]), "y": base64(&point[33..]) },
            { "kty": "oct", "kid": "secret", "k": base64(b"all users know this secret by now") },
            { "kty": "OKP", "crv": "Ed25519", "kid": "encrypts", "use": "enc",
              "x": base64(self.edwards.public_key().as_ref()) },
        ]})
    }

    /// A token with these claims, signed by the key of the algorithm.
    fn token(&self, algorithm: &str, key_id: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "kid": key_id, "typ": "JWT" });
        let encoded = |part: &Value| base64(part.to_string().as_bytes());
        let message = format!("{}.{}", encoded(&header), encoded(claims));
        let signed = match algorithm {
            "EdDSA" => self.edwards.sign(message.as_bytes()).as_ref().to_vec(),
            "ES256" => {
                let signed = self.curve.sign(&self.random, message.as_bytes());
                signed.expect("signed").as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", base64(&signed))
    }
}

fn settings(role_claim: &str) -> OidcSettings {
    OidcSettings {
        issuer: "https://login.example.com/".into(),
        audience: "marquee".into(),
        keys: OidcKeys::Address("https://login.example.com/keys".into()),
        withdrawn_file: None,
        name_claim: "email".into(),
        role_claim: role_claim.into(),
        roles: BTreeMap::from([
            ("ops".into(), [AccessRole::Operator].into()),
            ("sre".into(), [AccessRole::Admin, AccessRole::Publisher].into()),
        ]),
    }
}

fn verifier(directory: &Path, keys: &Value, settings: OidcSettings) -> Verifier {
    let path = directory.join("keys.json");
    std::fs::write(&path, keys.to_string()).expect("written");
    Verifier::new(settings, KeySource::file(&path).expect("a key set"), None)
}

fn claims() -> Value {
    json!({
        "iss": "https://login.example.com/",
        "aud": ["other", "marquee"],
        "exp": NOW_SECOND + 300,
        "email": "user@example.com",
        "groups": ["ops", "staff"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut changed = claims();
    changed[name] = value;
    changed
}

#[test]
fn a_token_of_the_provider_is_a_principal() {
    let (provider, directory) = (Provider::new(), tempfile::tempdir().expect("a directory"));
    let verifier_of =
        |role_claim| verifier(directory.path(), &provider.key_set(), settings(role_claim));
    let by_groups = verifier_of("groups");
    for (algorithm, key) in [("EdDSA", "ed"), ("ES256", "ec")] {
        let token = provider.token(algorithm, key, &claims());
        assert!(Verifier::may_read(&token));
        let expected = Principal {
            name: "user@example.com".into(),
            roles: [AccessRole::Operator].into(),
            proof: Proof::Provider,
        };
        assert_eq!(by_groups.identify(&token, NOW_MS), Ok(expected), "{algorithm}");
    }
    let roles = |verifier: &Verifier, claims: &Value| {
        let found = verifier.identify(&provider.token("EdDSA", "ed", claims), NOW_MS);
        found.map(|principal| principal.role_names())
    };
    let both = with("groups", json!("staff ops sre"));
    assert_eq!(roles(&by_groups, &both).as_deref(), Ok("operator,publisher,admin"));
    let nested = with("realm_access", json!({ "roles": ["sre"] }));
    assert_eq!(
        roles(&verifier_of("realm_access.roles"), &nested).as_deref(),
        Ok("publisher,admin")
    );
    let of_own_name = with("https://example.com/roles", json!(["ops"]));
    assert_eq!(
        roles(&verifier_of("https://example.com/roles"), &of_own_name).as_deref(),
        Ok("operator")
    );
}

#[test]
fn what_is_wrong_with_a_token_refuses_it() {
    let (provider, directory) = (Provider::new(), tempfile::tempdir().expect("a directory"));
    let verifier = verifier(directory.path(), &provider.key_set(), settings("groups"));
    let refused = |token: &str| verifier.identify(token, NOW_MS).expect_err(token);
    for (changed, says) in [
        (with("iss", json!("https://elsewhere.example.com/")), "not accepted"),
        (with("iss", Value::Null), "not accepted"),
        (with("aud", json!("other")), "not accepted"),
        (with("aud", Value::Null), "not accepted"),
        (with("exp", Value::Null), "not accepted"),
        (with("exp", json!("never")), "not accepted"),
        (with("exp", json!(NOW_SECOND - 60)), "has expired"),
        (with("nbf", json!(NOW_SECOND + 61)), "not valid yet"),
        (with("nbf", json!("yesterday")), "nbf is no time"),
        (with("email", Value::Null), "has no \"email\""),
        (with("email", json!("x".repeat(1_000))), "\"email\" is no name"),
        (with("email", json!("a\u{1b}[2J")), "\"email\" is no name"),
        (with("groups", json!(["staff"])), "auth.oidc.roles"),
        (with("groups", json!({ "ops": true })), "auth.oidc.roles"),
        (with("groups", json!([["ops"]])), "auth.oidc.roles"),
    ] {
        let says_this = refused(&provider.token("EdDSA", "ed", &changed));
        assert!(says_this.contains(says), "{changed}: {says_this}");
        assert!(!says_this.contains("user@"), "{says_this}");
    }
    let mut without = claims();
    without.as_object_mut().expect("an object").remove("exp");
    assert!(refused(&provider.token("EdDSA", "ed", &without)).contains("not accepted"));
    // Just in time, and just begun.
    let late = with("exp", json!(NOW_SECOND - 59));
    let early = with("nbf", json!(NOW_SECOND + 60));
    for fine in [late, early] {
        assert!(verifier.identify(&provider.token("EdDSA", "ed", &fine), NOW_MS).is_ok());
    }
}

#[test]
fn withdrawn_tokens_and_users_are_refused_until_the_file_says_otherwise() {
    let (provider, directory) = (Provider::new(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("withdrawn.toml");
    std::fs::write(&path, "tokens = [\"t-2\"]\n").expect("written");
    let file = Arc::new(Reloaded::read(&path, Withdrawn::read).expect("a file"));
    let keys = directory.path().join("keys.json");
    std::fs::write(&keys, provider.key_set().to_string()).expect("written");
    let keys = KeySource::file(&keys).expect("a key set");
    let verifier = Verifier::new(settings("groups"), keys, Some(Arc::clone(&file)));
    let accepts = |id: &str| {
        verifier.identify(&provider.token("EdDSA", "ed", &with("jti", json!(id))), NOW_MS).is_ok()
    };
    assert!(accepts("t-1") && !accepts("t-2"));
    assert!(
        verifier.identify(&provider.token("EdDSA", "ed", &claims()), NOW_MS).is_ok(),
        "without an id"
    );
    std::fs::write(&path, "tokens = []\nusers = [\"user@example.com\"]\n").expect("written");
    assert_eq!(file.reload(), Ok(true));
    assert!(!accepts("t-1") && !accepts("t-2"));
    std::fs::write(&path, "tokns = [\"t-1\"]\n").expect("written");
    assert!(file.reload().is_err(), "a misspelt list withdraws nothing silently");
    assert!(!accepts("t-1"), "what was read before holds");
}

#[test]
fn nobody_but_the_provider_makes_tokens() {
    let (provider, directory) = (Provider::new(), tempfile::tempdir().expect("a directory"));
    let verifier = verifier(directory.path(), &provider.key_set(), settings("groups"));
    let good = provider.token("EdDSA", "ed", &claims());
    assert!(verifier.identify(&good, NOW_MS).is_ok());
    let others = Provider::new().token("EdDSA", "ed", &claims());
    let (head, _) = good.rsplit_once('.').expect("three parts");
    let (_, others_signature) = others.rsplit_once('.').expect("three parts");
    for bad in [
        others.clone(),
        format!("{head}.{others_signature}"),
        format!("{head}."),
        // A key of another kind, a key that encrypts, a secret in the set, no key, and none that is known.
        provider.token("EdDSA", "ec", &claims()),
        provider.token("ES256", "ed", &claims()),
        provider.token("EdDSA", "encrypts", &claims()),
        provider.token("HS256", "secret", &claims()),
        provider.token("none", "ed", &claims()),
        provider.token("EdDSA", "newer", &claims()),
        provider.token("RS256", "ed", &claims()),
        "a.b.c".into(),
        "..".into(),
        format!("{}.{head}", "x".repeat(20_000)),
    ] {
        assert!(verifier.identify(&bad, NOW_MS).is_err(), "{bad}");
    }
    // Every character of a good one, changed.
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("letters");
        // The last character of a part has bits that stand for nothing.
        let same = verifier.identify(&changed, NOW_MS).is_ok();
        assert!(!same || at + 1 == good.len(), "{at}: {changed}");
    }
}

#[test]
fn a_set_without_a_key_that_signs_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    let many: Vec<Value> = (0..65).map(|_| Provider::new().key_set()["keys"][0].clone()).collect();
    for (text, says) in [
        ("{".to_owned(), "no JSON Web Key Set"),
        (json!({ "keys": [] }).to_string(), "no RSA, P-256, P-384 or Ed25519 key"),
        (json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }).to_string(), "no RSA"),
        (json!({ "keys": many }).to_string(), "at most 64"),
    ] {
        std::fs::write(&path, text).expect("written");
        let error = KeySource::file(&path).err().expect(says);
        assert!(error.contains(says), "{error}");
    }
}

/// Of a token that a provider's software made: RS256, by a key whose private half is nowhere.
#[test]
fn rsa_signatures_are_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys: Value = serde_json::from_str(include_str!("rsa_keys.json")).expect("JSON");
    let verifier = verifier(directory.path(), &keys, settings("groups"));
    for token in include_str!("rsa_tokens.txt").lines() {
        let found = verifier.identify(token, NOW_MS).map(|principal| principal.role_names());
        assert_eq!(found.as_deref(), Ok("operator"), "{token}");
        let (head, signature) = token.rsplit_once('.').expect("three parts");
        let reversed: String = signature.chars().rev().collect();
        assert!(verifier.identify(&format!("{head}.{reversed}"), NOW_MS).is_err());
    }
}

/// Answers each connection with the next of these bodies; the last one again and again.
async fn serve(bodies: Vec<String>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/keys", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let mut bodies = bodies.into_iter().peekable();
        let mut body = String::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            body = bodies.next().unwrap_or(body);
            let mut heard = [0; 4_096];
            let _ = stream.read(&mut heard).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn keys_are_fetched_and_asked_for_again_when_one_is_unknown() {
    let (old, new) = (Provider::new(), Provider::new());
    let renamed = new.key_set().to_string().replace("\"ed\"", "\"newer\"");
    let url = serve(vec![old.key_set().to_string(), renamed]).await;
    let verifier = Verifier::new(settings("groups"), KeySource::address(&url), None);
    let token = old.token("EdDSA", "ed", &claims());
    let says = verifier.identify(&token, NOW_MS).expect_err("nothing was fetched");
    assert!(says.contains("not known yet"), "{says}");
    let KeySource::Address(fetched) = verifier.keys() else { panic!("an address was given") };
    tokio::spawn(Arc::clone(fetched).keep_fresh());
    until(|| verifier.identify(&token, NOW_MS).is_ok()).await;
    // The provider has a new key: the first token by it makes the node ask.
    let newer = new.token("EdDSA", "newer", &claims());
    until(|| verifier.identify(&newer, NOW_MS).is_ok()).await;
    assert!(verifier.identify(&token, NOW_MS).is_err(), "its key is withdrawn");
}

/// Waits until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is not so after 20 s");
}
