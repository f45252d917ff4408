//! How much each shown item counts for a policy.

use super::log::LoggedAnswer;

/// What a policy makes of one answer of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct WeightedAnswer {
    /// The weight of each shown item, 0 where the policy does not list it.
    pub(super) weights: Vec<f64>,
    /// How much attention the policy's list gets: its ranks, each as likely as it is looked at.
    pub(super) attention: f64,
    /// How many weights were cut to the largest that is allowed.
    pub(super) clipped: usize,
}

/// Weighs the items of an answer for a policy that lists `list`. `ranks` says how likely each rank is looked at, for
/// all shown items.
///
/// With `any_rank` an item counts wherever it was shown, its reward being in proportion to its rank's attention;
/// else only at the rank that the policy gives it.
pub(super) fn weigh(
    answer: &LoggedAnswer,
    list: &[u32],
    ranks: &[f64],
    any_rank: bool,
    max_weight: f64,
) -> WeightedAnswer {
    let shown = &answer.shown;
    let list = &list[..list.len().min(shown.len())];
    let attention_of_all: f64 = ranks[..shown.len()].iter().sum();
    let mut clipped = 0;
    let mut weights = Vec::with_capacity(shown.len());
    for (place, item) in shown.iter().enumerate() {
        let weight = if any_rank {
            // The attention that the log gives the item on average: a drawn one could be at any rank.
            let of_log = if item.is_drawn { attention_of_all } else { ranks[place] };
            let wanted = list.iter().position(|listed| *listed == item.item);
            wanted.map_or(0.0, |wanted| ranks[wanted] / (item.propensity * of_log))
        } else if list.get(place) == Some(&item.item) {
            item.propensity.recip()
        } else {
            0.0
        };
        clipped += usize::from(weight > max_weight);
        weights.push(weight.min(max_weight));
    }
    WeightedAnswer { weights, attention: ranks[..list.len()].iter().sum(), clipped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::off_policy::log::ShownItem;

    fn answer(items: &[(u32, f64, bool)]) -> LoggedAnswer {
        let shown = items.iter().map(|&(item, propensity, is_drawn)| ShownItem {
            item,
            propensity,
            is_drawn,
            reward: 0.0,
        });
        LoggedAnswer { user: 0, shown: shown.collect() }
    }

    #[test]
    fn weights_by_hand() {
        let shown = answer(&[(1, 0.8, false), (2, 0.8, false), (9, 0.1, true)]);
        let (ranks, list) = ([1.0, 0.5, 0.25], [1, 9, 2]);
        let same = weigh(&shown, &list, &ranks, false, 100.0);
        assert_eq!(same.weights, [1.25, 0.0, 0.0]);
        let any = weigh(&shown, &list, &ranks, true, 100.0);
        // 2 moves from rank 2 to 3; 9 is wanted at rank 2, and could have been drawn to any.
        assert_eq!(any.weights, [1.25, 0.25 / 0.4, 0.5 / (0.1 * 1.75)]);
        assert_eq!((any.attention, any.clipped), (1.75, 0));
        let clipped = weigh(&shown, &list, &ranks, true, 1.0);
        assert_eq!((clipped.weights, clipped.clipped), (vec![1.0, 0.625, 1.0], 2));
    }

    #[test]
    fn a_list_that_is_too_short_gets_less_attention() {
        let shown = answer(&[(1, 1.0, false), (2, 1.0, false)]);
        let weighed = weigh(&shown, &[2], &[1.0, 0.5], true, 100.0);
        assert_eq!((weighed.weights, weighed.attention), (vec![0.0, 2.0], 1.0));
        assert_eq!(weigh(&shown, &[], &[1.0, 0.5], false, 100.0).attention, 0.0);
    }
}
