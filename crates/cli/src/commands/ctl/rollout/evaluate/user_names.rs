//! How exposures name users.

use anyhow::bail;
use marquee_core::plan::{UserHash, UserPrivacy};
use marquee_events::Exposure;
use std::collections::BTreeSet;

/// The keys of a cluster, and which of them exposures name users by.
#[derive(Default)]
pub(super) struct UserNames {
    privacy: Option<UserPrivacy>,
    /// The numbers of the keys that were come upon; 0 stands for the hashes of earlier versions.
    used: BTreeSet<u64>,
}

impl UserNames {
    pub(super) fn new(privacy: Option<UserPrivacy>) -> Self {
        Self { privacy, used: BTreeSet::new() }
    }

    /// Whether the key of a hash is known. It is then used.
    ///
    /// # Errors
    /// No keys were given, and they are needed.
    pub(super) fn knows_key(&mut self, hash: UserHash) -> anyhow::Result<bool> {
        let is_known = match &self.privacy {
            _ if hash.is_unkeyed() => true,
            None => bail!(
                "users are named by keyed hashes: give --user-keys, a file that marquee ctl users keys writes"
            ),
            Some(privacy) => privacy.keys.iter().any(|key| key.number == hash.key),
        };
        if is_known {
            self.used.insert(hash.key);
        }
        Ok(is_known)
    }

    /// What exposures call a user, under each key that they use.
    pub(super) fn hashes_of(&self, user_id: &str) -> Vec<UserHash> {
        let mut hashes = Vec::with_capacity(self.used.len());
        if self.used.contains(&0) {
            hashes.push(Exposure::hash_of_earlier_versions(user_id));
        }
        if let Some(privacy) = &self.privacy
            && let Some(pseudonym) = privacy.pseudonym(user_id)
        {
            let keys = privacy.keys.iter().filter(|key| self.used.contains(&key.number));
            hashes.extend(keys.map(|key| key.hash(&pseudonym)));
        }
        hashes
    }
}
