//! What is no trouble before it has lasted for a while.

use std::time::{Duration, Instant};

/// Whether something has lasted for a while.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
}

impl Patience {
    /// Whether it is so now and has been for `patience`.
    pub(super) fn is_over(&mut self, is_so: bool, patience: Duration, now: Instant) -> bool {
        if !is_so {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_must_be_so_all_the_time() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let mut at = |seconds, is_so| {
            let now = start + Duration::from_secs(seconds);
            patience.is_over(is_so, Duration::from_secs(3), now)
        };
        assert_eq!([at(0, true), at(2, true), at(3, true)], [false, false, true]);
        assert_eq!(
            [at(4, false), at(5, true), at(7, true), at(8, true)],
            [false, false, false, true]
        );
    }
}
