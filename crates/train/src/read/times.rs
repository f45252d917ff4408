//! Units of times: files that were put together may have several.

use std::path::Path;

/// Units of a time since 1970, and the greatest number that is one of them: the year 5138 in seconds is 1973 in milliseconds.
const UNITS: [(&str, f64); 4] =
    [("seconds", 1e11), ("milliseconds", 1e14), ("microseconds", 1e17), ("nanoseconds", f64::MAX)];
/// Below it a time may count from anywhere: seconds of 1973.
const SMALLEST_TIME: f64 = 1e8;

/// What units the times of a file are likely to have.
#[derive(Debug, Default)]
pub(super) struct TimeUnits {
    oldest: Option<f64>,
    counts: [u64; UNITS.len()],
}

impl TimeUnits {
    /// Takes a time in whatever unit.
    pub(super) fn add(&mut self, time: f64) {
        self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
        if time >= SMALLEST_TIME {
            let unit = UNITS.iter().position(|(_, below)| time < *below).unwrap_or(UNITS.len() - 1);
            self.counts[unit] += 1;
        }
    }

    /// The smallest time.
    pub(super) fn oldest(&self) -> Option<f64> {
        self.oldest
    }

    /// A warning where there are several units.
    pub(super) fn warning(&self, path: &Path) -> Option<String> {
        let found = UNITS.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let found: Vec<String> =
            found.map(|((unit, _), count)| format!("{count} in {unit}")).collect();
        (found.len() > 1).then(|| {
            format!(
                "{}: WARNING: the times look mixed, {}: write them in one unit",
                path.display(),
                found.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_units_are_found() {
        let mut units = TimeUnits::default();
        for time in [1_600_000_000.0, 1_600_000_001.0, 7.0] {
            units.add(time);
        }
        assert_eq!((units.oldest(), units.warning(Path::new("a"))), (Some(7.0), None));
        units.add(1_600_000_000_000.0);
        let expected = "a: WARNING: the times look mixed, 2 in seconds, 1 in milliseconds: write them in one unit";
        assert_eq!(units.warning(Path::new("a")).as_deref(), Some(expected));
    }
}
