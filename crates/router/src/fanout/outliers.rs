//! Nodes that are slow where others are not, and for how long they are left out: pure decisions.
//!
//! As Envoy's outlier detection: a node is left out for a time that doubles with each time in a row, and never more than
//! half of the nodes are, since then it is the load that is to blame and not they (its panic threshold). Slow are calls
//! that take longer than those of the *group*, so that a node that stops and goes is found, whatever its own p95 is.

use std::time::Duration;
use tokio::time::Instant;

/// Calls that are remembered of a node: a fraction of a second of traffic.
const CALLS: u32 = 64;
/// Calls without which nothing is said of a node.
const MIN_CALLS: u32 = 16;
/// The share of slow calls from which on a node is an outlier...
const MIN_SLOW_SHARE: f64 = 0.3;
/// ...if it is at least so many times that of the others.
const SLOW_FACTOR: f64 = 3.0;
/// How long a node is left out the first time.
const FIRST_EJECTION: Duration = Duration::from_secs(2);
/// How long it is left out at most, and how long it must have been well to begin anew.
const LONGEST_EJECTION: Duration = Duration::from_secs(60);

/// How many of a node's latest calls were slow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlowShare {
    /// A bit for each call, the latest in the lowest place.
    slow: u64,
    calls: u32,
}

impl SlowShare {
    /// Notes a call.
    pub(crate) fn record(&mut self, was_slow: bool) {
        self.slow = (self.slow << 1) | u64::from(was_slow);
        self.calls = (self.calls + 1).min(CALLS);
    }

    /// The share of slow calls; none before there were enough.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.calls >= MIN_CALLS).then(|| f64::from(self.slow.count_ones()) / f64::from(self.calls))
    }
}

/// Whether a node is left out, and how often it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ejection {
    until: Option<Instant>,
    times_in_row: u32,
}

impl Ejection {
    /// Whether the node is left out now.
    pub(crate) fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Leaves the node out, and gives the time for which.
    pub(crate) fn eject(&mut self, now: Instant) -> Duration {
        let was_well = self.until.is_none_or(|until| now >= until + LONGEST_EJECTION);
        self.times_in_row = if was_well { 0 } else { self.times_in_row + 1 };
        let time =
            FIRST_EJECTION.saturating_mul(1 << self.times_in_row.min(10)).min(LONGEST_EJECTION);
        self.until = Some(now + time);
        time
    }
}

/// What is known of one node of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupMember {
    /// The share of its slow calls, if there were enough.
    pub(crate) slow_share: Option<f64>,
    /// It is left out already.
    pub(crate) is_ejected: bool,
}

/// The nodes to leave out from now on, by their place: those that are slow where the others are not, the worst first,
/// and never so many that fewer than half of the group are left.
pub(crate) fn outliers(group: &[GroupMember]) -> Vec<usize> {
    let shares: Vec<f64> = group.iter().filter_map(|member| member.slow_share).collect();
    let Some(usual) = lower_median(shares) else { return Vec::new() };
    let mut slow: Vec<(f64, usize)> = (0..group.len())
        .filter(|&place| !group[place].is_ejected)
        .filter_map(|place| Some((group[place].slow_share?, place)))
        .filter(|(share, _)| *share >= MIN_SLOW_SHARE && *share >= SLOW_FACTOR * usual)
        .collect();
    slow.sort_by(|one, other| other.0.total_cmp(&one.0));
    let ejected = group.iter().filter(|member| member.is_ejected).count();
    slow.truncate((group.len() / 2).saturating_sub(ejected));
    slow.into_iter().map(|(_, place)| place).collect()
}

/// What is usual in a group: the median, and of two in the middle the lower one; none of nothing.
pub(crate) fn lower_median<T: PartialOrd>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    let middle = values.len().checked_sub(1)? / 2;
    values.into_iter().nth(middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(slow_share: f64) -> GroupMember {
        GroupMember { slow_share: Some(slow_share), is_ejected: false }
    }

    const EJECTED: GroupMember = GroupMember { slow_share: None, is_ejected: true };
    const UNKNOWN: GroupMember = GroupMember { slow_share: None, is_ejected: false };

    #[test]
    fn one_slow_node_is_an_outlier_and_a_slow_group_has_none() {
        assert_eq!(outliers(&[member(0.05), member(0.75)]), [1]);
        assert_eq!(outliers(&[member(0.7), member(0.75)]), [0_usize; 0], "the load is to blame");
        assert_eq!(outliers(&[member(0.75)]), [0_usize; 0], "there is no other");
        assert_eq!(outliers(&[member(0.75), UNKNOWN]), [0_usize; 0]);
        assert_eq!(outliers(&[member(0.02), member(0.12)]), [0_usize; 0], "not often enough");
    }

    #[test]
    fn half_of_the_nodes_are_left_the_worst_go() {
        let group = [member(0.9), member(0.01), member(0.8), member(0.01), member(0.02)];
        assert_eq!(outliers(&group), [0, 2]);
        let group = [EJECTED, member(0.01), member(0.8), member(0.01)];
        assert_eq!(outliers(&group), [2]);
        let group = [EJECTED, EJECTED, member(0.8), member(0.01)];
        assert_eq!(outliers(&group), [0_usize; 0], "panic threshold");
    }

    #[test]
    fn a_node_that_is_slow_again_is_left_out_for_longer() {
        let (mut ejection, start) = (Ejection::default(), Instant::now());
        let mut now = start;
        let mut times = Vec::new();
        for _ in 0..7 {
            let time = ejection.eject(now);
            assert!(ejection.lasts(now) && !ejection.lasts(now + time));
            times.push(time.as_secs());
            now += time + Duration::from_millis(300);
        }
        assert_eq!(times, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(ejection.eject(now + LONGEST_EJECTION), FIRST_EJECTION, "it was well for long");
    }

    proptest! {
        #[test]
        fn at_least_half_of_a_group_is_never_left_out(
            shares in prop::collection::vec((prop::option::of(0.0f64..1.0), any::<bool>()), 0..12),
        ) {
            let group: Vec<GroupMember> = shares.iter()
                .map(|&(slow_share, is_ejected)| GroupMember { slow_share, is_ejected }).collect();
            let before = group.iter().filter(|member| member.is_ejected).count();
            let new = outliers(&group);
            prop_assert!(new.is_empty() || before + new.len() <= group.len() / 2);
            prop_assert!(new.iter().all(|&place| !group[place].is_ejected));
        }
    }
}
