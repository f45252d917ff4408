//! Where the time of answers goes, stage by stage.

use marquee_core::duration_counts::{CountedDurations, DurationCounts};
use std::time::Duration;
use tokio::time::Instant;

/// A stage of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looking up users, histories and rows of recent items.
    Lookup,
    /// Searching, and fusing the lists of members.
    Search,
    /// Putting other items into lists whose items are alike.
    Diversify,
    /// Asking for what explanations need.
    Explain,
    /// Making the answers.
    Answer,
}

/// The stages with their names, in order.
const STAGES: [(Stage, &str); 5] = [
    (Stage::Lookup, "lookup"),
    (Stage::Search, "search"),
    (Stage::Diversify, "diversify"),
    (Stage::Explain, "explain"),
    (Stage::Answer, "answer"),
];

/// How long the stages of all answers took.
#[derive(Debug, Default)]
pub struct StageTimes([DurationCounts; STAGES.len()]);

impl StageTimes {
    /// How long the stages took, by name: `lookup`, `search`, `diversify`, `explain`, `answer`. A batch counts once.
    pub fn by_stage(&self) -> [(&'static str, CountedDurations); STAGES.len()] {
        STAGES.map(|(stage, name)| (name, self.0[stage as usize].read()))
    }

    /// Adds what one batch took.
    pub(crate) fn add(&self, clock: &StageClock) {
        for (counts, took) in self.0.iter().zip(clock.took) {
            if let Some(took) = took {
                counts.add(took);
            }
        }
    }
}

/// The times of one batch.
#[derive(Debug)]
pub(crate) struct StageClock {
    began: Instant,
    last: Instant,
    took: [Option<Duration>; STAGES.len()],
}

impl StageClock {
    /// Begins with the first stage.
    pub(crate) fn start(now: Instant) -> Self {
        Self { began: now, last: now, took: [None; STAGES.len()] }
    }

    /// The stage is over, and the next one begins.
    pub(crate) fn end(&mut self, stage: Stage, now: Instant) {
        self.took[stage as usize] = Some(now - self.last);
        self.last = now;
    }

    /// How long all stages took that were begun: until `now`, if one of them had no end.
    pub(crate) fn total(&self, now: Instant) -> Duration {
        let is_whole = self.took.iter().all(Option::is_some);
        if is_whole { self.last - self.began } else { now - self.began }
    }

    /// The stages and how long they took in milliseconds, such as `lookup 1.2, search 250.0`; the stage that did not end is the
    /// last, with what it took until `now`.
    pub(crate) fn describe(&self, now: Instant) -> String {
        let mut parts = Vec::new();
        for ((_, name), took) in STAGES.into_iter().zip(self.took) {
            let ms = took.unwrap_or_else(|| now - self.last).as_secs_f64() * 1e3;
            let is_cut_off = took.is_none();
            parts
                .push(format!("{name} {ms:.1}{}", if is_cut_off { " without an end" } else { "" }));
            if is_cut_off {
                break;
            }
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_divided_among_the_stages_and_the_one_that_failed_is_named() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut clock = StageClock::start(began);
        clock.end(Stage::Lookup, at(2));
        clock.end(Stage::Search, at(250));
        assert_eq!(clock.total(at(300)), Duration::from_millis(300));
        let says = "lookup 2.0, search 248.0, diversify 50.0 without an end";
        assert_eq!(clock.describe(at(300)), says);
        for (stage, ms) in [(Stage::Diversify, 251), (Stage::Explain, 252), (Stage::Answer, 253)] {
            clock.end(stage, at(ms));
        }
        assert_eq!(clock.total(at(300)), Duration::from_millis(253));
        let says = "lookup 2.0, search 248.0, diversify 1.0, explain 1.0, answer 1.0";
        assert_eq!(clock.describe(at(300)), says);
        let times = StageTimes::default();
        times.add(&clock);
        let sums = times.by_stage().map(|(name, counted)| (name, counted.sum.as_millis()));
        let expected =
            [("lookup", 2), ("search", 248), ("diversify", 1), ("explain", 1), ("answer", 1)];
        assert_eq!(sums, expected);
    }
}
