//! How many requests may be under way at once: a limit that follows the node's own queueing delay.
//!
//! It is the gradient controller of Envoy's adaptive concurrency filter (`envoy.filters.http.adaptive_concurrency`)
//! and of Netflix's concurrency-limits (`Gradient2Limit`): once in a window,
//!
//! ```text
//! gradient = clamp(wanted delay ÷ measured delay, 0.5, 1)
//! limit    = limit × gradient + √limit
//! ```
//!
//! with two differences. Both of those measure how long *answers* take, against the shortest time that was seen. A
//! router's answers also take long while a shard is slow or gone, and refusing callers would not help then: here the
//! delay is what a request waits for a processor before its work begins, and the wanted one is a constant. And the
//! limit grows only while it is used, and a cut begins at what was under way, so that it means something when a flood
//! begins.

use super::priority::Priority;
use std::time::Duration;

/// The wanted queueing delay, of which three of four requests of a window may have more. An answer waits for a
/// processor some times between its stages, so it costs an answer a few milliseconds.
pub const TARGET_DELAY: Duration = Duration::from_millis(1);
/// The shortest window between two changes of the limit: some answers long, and a fraction of the second in which an
/// overload must be over.
pub const WINDOW: Duration = Duration::from_millis(25);
/// Delays without which a window goes on: a quartile of fewer is luck.
const MIN_SAMPLES: usize = 8;
/// Delays that are kept of a window; those that come later in it are not looked at.
const MAX_SAMPLES: usize = 256;
/// A window that lasts longer without enough delays is of two different times, and begins anew.
const STALE_WINDOW: Duration = Duration::from_secs(1);
/// The limit is not cut by more than this in one window.
const MIN_GRADIENT: f64 = 0.5;
/// The part of the limit, in percent, that must have been under way for the limit to grow.
const USED_PERCENT: usize = 75;
/// Refusals by other nodes that say nothing, in percent of the requests: one that restarts refuses some.
const TOLERATED_REFUSALS_PERCENT: usize = 5;

/// The bounds of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// So many may always be under way: fewer would leave processors without work while one request waits.
    pub floor: usize,
    /// The limit at the start and after quiet times, which a flood finds.
    pub resting: usize,
    /// It grows to this at most.
    pub ceiling: usize,
}

impl LimitSettings {
    /// Requests under way for each thread that answers: one runs, and some wait for other nodes.
    const FLOOR_PER_THREAD: usize = 12;
    /// Requests for each thread that a flood finds places for, before the first window of it has ended.
    const RESTING_PER_THREAD: usize = 16;

    /// The bounds for a node with so many threads that takes on `ceiling` requests at most.
    pub fn for_threads(threads: usize, ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        let of_threads = |each: usize| threads.max(1).saturating_mul(each).min(ceiling);
        Self {
            floor: of_threads(Self::FLOOR_PER_THREAD),
            resting: of_threads(Self::RESTING_PER_THREAD),
            ceiling,
        }
    }
}

/// The limit of one address.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    settings: LimitSettings,
    limit: f64,
    standing_delay: Duration,
    /// The last window cut the limit, or callers found no place in it.
    was_limiting: bool,
    window: Window,
}

/// What was seen since the limit was changed last.
#[derive(Debug, Default)]
struct Window {
    /// None before the first sample.
    began: Option<Duration>,
    delays: Vec<Duration>,
    /// The most requests under way.
    peak: usize,
    /// Requests that this limit refused.
    refused: usize,
    /// Calls that other nodes refused because they had too much to do.
    refused_elsewhere: usize,
}

impl ConcurrencyLimit {
    /// A limit that rests.
    pub fn new(settings: LimitSettings) -> Self {
        Self {
            settings,
            limit: settings.resting as f64,
            standing_delay: Duration::ZERO,
            was_limiting: false,
            window: Window::default(),
        }
    }

    /// How many requests may be under way now.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// What three of four requests of the last window waited at least before they were begun: the queue that was there
    /// all the time, and no burst.
    pub fn standing_delay(&self) -> Duration {
        self.standing_delay
    }

    /// Whether requests waited longer than wanted in the last window, or find no place in this one.
    pub fn is_limiting(&self) -> bool {
        self.was_limiting || self.window.refused > 0
    }

    /// Whether one more request of this priority may begin while `under_way` are.
    pub fn admits(&mut self, under_way: usize, priority: Priority) -> bool {
        self.window.peak = self.window.peak.max(under_way.saturating_add(1));
        let places = (self.limit() * priority.share_percent() / 100).max(1);
        let admits = under_way < places;
        if !admits && priority == Priority::Interactive {
            self.window.refused += 1;
        }
        admits
    }

    /// Other nodes refused so many calls because they had too much to do.
    pub fn refused_elsewhere(&mut self, calls: usize) {
        self.window.refused_elsewhere = self.window.refused_elsewhere.saturating_add(calls);
    }

    /// A request was begun at `now` after it had waited for `delay`. True if the limit may have changed.
    pub fn begun(&mut self, delay: Duration, now: Duration) -> bool {
        let began = *self.window.began.get_or_insert(now);
        let lasted = now.saturating_sub(began);
        if lasted > STALE_WINDOW && self.window.delays.len() < MIN_SAMPLES {
            let peak = self.window.peak;
            self.window = Window { began: Some(now), peak, ..Window::default() };
        }
        if self.window.delays.len() < MAX_SAMPLES {
            self.window.delays.push(delay);
        }
        if lasted < WINDOW || self.window.delays.len() < MIN_SAMPLES {
            return false;
        }
        let mut window = std::mem::take(&mut self.window);
        self.change(&mut window);
        window.delays.clear();
        let delays = window.delays;
        self.window = Window { began: Some(now), delays, ..Window::default() };
        true
    }

