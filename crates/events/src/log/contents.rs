//! What the records of a log are, and when they are made durable.

/// When what was written is made to outlive a crash of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is acknowledged; what comes meanwhile shares the next sync.
    #[default]
    Always,
    /// Every so many milliseconds: an acknowledged record outlives the process, and the machine only
    /// after that time.
    IntervalMs(u64),
    /// Whenever the system does it: an acknowledged record outlives the process.
    Never,
}

/// The format of segments that this version writes and reads.
pub(super) const FORMAT: u32 = 1;

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Contents {
    /// [Events](crate::StoredEvent) that were accepted.
    Events = 1,
    /// [Events in quarantine](crate::Quarantined), each with the reason.
    Quarantine = 2,
    /// [Exposures](crate::Exposure) of answers.
    Exposures = 3,
}

impl Contents {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Quarantine => "quarantined events",
            Self::Exposures => "exposures",
        }
    }

    /// The contents that a segment's header names.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::Events, Self::Quarantine, Self::Exposures]
            .into_iter()
            .find(|known| *known as u32 == number)
    }
}
