//! What was measured to suffice: the effort of searches, by how deep their results lie.
//!
//! The *depth* of a search is the number of best rows, of all rows, that its results are among. It is the
//! count of results where nothing is excluded and no filter is set, and more elsewhere. Efforts are
//! measured at some depths; between them they are on a line over the logarithm of the depth.

use crate::effort::Effort;
use marquee_core::model::interpreter::VectorMeasure;

/// The depths that searches are tuned at: from one to the next, the effort changes little enough to be on a line.
pub(crate) const TUNED_DEPTHS: [usize; 6] = [10, 30, 100, 300, 1_000, 3_000];
/// The place of a search for 100 results among [`TUNED_DEPTHS`].
pub(crate) const AT_100: usize = 2;
/// The place of a search for 1,000 results among [`TUNED_DEPTHS`].
pub(crate) const AT_1000: usize = 4;
/// Measures of vectors that searches are tuned for.
pub(crate) const MEASURES: usize = 2;

/// The recall that a search is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// The recall that the options of building demand, of all rows down to the depth.
    Usual,
    /// A recall of at least [`FILTERED_RECALL`](crate::index::recall::FILTERED_RECALL) of these rows: users who filter look for something, and
    /// notice what is missing.
    Filtered,
    /// A recall of [`TAIL_RECALL`](crate::index::recall::TAIL_RECALL) of the last of these rows, which are missed most: they are the
    /// results where those before them are excluded.
    Tail,
}

/// Every degree of [`Care`], in order.
pub(crate) const CARES: [Care; 3] = [Care::Usual, Care::Filtered, Care::Tail];

/// What was measured to suffice at some depth, of searches in cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tuned {
    /// The effort, its pool in multiples of the depth; none where no effort reached the recall.
    pub(crate) effort: Option<Effort>,
    /// What such a search costs, in nanoseconds of the cost model.
    pub(crate) cost: f64,
    /// What an exact one costs.
    pub(crate) exact_cost: f64,
}

/// What searches in cells cost and found, by measure, by care, and for each of [`TUNED_DEPTHS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tuning(pub(crate) [[[Tuned; TUNED_DEPTHS.len()]; CARES.len()]; MEASURES]);

impl Tuning {
    /// What was measured for these.
    pub(crate) fn of(&self, measure: VectorMeasure, care: Care) -> &[Tuned; TUNED_DEPTHS.len()] {
        &self.0[measure as usize][care as usize]
    }

    /// What suffices at a depth: on a line between what was measured, in proportion beyond; no effort where one of
    /// those that it would be between is none.
    pub(crate) fn at(&self, measure: VectorMeasure, care: Care, depth: usize) -> Tuned {
        let tuned = self.of(measure, care);
        let place = Place::of(depth);
        let (low, high) = (tuned[place.low], tuned[place.low + 1]);
        let effort = match (low.effort, high.effort) {
            (Some(low), _) if place.share <= 0.0 => Some(low),
            (_, Some(high)) if place.share >= 1.0 => Some(high),
            (Some(low), Some(high)) => {
                let between = |low: f32, high: f32| low + (high - low) * place.share as f32;
                Some(Effort {
                    reach: between(low.reach, high.reach),
                    pool: between(low.pool, high.pool),
                })
            }
            _ => None,
        };
        let cost = |low: f64, high: f64| (low + (high - low) * place.linear) * place.beyond;
        Tuned {
            effort,
            cost: cost(low.cost, high.cost),
            exact_cost: cost(low.exact_cost, high.exact_cost),
        }
    }

    /// What was measured at the depths around this one.
    pub(crate) fn around(
        &mut self,
        measure: VectorMeasure,
        care: Care,
        depth: usize,
    ) -> &mut [Tuned] {
        &mut self.0[measure as usize][care as usize][tuned_around(depth)]
    }

