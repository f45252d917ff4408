//! The reward model of the doubly robust estimator: means by rank and item.

use super::assumption::Assumption;
use super::curve::PositionCurve;
use super::log::LoggedAnswer;

/// Rewards that an item is taken to have had beforehand, at the rate of its ranks: an item that was shown rarely
/// keeps near to the mean of its ranks.
const PRIOR_REWARDS: f64 = 5.0;
/// Users are halved; the model of one half is fitted to the other, so that no answer predicts itself.
const FOLDS: usize = 2;

/// The mean reward of a rank, times how much better an item does than the ranks that it was shown at: for each
/// [`Assumption`] in its form, since a model of another form would bias what weights correct.
#[derive(Clone, Debug)]
pub struct ItemMeans {
    by_item_and_rank: [Means; FOLDS],
    position_based: [Means; FOLDS],
}

#[derive(Clone, Debug, Default)]
struct Means {
    /// By rank, from the first.
    of_rank: Vec<f64>,
    /// By item; 1 is as good as the mean.
    of_item: Vec<f64>,
}

impl ItemMeans {
    /// Fits the means to a log; position-based ones fall off by rank as the curve does.
    pub fn fit(answers: &[LoggedAnswer], curve: PositionCurve) -> Self {
        Self {
            by_item_and_rank: std::array::from_fn(|fold| Means::fit(answers, fold, None)),
            position_based: std::array::from_fn(|fold| Means::fit(answers, fold, Some(curve))),
        }
    }

    /// The reward that an item at a rank, from 0, is expected to earn from a user.
    pub fn predict(&self, assumption: Assumption, user: u32, item: u32, place: usize) -> f64 {
        let folds = match assumption {
            Assumption::ItemAndRank => &self.by_item_and_rank,
            Assumption::PositionBased => &self.position_based,
        };
        let Means { of_rank, of_item } = &folds[fold_of(user)];
        let of_rank = of_rank.get(place).copied().unwrap_or(0.0);
        of_rank * of_item.get(item as usize).copied().unwrap_or(1.0)
    }
}

impl Means {
    /// The means of the users who are not in a fold.
    fn fit(answers: &[LoggedAnswer], fold: usize, curve: Option<PositionCurve>) -> Self {
        let items = answers.iter().flat_map(|answer| &answer.shown).map(|shown| shown.item);
        let items = items.max().map_or(0, |last| last as usize + 1);
        let ranks = answers.iter().map(|answer| answer.shown.len()).max().unwrap_or(0);
        let others = || answers.iter().filter(move |answer| fold_of(answer.user) != fold);
        let (mut rewards, mut shows) = (vec![0.0; ranks], vec![0.0; ranks]);
        for answer in others() {
            for (place, shown) in answer.shown.iter().enumerate() {
                rewards[place] += shown.reward;
                shows[place] += 1.0;
            }
        }
        let (rewards_of_all, shows_of_all) = (rewards.iter().sum(), shows.iter().sum());
        let of_rank: Vec<f64> = match curve {
            None => rewards.iter().zip(&shows).map(|(sum, count)| ratio(*sum, *count)).collect(),
            Some(curve) => {
                let attention = curve.ranks(ranks);
                let of_all: f64 = attention.iter().zip(&shows).map(|(by, count)| by * count).sum();
                let scale = ratio(rewards_of_all, of_all);
                attention.iter().map(|by| by * scale).collect()
            }
        };
        let (mut earned, mut expected) = (vec![0.0; items], vec![0.0; items]);
        for answer in others() {
            for (place, shown) in answer.shown.iter().enumerate() {
                earned[shown.item as usize] += shown.reward;
                expected[shown.item as usize] += of_rank[place];
            }
        }
        // In the unit of rewards, which may be seconds.
        let prior = PRIOR_REWARDS * ratio(rewards_of_all, shows_of_all).max(1.0);
        let of_item =
            earned.iter().zip(&expected).map(|(sum, mean)| (sum + prior) / (mean + prior));
        let of_item = of_item.collect();
        Self { of_rank, of_item }
    }
}

fn fold_of(user: u32) -> usize {
    user as usize % FOLDS
}

fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}
