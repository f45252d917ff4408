//! What interactions count by their age.

use crate::interactions::Interactions;

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// A time beyond this, the year 5138 in seconds, is in milliseconds.
const MOST_SECONDS: f64 = 1e11;
/// What an interaction of any age counts at least, so that items of long ago keep an order.
const LEAST: f64 = 1e-6;

/// What the interactions of each item come to if they count half after each half-life (in days) before the latest row
/// there is. Times are seconds since 1970, or milliseconds where they are that large. "Now" is no clock, so the same data give
/// the same sums.
pub(crate) fn sums_by_age(rows: &Interactions, half_life: f64) -> Vec<f64> {
    let now = rows.time.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let day = if now > MOST_SECONDS { 1_000.0 * DAY } else { DAY };
    let mut sums = vec![0f64; rows.items.len()];
    for (&item, &time) in rows.item.iter().zip(&rows.time) {
        sums[item as usize] += (-(now - time) / day / half_life).exp2();
    }
    sums
}

/// The same as a popularity: what is too old for a sum still counts a little.
pub(crate) fn decayed_counts(rows: &Interactions, half_life: f64) -> Vec<f32> {
    let counts = rows.item_counts();
    let sums = sums_by_age(rows, half_life);
    sums.iter().zip(counts).map(|(sum, count)| (sum + LEAST * f64::from(count)) as f32).collect()
}
