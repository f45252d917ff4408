//! The file of a cluster's user keys: how records name users, and who is forgotten.
//!
//! JSON, as `marquee ctl users keys` writes it. Who has it can tell whose a record is, so it is for trainings and
//! evaluations only. It has no ids.

use crate::error::TrainError;
use marquee_bundle::{ForgottenUpTo, read_text_input};
use marquee_core::plan::privacy::{
    MAX_TOMBSTONES, PSEUDONYM_BYTES, Pseudonym, Tombstone, Tombstones, UserKey, UserKeys,
    UserPrivacy,
};
use marquee_core::plan::{AnswerSecret, SECRET_BYTES};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of a file: thrice what a full list takes.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// What is read, or what is wrong with it: words, since the text may have secrets.
type Parsed<T> = Result<T, &'static str>;

/// The keys and tombstones of a cluster, as its file has them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserKeysFile {
    /// The id of the list of forgotten users.
    list_id: String,
    /// The newest number of a tombstone.
    newest: u64,
    /// The root secret, hexadecimal.
    root: String,
    keys: Vec<KeyEntry>,
    forgotten: Vec<ForgottenEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    number: u64,
    secret: String,
    made_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgottenEntry {
    pseudonym: String,
    number: u64,
    made_at_ms: u64,
}

impl UserKeysFile {
    /// The file of these keys and tombstones; none before the cluster has drawn its root.
    pub fn of(privacy: &UserPrivacy) -> Option<Self> {
        let UserPrivacy { root, keys, tombstones } = privacy;
        let root = root.as_ref()?;
        let key = |UserKey { number, secret, made_at_ms }: &UserKey| KeyEntry {
            number: *number,
            secret: hex::encode(secret.0),
            made_at_ms: *made_at_ms,
        };
        let tombstone = |(user, it): (&Pseudonym, &Tombstone)| ForgottenEntry {
            pseudonym: user.to_string(),
            number: it.number,
            made_at_ms: it.made_at_ms,
        };
        Some(Self {
            list_id: privacy.list_id(),
            newest: tombstones.newest(),
            root: hex::encode(root.0),
            keys: keys.iter().map(key).collect(),
            forgotten: tombstones.iter().map(tombstone).collect(),
        })
    }

    /// The keys and tombstones; else what is wrong with them, which is no secret.
    fn privacy(&self) -> Parsed<UserPrivacy> {
        let Self { list_id, newest, root, keys, forgotten } = self;
        if forgotten.len() > MAX_TOMBSTONES {
            return Err("it has more forgotten users than a cluster can");
        }
        let keys = keys.iter().map(|KeyEntry { number, secret, made_at_ms }| -> Parsed<UserKey> {
            let secret = AnswerSecret(bytes::<SECRET_BYTES>(secret)?);
            Ok(UserKey { number: *number, secret, made_at_ms: *made_at_ms })
        });
        let tombstones = forgotten.iter().map(|entry| -> Parsed<(Pseudonym, Tombstone)> {
            let ForgottenEntry { pseudonym, number, made_at_ms } = entry;
            let user = Pseudonym(bytes::<PSEUDONYM_BYTES>(pseudonym)?);
            Ok((user, Tombstone { number: *number, made_at_ms: *made_at_ms }))
        });
        let privacy = UserPrivacy {
            root: Some(AnswerSecret(bytes::<SECRET_BYTES>(root)?)),
            keys: UserKeys::of(keys.collect::<Parsed<Vec<_>>>()?),
            tombstones: Tombstones::of(tombstones.collect::<Parsed<Vec<_>>>()?, *newest),
        };
        if privacy.list_id() != *list_id {
            return Err("its list_id is not that of its root: it was changed");
        }
        Ok(privacy)
    }
}

fn bytes<const N: usize>(text: &str) -> Parsed<[u8; N]> {
    let mut found = [0; N];
    hex::decode_to_slice(text, &mut found)
        .map_err(|_| "a secret or a pseudonym is no hexadecimal")?;
    Ok(found)
}

/// Reads a cluster's user keys.
///
/// # Errors
/// A file that cannot be read, or is none.
pub fn read_user_keys(path: &Path) -> Result<UserPrivacy, TrainError> {
    let text = read_text_input(path, MAX_FILE_BYTES).map_err(TrainError::io(path))?;
    let hint = "write it with marquee ctl users keys";
    // No message of the parser: it may quote a secret.
    let file: UserKeysFile = serde_json::from_str(&text)
        .map_err(|_| TrainError::format(path, format!("it is no file of user keys: {hint}")))?;
    file.privacy().map_err(|problem| TrainError::format(path, format!("{problem}: {hint}")))
}

/// What a bundle says that leaves these users out.
pub(crate) fn forgotten_up_to(privacy: &UserPrivacy) -> ForgottenUpTo {
    ForgottenUpTo { list_id: privacy.list_id(), number: privacy.tombstones.newest() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privacy() -> UserPrivacy {
        let mut privacy = UserPrivacy::default();
        privacy.add(AnswerSecret([171; SECRET_BYTES]), 0);
        privacy.add(AnswerSecret([2; SECRET_BYTES]), 0);
        let user = privacy.pseudonym("ann").expect("a root");
        privacy.tombstones = Tombstones::of([(user, Tombstone { number: 2, made_at_ms: 9 })], 3);
        privacy
    }

    #[test]
    fn a_file_is_read_back() {
        assert!(UserKeysFile::of(&UserPrivacy::default()).is_none());
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users.json");
        let file = UserKeysFile::of(&privacy()).expect("a root");
        let text = serde_json::to_string(&file).expect("JSON");
        assert!(!text.contains("ann"), "{text}");
        std::fs::write(&path, &text).expect("written");
        assert_eq!(read_user_keys(&path).expect("read"), privacy());
        let root = hex::encode([171; SECRET_BYTES]);
        for (bad, says) in [
            (text.replace(&root, &hex::encode([172; SECRET_BYTES])), "list_id"),
            (text.replace("\"root\":\"ab", "\"root\":\"xx"), "hexadecimal"),
            (text.replace("\"newest\":3", "\"newest\":\"abab\""), "no file of user keys"),
        ] {
            assert_ne!(bad, text);
            std::fs::write(&path, &bad).expect("written");
            let refused = read_user_keys(&path).expect_err("refused").to_string();
            assert!(refused.contains(says) && refused.contains("ctl users keys"), "{refused}");
            assert!(!refused.contains("abab"), "{refused}");
        }
    }
}
