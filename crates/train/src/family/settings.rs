//! What each family makes of the flags: which it takes, their bounds, and what holds where none is given.

use super::hybrid;
use crate::als::{AlsOptions, RegularizationScaling};
use crate::error::TrainError;
use crate::options::{ModelKind, NeighboursBy, Optimizer, Similarity, TrainArgs};
use marquee_core::bounds::MAX_RANK;
use marquee_core::model::recipe::{HistoryWeights, MAX_NEIGHBOURS};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Most iterations: every trainer is done long before.
const MAX_ITERATIONS: usize = 10_000;
/// Most neighbours of an item: the row-sums of a request grow with it.
const MAX_KEPT: usize = 100_000;
/// Longest window of a Markov chain: every interaction is paired with so many later ones.
const MAX_WINDOW: usize = 1_000;
/// Longest half-life in days: a century is for ever.
const MAX_HALF_LIFE: f64 = 36_500.0;
/// Most topics that are listed.
const MAX_TOPICS: usize = MAX_RANK;

/// How much λ of EASE grows with each user, see [`TrainArgs::ease_lambda`].
const EASE_LAMBDA_A_USER: f32 = 0.2;
/// What λ of EASE is kept within. Steck (2019) has 200 to 1,000 for catalogues of 20,000 to 41,000 items.
const EASE_LAMBDA: (f32, f32) = (50.0, 1_000.0);

impl ModelKind {
    /// The flags of models that it takes; all others are refused with it.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Mf => &[
                "--factors",
                "--regularization",
                "--regularization-scaling",
                "--alpha",
                "--iterations",
            ],
            Self::MfSgd => {
                &["--factors", "--regularization", "--iterations", "--learning-rate", "--optimizer"]
            }
            Self::Bpr => &["--factors", "--regularization", "--iterations", "--learning-rate"],
            Self::ItemKnn => &[
                "--similarity",
                "--shrinkage",
                "--neighbours",
                "--bm25-k1",
                "--bm25-b",
                "--decay",
                "--newest",
            ],
            Self::UserKnn => &[
                "--similarity",
                "--neighbours",
                "--by",
                "--decay",
                "--newest",
                "--factors",
                "--regularization",
                "--alpha",
                "--iterations",
            ],
            Self::Ease => &["--regularization", "--neighbours", "--decay", "--newest"],
            Self::Rp3beta => &["--beta", "--neighbours", "--decay", "--newest"],
            Self::Transitions => {
                &["--window", "--window-decay", "--neighbours", "--decay", "--newest"]
            }
            Self::Content => &["--factors", "--decay", "--topics"],
            Self::Trending => &["--half-life"],
            Self::Popularity | Self::Hybrid => &[],
        }
    }
}

/// Refuses what is not in a range.
fn within<T: PartialOrd + Display + Copy>(
    flag: &'static str,
    value: Option<T>,
    range: RangeInclusive<T>,
) -> Result<(), TrainError> {
    match value {
        Some(value) if !range.contains(&value) => {
            let problem = format!("{value} is not in {} to {}", range.start(), range.end());
            Err(TrainError::option(flag, problem))
        }
        _ => Ok(()),
    }
}

/// Refuses what is below zero, or not above it, or no number.
fn positive<T: Into<f64> + Display + Copy>(
    flag: &'static str,
    value: Option<T>,
    or_zero: bool,
) -> Result<(), TrainError> {
    let Some(value) = value else { return Ok(()) };
    let number: f64 = value.into();
    if number.is_finite() && (number > 0.0 || or_zero && number == 0.0) {
        return Ok(());
    }
    let bound = if or_zero { "of at least 0" } else { "above 0" };
    Err(TrainError::option(flag, format!("{value} is not a finite number {bound}")))
}

/// Refuses what is not above 0 and at most 1.
fn share(flag: &'static str, value: Option<f64>) -> Result<(), TrainError> {
    match value {
        Some(value) if !(value > 0.0 && value <= 1.0) => {
            Err(TrainError::option(flag, format!("{value} is not above 0 and at most 1")))
        }
        _ => Ok(()),
    }
}

