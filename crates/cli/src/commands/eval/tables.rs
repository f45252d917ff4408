//! Evaluations as tables.

use super::endpoint::EndpointReport;
use super::ensemble::EnsembleEvaluation;
use crate::output;
use marquee_train::eval::{
    BundleEvaluation, Comparison, CrossValidation, Difference, ListReport, Measure, Metrics,
};
use std::path::Path;

/// A bundle's metrics, beside those of popularity at the largest cut-off.
pub(super) fn bundle(evaluation: &BundleEvaluation) -> String {
    let BundleEvaluation { model, digest, report, popularity, replayed_rows, unknown_users } =
        evaluation;
    let over = match replayed_rows {
        Some(rows) => format!("{} with all that came before", output::count(*rows as u64, "row")),
        None => users_of(&report.metrics),
    };
    let mut text = format!("{model}, bundle {digest}, {over}\n");
    text.push_str(&metrics(&report.cutoffs, Some(popularity)));
    if *unknown_users > 0 {
        let users = output::count(*unknown_users as u64, "user");
        text.push_str(&format!("\n{users} unknown to the bundle got popular items"));
    }
    text.push_str(&remarks(report));
    text
}

/// An endpoint's metrics and the versions that answered.
pub(super) fn endpoint(evaluation: &EndpointReport) -> String {
    let EndpointReport { report, endpoint, answered_by, fallbacks, partial } = evaluation;
    let mut text = format!("{endpoint}, {}\n", users_of(&report.metrics));
    text.push_str(&metrics(&report.cutoffs, None));
    for (models, users) in answered_by {
        let models = if models.is_empty() { "no model" } else { models };
        text.push_str(&format!("\n{} answered by {models}", output::count(*users, "user")));
    }
    if *fallbacks > 0 {
        text.push_str(&format!("\n{} got a fallback", output::count(*fallbacks, "user")));
    }
    if *partial > 0 {
        text.push_str(&format!(
            "\n{} got an answer without some shards",
            output::count(*partial, "user")
        ));
    }
    text.push_str(&remarks(report));
    text
}

/// The metrics of a file of lists.
pub(super) fn lists(report: &ListReport, file: &Path) -> String {
    let mut text = format!("{}, {}\n", file.display(), users_of(&report.metrics));
    text.push_str(&metrics(&report.cutoffs, None));
    text.push_str(&remarks(report));
    text
}

/// Differences of two sets of scores, one a line, with intervals and p-values.
pub(super) fn comparison(comparison: &Comparison, a: &str, b: &str) -> String {
    let Comparison { users, users_only_in_a, users_only_in_b, resamples, seed, differences } =
        comparison;
    let mut table =
        output::table(&["metric", "A", "B", "B - A", "95 % interval", "p", "p (t-test)", "users"]);
    for one in differences {
        let Difference {
            metric, cutoff, users, a, b, difference, interval_low, interval_high, ..
        } = one;
        table.add_row([
            format!("{}@{cutoff}", metric.name()),
            format!("{a:.4}"),
            format!("{b:.4}"),
            format!("{difference:+.4}"),
            format!("{interval_low:+.4} to {interval_high:+.4}"),
            p_value(one.p_value),
            one.p_value_t_test.map_or_else(|| "-".into(), p_value),
            users.to_string(),
        ]);
    }
    let mut text = format!("A {a}\nB {b}\n{}", output::lines_of(&table));
    text.push_str(&format!(
        "\n{} in both; p by {resamples} random exchanges, the interval by as many draws, seed {seed}",
        output::count(*users as u64, "user")
    ));
    for (count, side) in [(users_only_in_a, "A"), (users_only_in_b, "B")] {
        if *count > 0 {
            let users = output::count(*count as u64, "user");
            text.push_str(&format!("\nleft out: {users} in {side} only"));
        }
    }
    text
}

/// An ensemble's metrics.
pub(super) fn ensemble(evaluation: &EnsembleEvaluation) -> String {
    let EnsembleEvaluation { ensemble, models, report, unknown_users } = evaluation;
    let mut text = format!("{ensemble}, an ensemble, {}", users_of(&report.metrics));
    for (model, digest) in models {
        text.push_str(&format!("\n{model} is bundle {digest}"));
    }
    text.push_str(&format!("\n{}", metrics(&report.cutoffs, None)));
    text.push_str(&remarks(report));
    if *unknown_users > 0 {
        let users = output::count(*unknown_users as u64, "user");
        text.push_str(&format!("\n{users} unknown to all bundles"));
    }
    text
}