    /// The tuning of files that know of 10, 100 and 1,000 results only, and nothing of [`Care::Tail`].
    pub(crate) fn of_three_depths(three: &[[[Tuned; 3]; 2]; MEASURES]) -> Self {
        let mut tuning = Self::default();
        for (into, from) in tuning.0.iter_mut().zip(three) {
            for (care, into) in CARES.into_iter().zip(into) {
                let [ten, hundred, thousand] = from[(care as usize).min(1)];
                let most = |a: Tuned, b: Tuned| Tuned {
                    effort: a.effort.zip(b.effort).map(|(a, b)| Effort {
                        reach: a.reach.max(b.reach),
                        pool: a.pool.max(b.pool),
                    }),
                    cost: (a.cost + b.cost) / 2.0,
                    exact_cost: (a.exact_cost + b.exact_cost) / 2.0,
                };
                let beyond = Tuned {
                    cost: 3.0 * thousand.cost,
                    exact_cost: 3.0 * thousand.exact_cost,
                    ..thousand
                };
                *into =
                    [ten, most(ten, hundred), hundred, most(hundred, thousand), thousand, beyond];
                if care == Care::Tail {
                    into.iter_mut().for_each(|tuned| tuned.effort = None);
                }
            }
        }
        tuning
    }
}

/// The widths of walks over a graph, by care and for each of [`TUNED_DEPTHS`]; 0 where none reached the recall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Widths(pub(crate) [[u32; TUNED_DEPTHS.len()]; CARES.len()]);

impl Widths {
    /// The width of a walk for results at a depth; none where no width reached the recall.
    pub(crate) fn at(&self, care: Care, depth: usize) -> Option<usize> {
        let widths = &self.0[care as usize];
        let place = Place::of(depth);
        let (low, high) = (widths[place.low], widths[place.low + 1]);
        if (low == 0 && place.share < 1.0) || (high == 0 && place.share > 0.0) {
            return None;
        }
        let width = f64::from(low) + (f64::from(high.max(low)) - f64::from(low)) * place.linear;
        Some(((width * place.beyond).ceil() as usize).max(depth))
    }

    /// The widths at the depths around this one.
    pub(crate) fn around(&mut self, care: Care, depth: usize) -> &mut [u32] {
        &mut self.0[care as usize][tuned_around(depth)]
    }

    /// The widths of files that know of 10, 100 and 1,000 results only.
    pub(crate) fn of_three_depths([ten, hundred, thousand]: [u32; 3]) -> Self {
        let most = |a: u32, b: u32| if a == 0 || b == 0 { 0 } else { a.max(b) };
        let usual = [
            ten,
            most(ten, hundred),
            hundred,
            most(hundred, thousand),
            thousand,
            thousand.saturating_mul(3),
        ];
        Self([usual, usual, [0; TUNED_DEPTHS.len()]])
    }
}

/// The places of the tuned depths that a depth is between; one, where it is a tuned one or beyond all.
fn tuned_around(depth: usize) -> std::ops::RangeInclusive<usize> {
    let last = TUNED_DEPTHS.len() - 1;
    match TUNED_DEPTHS.iter().position(|&tuned| tuned >= depth) {
        None => last..=last,
        Some(above) if TUNED_DEPTHS[above] == depth => above..=above,
        Some(above) => above.saturating_sub(1)..=above,
    }
}

/// Where a depth is among [`TUNED_DEPTHS`].
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    /// The place that it is not below, at most the last but one.
    low: usize,
    /// How far it is on the way to the next, by the logarithm; 0 to 1.
    share: f64,
    /// The same by the depth itself.
    linear: f64,
    /// The depth in multiples of the last tuned one, at least 1.
    beyond: f64,
}

