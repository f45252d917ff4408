//! Which work that waited in a queue is still begun.
//!
//! The rule is CoDel's (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012) as servers use it
//! (Maurer, "Fail at Scale", ACM Queue 13(8), 2015, and `wangle::Codel`): where even the shortest wait of an interval
//! was too long, the queue stands, and what waited for twice the wanted time is refused at the moment it would begin.
//! A queue that empties now and then is only a burst, and all of it is begun.

use std::time::Duration;

/// A wait of small work that is too long if it is the shortest of an interval: some searches, and little of a deadline.
pub const STANDING_DELAY: Duration = Duration::from_millis(5);
/// How many such waits long an interval is: longer than a burst, as CoDel has it.
const DELAYS_PER_INTERVAL: u32 = 20;
/// How many such waits work may wait in a queue that stands.
const MOST_DELAYS: u32 = 2;

/// The judge of one queue.
#[derive(Debug)]
pub struct ControlledDelay {
    standing_delay: Duration,
    interval_ends: Duration,
    /// The shortest wait of this interval; none before the first.
    shortest: Option<Duration>,
    stands: bool,
}

impl ControlledDelay {
    /// The judge of a queue that stands where even the shortest wait is longer than this.
    pub fn new(standing_delay: Duration) -> Self {
        Self { standing_delay, interval_ends: Duration::ZERO, shortest: None, stands: false }
    }

    /// Whether the queue stands: even the shortest wait of the last interval was too long.
    pub fn stands(&self) -> bool {
        self.stands
    }

    /// Whether to refuse work that would begin at `now`, having waited for `waited`.
    pub fn refuses(&mut self, waited: Duration, now: Duration) -> bool {
        let interval = self.standing_delay * DELAYS_PER_INTERVAL;
        if now >= self.interval_ends {
            // After a pause of more than an interval there is nothing to judge by.
            let is_fresh = now < self.interval_ends + interval;
            self.stands =
                is_fresh && self.shortest.is_some_and(|shortest| shortest > self.standing_delay);
            self.interval_ends = now + interval;
            self.shortest = None;
        }
        self.shortest = Some(self.shortest.map_or(waited, |shortest| shortest.min(waited)));
        self.stands && waited > self.standing_delay * MOST_DELAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_begun_and_a_standing_queue_is_cut() {
        let mut delay = ControlledDelay::new(STANDING_DELAY);
        for n in 0..100 {
            assert!(!delay.refuses(ms(80), ms(n)), "one interval is no standing queue");
        }
        assert!(delay.refuses(ms(80), ms(101)));
        assert!(!delay.refuses(ms(9), ms(102)), "what waited briefly is begun");
        assert!(delay.stands());
    }

    #[test]
    fn one_short_wait_in_an_interval_ends_it() {
        let mut delay = ControlledDelay::new(STANDING_DELAY);
        for n in 0..150 {
            delay.refuses(ms(80), ms(n));
        }
        assert!(delay.stands());
        delay.refuses(ms(1), ms(160));
        assert!(delay.refuses(ms(80), ms(170)), "until the interval is over");
        assert!(!delay.refuses(ms(80), ms(201)));
    }

    #[test]
    fn a_pause_ends_it() {
        let mut delay = ControlledDelay::new(STANDING_DELAY);
        for n in 0..150 {
            delay.refuses(ms(80), ms(n));
        }
        assert!(delay.stands());
        assert!(!delay.refuses(ms(80), ms(5_000)));
    }
}
