//! How likely each rank is looked at, relative to the first.

use super::log::LoggedAnswer;

/// The exponent where nothing says another: a rank is looked at in inverse proportion to itself, as Joachims,
/// Swaminathan and Schnabel assume ("Unbiased learning-to-rank with biased feedback", 2017).
pub const DEFAULT_EXPONENT: f64 = 1.0;
/// The largest exponent: of ranks that fall off faster, only the first counts.
const MAX_EXPONENT: f64 = 4.0;
/// Drawn items with a reward that a curve is fitted to, at least: with fewer its exponent is uncertain by more
/// than 0.1.
const MIN_REWARDED_DRAWS: u64 = 200;
/// Halvings of the interval in which the exponent is searched: far below what matters.
const HALVINGS: u32 = 50;

/// The chance that an item at rank k is looked at, relative to rank 1: k to the power of −exponent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionCurve {
    /// 0: all ranks alike.
    pub exponent: f64,
    /// Whether the exponent was fitted to drawn items of the log; else it is assumed.
    pub is_fitted: bool,
}

impl PositionCurve {
    /// A curve that is assumed; an exponent out of 0..=4 is the nearest of them.
    pub fn assumed(exponent: f64) -> Self {
        let exponent = if exponent.is_nan() { DEFAULT_EXPONENT } else { exponent };
        Self { exponent: exponent.clamp(0.0, MAX_EXPONENT), is_fitted: false }
    }

    /// The curve that drawn items show: slots are drawn uniformly, so their items are as good at each rank, and
    /// rewards differ by rank alone. By maximum likelihood, rewards being counted as if Poisson distributed. None
    /// if too few drawn items have a reward.
    pub fn fitted(answers: &[LoggedAnswer]) -> Option<Self> {
        let (mut rewarded, mut drawn) = (Vec::<u64>::new(), Vec::<u64>::new());
        for answer in answers {
            for (place, shown) in answer.shown.iter().enumerate().filter(|it| it.1.is_drawn) {
                if drawn.len() <= place {
                    drawn.resize(place + 1, 0);
                    rewarded.resize(place + 1, 0);
                }
                drawn[place] += 1;
                rewarded[place] += u64::from(shown.reward > 0.0);
            }
        }
        if rewarded.iter().sum::<u64>() < MIN_REWARDED_DRAWS {
            return None;
        }
        // The likelihood is greatest where the mean logarithm of rewarded ranks is as expected.
        let log_rank = |place: usize| (place as f64 + 1.0).ln();
        let mean_log_rank = |weight_of: &dyn Fn(usize) -> f64| {
            let (mut sum, mut total) = (0.0, 0.0);
            for place in 0..drawn.len() {
                sum += weight_of(place) * log_rank(place);
                total += weight_of(place);
            }
            sum / total
        };
        let observed = mean_log_rank(&|place| rewarded[place] as f64);
        let (mut low, mut high) = (0.0, MAX_EXPONENT);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            let weight_of = |place| drawn[place] as f64 * (-middle * log_rank(place)).exp();
            if mean_log_rank(&weight_of) > observed {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(Self { exponent: f64::midpoint(low, high), is_fitted: true })
    }

    /// For each of so many ranks, from the first, how likely it is looked at.
    pub fn ranks(self, count: usize) -> Vec<f64> {
        (1..=count).map(|rank| (rank as f64).powf(-self.exponent)).collect()
    }
}
