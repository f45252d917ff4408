//! Estimates of a candidate over a log, or why there are none.

use super::assumption::Assumption;
use super::curve::{DEFAULT_EXPONENT, PositionCurve};
use super::interval::{Interval, MAX_GROUPS_OF_USERS, intervals};
use super::log::LoggedAnswer;
use super::sums::{ANSWERS, BASELINE, CANDIDATE, LOGGED, PolicySums, SUMS, Statistic, Sums};
use super::weights::weigh;
use serde::Serialize;

/// The largest weight by default. A weight stands for so many answers; one that is larger than a log is long says
/// nothing but that it happened.
pub const DEFAULT_MAX_WEIGHT: f64 = 10_000.0;
/// The least share of a candidate's lists that the log must have evidence for, by default: what the rest earns is
/// anyone's guess.
pub const DEFAULT_MIN_SUPPORT: f64 = 0.9;
/// The least number of effective users: with fewer, an interval says less than it seems to.
pub const MIN_EFFECTIVE_USERS: f64 = 100.0;

/// How a policy's reward is estimated from weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// The mean of weighted rewards.
    Ips,
    /// The same, divided by the mean weight.
    Snips,
    /// What a reward model expects, corrected by weighted errors of the model.
    Dr,
}

impl Estimator {
    /// All three estimators, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Ips, Self::Snips, Self::Dr];

    /// The estimate for a policy.
    fn of(self, sums: &Sums, policy: PolicySums) -> Statistic {
        match self {
            Self::Ips => Statistic::mean(sums, policy.rewards),
            Self::Snips => Statistic::self_normalised(sums, policy),
            Self::Dr => Statistic::mean(sums, policy.robust),
        }
    }
}

/// Why there is no estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Refusal {
    /// There are no answers.
    #[error("no answer of the log can be evaluated")]
    NoAnswers,
    /// Nothing else could have been shown than what was.
    #[error(
        "logging was deterministic, and has evidence for only {:.1} % of the lists where {:.1} % are needed: randomise \
         slots", support * 100.0, least * 100.0
    )]
    Deterministic {
        /// The share of the lists that there is evidence for.
        support: f64,
        /// The least share.
        least: f64,
    },
    /// The log lacks items that the candidate lists.
    #[error(
        "the log has evidence for only {:.1} % of the lists where {:.1} % are needed: log more answers with randomised \
         slots", support * 100.0, least * 100.0
    )]
    Support {
        /// The share of the lists that there is evidence for.
        support: f64,
        /// The least share.
        least: f64,
    },
    /// Few users carry all the weight.
    #[error(
        "the weights leave {effective_users:.0} effective users where {least:.0} are needed: log more answers"
    )]
    EffectiveUsers {
        /// How many equally weighted users would say as much.
        effective_users: f64,
        /// The least number.
        least: f64,
    },
}

/// How a candidate is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How likely each rank is looked at.
    pub curve: PositionCurve,
    /// The largest weight, above 0.
    pub max_weight: f64,
    /// The least share of a candidate's lists that is supported, 0 to 1.
    pub min_support: f64,
    /// Draws of users for the intervals.
    pub resamples: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            curve: PositionCurve::assumed(DEFAULT_EXPONENT),
            max_weight: DEFAULT_MAX_WEIGHT,
            min_support: DEFAULT_MIN_SUPPORT,
            resamples: 1_000,
        }
    }
}

/// The figures of an estimate; rewards are for each answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The candidate's reward.
    pub candidate: Interval,
    /// The candidate's reward less the baseline's.
    pub difference: Interval,
}

/// One estimate, and what it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimator that it is by.
    pub estimator: Estimator,
    /// What its weights assume.
    pub assumption: Assumption,
    /// The share of the candidate's lists that the log has evidence for, ranks counting as they are looked at. An
    /// estimate itself, which may be above 1.
    pub support: f64,
    /// How many equally weighted users would say as much (Kish).
    pub effective_users: f64,
    /// Weights that were cut to the largest.
    pub clipped: usize,
    /// The figures; none where they are refused.
    pub figures: Option<Figures>,
    /// Why they are refused.
    pub refusal: Option<Refusal>,
}

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Answers of the log.
    pub answers: usize,
    /// How many users they were for.
    pub users: usize,
    /// The answers that something else could have been shown in.
    pub randomised_answers: usize,
    /// Items that were drawn.
    pub drawn_items: usize,
    /// What the logged answers have earned, each.
    pub logged: Interval,
    /// The estimates, by assumption.
    pub estimates: Vec<Estimate>,
}

