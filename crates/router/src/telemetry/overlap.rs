//! How much two lists have in common.

/// How much the next rank counts against this one: the first ten ranks have 86 % of the whole weight.
const PERSISTENCE: f64 = 0.9;

/// The share of the items of two lists that both have, of as many as the longer one has. Two empty lists
/// are the same.
pub(crate) fn overlap(one: &[u64], other: &[u64]) -> f64 {
    match one.len().max(other.len()) {
        0 => 1.0,
        longer => in_common(one, other) as f64 / longer as f64,
    }
}

/// The share of the items of `list` that `before` had; none if the list is empty.
pub(crate) fn share_in(list: &[u64], before: &[u64]) -> Option<f64> {
    (!list.is_empty()).then(|| in_common(list, before) as f64 / list.len() as f64)
}

/// Rank-biased overlap, extrapolated to lists without end from what is known of them: RBO_EXT, equation
/// 32 of Webber, Moffat, Zobel, "A similarity measure for indefinite rankings", TOIS 2010, p = 0.9. The
/// lists have no item twice.
pub(crate) fn rank_biased_overlap(one: &[u64], other: &[u64]) -> f64 {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    if short.is_empty() {
        return if long.is_empty() { 1.0 } else { 0.0 };
    }
    let (s, l) = (short.len(), long.len());
    let at = |depth: usize| in_common(&short[..depth.min(s)], &long[..depth]) as f64;
    let (at_short, at_long) = (at(s), at(l));
    let (mut sum, mut weight) = (0.0, 1.0);
    for depth in 1..=l {
        weight *= PERSISTENCE;
        sum += at(depth) / depth as f64 * weight;
        if depth > s {
            // As if the short list went on to agree as often as it did so far.
            sum += at_short * (depth - s) as f64 / (s * depth) as f64 * weight;
        }
    }
    (1.0 - PERSISTENCE) / PERSISTENCE * sum
        + ((at_long - at_short) / l as f64 + at_short / s as f64) * weight
}

/// Lists are of ten items at most, so looking through them is quicker than any set.
fn in_common(one: &[u64], other: &[u64]) -> usize {
    one.iter().filter(|item| other.contains(item)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close_to(measured: f64, expected: f64) {
        assert!((measured - expected).abs() < 1e-12, "{measured} is not {expected}");
    }

    #[test]
    fn values_by_hand() {
        // X = 1, 1, 2: (0.9 + 0.81/2 + 0.729·2/3)/9 + 0.729·2/3.
        close_to(rank_biased_overlap(&[1, 2, 3], &[1, 3, 4]), 0.685);
        // X = 0, 1: (0.81/2)/9 + 0.81/2.
        close_to(rank_biased_overlap(&[1], &[2, 1]), 0.45);
        // X = 0, 1, 2 with s = 2, l = 3, so that the short list's agreement of 1/2 goes on at rank 3.
        close_to(rank_biased_overlap(&[2, 3], &[1, 2, 3]), {
            (0.81 / 2.0 + 0.729 * 2.0 / 3.0 + 1.0 / 6.0 * 0.729) / 9.0
                + (1.0 / 3.0 + 1.0 / 2.0) * 0.729
        });
        // What one list begins the other goes on with: nothing speaks against them being the same.
        close_to(rank_biased_overlap(&[1], &[1, 2]), 1.0);
        close_to(rank_biased_overlap(&[], &[]), 1.0);
        close_to(rank_biased_overlap(&[], &[1, 2]), 0.0);

        close_to(overlap(&[1, 2, 3], &[3, 2, 9]), 2.0 / 3.0);
        close_to(overlap(&[1, 2], &[2, 3, 4, 5]), 0.25);
        close_to(overlap(&[], &[]), 1.0);
        close_to(overlap(&[], &[1]), 0.0);
        assert_eq!(share_in(&[1, 2], &[2, 3, 4, 5]), Some(0.5));
        assert_eq!(share_in(&[], &[2]), None);
    }

    proptest! {
        #[test]
        fn same_lists_have_all_in_common_and_others_nothing(
            all in proptest::collection::hash_set(any::<u64>(), 2..=20), cut in 1usize..19, shorter in 0usize..10,
        ) {
            let all: Vec<u64> = all.into_iter().collect();
            let (one, other) = all.split_at(cut.min(all.len() - 1).min(10));
            let other = &other[..other.len().min(10)];
            prop_assert!((rank_biased_overlap(one, one) - 1.0).abs() < 1e-9);
            prop_assert!((overlap(one, one) - 1.0).abs() < 1e-9);
            prop_assert_eq!(rank_biased_overlap(one, other), 0.0);
            prop_assert_eq!(overlap(one, other), 0.0);
            // Any two lists: symmetric, and within bounds.
            let mixed: Vec<u64> =
                one.iter().rev().chain(other).copied().skip(shorter).take(10).collect();
            let rbo = rank_biased_overlap(one, &mixed);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&rbo), "{}", rbo);
            prop_assert_eq!(rbo, rank_biased_overlap(&mixed, one));
            prop_assert_eq!(overlap(one, &mixed), overlap(&mixed, one));
        }
    }
}
