//! A state machine for tests: it counts bytes, and some commands are more than it can take.

use crate::machine::{Machine, MachineError};

/// The sum of the bytes of all commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(pub(crate) u64);

/// A command that this release cannot read.
pub(crate) const UNREADABLE: &[u8] = b"unreadable";
/// A command that is read and cannot be applied, which no machine of ours should have.
pub(crate) const UNAPPLIABLE: &[u8] = b"unappliable";
/// A command that shows a bug.
pub(crate) const PANICS: &[u8] = b"panics";

impl Machine for Sum {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Result<Vec<u8>, MachineError> {
        assert_ne!(command, PANICS, "a bug");
        if command == UNREADABLE || command == UNAPPLIABLE {
            return Err(MachineError("it makes no sense".into()));
        }
        self.0 += command.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        Ok(self.snapshot())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    fn check_command(&self, command: &[u8]) -> Result<(), MachineError> {
        if command == UNREADABLE { Err(MachineError("it is unreadable".into())) } else { Ok(()) }
    }

    fn check_snapshot(&self, _index: u64, snapshot: &[u8]) -> Result<(), MachineError> {
        let mut restored = self.clone();
        restored.restore(snapshot)?;
        if restored.0 < self.0 { Err(MachineError("it is older".into())) } else { Ok(()) }
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), MachineError> {
        let text = std::str::from_utf8(snapshot).map_err(|e| MachineError(e.to_string()))?;
        self.0 = text.parse().map_err(|_| MachineError(format!("{text:?} is no sum")))?;
        Ok(())
    }
}
