//! When to hedge, when to call a node hung, when to stop asking it: pure policies.
//!
//! Time is an argument: a [`Duration`] since whatever moment the caller counts from.

use std::time::Duration;

/// One more call is earned by this many: at most 10 % more load by hedges, and as much by retries, so that a slow
/// cluster is not made slower by either.
pub(crate) const CALLS_PER_EXTRA: u32 = 10;
/// Hedges that can be saved up: a node that becomes slow after a good hour must not double the load
/// of its neighbours.
pub(crate) const MAX_SAVED_HEDGES: u32 = 50;
/// Retries that can be saved up, and that there are at the start: what is under way at a node when it stops.
pub(crate) const MAX_SAVED_RETRIES: u32 = 200;
/// A router that is itself so late, or whose requests wait so long for a processor, cannot tell whether a shard node
/// is. It is many times what either is without an overload.
pub(crate) const OWN_DELAY: Duration = Duration::from_millis(10);
/// A hedge is not sent sooner: the clock is no finer, and two calls in the same tick race for
/// nothing.
pub(crate) const MIN_HEDGE_DELAY: Duration = Duration::from_millis(2);
/// A node seems to hang when a call takes this many times its usual p95...
pub(crate) const PATIENCE_FACTOR: u32 = 4;
/// ...but at least this long: a scheduler's hiccup is no hang...
pub(crate) const MIN_PATIENCE: Duration = Duration::from_millis(50);
/// ...and at most this part of the time left, so that another replica can still be asked.
pub(crate) const PATIENCE_SHARE: u32 = 4;
/// A node that failed lately is waited for at most this long, even where no other node has the shard:
/// many times what a healthy one needs, and little of a deadline.
pub(crate) const SUSPECT_PATIENCE: Duration = Duration::from_millis(100);
/// Failures in a row after which a node is not asked while others have the shard.
pub(crate) const BREAKER_FAILURES: u32 = 3;
/// Latencies that a p95 is taken of: some seconds of traffic.
pub(crate) const LATENCY_WINDOW: usize = 128;
/// Latencies after which the p95 is taken anew: looking for it costs some hundred nanoseconds.
pub(crate) const P95_REFRESH: usize = 8;
/// Latencies without which there is no p95.
pub(crate) const MIN_LATENCIES: usize = 20;

/// How long to wait for a call before hedging it; none where the node's p95 is not known.
pub(crate) fn hedge_delay(p95: Option<Duration>) -> Option<Duration> {
    p95.map(|p95| p95.max(MIN_HEDGE_DELAY))
}

/// How long to wait for a call before its node seems to hang.
pub(crate) fn patience(p95: Option<Duration>, remaining: Duration) -> Duration {
    let most = remaining / PATIENCE_SHARE;
    p95.map_or(most, |p95| (p95 * PATIENCE_FACTOR).max(MIN_PATIENCE).min(most))
}

/// Whether it may be this router's own delay that a call seems to take long: a timer went off so `late`, or requests
/// wait for so long in this process.
pub(crate) fn is_own_delay(late: Duration, queueing: Duration) -> bool {
    late.max(queueing) >= OWN_DELAY
}

/// What hedges and retries were earned and not yet sent.
#[derive(Debug)]
pub(crate) struct CallBudgets {
    hedges: CallBudget,
    retries: CallBudget,
}

impl Default for CallBudgets {
    fn default() -> Self {
        Self {
            hedges: CallBudget::new(0, MAX_SAVED_HEDGES),
            retries: CallBudget::new(MAX_SAVED_RETRIES, MAX_SAVED_RETRIES),
        }
    }
}

impl CallBudgets {
    /// A call was made that is neither a hedge nor a retry.
    pub(crate) fn earn(&mut self) {
        self.hedges.earn();
        self.retries.earn();
    }

    /// Takes this many hedges, all or none.
    pub(crate) fn spend_hedges(&mut self, hedges: usize) -> bool {
        self.hedges.spend(hedges)
    }

    /// Takes this many retries, all or none.
    pub(crate) fn spend_retries(&mut self, retries: usize) -> bool {
        self.retries.spend(retries)
    }
}

/// A token bucket that calls fill and further calls empty.
#[derive(Debug)]
struct CallBudget {
    /// In 1/[`CALLS_PER_EXTRA`] of a call.
    saved: u32,
    most: u32,
}

impl CallBudget {
    fn new(calls: u32, most: u32) -> Self {
        Self { saved: calls * CALLS_PER_EXTRA, most: most * CALLS_PER_EXTRA }
    }

    fn earn(&mut self) {
        self.saved = (self.saved + 1).min(self.most);
    }

    fn spend(&mut self, calls: usize) -> bool {
        let price = u32::try_from(calls).unwrap_or(u32::MAX).saturating_mul(CALLS_PER_EXTRA);
        let granted = price <= self.saved;
        if granted {
            self.saved -= price;
        }
        granted
    }
}