/// The sums of all answers, by user, under one assumption.
struct SumsOfUsers {
    assumption: Assumption,
    users: Vec<Sums>,
    clipped: usize,
}

impl SumsOfUsers {
    /// Weighs all answers for the candidate and the baseline; the baseline without lists is the log's own policy.
    fn of(
        assumption: Assumption,
        answers: &[LoggedAnswer],
        candidate: &[Vec<u32>],
        baseline: Option<&[Vec<u32>]>,
        predict: &dyn Fn(Assumption, &LoggedAnswer, u32, usize) -> f64,
        options: &Options,
    ) -> Self {
        let any_rank = assumption == Assumption::PositionBased;
        let most_shown = answers.iter().map(|answer| answer.shown.len()).max().unwrap_or(0);
        let ranks = if any_rank { options.curve.ranks(most_shown) } else { vec![1.0; most_shown] };
        let last_user = answers.iter().map(|answer| answer.user as usize + 1).max().unwrap_or(0);
        let mut users = vec![[0.0; SUMS]; last_user];
        let mut clipped = 0;
        for (n, answer) in answers.iter().enumerate() {
            let sums = &mut users[answer.user as usize];
            let logged: f64 = answer.shown.iter().map(|shown| shown.reward).sum();
            sums[ANSWERS] += 1.0;
            sums[LOGGED] += logged;
            let mut add = |list: &[u32], places: PolicySums| {
                let weighed = weigh(answer, list, &ranks, any_rank, options.max_weight);
                let list = &list[..list.len().min(answer.shown.len())];
                let expected =
                    (0..).zip(list).map(|(place, item)| predict(assumption, answer, *item, place));
                sums[places.robust] += expected.sum::<f64>();
                sums[places.attention] += weighed.attention;
                for (place, (shown, weight)) in
                    answer.shown.iter().zip(&weighed.weights).enumerate()
                {
                    if *weight > 0.0 {
                        let error = shown.reward - predict(assumption, answer, shown.item, place);
                        sums[places.rewards] += weight * shown.reward;
                        sums[places.robust] += weight * error;
                        sums[places.supported] += weight * ranks[place];
                    }
                }
                weighed.clipped
            };
            clipped += add(&candidate[n], CANDIDATE);
            if let Some(lists) = baseline {
                add(&lists[n], BASELINE);
                continue;
            }
            let attention: f64 = ranks[..answer.shown.len()].iter().sum();
            sums[BASELINE.rewards] += logged;
            sums[BASELINE.robust] += logged;
            sums[BASELINE.attention] += attention;
            sums[BASELINE.supported] += attention;
        }
        users.retain(|sums| sums[ANSWERS] > 0.0);
        Self { assumption, users, clipped }
    }

    /// The sums of at most [`MAX_GROUPS_OF_USERS`] groups of users.
    fn groups(&self) -> Vec<Sums> {
        let mut groups = vec![[0.0; SUMS]; self.users.len().min(MAX_GROUPS_OF_USERS)];
        for (n, user) in self.users.iter().enumerate() {
            let group = &mut groups[n % MAX_GROUPS_OF_USERS];
            group.iter_mut().zip(user).for_each(|(sum, of_user)| *sum += of_user);
        }
        groups
    }

    /// The share of a policy's lists that there is evidence for; 1 where it lists nothing.
    fn support(&self, policy: PolicySums) -> f64 {
        let sum = |place: usize| self.users.iter().map(|sums| sums[place]).sum::<f64>();
        let attention = sum(policy.attention);
        if attention > 0.0 { sum(policy.supported) / attention } else { 1.0 }
    }

