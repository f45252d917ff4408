//! Kinds of events in a file of interactions: what was shown is no interaction.

use marquee_core::event::EventType;
use std::collections::BTreeMap;
use std::path::Path;

/// Words that say that an item was shown, beside Marquee's own.
const SHOWN: [&str; 4] = ["impression", "impressions", "shown", "show"];
/// How many kinds are counted by name.
const MAX_KINDS: usize = 20;

/// The kinds of events that a file has.
#[derive(Debug, Default)]
pub(super) struct EventTypes {
    impressions: u64,
    /// How often each other kind was there, in lower case.
    others: BTreeMap<String, u64>,
}

impl EventTypes {
    /// Whether a row of this kind says that an item was shown. Counts it.
    pub(super) fn is_impression(&mut self, cell: &[u8]) -> bool {
        let kind = String::from_utf8_lossy(cell.trim_ascii()).to_lowercase();
        if SHOWN.contains(&kind.as_str()) {
            self.impressions += 1;
            return true;
        }
        if self.others.len() < MAX_KINDS || self.others.contains_key(&kind) {
            *self.others.entry(kind).or_insert(0) += 1;
        }
        false
    }

    /// How many rows say that an item was shown.
    pub(super) fn impressions(&self) -> u64 {
        self.impressions
    }

    /// What was done with the kinds; none where the file has no column of them.
    pub(super) fn note(&self, path: &Path) -> Option<String> {
        let Self { impressions, others } = self;
        let is_event = |kind: &str| EventType::ALL.iter().any(|known| known.word() == kind);
        let unknown: Vec<String> =
            others.keys().filter(|kind| !is_event(kind)).map(|kind| format!("{kind:?}")).collect();
        let mut parts = Vec::new();
        if *impressions > 0 {
            parts.push(format!(
                "{impressions} impressions are left out: being shown is no interaction"
            ));
        }
        if !unknown.is_empty() && others.len() < MAX_KINDS {
            parts.push(format!(
                "rows of the kinds {} count like all others: leave out what users did not like",
                unknown.join(", ")
            ));
        }
        (!parts.is_empty()).then(|| format!("{}: {}", path.display(), parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impressions_are_told_from_what_users_did() {
        let mut kinds = EventTypes::default();
        let found = ["impression", " Click ", "IMPRESSION", "play"]
            .map(|kind| kinds.is_impression(kind.as_bytes()));
        assert_eq!((found, kinds.impressions()), ([true, false, true, false], 2));
        let note = kinds.note(Path::new("a.csv")).expect("impressions");
        assert_eq!(note, "a.csv: 2 impressions are left out: being shown is no interaction");
        assert!(!kinds.is_impression(b"dislike"));
        assert!(
            kinds.note(Path::new("a.csv")).expect("a kind").contains("kinds \"dislike\" count")
        );
        let mut plain = EventTypes::default();
        assert!(!plain.is_impression(b"purchase"));
        assert_eq!(plain.note(Path::new("a.csv")), None);
    }
}
