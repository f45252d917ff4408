//! The interface between consensus and what it replicates: a state machine that applies commands in order.

/// A deterministic state machine. Equal commands in equal order make equal states on every voter,
/// so implementations read no clock, no randomness and no disk.
pub trait Machine {
    /// Applies one committed command, each exactly once and in order, and returns its outcome, encoded.
    /// An error means that this release cannot read the command. It ends the voter: going on
    /// without the command would make a state that no other voter has.
    fn apply(&mut self, index: u64, command: &[u8]) -> Result<Vec<u8>, MachineError>;

    /// Whether [`apply`](Self::apply) could read these bytes. Nothing else gets into the log, on any voter.
    fn check_command(&self, command: &[u8]) -> Result<(), MachineError>;

    /// The whole state, encoded.
    fn snapshot(&self) -> Vec<u8>;

    /// Whether [`restore`](Self::restore) would take these bytes, and they may be what this state became by
    /// the command at `index`: an honest leader's snapshot is never older than the state here, nor of another group.
    fn check_snapshot(&self, index: u64, snapshot: &[u8]) -> Result<(), MachineError>;

    /// Replaces the state by that of a snapshot, or stays as it is on an error.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), MachineError>;

    /// Called after a batch of commands was applied: the moment to show the new state.
    fn batch_applied(&mut self) {}
}

/// Bytes that this release cannot apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; if another control node runs a newer marquee, upgrade this one")]
pub struct MachineError(pub String);