    /// How many equally weighted users would say as much of a policy.
    fn effective_users(&self, policy: PolicySums) -> f64 {
        let weights = || self.users.iter().map(|sums| sums[policy.supported]);
        let squares: f64 = weights().map(|weight| weight * weight).sum();
        if squares > 0.0 { weights().sum::<f64>().powi(2) / squares } else { 0.0 }
    }

    /// Why nothing can be said of the candidate or the baseline.
    fn refusal(&self, is_deterministic: bool, options: &Options) -> Option<Refusal> {
        let support = self.support(CANDIDATE).min(self.support(BASELINE));
        let least = options.min_support;
        if support < least {
            return Some(if is_deterministic {
                Refusal::Deterministic { support, least }
            } else {
                Refusal::Support { support, least }
            });
        }
        let effective_users = self.effective_users(CANDIDATE).min(self.effective_users(BASELINE));
        let least = MIN_EFFECTIVE_USERS;
        (effective_users < least).then_some(Refusal::EffectiveUsers { effective_users, least })
    }

    fn estimate(
        &self,
        estimator: Estimator,
        figures: Option<Figures>,
        refusal: Option<Refusal>,
    ) -> Estimate {
        Estimate {
            estimator,
            assumption: self.assumption,
            support: self.support(CANDIDATE),
            effective_users: self.effective_users(CANDIDATE),
            clipped: self.clipped,
            figures,
            refusal,
        }
    }
}

/// Estimates what a policy would have earned that lists `candidate`, a list for each answer, and how much more than
/// the policy of the log, or than one that lists `baseline`. Of a list, as many items count as the answer showed.
///
/// `predict(assumption, answer, item, place)` is the reward model of an assumption: what an item at a rank, from 0, of
/// an answer is expected to earn. `below(n)` gives a random number in `0..n`.
///
/// # Panics
/// If there are not as many lists as answers.
pub fn evaluate(
    answers: &[LoggedAnswer],
    candidate: &[Vec<u32>],
    baseline: Option<&[Vec<u32>]>,
    predict: &dyn Fn(Assumption, &LoggedAnswer, u32, usize) -> f64,
    options: &Options,
    below: &mut dyn FnMut(usize) -> usize,
) -> Evaluation {
    assert_eq!(answers.len(), candidate.len(), "a list for each answer");
    assert!(baseline.is_none_or(|lists| lists.len() == answers.len()), "a list for each answer");
    let randomised_answers = answers.iter().filter(|answer| answer.is_randomised()).count();
    let drawn = |answer: &LoggedAnswer| answer.shown.iter().filter(|it| it.is_drawn).count();
    let mut evaluation = Evaluation {
        answers: answers.len(),
        users: 0,
        randomised_answers,
        drawn_items: answers.iter().map(drawn).sum(),
        logged: Interval { value: 0.0, low: 0.0, high: 0.0, standard_error: 0.0 },
        estimates: Vec::new(),
    };
    for assumption in Assumption::ALL {
        let sums = SumsOfUsers::of(assumption, answers, candidate, baseline, predict, options);
        evaluation.users = sums.users.len();
        if answers.is_empty() {
            let refused = |estimator| sums.estimate(estimator, None, Some(Refusal::NoAnswers));
            evaluation.estimates.extend(Estimator::ALL.map(refused));
            continue;
        }
        let groups = sums.groups();
        let statistics = |total: &Sums| {
            let [ips, snips, dr] = Estimator::ALL.map(|it| it.of(total, CANDIDATE));
            let [base_ips, base_snips, base_dr] = Estimator::ALL.map(|it| it.of(total, BASELINE));
            let logged = Statistic::mean(total, LOGGED);
            let difference = [ips.minus(&base_ips), snips.minus(&base_snips), dr.minus(&base_dr)];
            [ips, snips, dr, difference[0], difference[1], difference[2], logged]
        };
        let found = intervals(&groups, statistics, options.resamples, below);
        evaluation.logged = found[6];
        let refusal = sums.refusal(randomised_answers == 0, options);
        for (n, estimator) in Estimator::ALL.into_iter().enumerate() {
            let figures = Figures { candidate: found[n], difference: found[n + 3] };
            let figures = refusal.is_none().then_some(figures);
            evaluation.estimates.push(sums.estimate(estimator, figures, refusal));
        }
    }
    evaluation
}
