//! When each call of an open loop is due: pure arithmetic.

use std::time::Duration;

/// A fixed arrival rate. Call n is due at n ÷ rate after the start, however long earlier calls take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Calls a second, above 0.
    pub rate: f64,
    /// When the last call is due; none: never.
    pub duration: Option<Duration>,
}

impl Schedule {
    /// When call `n`, counted from 0, is due after the start; none after the last.
    pub fn due(&self, n: u64) -> Option<Duration> {
        let due = Duration::try_from_secs_f64(n as f64 / self.rate).ok()?;
        self.duration.is_none_or(|duration| due < duration).then_some(due)
    }

    /// How many calls there are; none where it doesn't end.
    pub fn calls(&self) -> Option<u64> {
        self.duration.map(|duration| (duration.as_secs_f64() * self.rate).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_evenly_spaced_and_end_in_time() {
        let schedule = Schedule { rate: 200.0, duration: Some(Duration::from_secs(3)) };
        assert_eq!(schedule.calls(), Some(600));
        assert_eq!(schedule.due(0), Some(Duration::ZERO));
        assert_eq!(schedule.due(1), Some(Duration::from_millis(5)));
        assert_eq!(schedule.due(599), Some(Duration::from_millis(2_995)));
        assert_eq!(schedule.due(600), None);
        let endless = Schedule { rate: 0.5, duration: None };
        assert_eq!(endless.due(10), Some(Duration::from_secs(20)));
        assert_eq!(endless.calls(), None);
    }

    #[test]
    fn rounding_does_not_drift() {
        let schedule = Schedule { rate: 3.0, duration: None };
        let a_day = schedule.due(3 * 86_400).expect("due");
        assert!(a_day.abs_diff(Duration::from_secs(86_400)) < Duration::from_millis(1));
    }
}
