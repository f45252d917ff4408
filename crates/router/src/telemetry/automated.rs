//! Finds automated traffic: callers whose requests are far more frequent or more regular than those of others.
//!
//! A crawler with fifty requests a second would make up most of a mean and say nothing of what users
//! get. Two rules find it; both compare it with the others, because what is usual is the application's
//! choice. What they find is left out of the statistics for ten minutes, and counted.
//!
//! **How often.** More than [`BURST`] requests in one window, and more than [`TIMES_USUAL`] times what
//! 95 of 100 users of that window make at most. A page of forty shelves with a request for each is a burst
//! and no crawler; and where every page does so, the second bound rises with it. The percentile is the
//! one below, so in a small company one caller does not set its own bound; where one user in twenty behaves
//! like that, it is ordinary.
//!
//! **How regularly.** Gaps between requests are taken [`GAPS`] at a time. If their standard deviation is
//! below [`REGULAR`] of their mean, a clock sends them: with users who come at random that happens to one of
//! four thousand million such runs (the volume of a ball of that radius in the simplex of twelve gaps).
//! A page that fetches its shelves one by one is as regular, but soon through: runs must go on for
//! [`GOES_ON`]. Gaps are remembered over windows, so one request a minute is found too. Where a tenth of
//! all users are that regular ([`ORDINARY`]), it is the application that works by a clock, and the rule
//! rests.
//!
//! Heavy users are left in on purpose: means are compared by groups of users, which takes care of them.

use std::collections::HashMap;
use std::time::Duration;

/// Requests of a user and window that are nothing special whatever the others do.
pub(crate) const BURST: u32 = 40;
/// How many times the usual is far off.
pub(crate) const TIMES_USUAL: u32 = 10;
/// The share of users that say what is usual.
const USUAL_SHARE: f64 = 0.95;
/// Gaps that are judged together.
pub(crate) const GAPS: u32 = 12;
/// Standard deviation of gaps, as a part of their mean, below which a clock sends requests.
pub(crate) const REGULAR: f64 = 0.1;
/// How long requests must have come by a clock before they are taken for automated traffic.
const GOES_ON: Duration = Duration::from_secs(5);
/// What one of so many users does is ordinary...
const ORDINARY: usize = 10;
/// ...if there are as many of them: three users and a crawler are no application.
const MIN_ORDINARY: usize = 10;
/// How long a caller is left out after it was last found.
pub(crate) const LEFT_OUT: Duration = Duration::from_secs(600);
/// Callers that are remembered, in 5 MB. Beyond, those without requests for the longest time are forgotten.
pub(crate) const MAX_CALLERS: usize = 1 << 16;

/// The callers of the last minutes, by the hashes of users.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    known: HashMap<u64, Caller>,
    /// Requests by a clock are ordinary at present.
    regular_is_ordinary: bool,
}

/// What is remembered of a caller; times in µs.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    last: u64,
    /// Of the present run of gaps: how many, their mean, and the sum of squared differences from it.
    gaps: u32,
    mean: f64,
    squares: f64,
    /// How long the regular runs before took that nothing irregular has come after.
    regular_for: u64,
    often_until: u64,
    regular_until: u64,
}

impl Callers {
    /// Records the requests of a window, in order: the hash of the user, and the time in µs.
    pub(crate) fn record(&mut self, requests: impl Iterator<Item = (u64, u64)>, now: u64) {
        let until = now + LEFT_OUT.as_micros() as u64;
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for (user, at) in requests {
            *counts.entry(user).or_insert(0) += 1;
            match self.known.entry(user) {
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(Caller { last: at, ..Caller::default() });
                }
                std::collections::hash_map::Entry::Occupied(mut place) => {
                    let caller = place.get_mut();
                    if caller.record(at) {
                        caller.regular_until = until;
                    }
                }
            }
        }
        let limit = far_off(counts.values().copied().collect());
        for (user, _) in counts.into_iter().filter(|(_, count)| *count > limit) {
            self.known.entry(user).or_default().often_until = until;
        }
        self.forget();
        let since = now.saturating_sub(LEFT_OUT.as_micros() as u64);
        let present = self.known.values().filter(|caller| caller.last >= since).count();
        let regular = self.known.values().filter(|caller| caller.regular_until > now).count();
        self.regular_is_ordinary = regular >= MIN_ORDINARY && regular * ORDINARY > present;
    }

    /// Whether the requests of a user are left out.
    pub(crate) fn is_automated(&self, user: u64, now: u64) -> bool {
        self.known.get(&user).is_some_and(|caller| {
            caller.often_until > now || (caller.regular_until > now && !self.regular_is_ordinary)
        })
    }

    /// Makes room: half is kept, so that this is rare.
    fn forget(&mut self) {
        if self.known.len() <= MAX_CALLERS {
            return;
        }
        let mut ranks: Vec<(u64, u64)> = self.known.values().map(Caller::rank).collect();
        let from = ranks.len() - MAX_CALLERS / 2;
        let (_, &mut least, _) = ranks.select_nth_unstable(from);
        self.known.retain(|_, caller| caller.rank() >= least);
        // Only callers that are alike to the microsecond can still be too many.
        if self.known.len() > MAX_CALLERS {
            self.known.clear();
        }
    }
}

