//! When each call is due.

use std::time::Duration;

/// An open loop, in which call n is due at n ÷ rate after the start, however long earlier calls take; or a
/// closed loop, in which a call is due when a client is free to send it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Calls a second, above 0; none: a closed loop.
    pub rate: Option<f64>,
    /// When the last call is due; none: never.
    pub duration: Option<Duration>,
}

impl Schedule {
    /// The time from the start to the moment at which call `n` (from 0) is due, `elapsed` after the start;
    /// none after the last call.
    pub fn due(&self, n: u64, elapsed: Duration) -> Option<Duration> {
        let due = match self.rate {
            Some(rate) => Duration::try_from_secs_f64(n as f64 / rate).ok()?,
            None => elapsed,
        };
        self.duration.is_none_or(|duration| due < duration).then_some(due)
    }

    /// How many calls there are; none for a closed loop or an endless schedule.
    pub fn calls(&self) -> Option<u64> {
        Some((self.duration?.as_secs_f64() * self.rate?).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_evenly_spaced_and_end_in_time() {
        let schedule = Schedule { rate: Some(200.0), duration: Some(Duration::from_secs(3)) };
        assert_eq!(schedule.calls(), Some(600));
        assert_eq!(schedule.due(0, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(schedule.due(1, Duration::ZERO), Some(Duration::from_millis(5)));
        assert_eq!(schedule.due(599, Duration::ZERO), Some(Duration::from_millis(2_995)));
        assert_eq!(schedule.due(600, Duration::ZERO), None);
        let endless = Schedule { rate: Some(0.5), duration: None };
        assert_eq!(endless.due(10, Duration::ZERO), Some(Duration::from_secs(20)));
        assert_eq!(endless.calls(), None);
    }

    #[test]
    fn in_a_closed_loop_a_call_is_due_at_once_until_the_end() {
        let schedule = Schedule { rate: None, duration: Some(Duration::from_secs(2)) };
        let early = Duration::from_millis(1_999);
        assert_eq!(schedule.due(7, early), Some(early));
        assert_eq!(schedule.due(7, Duration::from_secs(2)), None);
        assert_eq!(schedule.calls(), None);
    }

    #[test]
    fn rounding_does_not_drift() {
        let schedule = Schedule { rate: Some(3.0), duration: None };
        let a_day = schedule.due(3 * 86_400, Duration::ZERO).expect("due");
        assert!(a_day.abs_diff(Duration::from_secs(86_400)) < Duration::from_millis(1));
    }
}
