//! How much telemetry keeps.

use marquee_core::rollout::window::WINDOW_MS;
use std::time::Duration;

/// How long a window is.
pub(crate) const WINDOW: Duration = Duration::from_millis(WINDOW_MS);
/// Answers that a window has room for: 65,000 a second, more than a router of today's machines gives,
/// in 20 MB.
pub(crate) const MAX_OBSERVATIONS: usize = 1 << 17;
/// Mirrored requests that a window has room for: more than the budget lets through.
pub(crate) const MAX_PAIRS: usize = 1 << 14;
/// Events that a window has room for; what is beyond is missing on all arms alike.
pub(crate) const MAX_EVENTS: usize = 1 << 16;
/// Trials and shares, and surfaces, that a window tells apart: shares hardly change while a window is open.
pub(crate) const MAX_KEYS: usize = 256;
/// Surfaces among them: however many there are, trials find room.
pub(crate) const MAX_SURFACES: usize = 128;
/// The longest stretch of time whose answers count together for a reward, in s: what users gain who asked early in it is little beside
/// the time that answers have for rewards, and there are few such stretches at once.
pub(crate) const MAX_COHORT_SECONDS: u64 = 10;
/// Arms of cohorts that wait for rewards, over all trials, in 35 MB: of a rollout with the usual times for rewards some 500, of one
/// with the longest times 2,200.
pub(crate) const MAX_COHORT_ARMS: usize = 1 << 14;
/// How far the clock of another router may be ahead, in s. An event of an answer from later on is not believed.
pub(crate) const MAX_CLOCK_AHEAD_SECONDS: u64 = 10;
/// Users whose requests are counted, over all trials, in 10 MB: some minutes of a busy router.
pub(crate) const MAX_USERS_IN_BLOCKS: usize = 1 << 18;
/// Users whose rewards before a trial are remembered, in 9 MB. Beyond, those who were away for the longest are forgotten.
pub(crate) const MAX_PAST_USERS: usize = 200_000;
/// Tables of what users did before a trial, each as it was when a trial began, in 9 MB each. A further trial takes the newest of them.
pub(crate) const MAX_FROZEN_PASTS: usize = 4;
/// Bytes of a signed id behind the name of the answer: five parts and what divides them, of which two are numbers of at most
/// 16 digits.
pub(crate) const MAX_SIGNATURE_BYTES: usize = 80;