impl Caller {
    /// Callers of a lower rank are forgotten first: those that are not left out, and of these the longest quiet.
    fn rank(&self) -> (u64, u64) {
        (self.often_until.max(self.regular_until), self.last)
    }

    /// Records one more request; whether the last ones came by a clock.
    fn record(&mut self, at: u64) -> bool {
        let gap = at.saturating_sub(self.last) as f64;
        self.last = self.last.max(at);
        // Welford's recurrence.
        self.gaps += 1;
        let off = gap - self.mean;
        self.mean += off / f64::from(self.gaps);
        self.squares += off * (gap - self.mean);
        if self.gaps < GAPS {
            return false;
        }
        let variance = self.squares / f64::from(self.gaps);
        // Requests that came at once, as in a batch, have no gaps, and no clock either.
        let is_regular = variance < (REGULAR * self.mean).powi(2);
        let took = (self.mean * f64::from(self.gaps)) as u64;
        self.regular_for = if is_regular { self.regular_for.saturating_add(took) } else { 0 };
        (self.gaps, self.mean, self.squares) = (0, 0.0, 0.0);
        is_regular && self.regular_for >= GOES_ON.as_micros() as u64
    }
}

/// Requests in one window that more than is far off.
fn far_off(mut counts: Vec<u32>) -> u32 {
    let Some(last) = counts.len().checked_sub(1) else { return BURST };
    let at = (last as f64 * USUAL_SHARE) as usize;
    let (_, &mut usual, _) = counts.select_nth_unstable(at);
    usual.saturating_mul(TIMES_USUAL).max(BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const WINDOW: u64 = 2 * SECOND;

    /// Requests of a user who comes at random, `rate` a second, within a window from `start`.
    fn at_random(rng: &mut fastrand::Rng, rate: f64, start: u64) -> Vec<u64> {
        let mut at = start as f64;
        let mut all = Vec::new();
        loop {
            at += -(1.0 - rng.f64()).ln() / rate * SECOND as f64;
            if at >= (start + WINDOW) as f64 {
                return all;
            }
            all.push(at as u64);
        }
    }

    fn record(callers: &mut Callers, mut requests: Vec<(u64, u64)>, now: u64) {
        requests.sort_by_key(|(_, at)| *at);
        callers.record(requests.into_iter(), now);
    }

    /// Two hundred users from one request in a hundred seconds to two a second, for 10,000 windows.
    #[test]
    fn users_who_come_at_random_stay_in() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut callers = Callers::default();
        let (mut out, mut of) = (0, 0);
        for window in 0..10_000_u64 {
            let start = window * WINDOW;
            let mut requests = Vec::new();
            for user in 0..200_u64 {
                let rate = 0.01 * 200_f64.powf(user as f64 / 199.0);
                requests.extend(at_random(&mut rng, rate, start).into_iter().map(|at| (user, at)));
            }
            let subject: std::collections::HashSet<u64> =
                requests.iter().map(|(user, _)| *user).collect();
            record(&mut callers, requests, start + WINDOW);
            of += subject.len();
            out +=
                subject.iter().filter(|&&user| callers.is_automated(user, start + WINDOW)).count();
        }
        assert!(of > 500_000, "{of} are too few to tell");
        assert!(out as f64 <= 1e-5 * of as f64, "{out} of {of} were taken for automated traffic");
    }

    #[test]
    fn a_crawler_is_found_in_its_first_window_and_comes_back_in_time() {
        for others in [1, 3, 50] {
            for is_regular in [true, false] {
                let mut rng = fastrand::Rng::with_seed(others);
                let mut requests: Vec<(u64, u64)> =
                    (0..others).map(|user| (user, user * 1_000)).collect();
                let crawls = if is_regular {
                    (0..100).map(|n| n * SECOND / 50).collect()
                } else {
                    at_random(&mut rng, 50.0, 0)
                };
                requests.extend(crawls.into_iter().map(|at| (999, at)));
                let mut callers = Callers::default();
                record(&mut callers, requests, WINDOW);
                assert!(callers.is_automated(999, WINDOW), "{others} others, {is_regular}");
                assert!((0..others).all(|user| !callers.is_automated(user, WINDOW)));
                let later = WINDOW + LEFT_OUT.as_micros() as u64;
                assert!(callers.is_automated(999, later - 1));
                assert!(!callers.is_automated(999, later));
            }
        }
    }

    #[test]
    fn requests_by_a_clock_are_found_however_slow() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut callers = Callers::default();
        let mut found_at = None;
        for window in 0..600_u64 {
            let start = window * WINDOW;
            let mut requests: Vec<(u64, u64)> = (0..20)
                .flat_map(|user| {
                    at_random(&mut rng, 0.2, start).into_iter().map(move |at| (user, at))
                })
                .collect();
            if window % 10 == 0 {
                // Every 20 s, give or take some milliseconds.
                requests.push((999, start + rng.u64(..50_000)));
            }
            record(&mut callers, requests, start + WINDOW);
            if callers.is_automated(999, start + WINDOW) {
                found_at = found_at.or(Some(window));
            }
            assert!((0..20).all(|user| !callers.is_automated(user, start + WINDOW)));
        }
        assert_eq!(found_at, Some(120), "as soon as it has had twelve gaps");
    }

    #[test]
    fn what_all_users_do_is_ordinary() {
        // Pages of forty shelves, with a request for each.
        let shelves: Vec<(u64, u64)> = (0..30)
            .flat_map(|user| (0..60).map(move |n| (user, user * 50_000 + n * 700)))
            .collect();
        let mut callers = Callers::default();
        // One of them has ten times as many requests still.
        let one: Vec<(u64, u64)> = (0..601).map(|n| (999, n * n)).collect();
        record(&mut callers, [shelves, one].concat(), WINDOW);
        assert!((0..30).all(|user| !callers.is_automated(user, WINDOW)));
        assert!(callers.is_automated(999, WINDOW));

        // An application with a request every two seconds.
        let mut callers = Callers::default();
        for window in 0..20 {
            let start = window * WINDOW;
            record(
                &mut callers,
                (0..30).map(|user| (user, start + user)).collect(),
                start + WINDOW,
            );
        }
        assert!((0..30).all(|user| !callers.is_automated(user, 20 * WINDOW)));
    }

    #[test]
    fn a_page_that_fetches_its_shelves_one_by_one_is_no_clock_and_a_lonely_crawler_is() {
        let mut callers = Callers::default();
        let page = |start: u64| (0..40).map(move |n| (1, start + n * 20_000));
        for window in [0, 5, 9] {
            record(&mut callers, page(window * WINDOW).collect(), (window + 1) * WINDOW);
            assert!(!callers.is_automated(1, (window + 1) * WINDOW), "window {window}");
        }
        let mut callers = Callers::default();
        let mut found = Vec::new();
        for window in 0..4 {
            let start = window * WINDOW;
            let crawl = (0..20).map(|n| (1, start + n * SECOND / 10)).collect();
            record(&mut callers, crawl, start + WINDOW);
            found.push(callers.is_automated(1, start + WINDOW));
        }
        assert_eq!(found, [false, false, false, true]);
    }

    #[test]
    fn requests_that_come_at_once_are_no_clock() {
        let mut callers = Callers::default();
        record(&mut callers, vec![(1, 500); BURST as usize], WINDOW);
        assert!(!callers.is_automated(1, WINDOW));
    }

    #[test]
    fn memory_is_bounded_and_keeps_automated_callers() {
        let mut callers = Callers::default();
        let crawl = (0..100).map(|n| (u64::MAX, n * SECOND / 50)).chain([(1, 0), (2, 0)]);
        record(&mut callers, crawl.collect(), WINDOW);
        for window in 1..20_u64 {
            let start = window * WINDOW;
            let crowd = (0..20_000).map(|n| (window << 32 | n, start + n)).collect();
            record(&mut callers, crowd, start + WINDOW);
            assert!(callers.known.len() <= MAX_CALLERS);
            assert!(callers.is_automated(u64::MAX, start + WINDOW), "window {window}");
        }
    }
}
