//! K-fold cross-validation: a model trained once for each fold on all the others.
//!
//! Rows are dealt into folds at random, every row into one (`marquee split --by rows` does the same); what a
//! fold holds is found by a model of the same settings that was trained on the rest. Users of a single row take no
//! part. The mean over folds uses
//! every row as a test once. Its standard error is s / √K over the folds: folds share what they train on, so it is
//! a little too small, and no unbiased estimate exists (Bengio and Grandvalet 2004, "No unbiased
//! estimator of the variance of k-fold cross-validation").

use super::lists::{Evaluator, ListReport};
use super::metrics::{Cutoffs, Measure};
use super::rank::with_ids;
use crate::catalogue::over_catalogue;
use crate::error::TrainError;
use crate::family::ModelConfig;
use crate::family::score::{KnownUser, Ranker};
use crate::interactions::Interactions;
use crate::options::TrainArgs;
use crate::progress::TaskProgress;
use crate::read::ItemsFile;
use crate::split::{Parts, SplitBy, SplitOptions, split as split_rows};
use serde::Serialize;
use std::collections::HashMap;

/// The result of a cross-validation.
#[derive(Clone, Debug, Serialize)]
pub struct CrossValidation {
    /// The model and its settings.
    pub config: ModelConfig,
    /// The seed by which rows were dealt into folds.
    pub seed: u64,
    /// Mean over the folds, by cut-off and measure.
    pub means: Vec<FoldMean>,
    /// The evaluation of each fold.
    pub folds: Vec<ListReport>,
}

/// A measure at a cut-off over the folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoldMean {
    /// What is averaged, such as the recall.
    pub metric: Measure,
    /// Recommendations of a user that count.
    pub cutoff: usize,
    /// The mean over folds.
    pub mean: f64,
    /// Its standard error, s / √K with s the sample standard deviation over folds.
    pub standard_error: f64,
}

/// Trains and measures once a fold; `args` say what to train.
///
/// # Errors
/// Settings out of bounds, folds out of theirs, data that can't be trained on.
pub fn cross_validate(
    rows: &Interactions,
    file: Option<&ItemsFile>,
    args: &TrainArgs,
    folds: usize,
    cutoffs: &Cutoffs,
) -> Result<CrossValidation, TrainError> {
    args.validate()?;
    let options = SplitOptions {
        by: SplitBy::Rows,
        folds: Some(folds),
        seed: args.seed,
        min_rows: 2,
        ..SplitOptions::default()
    };
    let (parts, _) = split_rows(rows, &options)?;
    let progress = TaskProgress::new("folds");
    let mut reports = Vec::with_capacity(folds);
    for Parts { train, test, .. } in parts {
        reports.push(measure(&train.compact(), &test.compact(), file, args, cutoffs)?);
        progress.set(reports.len() as u64, folds as u64);
    }
    let mut means = Vec::new();
    for (at, &cutoff) in cutoffs.all().iter().enumerate() {
        for metric in Measure::ALL {
            let of_folds: Option<Vec<f64>> = reports
                .iter()
                .map(|report: &ListReport| Some(report.cutoffs[at].get(metric)?.0))
                .collect();
            if let Some(of_folds) = of_folds {
                let (mean, standard_error) = mean_of(&of_folds);
                means.push(FoldMean { metric, cutoff, mean, standard_error });
            }
        }
    }
    Ok(CrossValidation { config: args.model_config(), seed: args.seed, means, folds: reports })
}

fn measure(
    train: &Interactions,
    test: &Interactions,
    file: Option<&ItemsFile>,
    args: &TrainArgs,
    cutoffs: &Cutoffs,
) -> Result<ListReport, TrainError> {
    let (rows, items, _) = over_catalogue(train.clone(), file, args.recommends_unseen_items());
    let part = args.model_config().train(&rows, &items, &args.training_options(), "")?;
    let place: HashMap<&str, u32> = rows.users.iter().map(String::as_str).zip(0..).collect();
    let evaluator = Evaluator::new(train.clone(), test.clone(), cutoffs.clone())?;
    let mut known = Vec::with_capacity(evaluator.users().len());
    for id in evaluator.users() {
        // A user without a row to train on is unknown.
        known.push(match place.get(id.as_str()) {
            Some(&user) => part.known_users(&rows, &[user], args.weight).pop().unwrap_or_default(),
            None => KnownUser::default(),
        });
    }
    let popularity: Vec<f32> = rows.item_counts().into_iter().map(|n| n as f32).collect();
    let lists = Ranker::new(&part, &popularity).lists(&known, evaluator.cutoff());
    evaluator.score(&with_ids(&lists, &rows.items))
}

/// The mean of the values, and its standard error.
fn mean_of(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::ModelKind;
    use crate::interactions::{Duplicates, RawRow};

    /// Users of two parities like ten items of their own; every one likes item 0, too.
    fn world() -> Interactions {
        let ids = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let rows: Vec<RawRow> = (0..40u32)
            .flat_map(|user| {
                let own = (0..10).map(move |n| 1 + n * 2 + user % 2);
                own.chain([0]).map(move |item| RawRow { user, item, value: 1.0, time: 0.0 })
            })
            .collect();
        let (users, items) = (ids(40), ids(21));
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        Interactions::from_rows(&users, &items, &rows, false, false, Duplicates::Last).0
    }

    #[test]
    fn every_row_is_found_in_one_fold_by_what_was_trained_on_the_others() {
        let rows = world();
        let args = TrainArgs { model: ModelKind::UserKnn, ..TrainArgs::new("", "") };
        let cutoffs = Cutoffs::new(&[5, 12]).expect("cut-offs");
        let cross = cross_validate(&rows, None, &args, 4, &cutoffs).expect("validated");
        assert_eq!(cross.folds.len(), 4);
        // No user is recommended what the fold's model was trained on, and the other parity's items come last.
        for fold in &cross.folds {
            assert_eq!(fold.train_items_recommended, 0);
            assert!((fold.metrics.recall - 1.0).abs() < 1e-12, "{fold:?}");
        }
        let recall = cross.means.iter().find(|m| m.metric == Measure::Recall && m.cutoff == 12);
        let recall = recall.expect("measured");
        assert!((recall.mean - 1.0).abs() < 1e-12 && recall.standard_error < 1e-12);
        assert_eq!(cross.means.len(), 2 * Measure::ALL.len());

        let said = cross_validate(&rows, None, &args, 1, &cutoffs).expect_err("refused");
        assert!(said.to_string().contains("folds"), "{said}");
        let popular = TrainArgs { model: ModelKind::Popularity, ..args };
        let popular = cross_validate(&rows, None, &popular, 4, &cutoffs).expect("validated");
        let of = |cross: &CrossValidation, metric| {
            cross.means.iter().find(|m| m.metric == metric && m.cutoff == 5).expect("measured").mean
        };
        assert!(of(&popular, Measure::Ndcg) < of(&cross, Measure::Ndcg));
    }

    #[test]
    fn means_have_errors_over_folds() {
        let (mean, error) = mean_of(&[0.1, 0.2, 0.3, 0.4]);
        assert!((mean - 0.25).abs() < 1e-12);
        // s² = (0.15² + 0.05² + 0.05² + 0.15²) / 3, over 4.
        assert!((error - (0.05_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }
}
