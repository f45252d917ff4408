//! One entry of the log of changes.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The hash of an entry, by which the next one refers to it; zeros before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AuditHash(pub [u8; 32]);

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who gave a command, as the control node that took it knew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The principal's name; empty where access is not controlled.
    pub name: String,
    /// Its access roles, joined by commas.
    pub roles: String,
    /// By what it proved that: `certificate` or `token`.
    pub proof: String,
    /// The address that the call came from, or the part of control that did it by itself.
    pub from: String,
}

impl Serialize for AuditHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(&text);
        let hash = hash.map_err(|_| D::Error::custom("a hash is not 64 hexadecimal digits"))?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl Actor {
    /// What the leader does because it is due.
    pub fn leader() -> Self {
        Self { name: "leader".into(), from: "control".into(), ..Self::default() }
    }
}

/// One entry of the log of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// When it was proposed, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Who gave the command.
    pub actor: Actor,
    /// What the command does, in a few words.
    pub change: String,
    /// The plan's epoch before the command.
    pub epoch_before: u64,
    /// The plan's epoch after it; the same if the plan did not change.
    pub epoch_after: u64,
    /// `done`, or why the command was refused.
    pub outcome: String,
    /// The hash of the entry before.
    pub previous: AuditHash,
}

impl AuditEntry {
    /// The hash of this entry: BLAKE3 over all fields in order, numbers as 8 bytes little-endian, texts after their
    /// length in bytes.
    pub fn hash(&self) -> AuditHash {
        let Self {
            number,
            time_ms,
            actor: Actor { name, roles, proof, from },
            change,
            epoch_before,
            epoch_after,
            outcome,
            previous,
        } = self;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"marquee audit entry 1");
        for number in [number, time_ms, epoch_before, epoch_after] {
            hasher.update(&number.to_le_bytes());
        }
        for text in [name, roles, proof, from, change, outcome] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&previous.0);
        AuditHash(*hasher.finalize().as_bytes())
    }
}
