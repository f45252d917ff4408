//! How a router is set up.

use marquee_core::bounds::FULL_WEIGHT_BASIS_POINTS;
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests under way at once by default: at 10 ms each this is 400,000 a second, far more than a
/// machine answers, and their memory is some hundred megabytes at worst.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 4_096;
/// The most that may be configured, [`tokio::sync::Semaphore`] being happy with far more: requests
/// beyond this wait for processors and not for shards.
pub const MAX_MAX_IN_FLIGHT: u32 = 1 << 20;
/// Bytes of rows that are remembered by default: some hundred thousand users of 64 factors with short histories, and
/// little beside what a router has anyway.
pub const DEFAULT_ROW_CACHE_BYTES: u64 = 64 << 20;
/// The most that may be configured: 1 TiB, above any machine, so that a typing error is found.
pub const MAX_ROW_CACHE_BYTES: u64 = 1 << 40;
/// The deadline of a call without one: users do not wait longer for a page.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(1);
/// Answers that take longer are logged by default: half of a second is long for a page, and far from what is usual.
pub const DEFAULT_SLOW_ANSWER: Duration = Duration::from_millis(500);
/// How long [`Router::shutdown`](crate::Router::shutdown) waits for requests under way by default.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// How a router is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// This node's id, part of every recommendation id.
    pub node_id: String,
    /// Requests under way at once, 1..=[`MAX_MAX_IN_FLIGHT`]; a batch counts as its requests, so less
    /// than 1,000 refuses the largest batches.
    pub max_in_flight: u32,
    /// The deadline of calls that bring none; more than 0 and at most 30 s. A batch gets 20 ms more for
    /// each further request in it.
    pub default_deadline: Duration,
    /// How long to wait for requests under way at shutdown.
    pub drain: Duration,
    /// Bytes of rows of users and items that are remembered, so that they are not looked up again, 0..=
    /// [`MAX_ROW_CACHE_BYTES`]; 0: none.
    pub row_cache_bytes: u64,
    /// Whether calls may ask for a variant of a trial by their metadata. For testers; off by default, because any
    /// caller that reaches the router could.
    pub allow_forced_variants: bool,
    /// The share of recommendations, in 1/10,000 by surface, in which one slot has an item that is drawn from the
    /// candidates beyond the list. Their propensities are logged, so that a candidate can be evaluated before
    /// any user meets it.
    pub drawn_slots_basis_points: BTreeMap<String, u32>,
    /// Answers that take longer are logged, with how long each stage took; none: no answer is.
    pub slow_answer: Option<Duration>,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            node_id: "router".into(),
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            default_deadline: DEFAULT_DEADLINE,
            drain: DEFAULT_DRAIN,
            row_cache_bytes: DEFAULT_ROW_CACHE_BYTES,
            allow_forced_variants: false,
            drawn_slots_basis_points: BTreeMap::new(),
            slow_answer: Some(DEFAULT_SLOW_ANSWER),
        }
    }
}

/// A setting out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouterConfigError {
    /// No requests, or too many.
    #[error("max_in_flight is {0}: 1 to {MAX_MAX_IN_FLIGHT} are allowed")]
    MaxInFlight(u32),
    /// No time, or too much.
    #[error("default_deadline is {0:?}: more than nothing and at most {max:?} are allowed",
            max = crate::admission::deadline::MAX_DEADLINE)]
    DefaultDeadline(Duration),
    /// Too many bytes.
    #[error("row_cache_bytes is {0}: 0 to {MAX_ROW_CACHE_BYTES} are allowed")]
    RowCacheBytes(u64),
    /// More than all answers of a surface.
    #[error(
        "drawn_slots_basis_points of {surface:?} is {share}: 0 to {FULL_WEIGHT_BASIS_POINTS} are allowed"
    )]
    DrawnSlots {
        /// The surface that the share was given for.
        surface: String,
        /// The share that is too large.
        share: u32,
    },
}

impl RouterConfig {
    /// Checks the bounds of all fields.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn validate(&self) -> Result<(), RouterConfigError> {
        if self.max_in_flight == 0 || self.max_in_flight > MAX_MAX_IN_FLIGHT {
            return Err(RouterConfigError::MaxInFlight(self.max_in_flight));
        }
        if self.default_deadline.is_zero()
            || self.default_deadline > crate::admission::deadline::MAX_DEADLINE
        {
            return Err(RouterConfigError::DefaultDeadline(self.default_deadline));
        }
        if self.row_cache_bytes > MAX_ROW_CACHE_BYTES {
            return Err(RouterConfigError::RowCacheBytes(self.row_cache_bytes));
        }
        for (surface, &share) in &self.drawn_slots_basis_points {
            if share > FULL_WEIGHT_BASIS_POINTS {
                return Err(RouterConfigError::DrawnSlots { surface: surface.clone(), share });
            }
        }
        Ok(())
    }
}
