//! Since when each trouble lasts.

use super::kind::{LastingTrouble, MAX_TROUBLES, Trouble};
use std::collections::BTreeMap;

/// Since when each trouble of a node lasts. Pure: time is an argument, in milliseconds of any clock that does not jump.
#[derive(Debug, Default)]
pub struct TroubleTracker {
    since_ms: BTreeMap<(u8, String), u64>,
}

impl TroubleTracker {
    /// Notes all that is wrong now, and says for how long each has been. What is not wrong any more is forgotten, and
    /// troubles beyond [`MAX_TROUBLES`] are left out.
    pub fn note(&mut self, now_ms: u64, mut troubles: Vec<Trouble>) -> Vec<LastingTrouble> {
        troubles.truncate(MAX_TROUBLES);
        let before = std::mem::take(&mut self.since_ms);
        let mut lasting = Vec::with_capacity(troubles.len());
        for trouble in troubles {
            let (kind, subject) = trouble.key();
            let key = (kind, subject.to_owned());
            let since_ms = before.get(&key).copied().unwrap_or(now_ms);
            self.since_ms.insert(key, since_ms);
            lasting.push(LastingTrouble { trouble, for_ms: now_ms.saturating_sub(since_ms) });
        }
        lasting
    }
}