/// What is remembered of a node's failures. It says whether to avoid the node, never that it must
/// not be asked: where no other node has the shard, trying is better than a partial answer.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures_in_row: u32,
}

impl Breaker {
    /// The node answered.
    pub(crate) fn succeeded(&mut self) {
        self.failures_in_row = 0;
    }

    /// The node could not be reached, or seems to hang. True if it is to be avoided from now on.
    pub(crate) fn failed(&mut self) -> bool {
        let before = self.is_open();
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.is_open() && !before
    }

    /// Whether to avoid the node.
    pub(crate) fn is_open(&self) -> bool {
        self.failures_in_row >= BREAKER_FAILURES
    }
}

/// The latest latencies of one kind of call to one node.
#[derive(Debug, Default)]
pub(crate) struct CallLatencies {
    latest: Vec<Duration>,
    next: usize,
    p95: Option<Duration>,
}

impl CallLatencies {
    /// Notes a call that was answered.
    pub(crate) fn record(&mut self, latency: Duration) {
        match self.latest.get_mut(self.next) {
            Some(oldest) => *oldest = latency,
            None => self.latest.push(latency),
        }
        self.next = (self.next + 1) % LATENCY_WINDOW;
        if self.latest.len() >= MIN_LATENCIES
            && (self.p95.is_none() || self.next.is_multiple_of(P95_REFRESH))
        {
            let mut latest = self.latest.clone();
            let at = latest.len() * 95 / 100;
            self.p95 = Some(*latest.select_nth_unstable(at).1);
        }
    }

    /// What 95 of 100 calls took less than; none before there were enough.
    pub(crate) fn p95(&self) -> Option<Duration> {
        self.p95
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    proptest! {
        #[test]
        fn hedges_and_retries_never_exceed_their_share(wishes in prop::collection::vec(0usize..4, 1..2_000)) {
            let mut budgets = CallBudgets::default();
            let (mut hedges, mut retries) = (0, 0);
            for (calls, wish) in (1..).zip(wishes) {
                budgets.earn();
                hedges += if budgets.spend_hedges(wish) { wish } else { 0 };
                retries += if budgets.spend_retries(wish) { wish } else { 0 };
                prop_assert!(hedges * 10 <= calls, "{} hedges in {} calls", hedges, calls);
                prop_assert!((retries - retries.min(200)) * 10 <= calls, "{} retries in {} calls", retries, calls);
            }
        }

        #[test]
        fn patience_leaves_time_for_another(p95 in prop::option::of(0u64..60_000), left in 0u64..60_000) {
            let patience = patience(p95.map(ms), ms(left));
            prop_assert!(patience <= ms(left) / 4);
        }
    }

    #[test]
    fn hedges_and_retries_can_be_saved_up_to_a_bound() {
        let mut budgets = CallBudgets::default();
        (0..100_000).for_each(|_| budgets.earn());
        assert!(!budgets.spend_hedges(51) && budgets.spend_hedges(50) && !budgets.spend_hedges(1));
        assert!(budgets.spend_retries(200) && !budgets.spend_retries(1));
    }

    #[test]
    fn a_late_router_blames_no_node() {
        assert!(!is_own_delay(ms(2), ms(1)));
        assert!(is_own_delay(ms(30), ms(0)), "the timer went off late");
        assert!(is_own_delay(ms(0), ms(30)), "requests wait for a processor");
    }

    #[test]
    fn patience_follows_the_node() {
        assert_eq!(patience(None, ms(1_000)), ms(250));
        assert_eq!(patience(Some(ms(3)), ms(1_000)), ms(50));
        assert_eq!(patience(Some(ms(30)), ms(1_000)), ms(120));
        assert_eq!(patience(Some(ms(300)), ms(1_000)), ms(250));
        assert_eq!(hedge_delay(Some(ms(7))), Some(ms(7)));
        assert_eq!(hedge_delay(Some(ms(0))), Some(ms(2)));
        assert_eq!(hedge_delay(None), None);
    }

    #[test]
    fn the_p95_is_of_the_latest() {
        let mut latencies = CallLatencies::default();
        (0..19).for_each(|_| latencies.record(ms(5)));
        assert_eq!(latencies.p95(), None);
        latencies.record(ms(5));
        assert_eq!(latencies.p95(), Some(ms(5)));
        (1..=128).for_each(|n| latencies.record(ms(n)));
        let p95 = latencies.p95().expect("there were enough");
        assert!((ms(115)..=ms(122)).contains(&p95), "{p95:?}");
    }

    #[test]
    fn a_breaker_opens_once_and_an_answer_closes_it() {
        let mut breaker = Breaker::default();
        assert_eq!([(); 4].map(|()| breaker.failed()), [false, false, true, false]);
        assert!(breaker.is_open());
        breaker.succeeded();
        assert!(!breaker.is_open() && !breaker.failed());
    }
}
