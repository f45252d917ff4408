//! A share of lists gets one slot whose item is drawn at random, so that other rankings can be judged by what
//! was shown.
//!
//! Of a list of `slots` items with `beyond` candidates behind it, with chance *ε* one slot, each with the same
//! chance, gets one of the candidates, each with the same chance. So the propensity of an item to be shown at a
//! rank is exactly
//!
//! - 1 − ε / slots for an item of the list, at its own rank;
//! - ε / (slots × beyond) for a candidate beyond it, at any rank.
//!
//! Propensities are given the list: they are exact where the list itself does not depend on the draw.

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;

/// Candidates beyond a list that a drawn item is chosen from, at most: more would make each of them rarer than
/// any log could say something about.
pub const MAX_CANDIDATES_BEYOND: usize = 20;

/// How the slots of a list were filled: what the propensities of its items follow from. The default is a list
/// of which no slot could have been drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotDraw {
    /// The chance that a slot of the list was drawn, in 1/10,000.
    pub share_basis_points: u16,
    /// How many slots the list has.
    pub slots: u16,
    /// How many candidates beyond the list the item was drawn from.
    pub beyond: u16,
    /// The rank of the item that was drawn, from 1; 0: none was.
    pub drawn_rank: u16,
}

impl SlotDraw {
    /// Whether the item at this rank, from 1, was drawn.
    pub fn is_drawn(&self, rank: usize) -> bool {
        self.drawn_rank > 0 && usize::from(self.drawn_rank) == rank
    }

    /// The propensity of the item at this rank, from 1, to be shown there: 1 where nothing is drawn, and never 0.
    pub fn propensity(&self, rank: usize) -> f64 {
        if self.share_basis_points == 0 || self.slots == 0 || self.beyond == 0 {
            return 1.0;
        }
        let share = f64::from(self.share_basis_points) / f64::from(FULL_WEIGHT_BASIS_POINTS);
        let of_slot = share / f64::from(self.slots);
        if self.is_drawn(rank) { of_slot / f64::from(self.beyond) } else { 1.0 - of_slot }
    }
}

/// Cuts a list to `count` items and draws one of its slots anew with a chance of `share_basis_points`/10,000,
/// from at most [`MAX_CANDIDATES_BEYOND`] of the items behind. `below(n)` gives a random number in `0..n`.
///
/// A list with nothing behind it stays as it is. Nor is a list of one item ever drawn with certainty: its own
/// item would have no propensity.
pub fn draw_slot<T>(
    list: &mut Vec<T>,
    count: usize,
    share_basis_points: u32,
    mut below: impl FnMut(u32) -> u32,
) -> SlotDraw {
    let beyond = list.len().saturating_sub(count).min(MAX_CANDIDATES_BEYOND);
    let share = share_basis_points.min(FULL_WEIGHT_BASIS_POINTS);
    let (Ok(share_of_lists), Ok(slots)) = (u16::try_from(share), u16::try_from(count)) else {
        list.truncate(count);
        return SlotDraw::default();
    };
    if share == 0 || slots == 0 || beyond == 0 || (slots == 1 && share == FULL_WEIGHT_BASIS_POINTS)
    {
        list.truncate(count);
        return SlotDraw::default();
    }
    let mut draw = SlotDraw {
        share_basis_points: share_of_lists,
        slots,
        beyond: beyond as u16,
        drawn_rank: 0,
    };
    if below(FULL_WEIGHT_BASIS_POINTS) < share {
        let slot = below(u32::from(slots)).min(u32::from(slots) - 1) as usize;
        let item = below(beyond as u32).min(beyond as u32 - 1) as usize;
        list.swap(slot, count + item);
        draw.drawn_rank = slot as u16 + 1;
    }
    list.truncate(count);
    draw
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Draws a slot of the list 0, 1, …, `length` with these draws, one after another.
    fn drawn(length: u32, count: usize, share: u32, draws: [u32; 3]) -> (Vec<u32>, SlotDraw) {
        let (mut list, mut draws) = ((0..length).collect(), draws.into_iter());
        let draw = draw_slot(&mut list, count, share, |_| draws.next().expect("three at most"));
        (list, draw)
    }

    #[test]
    fn logged_propensities_are_how_often_items_are_shown() {
        let (count, beyond, share) = (4, 3, 2_500);
        // Every outcome of the draws once, each with its chance.
        let outcomes = |lucky: u32| {
            (0..count as u32).flat_map(move |slot| (0..beyond).map(move |item| [lucky, slot, item]))
        };
        let chance_of = |lucky: bool| {
            let share = f64::from(share) / 10_000.0;
            let of_all = (count as f64 * f64::from(beyond)).recip();
            of_all * if lucky { share } else { 1.0 - share }
        };
        let mut shown: BTreeMap<(usize, u32), f64> = BTreeMap::new();
        let mut logged: BTreeMap<(usize, u32), f64> = BTreeMap::new();
        for lucky in [true, false] {
            for draws in outcomes(if lucky { share - 1 } else { share }) {
                let (list, draw) = drawn(count as u32 + beyond, count, share, draws);
                assert_eq!(list.len(), count);
                for (rank, item) in (1..).zip(list) {
                    *shown.entry((rank, item)).or_default() += chance_of(lucky);
                    let before = logged.insert((rank, item), draw.propensity(rank));
                    assert!(before.is_none_or(|before| before == draw.propensity(rank)));
                }
            }
        }
        assert_eq!(shown.len(), count + count * beyond as usize);
        for (place, chance) in shown {
            assert!((logged[&place] - chance).abs() < 1e-12, "{place:?}: {chance}");
        }
    }

    #[test]
    fn lists_without_anything_to_draw_from_are_shown_as_they_are() {
        for (length, count, share) in [(9, 4, 0), (4, 4, 10_000), (3, 4, 10_000), (9, 0, 10_000)] {
            let (list, draw) = drawn(length, count, share, [0; 3]);
            assert_eq!(list, (0..length.min(count as u32)).collect::<Vec<_>>());
            assert_eq!((draw, draw.propensity(1)), (SlotDraw::default(), 1.0));
        }
        let (list, draw) = drawn(3, 1, 10_000, [0; 3]);
        assert_eq!((list, draw), (vec![0], SlotDraw::default()), "its item would never be shown");
    }

    #[test]
    fn only_the_first_candidates_beyond_are_drawn() {
        let (list, draw) = drawn(100, 2, 10_000, [0, 1, 19]);
        assert_eq!((list, draw.drawn_rank, draw.beyond), (vec![0, 21], 2, 20));
        assert!(draw.is_drawn(2) && !draw.is_drawn(1));
    }
}