    fn change(&mut self, window: &mut Window) {
        let middle = window.delays.len() / 4;
        self.standing_delay = *window.delays.select_nth_unstable(middle).1;
        let gradient = self.gradient(window);
        self.was_limiting = gradient < 1.0 || window.refused > 0;
        let LimitSettings { floor, resting, ceiling } = self.settings;
        let headroom = self.limit.sqrt();
        let is_used = window.refused > 0 || window.peak * 100 >= self.limit() * USED_PERCENT;
        self.limit = if gradient < 1.0 {
            // What was not used says nothing: a cut begins at what was under way.
            self.limit.min(window.peak.max(floor) as f64) * gradient + headroom
        } else if is_used || self.limit < resting as f64 {
            self.limit + headroom
        } else {
            self.limit
        };
        self.limit = self.limit.clamp(floor as f64, ceiling as f64);
    }

    /// By how much to cut the limit; 1 if nothing waits for long.
    fn gradient(&self, window: &Window) -> f64 {
        let waits = if self.standing_delay > TARGET_DELAY {
            TARGET_DELAY.as_secs_f64() / self.standing_delay.as_secs_f64()
        } else {
            1.0
        };
        let begun = window.delays.len();
        let refused = window.refused_elsewhere.min(begun);
        let refusals = if refused * 100 > begun * TOLERATED_REFUSALS_PERCENT {
            1.0 - refused as f64 / begun as f64
        } else {
            1.0
        };
        waits.min(refusals).max(MIN_GRADIENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    const SETTINGS: LimitSettings = LimitSettings { floor: 16, resting: 64, ceiling: 4_096 };

    /// So many windows in which requests wait for `delay` while `under_way` are.
    fn windows(limit: &mut ConcurrencyLimit, count: u32, under_way: usize, delay: Duration) {
        let began = limit.window.began.unwrap_or_default();
        for n in 1..=count * 10 {
            limit.admits(under_way, Priority::Interactive);
            limit.begun(delay, began + n * WINDOW / 10);
        }
    }

    #[test]
    fn a_standing_queue_cuts_the_limit_to_its_floor_in_a_few_windows() {
        let mut limit = ConcurrencyLimit::new(SETTINGS);
        windows(&mut limit, 6, 64, us(30_000));
        assert_eq!(limit.limit(), 16);
        assert!(limit.is_limiting());
    }

    #[test]
    fn a_limit_that_is_used_without_a_queue_grows_and_one_that_is_not_used_rests() {
        let mut limit = ConcurrencyLimit::new(SETTINGS);
        windows(&mut limit, 40, 3, us(20));
        assert_eq!(limit.limit(), 64, "nobody needs more");
        assert!(!limit.is_limiting());
        windows(&mut limit, 80, 4_000, us(20));
        assert!(limit.limit() > 1_500, "slow shards keep many under way: {}", limit.limit());
    }

    #[test]
    fn a_limit_that_was_cut_comes_back_when_the_queue_is_gone() {
        let mut limit = ConcurrencyLimit::new(SETTINGS);
        windows(&mut limit, 10, 64, us(30_000));
        windows(&mut limit, 20, 2, us(20));
        assert!(limit.limit() >= 64, "half a second later: {}", limit.limit());
    }

    #[test]
    fn batches_and_mirrored_requests_find_no_place_before_callers_do() {
        let mut limit = ConcurrencyLimit::new(SETTINGS);
        let mut admitted = |under_way| {
            [Priority::Interactive, Priority::Batch, Priority::Mirrored]
                .map(|priority| limit.admits(under_way, priority))
        };
        assert_eq!(admitted(31), [true; 3]);
        assert_eq!(admitted(32), [true, true, false]);
        assert_eq!(admitted(48), [true, false, false]);
        assert_eq!(admitted(64), [false; 3]);
    }

    #[test]
    fn refusals_of_other_nodes_cut_the_limit_and_single_ones_do_not() {
        let mut limit = ConcurrencyLimit::new(SETTINGS);
        limit.refused_elsewhere(8);
        windows(&mut limit, 2, 10, us(20));
        assert!(limit.limit() < 64, "{}", limit.limit());
        let mut calm = ConcurrencyLimit::new(SETTINGS);
        calm.refused_elsewhere(0);
        windows(&mut calm, 2, 10, us(20));
        assert_eq!(calm.limit(), 64);
    }

    #[test]
    fn few_requests_are_never_refused() {
        let mut limit = ConcurrencyLimit::new(SETTINGS);
        windows(&mut limit, 100, 400, us(1_000_000));
        assert!((0..16).all(|under_way| limit.admits(under_way, Priority::Interactive)));
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(
            threads in 0usize..100, ceiling in 0usize..10_000,
            samples in prop::collection::vec((0u64..100_000, 0usize..5_000, 0u64..50_000), 0..500),
        ) {
            let settings = LimitSettings::for_threads(threads, ceiling);
            prop_assert!(1 <= settings.floor && settings.floor <= settings.resting);
            prop_assert!(settings.resting <= settings.ceiling);
            let mut limit = ConcurrencyLimit::new(settings);
            let mut now = Duration::ZERO;
            for (delay, under_way, pause) in samples {
                now += us(pause);
                limit.admits(under_way, Priority::Interactive);
                limit.begun(us(delay), now);
                prop_assert!((settings.floor..=settings.ceiling).contains(&limit.limit()));
            }
        }
    }
}