impl TrainArgs {
    /// Checks the flags of models: bounds first, then whether the model takes them.
    pub(crate) fn validate_model(&self) -> Result<(), TrainError> {
        within("--factors", self.factors, 1..=MAX_RANK)?;
        within("--iterations", self.iterations, 1..=MAX_ITERATIONS)?;
        positive("--regularization", self.regularization, true)?;
        positive("--alpha", self.alpha, false)?;
        positive("--learning-rate", self.learning_rate, false)?;
        positive("--shrinkage", self.shrinkage, true)?;
        positive("--bm25-k1", self.bm25_k1, true)?;
        within("--bm25-b", self.bm25_b, 0.0..=1.0)?;
        within("--window", self.window, 1..=MAX_WINDOW)?;
        within("--newest", self.newest, 1..=u32::MAX)?;
        within("--topics", self.topics, 0..=MAX_TOPICS)?;
        share("--decay", self.decay)?;
        share("--window-decay", self.window_decay)?;
        positive("--beta", self.beta, true)?;
        positive("--half-life", self.half_life, false)?;
        within("--half-life", self.half_life, 0.0..=MAX_HALF_LIFE)?;
        let most = match self.model {
            ModelKind::UserKnn => MAX_NEIGHBOURS as usize,
            _ => MAX_KEPT,
        };
        within("--neighbours", self.neighbours, 1..=most)?;
        let for_all = matches!(self.model, ModelKind::Popularity | ModelKind::Trending);
        if self.users.is_some() && for_all {
            let problem =
                format!("--model {} answers everybody alike: leave it out", self.model.name());
            return Err(TrainError::option("--users", problem));
        }
        let predicts = matches!(self.model, ModelKind::Mf | ModelKind::Hybrid);
        if self.cold_items && !predicts {
            let problem = "it goes with --model mf or hybrid: leave it out";
            return Err(TrainError::option("--cold-items", problem));
        }
        self.validate_members()?;
        self.refuse_what_is_not_taken()
    }

    /// Checks the members of a hybrid, each as if it were trained alone.
    fn validate_members(&self) -> Result<(), TrainError> {
        let wrong = |problem: String| Err(TrainError::option("--config", problem));
        if !self.members.is_empty() && self.model != ModelKind::Hybrid {
            return wrong("members go with model hybrid: leave them out".into());
        }
        for (n, member) in self.members.iter().enumerate() {
            let name = member.model.name();
            if !hybrid::MEMBERS.contains(&member.model) || !member.members.is_empty() {
                let known: Vec<&str> = hybrid::MEMBERS.iter().map(|kind| kind.name()).collect();
                return wrong(format!(
                    "{name} is no member of a hybrid: take {}",
                    known.join(", ")
                ));
            }
            if self.members[..n].iter().any(|other| other.model == member.model) {
                return wrong(format!("members name {name} twice: take one of them"));
            }
            // What goes with the whole is checked of the whole.
            let alone =
                TrainArgs { users: None, cold_items: false, members: Vec::new(), ..self.clone() };
            member.fill(&alone).validate_model()?;
        }
        Ok(())
    }

    fn refuse_what_is_not_taken(&self) -> Result<(), TrainError> {
        let given = [
            ("--factors", self.factors.is_some()),
            ("--regularization", self.regularization.is_some()),
            ("--regularization-scaling", self.regularization_scaling.is_some()),
            ("--alpha", self.alpha.is_some()),
            ("--iterations", self.iterations.is_some()),
            ("--learning-rate", self.learning_rate.is_some()),
            ("--optimizer", self.optimizer.is_some()),
            ("--similarity", self.similarity.is_some()),
            ("--shrinkage", self.shrinkage.is_some()),
            ("--bm25-k1", self.bm25_k1.is_some()),
            ("--bm25-b", self.bm25_b.is_some()),
            ("--neighbours", self.neighbours.is_some()),
            ("--by", self.by.is_some()),
            ("--decay", self.decay.is_some()),
            ("--newest", self.newest.is_some()),
            ("--window", self.window.is_some()),
            ("--window-decay", self.window_decay.is_some()),
            ("--beta", self.beta.is_some()),
            ("--half-life", self.half_life.is_some()),
            ("--topics", self.topics.is_some()),
        ];
        let (kind, taken) = (self.model.name(), self.model.flags());
        let useless = given.iter().find(|(flag, given)| *given && !taken.contains(flag));
        if let Some((flag, _)) = useless {
            let instead = match taken {
                [] => "takes no flags of its own".to_string(),
                some => format!("takes {}", some.join(", ")),
            };
            let problem = format!("--model {kind} has no use for it and {instead}");
            return Err(TrainError::option(flag, problem));
        }
        self.refuse_what_does_not_go_together()
    }

