//! Estimates as a table, with what they assume, or as JSON.

use crate::output;
use marquee_core::off_policy::{
    Assumption, COVERAGE, Estimate, Estimator, Evaluation, Figures, Interval,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What an evaluation came to, and how.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The surface whose answers count.
    pub(super) surface: String,
    /// What is estimated, as gates name it.
    pub(super) metric: &'static str,
    /// Whether differences are to what was shown.
    pub(super) is_against_log: bool,
    /// How a rank's chance of being looked at falls off.
    pub(super) position_exponent: f64,
    /// Whether that was fitted to drawn slots.
    pub(super) position_exponent_is_fitted: bool,
    /// The largest weight.
    pub(super) max_weight: f64,
    /// Users whom the candidate does not know.
    pub(super) unknown_users: usize,
    /// Exposures that do not count, by reason.
    pub(super) left_out: BTreeMap<&'static str, u64>,
    /// What each estimator says of the candidate.
    #[serde(flatten)]
    pub(super) evaluation: Evaluation,
    /// What they say of each segment of requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) segments: Vec<SegmentReport>,
    /// Answers whose ids say nothing of these segments.
    pub(super) without_segments: usize,
}

/// What each estimator says of the candidate within a segment.
#[derive(Debug, Serialize)]
pub(super) struct SegmentReport {
    /// The segment's name.
    pub(super) segment: String,
    #[serde(flatten)]
    pub(super) evaluation: Evaluation,
}

impl Report {
    /// Prints the report as a table, or as JSON.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        output::line(self.text())?;
        Ok(())
    }

    /// The table, then what was refused, and what the estimates assume.
    fn text(&self) -> String {
        let Evaluation { answers, users, randomised_answers, drawn_items, logged, .. } =
            &self.evaluation;
        let mut lines = vec![
            format!(
                "{} on {}, by {} of {}, {} unknown to the candidate",
                self.metric,
                self.surface,
                output::count(*answers as u64, "answer"),
                output::count(*users as u64, "user"),
                output::thousands(self.unknown_users as u64)
            ),
            format!(
                "logged: {:.4} ({}); {} could have had a drawn slot, {} had one",
                logged.value,
                ends(logged),
                output::thousands(*randomised_answers as u64),
                output::thousands(*drawn_items as u64)
            ),
        ];
        for (reason, count) in &self.left_out {
            lines.push(format!("left out: {} {reason}", output::count(*count, "answer")));
        }
        lines.push(String::new());
        lines.push(table(&self.evaluation));
        lines.push(String::new());
        for SegmentReport { segment, evaluation } in &self.segments {
            lines.push(segment_title(segment, evaluation));
            lines.push(table(evaluation));
            lines.push(String::new());
        }
        lines.extend(self.notes_on_segments());
        for assumption in Assumption::ALL {
            lines.push(self.assumes(assumption));
        }
        lines.push(
            "both: the candidate lists for a user what it lists offline, without recent items and denied items; the \
             log's users are those to come"
                .into(),
        );
        lines.join("\n")
    }

    /// How to read the estimates of segments, and which answers are of none.
    fn notes_on_segments(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.segments.is_empty() {
            notes.push(
                "segments: each interval holds by itself; of many, some are off by chance"
                    .to_owned(),
            );
        }
        if self.without_segments > 0 {
            notes.push(format!(
                "segments: {} of the log were answered while the surface had other segments or none",
                output::count(self.without_segments as u64, "answer")
            ));
        }
        notes
    }

    /// What the estimates of an assumption rely on, and why there are none.
    fn assumes(&self, assumption: Assumption) -> String {
        let of_it = |estimate: &&Estimate| estimate.assumption == assumption;
        let refusal = self.evaluation.estimates.iter().find(of_it).and_then(|it| it.refusal);
        let assumed = match assumption {
            Assumption::ItemAndRank => {
                "by item and rank: an item's reward depends on user, item and rank, not on the other items".into()
            }
            Assumption::PositionBased => {
                let found = if self.position_exponent_is_fitted {
                    "fitted to drawn slots"
                } else {
                    "assumed"
                };
                format!(
                    "position-based: an item's reward depends on user and item, times the chance that its rank is looked \
                     at, rank^-{:.2} ({found})",
                    self.position_exponent
                )
            }
        };
        match refusal {
            Some(refusal) => format!("{assumed}; no number: {refusal}"),
            None => assumed,
        }
    }
}

/// The estimates, a row each.
fn table(evaluation: &Evaluation) -> String {
    let interval = format!("{:.0} %", COVERAGE * 100.0);
    let mut table = output::table(&[
        "ESTIMATE",
        "CANDIDATE",
        &interval,
        "DIFFERENCE",
        &interval,
        "SUPPORT",
        "EFFECTIVE USERS",
        "CLIPPED",
    ]);
    for estimate in &evaluation.estimates {
        let (support, users) = (estimate.support.min(1.0), estimate.effective_users);
        let row = |cells: [String; 4]| {
            let [candidate, its_ends, difference, ends_of_difference] = cells;
            [
                name(estimate),
                candidate,
                its_ends,
                difference,
                ends_of_difference,
                format!("{:.1} %", support * 100.0),
                output::thousands(users as u64),
                output::thousands(estimate.clipped as u64),
            ]
        };
        match estimate.figures {
            Some(Figures { candidate, difference }) => table.add_row(row([
                format!("{:.4}", candidate.value),
                ends(&candidate),
                format!("{:+.4}", difference.value),
                ends(&difference),
            ])),
            None => table.add_row(row(["-", "-", "-", "-"].map(String::from))),
        };
    }
    output::lines_of(&table)
}

/// The line above a segment's table.
fn segment_title(segment: &str, evaluation: &Evaluation) -> String {
    let Evaluation { answers, users, logged, .. } = evaluation;
    format!(
        "{segment}: {} of {}, logged {:.4} ({})",
        output::count(*answers as u64, "answer"),
        output::count(*users as u64, "user"),
        logged.value,
        ends(logged)
    )
}

/// The name of an estimate in the table.
fn name(estimate: &Estimate) -> String {
    let estimator = match estimate.estimator {
        Estimator::Ips => "IPS",
        Estimator::Snips => "SNIPS",
        Estimator::Dr => "DR",
    };
    match estimate.assumption {
        Assumption::ItemAndRank => format!("{estimator} by item and rank"),
        Assumption::PositionBased => format!("{estimator} position-based"),
    }
}

/// The ends of an interval.
fn ends(interval: &Interval) -> String {
    format!("{:.4} to {:.4}", interval.low, interval.high)
}
