//! When to speak of what happens again and again: at once the first time, and then as a count.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    all: u64,
    unsaid: u64,
    said_at: Option<u64>,
}

/// Counts what happens, by kind, so that a flood of it is not a flood of log lines, and none of it is lost. Time is
/// counted in units of the caller's. There must be few kinds: they are never forgotten.
#[derive(Clone, Debug)]
pub struct Pacer<K> {
    pause: u64,
    by_kind: BTreeMap<K, Counted>,
}

impl<K: Ord + Clone> Pacer<K> {
    /// Speaks of one kind again after this time.
    pub fn new(pause: u64) -> Self {
        Self { pause, by_kind: BTreeMap::new() }
    }

    /// Counts one of a kind, and returns how many to speak of, if it is time to: this one and all since the last time.
    pub fn count(&mut self, kind: K, now: u64) -> Option<u64> {
        let counted = self.by_kind.entry(kind).or_default();
        counted.all += 1;
        counted.unsaid += 1;
        counted.say(self.pause, now)
    }

    /// The kinds of which there is more to say now, with how many.
    pub fn due(&mut self, now: u64) -> Vec<(K, u64)> {
        let pause = self.pause;
        let due = self.by_kind.iter_mut().filter(|(_, counted)| counted.unsaid > 0);
        due.filter_map(|(kind, counted)| Some((kind.clone(), counted.say(pause, now)?))).collect()
    }

    /// How many there were of all kinds.
    pub fn total(&self) -> u64 {
        self.by_kind.values().map(|counted| counted.all).sum()
    }
}

impl Counted {
    fn say(&mut self, pause: u64, now: u64) -> Option<u64> {
        if self.said_at.is_some_and(|at| now.saturating_sub(at) < pause) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_rest_in_sums() {
        let mut pacer = Pacer::new(10);
        assert_eq!(pacer.count("a", 0), Some(1));
        assert_eq!(pacer.count("b", 1), Some(1), "each kind for itself");
        for now in 1..10 {
            assert_eq!(pacer.count("a", now), None);
        }
        assert_eq!(pacer.due(9), []);
        assert_eq!(pacer.count("a", 10), Some(10));
        assert_eq!(pacer.count("a", 11), None);
        assert_eq!(pacer.due(19), []);
        assert_eq!(pacer.due(20), [("a", 1)], "though no more came");
        assert_eq!(pacer.due(40), [], "of b there is nothing to say");
        assert_eq!(pacer.total(), 13);
    }
}
