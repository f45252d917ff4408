//! How interactions are to be cut: settings and their bounds.

use crate::error::TrainError;
use clap::ValueEnum;
use serde::Serialize;

/// What decides which rows are held out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitBy {
    /// Each user's last share by time.
    #[default]
    Time,
    /// The last share of all rows by time: after one moment, of all users.
    GlobalTime,
    /// Each user's last row; with --valid the last but one to validate on.
    LeaveLast,
    /// All rows of some users: their last share is to be found, the others are what they come with.
    User,
    /// Every row once, in one of K folds.
    Rows,
}

impl SplitBy {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::GlobalTime => "global-time",
            Self::LeaveLast => "leave-last",
            Self::User => "user",
            Self::Rows => "rows",
        }
    }

    /// Whether the rows to validate on stay in the train part. They do where a model is refitted to
    /// all of it before the test; a sequence's last but one row is a test of its own.
    pub fn keeps_valid_in_train(self) -> bool {
        matches!(self, Self::Time | Self::GlobalTime)
    }
}

/// Most folds: each is a directory and a training run.
const MAX_FOLDS: usize = 100;
/// Folds where none are asked for.
const DEFAULT_FOLDS: usize = 5;

/// How to cut. [`validate`](Self::validate) checks what goes with what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitOptions {
    /// What decides which rows are held out.
    pub by: SplitBy,
    /// Share to hold out, above 0 and below 1: of a user's rows, of all rows, or of the users.
    pub share: f64,
    /// Share of a held-out user's rows that are to be found, above 0 and below 1.
    pub target_share: f64,
    /// Into how many folds rows, or users, are dealt, 2 to 100; none is one split (5 folds by rows).
    pub folds: Option<usize>,
    /// What everything random comes from.
    pub seed: u64,
    /// Fewest rows of a user who takes part.
    pub min_rows: usize,
    /// Whether rows are held out to validate on.
    pub valid: bool,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            by: SplitBy::default(),
            share: 0.2,
            target_share: 0.2,
            folds: None,
            seed: 1,
            min_rows: 5,
            valid: false,
        }
    }
}

impl SplitOptions {
    /// Into how many folds; 1 is a single split.
    pub fn folds(&self) -> usize {
        self.folds.unwrap_or(if self.by == SplitBy::Rows { DEFAULT_FOLDS } else { 1 })
    }

    /// Fewest rows that the way to cut needs of a user: one for each part.
    fn parts(&self) -> usize {
        2 + usize::from(self.valid && !matches!(self.by, SplitBy::User))
    }

    /// Checks that every option is within its bounds.
    ///
    /// # Errors
    /// The first setting that is out of its bounds or doesn't go with the others.
    pub fn validate(&self) -> Result<(), TrainError> {
        for (option, share) in [("--share", self.share), ("--target-share", self.target_share)] {
            if !(share > 0.0 && share < 1.0) {
                return Err(TrainError::option(
                    option,
                    format!("{share} is not above 0 and below 1"),
                ));
            }
        }
        if let Some(folds) = self.folds {
            if !matches!(self.by, SplitBy::Rows | SplitBy::User) {
                let problem =
                    format!("there are no folds by {}: use --by rows or --by user", self.by.name());
                return Err(TrainError::option("--folds", problem));
            }
            if !(2..=MAX_FOLDS).contains(&folds) {
                return Err(TrainError::option(
                    "--folds",
                    format!("{folds} is not in 2 to {MAX_FOLDS}"),
                ));
            }
        }
        if self.valid && self.folds() > 1 {
            let problem = "folds have no validation part: split one off first, and fold the rest";
            return Err(TrainError::option("--valid", problem));
        }
        if self.min_rows < self.parts() {
            let problem = format!(
                "{} is too few: each part needs a row of the user, at least {}",
                self.min_rows,
                self.parts()
            );
            return Err(TrainError::option("--min-rows", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let message = |options: SplitOptions| options.validate().expect_err("refused").to_string();
        let base = SplitOptions::default();
        base.validate().expect("defaults are fine");
        for share in [0.0, 1.0, f64::NAN] {
            let text = message(SplitOptions { share, ..base.clone() });
            assert_eq!(text, format!("--share: {share} is not above 0 and below 1"));
        }
        assert_eq!(
            message(SplitOptions { folds: Some(3), ..base.clone() }),
            "--folds: there are no folds by time: use --by rows or --by user"
        );
        let by_rows = SplitOptions { by: SplitBy::Rows, ..base.clone() };
        assert_eq!(by_rows.folds(), 5);
        assert_eq!(
            message(SplitOptions { folds: Some(1), ..by_rows.clone() }),
            "--folds: 1 is not in 2 to 100"
        );
        assert!(message(SplitOptions { valid: true, ..by_rows }).starts_with("--valid: "));
        assert_eq!(
            message(SplitOptions { min_rows: 2, valid: true, ..base }),
            "--min-rows: 2 is too few: each part needs a row of the user, at least 3"
        );
    }
}