impl Place {
    fn of(depth: usize) -> Self {
        let last = TUNED_DEPTHS.len() - 1;
        let within = depth.clamp(TUNED_DEPTHS[0], TUNED_DEPTHS[last]);
        let low = TUNED_DEPTHS.iter().rposition(|&tuned| tuned <= within).unwrap_or(0);
        let low = low.min(last - 1);
        let (from, to) = (TUNED_DEPTHS[low] as f64, TUNED_DEPTHS[low + 1] as f64);
        let depth_within = within as f64;
        Self {
            low,
            share: (depth_within / from).ln() / (to / from).ln(),
            linear: (depth_within - from) / (to - from),
            beyond: (depth as f64 / TUNED_DEPTHS[last] as f64).max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(reach: f32, pool: f32, cost: f64) -> Tuned {
        Tuned { effort: Some(Effort { reach, pool }), cost, exact_cost: 10.0 * cost }
    }

    fn tuning() -> Tuning {
        let mut tuning = Tuning::default();
        tuning.0[0][0] = [
            tuned(3.0, 2.0, 1.0),
            tuned(2.0, 1.5, 2.0),
            tuned(2.0, 1.5, 3.0),
            Tuned { effort: None, cost: 0.0, exact_cost: 50.0 },
            tuned(1.0, 1.25, 5.0),
            tuned(1.0, 1.25, 15.0),
        ];
        tuning
    }

    #[test]
    fn efforts_are_on_a_line_between_those_measured() {
        let at = |depth| tuning().at(VectorMeasure::InnerProduct, Care::Usual, depth);
        assert_eq!(at(1), at(10));
        assert_eq!(at(10), tuned(3.0, 2.0, 1.0));
        assert_eq!(at(30), tuned(2.0, 1.5, 2.0));
        let eleven = at(11).effort.expect("between two efforts");
        assert!(eleven.reach > 2.9 && eleven.pool > 1.9, "{eleven:?}");
        let between = at(17).effort.expect("between two efforts");
        assert!((between.reach - 2.5).abs() < 0.05 && (between.pool - 1.75).abs() < 0.02);
        // Beside a depth at which none suffices, none is known to.
        assert_eq!(at(100).effort, Some(Effort { reach: 2.0, pool: 1.5 }));
        assert_eq!([101, 300, 999].map(|depth| at(depth).effort), [None; 3]);
        assert_eq!(at(1_000).effort, Some(Effort { reach: 1.0, pool: 1.25 }));
        // Beyond, pools are multiples of the depth still, and costs are in proportion.
        assert_eq!(at(9_000), tuned(1.0, 1.25, 45.0));
    }

    #[test]
    fn widths_are_on_a_line_and_never_less_than_what_is_wanted() {
        let widths = Widths([[12, 40, 120, 320, 0, 0], [0; 6], [20, 60, 180, 480, 1_500, 4_500]]);
        assert_eq!(widths.at(Care::Usual, 1), Some(12));
        assert_eq!(widths.at(Care::Usual, 20), Some(26));
        assert_eq!(widths.at(Care::Usual, 300), Some(320));
        assert_eq!(widths.at(Care::Usual, 301), None);
        assert_eq!(widths.at(Care::Filtered, 10), None);
        assert_eq!(widths.at(Care::Tail, 9_000), Some(13_500));
    }

    #[test]
    fn older_files_have_no_effort_for_the_tail() {
        let three = [[[tuned(3.0, 2.0, 1.0), tuned(2.0, 1.5, 3.0), tuned(1.0, 1.25, 5.0)]; 2]; 2];
        let tuning = Tuning::of_three_depths(&three);
        let at = |care, depth| tuning.at(VectorMeasure::Cosine, care, depth);
        assert_eq!(at(Care::Usual, 100), tuned(2.0, 1.5, 3.0));
        assert_eq!(at(Care::Filtered, 30).effort, Some(Effort { reach: 3.0, pool: 2.0 }));
        assert_eq!(at(Care::Tail, 100).effort, None);
        assert_eq!(at(Care::Tail, 100).exact_cost, 30.0);
        assert_eq!(Widths::of_three_depths([12, 100, 0]).at(Care::Usual, 100), Some(100));
        assert_eq!(Widths::of_three_depths([12, 100, 0]).at(Care::Usual, 101), None);
        assert_eq!(Widths::of_three_depths([12, 100, 900]).at(Care::Tail, 10), None);
    }
}
