//! The measures that means are taken of.

/// What a mean is taken of. All but the rewards and what goes with them have one value for each request that was
/// counted. An answer counts for a reward once its time for this reward is over
/// ([`crate::rollout::gate::maturity_seconds`]), with what came of it until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// 1 for an error, 0 for an answer. Its count is the number of requests.
    Failed,
    /// 1 for an answer without items.
    Empty,
    /// 1 for an answer that lacked shards or members.
    Partial,
    /// 1 for an answer by fallback.
    Fallback,
    /// ln(latency + [`LATENCY_SLACK_MICROS`](super::LATENCY_SLACK_MICROS)), in µs.
    LogLatency,
    /// 1 for an answer that is slower than the median that a gate compares with.
    SlowP50,
    /// 1 for an answer that is slower than the 95th percentile that a gate compares with.
    SlowP95,
    /// 1 for an answer that is slower than the 99th percentile that a gate compares with.
    SlowP99,
    /// List similarity across users: the share of the first ten items that the same arm's last answer to
    /// another user had too. It is near 1 where all users get the same.
    ListSimilarity,
    /// How personal an answer to a mirrored request is: what its first ten items have in common with those that the baseline
    /// gives the same user, less what they have in common with those that the baseline gave the user before. Near 0 where
    /// it does not matter who the user is.
    Personalisation,
    /// The best item's score.
    Score,
    /// Clicks that followed from an answer.
    Clicks,
    /// Seconds played that followed from an answer.
    PlaySeconds,
    /// Purchases that followed from an answer.
    Purchases,
    /// The user's clicks for each answer before the trial, less the mean of all users.
    ClicksBefore,
    /// The user's seconds played for each answer before the trial, less the mean of all users.
    PlaySecondsBefore,
    /// The user's purchases for each answer before the trial, less the mean of all users.
    PurchasesBefore,
    /// 1 for each user in each window.
    Users,
}

impl Measure {
    /// All measures, in the order of their wire numbers.
    pub const ALL: [Self; 18] = [
        Self::Failed,
        Self::Empty,
        Self::Partial,
        Self::Fallback,
        Self::LogLatency,
        Self::SlowP50,
        Self::SlowP95,
        Self::SlowP99,
        Self::ListSimilarity,
        Self::Personalisation,
        Self::Score,
        Self::Clicks,
        Self::PlaySeconds,
        Self::Purchases,
        Self::ClicksBefore,
        Self::PlaySecondsBefore,
        Self::PurchasesBefore,
        Self::Users,
    ];

    /// The measures that events add to.
    pub const REWARDS: [Self; 3] = [Self::Clicks, Self::PlaySeconds, Self::Purchases];

    /// The measures of faults: 1 for a request that has it, 0 for one that does not.
    pub const FAULTS: [Self; 7] = [
        Self::Failed,
        Self::Empty,
        Self::Partial,
        Self::Fallback,
        Self::SlowP50,
        Self::SlowP95,
        Self::SlowP99,
    ];

    /// For a reward: what the same users did before the trial.
    pub fn before(self) -> Option<Self> {
        match self {
            Self::Clicks => Some(Self::ClicksBefore),
            Self::PlaySeconds => Some(Self::PlaySecondsBefore),
            Self::Purchases => Some(Self::PurchasesBefore),
            Self::Failed
            | Self::Empty
            | Self::Partial
            | Self::Fallback
            | Self::LogLatency
            | Self::SlowP50
            | Self::SlowP95
            | Self::SlowP99
            | Self::ListSimilarity
            | Self::Personalisation
            | Self::Score
            | Self::ClicksBefore
            | Self::PlaySecondsBefore
            | Self::PurchasesBefore
            | Self::Users => None,
        }
    }
}