/// Means over folds: a row for each metric, a column for each cut-off.
pub(super) fn cross(cross: &CrossValidation) -> String {
    let CrossValidation { config, seed, means, folds } = cross;
    let mut cutoffs: Vec<usize> = means.iter().map(|mean| mean.cutoff).collect();
    cutoffs.dedup();
    let mut headings = vec![String::new()];
    headings.extend(cutoffs.iter().map(|cutoff| format!("@{cutoff}")));
    let mut table = output::table(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for measure in Measure::ALL {
        let mut row = vec![measure.name().to_owned()];
        for cutoff in &cutoffs {
            let found = means.iter().find(|mean| mean.metric == measure && mean.cutoff == *cutoff);
            row.push(mean_cell(found.map(|found| (found.mean, found.standard_error))));
        }
        table.add_row(row);
    }
    format!(
        "{}, mean over {} folds ± standard error, seed {seed}\n{}",
        config.model.name(),
        folds.len(),
        output::lines_of(&table)
    )
}

/// A mean with its standard error, a dash where there is none.
fn mean_cell(found: Option<(f64, f64)>) -> String {
    match found {
        Some((mean, error)) => format!("{mean:.4} ± {error:.4}"),
        None => "-".into(),
    }
}

/// A p-value with four digits, `<0.0001` if it is smaller.
fn p_value(p: f64) -> String {
    if p < 0.0001 { "<0.0001".into() } else { format!("{p:.4}") }
}

/// How many users were evaluated.
fn users_of(metrics: &Metrics) -> String {
    output::count(metrics.users as u64, "user")
}

/// A row for each metric, a column for each cut-off: mean ± standard error.
fn metrics(cutoffs: &[Metrics], popularity: Option<&Metrics>) -> String {
    let mut headings = vec![String::new()];
    headings.extend(cutoffs.iter().map(|metrics| format!("@{}", metrics.cutoff)));
    headings.extend(popularity.map(|metrics| format!("popularity@{}", metrics.cutoff)));
    let mut table = output::table(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    let columns: Vec<&Metrics> = cutoffs.iter().chain(popularity).collect();
    for measure in Measure::ALL {
        let mut row = vec![measure.name().to_owned()];
        row.extend(columns.iter().map(|metrics| mean_cell(metrics.get(measure))));
        table.add_row(row);
    }
    let mut coverage = vec!["coverage".to_owned()];
    coverage.extend(columns.iter().map(|metrics| format!("{:.4}", metrics.coverage)));
    table.add_row(coverage);
    let mut gini = vec!["gini".to_owned()];
    for metrics in &columns {
        gini.push(metrics.gini.map_or_else(|| "-".into(), |gini| format!("{gini:.4}")));
    }
    table.add_row(gini);
    output::lines_of(&table)
}

/// Notes on users without a list and on recommendations that cannot be right, one a line.
fn remarks(report: &ListReport) -> String {
    let mut text = String::new();
    for (count, thing) in [
        (report.users_without_list, "user without a list, counted 0"),
        (
            report.train_items_recommended,
            "recommendation of an item in the user's training history",
        ),
        (report.unknown_items_recommended, "recommendation of an item that neither file has"),
    ] {
        if count > 0 {
            let (first, rest) = thing.split_once(' ').unwrap_or((thing, ""));
            text.push_str(&format!("\n{} {rest}", output::count(count as u64, first)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ListReport {
        let metrics = Metrics {
            cutoff: 5,
            users: 3,
            recall: 0.25,
            recall_standard_error: 0.0125,
            coverage: 0.5,
            gini: Some(0.75),
            ..Metrics::default()
        };
        ListReport {
            cutoffs: vec![metrics.clone(), Metrics { cutoff: 10, recall: 0.5, ..metrics.clone() }],
            metrics,
            users_without_list: 1,
            train_items_recommended: 0,
            unknown_items_recommended: 2,
        }
    }

    #[test]
    fn metrics_are_lines_and_cutoffs_columns() {
        let evaluation = BundleEvaluation {
            model: "films".into(),
            digest: "d1".into(),
            popularity: Metrics { cutoff: 10, ..Metrics::default() },
            report: report(),
            replayed_rows: None,
            unknown_users: 0,
        };
        let text = bundle(&evaluation);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["films,", "bundle", "d1,", "3", "users"]);
        assert_eq!(lines[1], ["@5", "@10", "popularity@10"]);
        assert_eq!(lines[2][..7], ["recall", "0.2500", "±", "0.0125", "0.5000", "±", "0.0125"]);
        assert_eq!(lines[9], ["novelty", "-", "-", "-"]);
        assert_eq!(lines[11], ["gini", "0.7500", "0.7500", "-"]);
        assert!(text.ends_with(
            "1 user without a list, counted 0\n2 recommendations of an item that neither file has"
        ));
    }

    #[test]
    fn differences_are_lines() {
        let comparison_of = Comparison {
            users: 3,
            users_only_in_a: 0,
            users_only_in_b: 1,
            resamples: 100,
            seed: 1,
            differences: vec![Difference {
                metric: Measure::Ndcg,
                cutoff: 20,
                users: 3,
                a: 0.1,
                b: 0.2,
                difference: 0.1,
                interval_low: -0.05,
                interval_high: 0.15,
                p_value: 0.25,
                t: None,
                p_value_t_test: Some(1e-7),
            }],
        };
        let text = comparison(&comparison_of, "a.csv", "b.csv");
        let line = text.lines().nth(3).expect("a line");
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "ndcg@20", "0.1000", "0.2000", "+0.1000", "-0.0500", "to", "+0.1500", "0.2500",
                "<0.0001", "3"
            ]
        );
        assert!(text.ends_with("left out: 1 user in B only"), "{text}");
    }
}
