//! Keyed names of users.

use crate::plan::answer_keys::AnswerSecret;
use std::fmt;
use std::fmt::Write as _;

/// Bytes of a pseudonym: no two users share one, and without the root nobody finds a user's by trying.
pub const PSEUDONYM_BYTES: usize = 16;
/// What separates the name of a list from pseudonyms, both of which are made with the root.
const LIST_CONTEXT: &str = "\0marquee list of forgotten users";
/// Bytes of the name of a list.
const LIST_ID_BYTES: usize = 8;

/// A keyed hash of a user's id that stays the same for the life of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub [u8; PSEUDONYM_BYTES]);

impl Pseudonym {
    /// The first 128 bits of keyed BLAKE3 of the id.
    pub fn of(root: &AnswerSecret, user_id: &str) -> Self {
        let hash = blake3::keyed_hash(&root.0, user_id.as_bytes());
        let (bytes, _) = hash.as_bytes().split_first_chunk().expect("BLAKE3 has 32 bytes");
        Self(*bytes)
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a record calls a user: a hash under the user key of this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserHash {
    /// The number of the key. 0: the hash is the XXH3-64 of earlier versions, which had no key.
    pub key: u64,
    /// The first 64 bits of keyed BLAKE3 of the pseudonym; under key 0, of the id.
    pub hash: u64,
}

impl UserHash {
    /// What stands for no user at all.
    pub const NOBODY: Self = Self { key: 0, hash: 0 };

    pub(super) fn under(key: u64, secret: &AnswerSecret, pseudonym: &Pseudonym) -> Self {
        let hash = blake3::keyed_hash(&secret.0, &pseudonym.0);
        let (bytes, _) = hash.as_bytes().split_first_chunk().expect("BLAKE3 has 32 bytes");
        Self { key, hash: u64::from_le_bytes(*bytes) }
    }

    /// Whether anybody who knows the id can compute it.
    pub fn is_unkeyed(self) -> bool {
        self.key == 0 && self != Self::NOBODY
    }

    /// Reads what is written by [`fmt::Display`]; none if it is no hash.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, hash) = text.split_once('-').unwrap_or(("0", text));
        let [key, hash] = [key, hash].map(|number| u64::from_str_radix(number, 16));
        Some(Self { key: key.ok()?, hash: hash.ok()? })
    }
}

/// `<key>-<hash>`, hexadecimal; the hash alone under key 0, as earlier versions wrote it.
impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key > 0 {
            write!(f, "{:x}-", self.key)?;
        }
        write!(f, "{:016x}", self.hash)
    }
}

/// The name of the list of this root.
pub(super) fn list_id(root: &AnswerSecret) -> String {
    let hash = blake3::keyed_hash(&root.0, LIST_CONTEXT.as_bytes());
    hash.as_bytes()[..LIST_ID_BYTES].iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
