//! Which repeated lines are left out: pure, with time as an argument.

use std::collections::BTreeMap;

/// Lines of one kind in one window that are written; more are counted.
pub(super) const MAX_LINES: u64 = 20;
/// How long a window is, in milliseconds.
pub(super) const WINDOW_MS: u64 = 10_000;

/// What was written of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Repeated {
    since_ms: u64,
    lines: u64,
    left_out: u64,
}

/// Counts lines by kind, so that a flood of one kind is not a flood of lines. There must be few kinds: they are never
/// forgotten.
#[derive(Debug)]
pub(super) struct Repeats<K> {
    by_kind: BTreeMap<K, Repeated>,
}

impl<K: Ord + Clone> Repeats<K> {
    /// Nothing written yet.
    pub(super) const fn new() -> Self {
        Self { by_kind: BTreeMap::new() }
    }

    /// Counts a line, and says whether to write it.
    pub(super) fn admits(&mut self, kind: K, now_ms: u64) -> bool {
        let repeated = self.by_kind.entry(kind).or_default();
        if now_ms.saturating_sub(repeated.since_ms) >= WINDOW_MS {
            (repeated.since_ms, repeated.lines) = (now_ms, 0);
        }
        repeated.lines += 1;
        let is_written = repeated.lines <= MAX_LINES;
        repeated.left_out += u64::from(!is_written);
        is_written
    }

    /// Takes the kinds whose lines were left out, and how many, once their windows are over.
    pub(super) fn take_left_out(&mut self, now_ms: u64) -> Vec<(K, u64)> {
        let mut taken = Vec::new();
        for (kind, repeated) in &mut self.by_kind {
            let is_over = now_ms.saturating_sub(repeated.since_ms) >= WINDOW_MS;
            if is_over && repeated.left_out > 0 {
                taken.push((kind.clone(), std::mem::take(&mut repeated.left_out)));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_left_out_and_counted_and_other_kinds_are_not() {
        let mut repeats = Repeats::new();
        let written = (0..100).filter(|&now_ms| repeats.admits("a", now_ms)).count() as u64;
        assert_eq!(written, MAX_LINES);
        assert!(repeats.admits("b", 100), "each kind for itself");
        assert_eq!(repeats.take_left_out(WINDOW_MS - 1), []);
        assert_eq!(repeats.take_left_out(WINDOW_MS), [("a", 100 - MAX_LINES)]);
        assert_eq!(repeats.take_left_out(WINDOW_MS), [], "said once");
        assert!(repeats.admits("a", WINDOW_MS), "a new window");
    }
}
