//! The measures that means are taken of.

/// What a mean is taken of. All but the rewards have one value for each answer. Answers are counted for
/// rewards when they are given, and rewards are added to the sums when they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// 1 for an answer, 0 for an error. Its count is the number of requests.
    Answered,
    /// 1 for an answer without items.
    Empty,
    /// 1 for an answer that lacked shards or members.
    Partial,
    /// 1 for an answer by fallback.
    Fallback,
    /// ln(latency + [`LATENCY_SLACK_MICROS`](super::LATENCY_SLACK_MICROS)), in µs.
    LogLatency,
    /// List similarity across users: the share of the first ten items that the same arm's last answer to
    /// another user had too. It is near 1 where all users get the same.
    ListSimilarity,
    /// The best item's score.
    Score,
    /// Clicks that followed from an answer.
    Clicks,
    /// Seconds played that followed from an answer.
    PlaySeconds,
    /// Purchases that followed from an answer.
    Purchases,
    /// 1 for each user in each window.
    Users,
}

impl Measure {
    /// All measures, in the order of their wire numbers.
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::Empty,
        Self::Partial,
        Self::Fallback,
        Self::LogLatency,
        Self::ListSimilarity,
        Self::Score,
        Self::Clicks,
        Self::PlaySeconds,
        Self::Purchases,
        Self::Users,
    ];

    /// The measures that events add to.
    pub const REWARDS: [Self; 3] = [Self::Clicks, Self::PlaySeconds, Self::Purchases];
}
