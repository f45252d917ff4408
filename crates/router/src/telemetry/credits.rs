//! Whom clicks on the items of an interleaved answer are credited to, short enough for the answer's id.

use marquee_core::ranking::interleave::Side;
use marquee_core::rollout::window::hash_item;
use std::fmt;

/// The items of an answer that clicks are credited for, the first ones: as many as can have rewards.
const MAX_CREDITS: usize = 10;
/// Digits of a credited item in an id.
const DIGITS: usize = 3;
/// Bytes of the credits in an id, the `i` before them included.
pub(super) const MAX_CREDITS_BYTES: usize = 1 + DIGITS * MAX_CREDITS;
/// Of so many values is the part of an item's hash that an id has: few of the items of an answer look the same.
const CELLS: u64 = 1 << 11;
/// Where this is set, it is the candidate's.
const CANDIDATE: u16 = 1 << 11;

/// The credited items of an answer, in its order. Written, each is three hexadecimal digits: twelve bits, of which the first
/// says that it is the candidate's, and the others are of the item's hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credits(Vec<u16>);

impl Credits {
    /// Of an answer of these items, each with the side that is credited. Items that cannot be told from another one of the answer are
    /// left out.
    pub(crate) fn of<'a>(items: impl Iterator<Item = (&'a str, Option<Side>)> + Clone) -> Self {
        let cell_of = |item: &str| cell_of(hash_item(item));
        let mut seen = vec![0_u8; CELLS as usize];
        for (item, _) in items.clone() {
            let times = &mut seen[usize::from(cell_of(item))];
            *times = times.saturating_add(1);
        }
        let mut credits = Vec::new();
        for (item, credited) in items {
            let (Some(side), cell) = (credited, cell_of(item)) else { continue };
            if credits.len() < MAX_CREDITS && seen[usize::from(cell)] == 1 {
                let mark = if side == Side::Candidate { CANDIDATE } else { 0 };
                credits.push(cell | mark);
            }
        }
        Self(credits)
    }

    /// Reads what [`Display`](fmt::Display) wrote; none if it is anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_well_formed = text.len() < MAX_CREDITS_BYTES
            && text.len().is_multiple_of(DIGITS)
            && text.bytes().all(is_digit);
        if !is_well_formed {
            return None;
        }
        let parts = (0..text.len()).step_by(DIGITS).map(|at| &text[at..at + DIGITS]);
        parts.map(|digits| u16::from_str_radix(digits, 16).ok()).collect::<Option<_>>().map(Self)
    }

    /// The number and the side of the item with this [hash](hash_item), if clicks on it are credited.
    pub(crate) fn find(&self, item: u64) -> Option<(usize, Side)> {
        let cell = cell_of(item);
        let number = self.0.iter().position(|credit| credit & !CANDIDATE == cell)?;
        let is_candidates = self.0[number] & CANDIDATE != 0;
        Some((number, if is_candidates { Side::Candidate } else { Side::Baseline }))
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|credit| write!(f, "{credit:03x}"))
    }
}

fn cell_of(item: u64) -> u16 {
    (item % CELLS) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sides() -> impl Strategy<Value = Vec<Option<Side>>> {
        let side = prop_oneof![Just(None), Just(Some(Side::Baseline)), Just(Some(Side::Candidate))];
        prop::collection::vec(side, 0..40)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_finds_its_items(sides in sides(), salt in any::<u32>()) {
            let items: Vec<String> = (0..sides.len()).map(|n| format!("{salt:x}-{n}")).collect();
            let credits = Credits::of(items.iter().map(String::as_str).zip(sides.iter().copied()));
            let text = credits.to_string();
            prop_assert!(text.len() < MAX_CREDITS_BYTES);
            let parsed = Credits::parse(&text);
            prop_assert_eq!(parsed.as_ref(), Some(&credits));
            let mut found = 0;
            for (item, side) in items.iter().zip(&sides) {
                if let Some((_, of)) = credits.find(hash_item(item)) {
                    prop_assert_eq!(Some(of), *side, "{}", item);
                    found += 1;
                }
            }
            prop_assert_eq!(found, credits.0.len());
            if sides.len() <= MAX_CREDITS {
                // But for those that look the same in an id, which are rare.
                let credited = sides.iter().flatten().count();
                prop_assert!(found + 4 >= credited, "{} of {}", found, credited);
            }
        }

        #[test]
        fn nothing_else_is_read(text in ".{0,40}") {
            if let Some(credits) = Credits::parse(&text) {
                prop_assert_eq!(credits.to_string(), text);
            }
        }
    }

    #[test]
    fn an_id_has_room_for_ten() {
        let items: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let all = items.iter().map(|item| (item.as_str(), Some(Side::Candidate)));
        let credits = Credits::of(all);
        assert_eq!((credits.0.len(), credits.to_string().len()), (10, MAX_CREDITS_BYTES - 1));
        assert_eq!(Credits::parse(&"0".repeat(MAX_CREDITS_BYTES)), None);
        assert_eq!(Credits::parse("ABC"), None, "as it is written and not otherwise");
        assert_eq!(Credits::parse(""), Some(Credits::default()));
    }
}
