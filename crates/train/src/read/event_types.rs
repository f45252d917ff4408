//! Kinds of events in a file of interactions: what was shown is no interaction.

use marquee_core::event::EventType;
use std::path::Path;

/// Words that say that an item was shown, beside Marquee's own.
const SHOWN: [&str; 4] = ["impression", "impressions", "shown", "show"];
/// How many kinds are named.
const MAX_KINDS: usize = 20;

/// The kinds of events that a file has.
#[derive(Debug, Default)]
pub(super) struct EventTypes {
    impressions: u64,
    /// The other kinds, as they were first written, at most [`MAX_KINDS`] of them.
    others: Vec<String>,
    /// Whether there were more.
    has_more: bool,
}

impl EventTypes {
    /// Whether a row of this kind says that an item was shown. Notes the kind.
    pub(super) fn is_impression(&mut self, cell: &[u8]) -> bool {
        let kind = cell.trim_ascii();
        if SHOWN.iter().any(|shown| kind.eq_ignore_ascii_case(shown.as_bytes())) {
            self.impressions += 1;
            return true;
        }
        let is_known = self.others.iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes()));
        if !is_known && self.others.len() < MAX_KINDS {
            self.others.push(String::from_utf8_lossy(kind).to_lowercase());
        } else if !is_known {
            self.has_more = true;
        }
        false
    }

    /// How many rows say that an item was shown.
    pub(super) fn impressions(&self) -> u64 {
        self.impressions
    }

    /// What was done with the kinds; none where the file has no column of them.
    pub(super) fn note(&self, path: &Path) -> Option<String> {
        let Self { impressions, others, has_more } = self;
        let is_event = |kind: &str| EventType::ALL.iter().any(|known| known.word() == kind);
        let unknown: Vec<String> =
            others.iter().filter(|kind| !is_event(kind)).map(|kind| format!("{kind:?}")).collect();
        let mut parts = Vec::new();
        if *impressions > 0 {
            parts.push(format!(
                "{impressions} impressions are left out: being shown is no interaction"
            ));
        }
        // A column with more of them has no kinds of events.
        if !unknown.is_empty() && !has_more {
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
