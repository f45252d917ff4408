//! Signatures of notifications: HMAC-SHA256 (RFC 2104) of the time and the body.

use super::config::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The signature of a body that is sent at `timestamp`, in seconds since the Unix epoch: `v1=` and the HMAC-SHA256 of
/// `timestamp.body`, hexadecimal. With the time in it, who has seen a message cannot send it again later.
pub(super) fn signature(secret: &Secret, timestamp: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("keys of any length");
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_other_programs_compute() {
        // printf '1700000000.{"text":"hi"}' | openssl dgst -sha256 -hmac 'sixteen bytes or more'
        let secret = Secret::of_file(b"sixteen bytes or more\n").expect("long enough");
        assert_eq!(
            signature(&secret, 1_700_000_000, br#"{"text":"hi"}"#),
            "v1=bf59588d7ddfb4e9f19e1e818045a11cfc1852d7d9635e72401cb0572c16395c"
        );
        assert_ne!(
            signature(&secret, 1_700_000_001, br#"{"text":"hi"}"#),
            signature(&secret, 1_700_000_000, br#"{"text":"hi"}"#)
        );
    }
}
