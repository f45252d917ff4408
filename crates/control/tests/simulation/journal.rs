//! The state machine of the simulation: it remembers every command, once, and where.

use marquee_control::machine::{Machine, MachineError};

/// Commands in the order in which they were first applied, with their log indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    pub(crate) lines: Vec<(u64, String)>,
}

impl Journal {
    /// The place that a command has, if it was applied.
    pub(crate) fn place(&self, command: &str) -> Option<usize> {
        self.lines.iter().position(|(_, line)| line == command)
    }

    fn parse(snapshot: &[u8]) -> Result<Self, MachineError> {
        let bad = || MachineError(format!("not a journal: {snapshot:?}"));
        let text = std::str::from_utf8(snapshot).map_err(|_| bad())?;
        let lines = text.lines().map(|line| {
            let (index, command) = line.split_once(' ').ok_or_else(bad)?;
            Ok((index.parse().map_err(|_| bad())?, command.to_owned()))
        });
        Ok(Self { lines: lines.collect::<Result<_, MachineError>>()? })
    }
}

impl Machine for Journal {
    fn apply(&mut self, index: u64, command: &[u8]) -> Result<Vec<u8>, MachineError> {
        let command = std::str::from_utf8(command).map_err(|e| MachineError(e.to_string()))?;
        let place = self.place(command).unwrap_or_else(|| {
            self.lines.push((index, command.to_owned()));
            self.lines.len() - 1
        });
        Ok(place.to_string().into_bytes())
    }

    fn snapshot(&self) -> Vec<u8> {
        let lines = self.lines.iter().map(|(index, command)| format!("{index} {command}\n"));
        lines.collect::<String>().into_bytes()
    }

    fn check_command(&self, command: &[u8]) -> Result<(), MachineError> {
        std::str::from_utf8(command).map(drop).map_err(|e| MachineError(e.to_string()))
    }

    fn check_snapshot(&self, _index: u64, snapshot: &[u8]) -> Result<(), MachineError> {
        Self::parse(snapshot).map(drop)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), MachineError> {
        *self = Self::parse(snapshot)?;
        Ok(())
    }
}
