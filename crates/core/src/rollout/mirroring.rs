//! How many requests are mirrored, where the share that was asked for gives too few pairs of answers.

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;

/// As many pairs show whether two lists have nothing in common, or are another user's.
pub const PAIRS_WANTED: u64 = 300;
/// The largest share of requests that is mirrored to get them, in 1/10,000. It is traffic of which there is little: elsewhere a hundredth is
/// enough.
pub const MAX_ADAPTED_BASIS_POINTS: u32 = FULL_WEIGHT_BASIS_POINTS / 2;
/// The pairs are wanted after so long, or after half of the stage if that is shorter, in ms.
const WANTED_WITHIN_MS: u64 = 300_000;
/// Requests are counted for so long before their number says how much traffic there is, in ms.
const LEAST_COUNTED_MS: u64 = 5_000;

/// What has been counted in the present stage of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorProgress {
    /// Pairs of answers since the rollout began.
    pub pairs: u64,
    /// Requests in this stage.
    pub requests: u64,
    /// How long the stage has been held, in ms.
    pub held_ms: u64,
    /// How long the stage is held, in ms.
    pub hold_ms: u64,
}

/// How many times the share `asked` for, in 1/10,000, has to be mirrored to get [`PAIRS_WANTED`] in time: a power of two, so that the plan
/// rarely changes.
pub fn mirror_multiple(asked: u32, progress: MirrorProgress) -> u32 {
    let MirrorProgress { pairs, requests, held_ms, hold_ms } = progress;
    if asked == 0 || pairs >= PAIRS_WANTED || requests == 0 || held_ms < LEAST_COUNTED_MS {
        return 1;
    }
    let wanted_within_ms = WANTED_WITHIN_MS.min(hold_ms / 2);
    let left_ms = wanted_within_ms.saturating_sub(held_ms).max(LEAST_COUNTED_MS);
    let to_come = requests as f64 * left_ms as f64 / held_ms as f64;
    let whole = f64::from(FULL_WEIGHT_BASIS_POINTS);
    let needed = (PAIRS_WANTED - pairs) as f64 / to_come * whole;
    let times = (needed / f64::from(asked)).clamp(1.0, whole).ceil() as u32;
    times.next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_grows_where_traffic_is_low_and_ends_with_enough_pairs() {
        let after = |pairs, requests, held_ms| {
            mirror_multiple(100, MirrorProgress { pairs, requests, held_ms, hold_ms: 600_000 })
        };
        // 100 requests a second: a hundredth of them is 300 pairs within five minutes.
        assert_eq!(after(9, 1_000, 10_000), 2);
        // 5 a second: 1,450 to come, a fifth of them.
        assert_eq!(after(1, 50, 10_000), 32);
        assert_eq!(after(PAIRS_WANTED, 50, 10_000), 1);
        assert_eq!(after(0, 0, 60_000), 1, "no traffic");
        assert_eq!(after(0, 1, 1_000), 1, "nothing is known yet");
        let none = MirrorProgress { pairs: 0, requests: 50, held_ms: 10_000, hold_ms: 600_000 };
        assert_eq!(mirror_multiple(0, none), 1, "nothing is to be mirrored");
        // With one request a minute all that is allowed is mirrored.
        assert!(after(0, 1, 60_000) * 100 >= MAX_ADAPTED_BASIS_POINTS);
    }
}
