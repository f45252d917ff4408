//! Bugs that the simulation of a whole cluster switches on, one at a time, to see that it finds each of them.
//!
//! They are compiled only with the feature `planted-bugs`, which nothing but tests has. Without it [`is_planted`] is
//! `false`, and the compiler removes what it guards.

/// A bug that can be switched on. What each breaks is said where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say what goes wrong")]
pub enum PlantedBug {
    RequestIdForgotten,
    EpochNotRaised,
    GateSkipped,
    HoldSkipped,
    CandidateNotLoaded,
    WeightOfNextStep,
    UsersMovedByEpoch,
    RollbackPromotes,
    LiveVersionRetired,
    ReplicasOnOneNode,
    DeadNodeStaysAlive,
    VoteOfEmptyDisk,
    WriteNotSynced,
    ReadWithoutMajority,
    ReplyOfOtherTerm,
    SnapshotWithoutOutcomes,
    VoteForgotten,
    StateOfVotersDiffers,
    ReportsOutliveTerm,
    OlderPlanAccepted,
    PlanOnDiskIgnored,
    UnloadedAtOnce,
    AvailableBeforeLoaded,
    MemoryBudgetIgnored,
    BatchSeesTwoPlans,
    RowsOfOtherVersion,
    MissingShardsHidden,
    SeenItemsRecommended,
    EventNotSynced,
    EventIdsForgotten,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::RequestIdForgotten,
        Self::EpochNotRaised,
        Self::GateSkipped,
        Self::HoldSkipped,
        Self::CandidateNotLoaded,
        Self::WeightOfNextStep,
        Self::UsersMovedByEpoch,
        Self::RollbackPromotes,
        Self::LiveVersionRetired,
        Self::ReplicasOnOneNode,
        Self::DeadNodeStaysAlive,
        Self::VoteOfEmptyDisk,
        Self::WriteNotSynced,
        Self::ReadWithoutMajority,
        Self::ReplyOfOtherTerm,
        Self::SnapshotWithoutOutcomes,
        Self::VoteForgotten,
        Self::StateOfVotersDiffers,
        Self::ReportsOutliveTerm,
        Self::OlderPlanAccepted,
        Self::PlanOnDiskIgnored,
        Self::UnloadedAtOnce,
        Self::AvailableBeforeLoaded,
        Self::MemoryBudgetIgnored,
        Self::BatchSeesTwoPlans,
        Self::RowsOfOtherVersion,
        Self::MissingShardsHidden,
        Self::SeenItemsRecommended,
        Self::EventNotSynced,
        Self::EventIdsForgotten,
    ];
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use super::PlantedBug;
    use std::sync::Mutex;

    /// The bug of this process. One for all threads, since logs are written by threads of their own.
    static PLANTED: Mutex<Option<PlantedBug>> = Mutex::new(None);

    /// Switches a bug on in this process, or all off.
    pub fn plant(bug: Option<PlantedBug>) {
        *PLANTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = bug;
    }

    /// Whether this bug is switched on.
    pub fn is_planted(bug: PlantedBug) -> bool {
        *PLANTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::{is_planted, plant};

/// Whether this bug is switched on: never, without the feature.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is_planted(_: PlantedBug) -> bool {
    false
}
