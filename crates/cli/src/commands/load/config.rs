//! What a load run sends.

use super::schedule::Schedule;
use super::users::Users;
use marquee_client::{Address, Credentials};
use std::sync::Arc;
use std::time::Duration;

/// The calls of a run: when they are due, to which routers, and for which users.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Addresses of routers, which get calls in turn.
    pub endpoints: Vec<Address>,
    /// How the calls prove who makes them.
    pub credentials: Credentials,
    /// When calls are due.
    pub schedule: Schedule,
    /// The users that requests are for.
    pub users: Arc<Users>,
    /// Recommendations requested for each user.
    pub count: u32,
    /// Users in a call; 1 is `Recommend`, more are `BatchRecommend`.
    pub batch: usize,
    /// Whether calls are `RecordEvents` with `batch` events instead of requests for recommendations.
    pub events: bool,
    /// The surface of the requests.
    pub surface: String,
    /// Upper bound of the calls under way: in a closed loop, the number of clients.
    pub max_in_flight: usize,
    /// Deadline of a call.
    pub deadline: Duration,
    /// Seed of the random draws: runs with the same seed draw the same users.
    pub seed: u64,
}
