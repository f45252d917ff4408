//! Raft's own log lines, passed on to `tracing`.
//!
//! Raft speaks `slog` and calls INFO what only a developer of raft wants to see, so its levels move
//! down by one; its warnings stay.

use slog::{Drain, KV as _, Level, OwnedKVList, Record};
use std::convert::Infallible;
use std::fmt::Write as _;

/// A logger for the raft of this voter.
pub(crate) fn logger(voter: u64) -> slog::Logger {
    slog::Logger::root(ToTracing, slog::o!("voter" => voter))
}

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Infallible;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Infallible> {
        let level = record.level();
        if !wanted(level) {
            return Ok(());
        }
        let mut fields = Fields(String::new());
        // Formatting into a string does not fail.
        let _ = record.kv().serialize(record, &mut fields);
        let _ = values.serialize(record, &mut fields);
        let (message, Fields(fields)) = (record.msg(), fields);
        match level {
            Level::Critical | Level::Error => tracing::error!(target: "raft", "{message}{fields}"),
            Level::Warning => tracing::warn!(target: "raft", "{message}{fields}"),
            Level::Info => tracing::debug!(target: "raft", "{message}{fields}"),
            Level::Debug | Level::Trace => tracing::trace!(target: "raft", "{message}{fields}"),
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        wanted(level)
    }
}

/// Whether the level is enabled: raft logs on every message.
fn wanted(level: Level) -> bool {
    match level {
        Level::Critical | Level::Error => tracing::enabled!(target: "raft", tracing::Level::ERROR),
        Level::Warning => tracing::enabled!(target: "raft", tracing::Level::WARN),
        Level::Info => tracing::enabled!(target: "raft", tracing::Level::DEBUG),
        Level::Debug | Level::Trace => tracing::enabled!(target: "raft", tracing::Level::TRACE),
    }
}

struct Fields(String);

impl slog::Serializer for Fields {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(Into::into)
    }
}