    fn refuse_what_does_not_go_together(&self) -> Result<(), TrainError> {
        let similarity = self.similarity();
        match self.model {
            ModelKind::ItemKnn => {
                if similarity == Similarity::Pearson {
                    let problem =
                        "pearson is for --model user-knn: take cosine, jaccard, bm25 or tf-idf";
                    return Err(TrainError::option("--similarity", problem));
                }
                let of_bm25 = similarity == Similarity::Bm25;
                for (flag, given) in
                    [("--bm25-k1", self.bm25_k1.is_some()), ("--bm25-b", self.bm25_b.is_some())]
                {
                    if given && !of_bm25 {
                        let problem = "it goes with --similarity bm25 only: leave it out";
                        return Err(TrainError::option(flag, problem));
                    }
                }
                if of_bm25 && self.shrinkage.is_some() {
                    let problem = "bm25 has nothing below the line: leave it out, or take cosine, jaccard or tf-idf";
                    return Err(TrainError::option("--shrinkage", problem));
                }
                Ok(())
            }
            ModelKind::UserKnn => {
                if !matches!(similarity, Similarity::Cosine | Similarity::Pearson) {
                    let problem = format!(
                        "{} is for --model item-knn: take cosine or pearson",
                        similarity.name()
                    );
                    return Err(TrainError::option("--similarity", problem));
                }
                let vectors = self.by() == NeighboursBy::Vectors;
                let misplaced = [
                    ("--factors", self.factors.is_some(), false),
                    ("--regularization", self.regularization.is_some(), false),
                    ("--alpha", self.alpha.is_some(), false),
                    ("--iterations", self.iterations.is_some(), false),
                    ("--similarity", self.similarity.is_some(), true),
                    ("--decay", self.decay.is_some(), true),
                    ("--newest", self.newest.is_some(), true),
                ];
                for (flag, _, of_histories) in misplaced.into_iter().filter(|(_, given, _)| *given)
                {
                    if of_histories == vectors {
                        let by = if of_histories { "histories" } else { "vectors" };
                        let problem = format!("it goes with --by {by} only: leave it out");
                        return Err(TrainError::option(flag, problem));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Components of a vector.
    pub fn factors(&self) -> usize {
        self.factors.unwrap_or(match self.model {
            ModelKind::Content => 50,
            _ => 64,
        })
    }

    /// λ of gradient descent, or of ALS; that of EASE depends on the data.
    pub fn regularization(&self) -> f32 {
        self.regularization.unwrap_or(match self.model {
            ModelKind::MfSgd => 0.05,
            ModelKind::Bpr => 0.01,
            _ => 10.0,
        })
    }

    /// λ of EASE for so many users: as given, or a fifth of the users within 50 to 1,000. More users
    /// make the Gram matrix larger, and what is right for it grows with it until it stays.
    pub(crate) fn ease_lambda(&self, users: usize) -> f32 {
        let (low, high) = EASE_LAMBDA;
        self.regularization.unwrap_or((EASE_LAMBDA_A_USER * users as f32).clamp(low, high))
    }

    /// How λ of ALS is spread.
    pub fn regularization_scaling(&self) -> RegularizationScaling {
        self.regularization_scaling.unwrap_or_default()
    }

    /// Confidence in an observed pair of weight 1.
    pub fn alpha(&self) -> f32 {
        self.alpha.unwrap_or(1.0)
    }

    /// Sweeps.
    pub fn iterations(&self) -> usize {
        self.iterations.unwrap_or(match self.model {
            ModelKind::MfSgd => 30,
            ModelKind::Bpr => 100,
            _ => 15,
        })
    }

    /// Length of a step.
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate.unwrap_or(match (self.model, self.optimizer()) {
            (ModelKind::Bpr, _) => 0.05,
            (_, Optimizer::Adam) => 0.005,
            (_, Optimizer::Sgd) => 0.01,
        })
    }

    /// How gradients become steps.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer.unwrap_or_default()
    }

    /// What makes two items or users similar.
    pub fn similarity(&self) -> Similarity {
        self.similarity.unwrap_or(match self.model {
            ModelKind::UserKnn => Similarity::Cosine,
            _ => Similarity::Bm25,
        })
    }

    /// How users of like taste are found.
    pub fn by(&self) -> NeighboursBy {
        self.by.unwrap_or_default()
    }

    /// Neighbours of each item that are kept, or users that are asked.
    pub fn neighbours(&self) -> usize {
        self.neighbours.unwrap_or(match self.model {
            ModelKind::UserKnn => 100,
            ModelKind::ItemKnn => 200,
            _ => 500,
        })
    }

    /// What the history weighs; without times nothing is newer than anything else.
    ///
    /// # Errors
    /// When weights by age were asked for and there are no times.
    pub(crate) fn history_weights(&self, has_times: bool) -> Result<HistoryWeights, TrainError> {
        if !has_times {
            self.needs_times("--decay", self.decay.is_some_and(|decay| decay < 1.0))?;
            self.needs_times("--newest", self.newest.is_some())?;
            return Ok(HistoryWeights::default());
        }
        let newest = self.newest.or((self.model == ModelKind::Transitions).then_some(50));
        Ok(HistoryWeights { by_value: false, decay: self.decay(), newest })
    }

    /// What an interaction weighs against the next newer one.
    pub(crate) fn decay(&self) -> f64 {
        self.decay.unwrap_or(match self.model {
            ModelKind::Ease | ModelKind::Transitions => 0.8,
            _ => 0.9,
        })
    }

    fn needs_times(&self, flag: &'static str, given: bool) -> Result<(), TrainError> {
        match given {
            true => Err(TrainError::option(
                flag,
                "the interactions have no times: leave it out, or name their column with --time-column",
            )),
            false => Ok(()),
        }
    }

    /// Settings of ALS.
    pub fn als(&self) -> AlsOptions {
        AlsOptions {
            factors: self.factors(),
            regularization: self.regularization(),
            scaling: self.regularization_scaling(),
            iterations: self.iterations(),
            seed: self.seed,
        }
    }
}
