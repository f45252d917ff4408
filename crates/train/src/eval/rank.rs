//! Full rankings: the best items of all for each user, less those the user knows.

use crate::als::scores;
use rayon::prelude::*;

/// Scores computed at a time a thread: 4 MiB, which stays in a core's cache.
const SCORES_PER_BLOCK: usize = 1 << 20;
/// Most users at a time, where items are few.
const MAX_USERS_PER_BLOCK: usize = 64;
/// Scores that are compared with the worst of the best before any is looked at alone.
const SCORES_PER_CHECK: usize = 32;

/// The `count` best items of each user by inner product, best first, equal scores by smaller item.
///
/// `vector(n)` is the factors of the n-th user, none if there are none (an empty list); `items` is
/// items × rank; `known(n)` are items not to recommend.
pub(crate) fn rank_by_factors<'a>(
    users: usize,
    vector: impl Fn(usize) -> Option<&'a [f32]> + Sync,
    items: &[f32],
    rank: usize,
    known: impl Fn(usize) -> &'a [u32] + Sync,
    count: usize,
) -> Vec<Vec<u32>> {
    let columns = items.len() / rank;
    let per_block = (SCORES_PER_BLOCK / columns.max(1)).clamp(1, MAX_USERS_PER_BLOCK);
    let blocks: Vec<usize> = (0..users).step_by(per_block).collect();
    let lists: Vec<Vec<Vec<u32>>> = blocks
        .into_par_iter()
        .map_init(
            || (Vec::new(), Vec::new()),
            |(vectors, block), first| {
                let range = first..(first + per_block).min(users);
                vectors.clear();
                for user in range.clone() {
                    match vector(user) {
                        Some(factors) => vectors.extend_from_slice(factors),
                        None => vectors.resize(vectors.len() + rank, 0.0),
                    }
                }
                block.resize(range.len() * columns, 0.0);
                scores(vectors, items, rank, block);
                let rows = range.zip(block.chunks_exact_mut(columns));
                rows.map(|(user, row)| {
                    if vector(user).is_none() {
                        return Vec::new();
                    }
                    known(user).iter().for_each(|&item| row[item as usize] = f32::NEG_INFINITY);
                    select_best(row, count).into_iter().map(|(place, _)| place).collect()
                })
                .collect()
            },
        )
        .collect();
    lists.into_iter().flatten().collect()
}

/// The `count` most popular items that the user doesn't know, equal counts by smaller item.
pub(crate) fn rank_by_popularity<'a>(
    users: usize,
    popularity: &[f32],
    known: impl Fn(usize) -> &'a [u32],
    count: usize,
) -> Vec<Vec<u32>> {
    let order = popularity_order(popularity);
    (0..users).map(|user| most_popular(&order, known(user), count)).collect()
}

/// All items, most popular first, equal ones by smaller item.
pub(crate) fn popularity_order(popularity: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..popularity.len() as u32).collect();
    order.sort_by(|&a, &b| popularity[b as usize].total_cmp(&popularity[a as usize]));
    order
}

/// The first `count` of the order that aren't among `known`, which ascend.
pub(crate) fn most_popular(order: &[u32], known: &[u32], count: usize) -> Vec<u32> {
    order.iter().copied().filter(|item| known.binary_search(item).is_err()).take(count).collect()
}

/// The places of the largest scores above -∞ and the scores, largest first, equal ones by smaller place.
pub(crate) fn select_best(scores: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count.min(scores.len()) + 1);
    let mut bar = f32::NEG_INFINITY;
    for (chunk, first) in scores.chunks(SCORES_PER_CHECK).zip((0u32..).step_by(SCORES_PER_CHECK)) {
        // Without branches, so that it is compiled to vector instructions.
        if !chunk.iter().fold(false, |any, &score| any | (score > bar)) {
            continue;
        }
        for (&score, place) in chunk.iter().zip(first..) {
            // A later place with an equal score comes after: so "above" is right, not "at least".
            if score > bar {
                let at = best.partition_point(|&(_, other)| other >= score);
                best.insert(at, (place, score));
                best.truncate(count);
                if best.len() == count {
                    bar = best.last().map_or(bar, |&(_, score)| score);
                }
            }
        }
    }
    best
}

/// The lists with the ids of their items in place of the indexes.
pub(super) fn with_ids<S: AsRef<str>>(lists: &[Vec<u32>], ids: &[S]) -> Vec<Vec<String>> {
    let mut named = Vec::with_capacity(lists.len());
    for list in lists {
        named.push(list.iter().map(|&item| ids[item as usize].as_ref().to_owned()).collect());
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn selection_is_sorting(scores in prop::collection::vec(-4i8..4, 1..200), count in 1usize..30) {
            let scores: Vec<f32> =
                scores.iter().map(|&s| if s == -4 { f32::NEG_INFINITY } else { f32::from(s) }).collect();
            let mut places: Vec<u32> = (0..scores.len() as u32).collect();
            places.retain(|&place| scores[place as usize] > f32::NEG_INFINITY);
            places.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            places.truncate(count);
            let best: Vec<u32> = select_best(&scores, count).into_iter().map(|(place, _)| place).collect();
            prop_assert_eq!(best, places);
        }
    }

    #[test]
    fn known_items_and_unknown_users() {
        let users = [1.0f32, 0.0, 0.0, 1.0];
        let items = [3.0f32, 0.0, 2.0, 2.0, 1.0, 5.0];
        let vector = |n: usize| (n < 2).then(|| &users[n * 2..n * 2 + 2]);
        let known: [&[u32]; 3] = [&[0], &[], &[]];
        let lists = rank_by_factors(3, vector, &items, 2, |n| known[n], 2);
        assert_eq!(lists, [vec![1, 2], vec![2, 1], vec![]]);
    }

    #[test]
    fn popularity_breaks_ties_by_item() {
        let known: [&[u32]; 2] = [&[], &[1, 2]];
        assert_eq!(
            rank_by_popularity(2, &[1.0, 2.0, 1.0, 1.0], |n| known[n], 3),
            [vec![1, 0, 2], vec![0, 3]]
        );
    }
}
